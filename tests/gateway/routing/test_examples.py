"""The examples are embedded once, kept, and embedded again when they or the embedder change."""

import asyncio
import json

import pytest

from contract.routing_settings import Example, Neighbours
from gateway.routing import vector_file
from gateway.routing.examples import Examples
from tests.gateway.routing.fakes import Clock, Experts, embeddings

TEXTS = [f"python number {n}" for n in range(40)] + [f"story {n}" for n in range(40)]
CANDIDATES = ["coder", "general"]


def examples_of(asked: Experts, clock: Clock, folder=None, texts=TEXTS, **settings) -> Examples:
    labelled = [
        Example(text=text, expert="coder" if "python" in text else "general") for text in texts
    ]
    return Examples(
        labelled,
        "embedder",
        Neighbours.model_validate({"min_similarity": 0.3} | settings),
        ask=asked.ask,
        clock=clock,
        folder=folder,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_examples_are_embedded_once_in_batches_however_many_ask(clock):
    asked = Experts()
    examples = examples_of(asked, clock)
    votes = await asyncio.gather(*(examples.vote(f"python {n}", CANDIDATES) for n in range(5)))
    assert {vote.expert for vote in votes} == {"coder"}
    assert sorted(text for text in asked.texts() if text in TEXTS) == sorted(TEXTS)
    assert max(len(body["input"]) for _, _, body in asked.asked) <= 32


async def test_a_repeated_prompt_is_embedded_once(clock):
    asked = Experts()
    examples = examples_of(asked, clock)
    first = await examples.vote("python again", CANDIDATES)
    assert await examples.vote("python again", CANDIDATES) == first
    assert asked.texts().count("python again") == 1


async def test_a_prompt_does_not_wait_for_slow_examples_but_the_next_one_profits(clock):
    gate = asyncio.Event()

    async def slow(_: str) -> bytes:
        await gate.wait()
        return embeddings(asked.asked[-1][2]["input"])

    asked = Experts(instead=slow)
    examples = examples_of(asked, clock, texts=TEXTS[:3], timeout_s=0.05)
    assert (await examples.vote("python", CANDIDATES)).why == "timeout"
    gate.set()
    assert await examples.prepare() is None
    assert (await examples.vote("python number", CANDIDATES)).expert == "coder"
    assert len([1 for _, _, body in asked.asked if body["input"] == TEXTS[:3]]) == 1


async def test_after_a_failure_the_embedder_is_left_alone_for_a_while(clock):
    asked = Experts(down={"embedder"})
    examples = examples_of(asked, clock)
    assert "embedder is down" in (await examples.vote("python", CANDIDATES)).why
    assert "embedder is down" in (await examples.vote("python", CANDIDATES)).why
    assert len(asked.asked) == 1
    asked.down.clear()
    clock.now += 11
    assert (await examples.vote("python", CANDIDATES)).expert == "coder"


async def test_vectors_survive_a_restart_on_disk(clock, tmp_path):
    assert await examples_of(Experts(), clock, tmp_path).prepare() is None
    asked = Experts()
    again = examples_of(asked, clock, tmp_path)
    assert (await again.vote("python", CANDIDATES)).expert == "coder"
    # The prompt, and one example that proves the embedder to be the same.
    assert asked.texts() == ["python", TEXTS[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["routing-examples.vectors"]


async def test_changed_examples_are_embedded_again(clock, tmp_path):
    await examples_of(Experts(), clock, tmp_path).prepare()
    asked = Experts()
    await examples_of(asked, clock, tmp_path, texts=[*TEXTS, "story new"]).prepare()
    assert "story new" in asked.texts()
    assert TEXTS[0] in asked.texts()


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\n", b'{"mark": 3}\n', None])
async def test_a_damaged_file_is_as_good_as_none(clock, tmp_path, damage):
    await examples_of(Experts(), clock, tmp_path).prepare()
    file = tmp_path / "routing-examples.vectors"
    file.write_bytes(file.read_bytes()[:-7] if damage is None else damage)
    asked = Experts()
    assert await examples_of(asked, clock, tmp_path).prepare() is None
    assert TEXTS[0] in asked.texts()


async def test_a_folder_that_cannot_be_written_costs_only_the_cache(clock, tmp_path):
    (tmp_path / "file").write_text("")
    examples = examples_of(Experts(), clock, tmp_path / "file")
    assert (await examples.vote("python", CANDIDATES)).expert == "coder"


async def test_an_embedder_that_has_become_another_model_is_noticed(clock, tmp_path):
    asked = Experts()
    examples = examples_of(asked, clock, tmp_path)
    await examples.vote("python", CANDIDATES)

    def other_model(_: str) -> bytes:
        document = json.loads(embeddings(asked.asked[-1][2]["input"]))
        for row in document["data"]:
            row["embedding"].reverse()
        return json.dumps(document).encode()

    asked.instead = other_model
    clock.now += 61
    assert "changed" in (await examples.vote("python two", CANDIDATES)).why
    assert (await examples.vote("python two", CANDIDATES)).expert == "coder"


async def test_other_dimensions_are_noticed_at_once(clock):
    asked = Experts()
    examples = examples_of(asked, clock)
    await examples.vote("python", CANDIDATES)
    asked.instead = lambda _: b'{"data": [{"index": 0, "embedding": [1, 2]}]}'
    assert "changed" in (await examples.vote("python two", CANDIDATES)).why
    await examples.close()


def test_a_file_is_read_as_it_was_written(tmp_path):
    vectors = [(1.0, 0.0), (0.0, 1.0)]
    mark = vector_file.fingerprint("e", ["a", "b"])
    vector_file.save(tmp_path / "sub" / "v", mark, vectors)
    assert vector_file.load(tmp_path / "sub" / "v", mark) == vectors
    for other in (("f", ["a", "b"]), ("e", ["ab"]), ("e", ["b", "a"])):
        assert vector_file.load(tmp_path / "sub" / "v", vector_file.fingerprint(*other)) is None
