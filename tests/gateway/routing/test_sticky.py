"""A conversation keeps its expert: through memory while there is one, through determinism after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.facts import Facts
from gateway.routing.router import Router
from tests.gateway.routing.fakes import (
    CODE,
    NEAR,
    PYTHON,
    RULES,
    STORY,
    Clock,
    Experts,
    chat,
    facts_of,
    settings_of,
    with_picture,
)

TOOL = {"role": "tool", "tool_call_id": "c", "content": "42"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def router(clock: Clock) -> Router:
    return new_router(clock)


def new_router(clock: Clock) -> Router:
    return Router(settings_of(routing={"rules": RULES, "sticky_ttl_s": 60, **NEAR}), _ask, clock)


async def _ask(expert: str, path: str, body: bytes) -> bytes:
    return await Experts().ask(expert, path, body)


def in_loop(*texts: str) -> Facts:
    document = chat(*texts)
    document["messages"].append(TOOL)
    return facts_of(document)


def session(text: str, name: str = "one") -> Facts:
    return facts_of(chat(text), headers={"x-session-id": name})


async def test_a_later_turn_stays(router):
    assert (await router.decide(facts_of(chat(CODE)))).reason == "rule:code"
    later = await router.decide(facts_of(chat(CODE, "Done", "Translate it into French")))
    assert (later.expert, later.reason) == ("coder", "sticky")


async def test_a_session_header_holds_a_conversation_whose_history_was_cut(router):
    await router.decide(session(CODE))
    assert (await router.decide(session("And now?"))).reason == "sticky"
    assert (await router.decide(session("And now?", "two"))).reason != "sticky"


async def test_an_image_moves_the_conversation_for_good(router):
    await router.decide(facts_of(chat(CODE)))
    moved = await router.decide(facts_of(with_picture(CODE, "Done", "Like here")))
    assert moved.expert == "vision"
    after = await router.decide(facts_of(chat(CODE, "Done", "Like here", "Yes", "Thanks")))
    assert (after.expert, after.reason) == ("vision", "sticky")


async def test_a_conversation_that_outgrows_its_expert_moves():
    experts = {"general": {"context_tokens": 3000}, "long": {"context_tokens": 90_000}}
    router = Router(settings_of(experts), Experts().ask)
    assert (await router.decide(session("Hi"))).expert == "general"
    assert (await router.decide(session("word " * 5000))).expert == "long"


async def test_a_dead_expert_is_left_except_within_a_tool_loop(router):
    await router.decide(facts_of(chat(CODE)))
    stays = await router.decide(in_loop(CODE), live=lambda name: name != "coder")
    assert (stays.expert, stays.reason) == ("coder", "sticky")
    leaves = await router.decide(facts_of(chat(CODE)), live=lambda name: name != "coder")
    assert leaves.expert != "coder"


async def test_a_tool_loop_ends_only_when_the_expert_becomes_impossible(router):
    await router.decide(facts_of(chat(CODE)))
    document = with_picture(CODE)
    document["messages"].append(TOOL)
    assert (await router.decide(facts_of(document))).expert == "vision"


async def test_a_slow_tool_outlasts_the_memory_of_idle_conversations(router, clock):
    await router.decide(session(CODE))
    clock.now += 61
    facts = facts_of({"messages": [TOOL]}, headers={"x-session-id": "one"})
    assert (await router.decide(facts)).expert == "coder"


async def test_an_idle_conversation_is_forgotten(router, clock):
    await router.decide(session(CODE))
    clock.now += 61
    assert (await router.decide(session(STORY))).expert == "general"


async def test_one_keys_conversation_is_not_anothers(router):
    await router.decide(facts_of(chat(CODE), key_id="a", headers={"x-session-id": "s"}))
    other = facts_of(chat(STORY), key_id="b", headers={"x-session-id": "s"})
    assert (await router.decide(other)).expert == "general"


async def test_a_session_header_cannot_open_a_forbidden_expert(router):
    await router.decide(session(CODE))
    decision = await router.decide(session(CODE), allowed=frozenset({"general", "math"}))
    assert decision.expert != "coder"


OPENINGS = st.sampled_from([CODE, STORY, PYTHON, "Translate: cat", "Wie geht es dir?", "zzz"])
TURNS = st.lists(st.sampled_from([CODE, STORY, "Translate: dog", "Ok"]), max_size=5)


@given(OPENINGS, TURNS)
async def test_after_a_restart_every_turn_is_decided_as_before(opening, turns):
    clock = Clock()
    router = new_router(clock)
    expected = (await router.decide(facts_of(chat(opening)))).expert
    for count in range(len(turns) + 1):
        facts = facts_of(chat(opening, *turns[:count]))
        assert (await router.decide(facts)).expert == expected
        assert (await new_router(clock).decide(facts)).expert == expected
