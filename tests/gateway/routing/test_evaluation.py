"""Offline evaluation: the project's own labelled set keeps its accuracy, and the tool tells it."""

import json
from collections import Counter

import httpx
import pytest
import yaml

from gateway.errors import UpstreamFailed
from gateway.routing import evaluation
from gateway.routing.evaluation import Report, evaluate
from gateway.routing.labelled_set import Labelled, read_labelled
from gateway.routing.router import Router
from tests.gateway.routing.fakes import (
    EXPERTS,
    HERE,
    RULES,
    Experts,
    chat,
    facts_of,
    folds,
    settings_of,
)


def routing_of(examples: list[Labelled], *, rules: bool, neighbours: bool) -> dict:
    routing: dict = {"rules": RULES} if rules else {}
    if neighbours:
        routing["embedder"] = "embedder"
        routing["examples"] = [{"text": one.text, "expert": one.expert} for one in examples]
    return routing


async def cross_validated(*, rules: bool, neighbours: bool) -> Report:
    """Every prompt is judged once, by a router that has not seen it."""
    confusion: Counter[tuple[str, str]] = Counter()
    stages: Counter[str] = Counter()
    for examples, held_out in folds():
        routing = routing_of(examples, rules=rules, neighbours=neighbours)
        router = Router(settings_of(routing=routing), Experts().ask)
        await router.prepare()
        report = await evaluate(router, held_out)
        confusion += report.confusion
        stages += report.stages
    return Report(confusion, stages)


def test_the_set_is_large_and_names_only_experts_that_exist():
    labelled = read_labelled(HERE / "labelled.yaml")
    assert len(labelled) >= 150
    assert len({one.text for one in labelled}) == len(labelled)
    assert Counter(one.expert for one in labelled).keys() <= EXPERTS.keys()
    assert min(Counter(one.expert for one in labelled).values()) >= 15


@pytest.mark.parametrize(
    ("rules", "neighbours", "floor"),
    [(True, False, 0.40), (False, True, 0.80), (True, True, 0.85)],
)
async def test_held_out_prompts_reach_their_expert(rules, neighbours, floor, record_property):
    report = await cross_validated(rules=rules, neighbours=neighbours)
    record_property("accuracy", report.accuracy)
    print(report.text())
    assert report.count == len(read_labelled(HERE / "labelled.yaml"))
    assert report.accuracy >= floor, report.text()


async def test_neighbours_know_what_rules_leave_open():
    rules_only = await cross_validated(rules=True, neighbours=False)
    together = await cross_validated(rules=True, neighbours=True)
    assert together.accuracy > rules_only.accuracy + 0.2
    assert together.abstention < rules_only.abstention / 2


async def test_what_resembles_no_example_is_left_to_the_default_expert():
    labelled = [one for one in read_labelled(HERE / "labelled.yaml") if not one.image]
    routing = routing_of(labelled, rules=False, neighbours=True)
    router = Router(settings_of(routing=routing), Experts().ask)
    unknown = yaml.safe_load((HERE / "unknown.yaml").read_text())
    assert len(unknown) >= 30
    decisions = [await router.decide(facts_of(chat(text))) for text in unknown]
    abstained = [decision for decision in decisions if decision.reason == "default"]
    assert len(abstained) / len(unknown) >= 0.8
    assert all("nearest" in one.skipped["neighbour"] for one in abstained[:5])


def test_a_report_counts_per_expert_and_over_all():
    report = Report(
        Counter({("a", "a"): 3, ("a", "b"): 1, ("b", "b"): 4}),
        Counter({"rule": 6, "default": 1, "last-resort": 1}),
    )
    assert report.accuracy == 7 / 8
    assert report.accuracy_of("a") == 3 / 4
    assert report.accuracy_of("nobody") == 0
    assert report.abstention == 2 / 8
    table = [line.split() for line in report.text().splitlines()[-3:]]
    assert table == [
        ["expected", "a", "b", "accuracy"],
        ["a", "3", "1", "0.750"],
        ["b", ".", "4", "1.000"],
    ]


def test_a_report_over_nothing_is_a_report():
    assert Report(Counter(), Counter()).text().startswith("prompts 0   accuracy 0.000")


async def test_a_prompt_nobody_can_take_counts_as_missed():
    router = Router(settings_of({"general": {}}), Experts().ask)
    report = await evaluate(router, [Labelled(text="Look!", expert="general", image=True)])
    assert report.accuracy == 0
    assert report.stages == {"refused": 1}


@pytest.fixture
def files(tmp_path):
    """Paths of a settings document and of a labelled set."""

    def write(routing: dict, labelled: list[dict]) -> list[str]:
        settings = settings_of(routing=routing).model_dump(mode="json", exclude_none=True)
        (tmp_path / "gateway.json").write_text(json.dumps(settings))
        (tmp_path / "set.yaml").write_text(yaml.safe_dump(labelled))
        return ["--settings", f"{tmp_path}/gateway.json", "--set", f"{tmp_path}/set.yaml"]

    return write


async def ask(upstream: str, gateway: str | None = None, *, status: int = 200) -> bytes:
    """Asks the embedder; the answer is the URL that was asked."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=str(request.url))

    settings = settings_of({"embedder": {"upstreams": [{"url": upstream}]}})
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        question = evaluation.ask_over_http(client, settings, gateway)
        return await question("embedder", "/v1/embeddings", b"{}")


@pytest.mark.parametrize(
    ("upstream", "gateway", "asked"),
    [
        ("http://a:1", None, b"http://a:1/v1/embeddings"),
        ("http://a:1/v1/", None, b"http://a:1/v1/embeddings"),
        ("http://a:1", "http://gate:8000/", b"http://gate:8000/v1/embeddings"),
    ],
)
async def test_questions_go_to_the_experts_server_or_through_the_gateway(upstream, gateway, asked):
    assert await ask(upstream, gateway) == asked


async def test_an_error_answer_is_a_failed_question():
    with pytest.raises(UpstreamFailed, match=r"embedder at http://a:1.*503"):
        await ask("http://a:1/v1", status=503)


CODE = {"text": "```\nx\n```", "expert": "coder"}


def test_the_command_judges_rules_without_any_expert(files, capsys):
    arguments = files({"rules": RULES}, [CODE])
    assert evaluation.main([*arguments, "--min-accuracy", "1"]) == 0
    assert "accuracy 1.000" in capsys.readouterr().out


def test_the_command_fails_below_the_floor(files, capsys):
    arguments = files({}, [CODE])
    assert evaluation.main([*arguments, "--min-accuracy", "0.5"]) == 1
    assert "below 0.5" in capsys.readouterr().err


def test_the_command_says_that_the_embedder_did_not_answer(files, capsys):
    examples = [{"text": "Hello", "expert": "general"}]
    arguments = files({"rules": RULES, "examples": examples, "embedder": "embedder"}, [CODE])
    assert evaluation.main(arguments) == 0
    assert "only: embedder at http://127.0.0.1:1" in capsys.readouterr().out


def test_the_command_names_an_unusable_file(files, capsys, tmp_path):
    arguments = files({}, [{"text": "x"}])
    assert evaluation.main(arguments) == 2
    assert "expert" in capsys.readouterr().err
    assert evaluation.main(["--settings", f"{tmp_path}/none", "--set", "x"]) == 2
