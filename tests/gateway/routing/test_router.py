"""The router: names are looked up, `auto` goes through the stages in their order."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ModelNotFound
from gateway.routing.decision import Stage
from gateway.routing.errors import NoSuitableExpert
from gateway.routing.router import Router
from tests.gateway.routing.fakes import (
    CODE,
    EXPERTS,
    NEAR,
    ODD,
    PYTHON,
    RULES,
    STORY,
    Experts,
    chat,
    facts_of,
    settings_of,
    with_picture,
)


def router(experts: dict | None = None, asked: Experts | None = None, **routing: object) -> Router:
    aliases = {"gpt-4o": "general"}
    return Router(settings_of(experts, routing, aliases=aliases), (asked or Experts()).ask)


def all_but(*names: str):
    return lambda name: name not in names


@pytest.mark.parametrize(
    ("model", "expert", "reason"),
    [
        ("coder", "coder", "explicit"),
        ("gpt-4o", "general", "alias"),
        (None, "general", "default"),
        ("", "general", "default"),
    ],
)
def test_a_name_is_looked_up(model, expert, reason):
    one = router()
    decision = one.resolve(model)
    assert (decision.expert, decision.reason) == (expert, reason)
    assert one.resolve(model) is decision


def test_auto_is_left_to_decide():
    assert router().resolve("auto") is None
    assert router().resolve("auto", allowed=frozenset()) is None


@pytest.mark.parametrize("model", ["Coder", "coder ", "AUTO", "x" * 9999])
def test_no_other_name_means_an_expert(model):
    with pytest.raises(ModelNotFound) as caught:
        router().resolve(model)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("model", "allowed"),
    [("coder", {"coder"}), ("gpt-4o", {"gpt-4o"}), ("gpt-4o", {"general"}), (None, {"general"})],
)
def test_a_key_may_use_what_it_names_or_what_that_means(model, allowed):
    assert router().resolve(model, allowed=frozenset(allowed))


@pytest.mark.parametrize("model", ["coder", "gpt-4o", None])
def test_what_a_key_may_not_use_does_not_exist_for_it(model):
    with pytest.raises(ModelNotFound):
        router().resolve(model, allowed=frozenset({"math"}))


async def test_without_any_routing_auto_means_the_default_expert():
    decision = await router().decide(facts_of(chat("Hi")))
    assert (decision.expert, decision.reason) == ("general", "default")
    assert decision.excluded == {"embedder": "cannot chat"}


async def test_the_first_rule_that_matches_wins():
    one = router(rules=RULES)
    both = facts_of(chat(f"Both:\n{CODE}", response_format={"type": "json_object"}))
    assert both.has_code
    assert (await one.decide(both)).reason == "rule:json"
    assert (await one.decide(facts_of(chat(CODE)))).reason == "rule:code"


async def test_rules_ask_nobody():
    asked = Experts()
    one = router(asked=asked, rules=RULES, classifier="small", **NEAR)
    await one.decide(facts_of(chat(CODE)))
    assert asked.asked == []


async def test_a_rule_whose_expert_is_down_gives_way_and_says_so():
    backup = {"name": "backup", "when": {"code": True}, "expert": "math"}
    one = router(rules=[*RULES, backup])
    decision = await one.decide(facts_of(chat(CODE)), live=all_but("coder"))
    assert decision.reason == "rule:backup"
    assert decision.skipped == {"rule:code": "no live replica"}
    assert decision.excluded["coder"] == "no live replica"


PRIVATE = {
    "name": "private",
    "when": {"contains": ["confidential"]},
    "expert": "coder",
    "fail": "closed",
}


@pytest.mark.parametrize("live", [all_but(), all_but("coder")])
async def test_a_closed_rule_lets_no_other_expert_see_the_request(live):
    one = router(rules=[RULES[1], PRIVATE])
    document = chat("Confidential!", response_format={"type": "json_object"})
    decision = await one.decide(facts_of(document), live=live)
    assert (decision.expert, decision.reason, decision.closed) == ("coder", "rule:private", True)
    again = await one.decide(facts_of(document), live=live)
    assert (again.reason, again.closed) == ("rule:private", True)
    assert decision.excluded["general"] == "rule private allows only coder"


async def test_a_closed_rule_ends_stickiness_even_in_a_tool_loop():
    one = router(rules=[PRIVATE])
    assert (await one.decide(facts_of(chat("Hi")))).expert == "general"
    document = chat("Hi")
    document["messages"].append({"role": "tool", "tool_call_id": "1", "content": "confidential"})
    assert (await one.decide(facts_of(document))).expert == "coder"


async def test_a_closed_rule_whose_expert_cannot_do_it_refuses():
    with pytest.raises(NoSuitableExpert, match="sees no images") as caught:
        await router(rules=[PRIVATE]).decide(facts_of(with_picture("Confidential!")))
    assert caught.value.status == 400


async def test_images_go_only_to_experts_that_see():
    decision = await router().decide(facts_of(with_picture("Look")))
    assert (decision.expert, decision.reason) == ("vision", "only-candidate")
    assert decision.excluded["general"] == "sees no images"


async def test_a_rule_cannot_send_an_image_to_a_blind_expert():
    one = router(rules=[{"name": "all", "when": {"images": True}, "expert": "coder"}])
    decision = await one.decide(facts_of(with_picture("Look")))
    assert decision.expert == "vision"
    assert decision.skipped == {"rule:all": "sees no images"}


@pytest.mark.parametrize(
    ("endpoint", "capability"),
    [
        ("/v1/embeddings", "embeddings"),
        ("/v1/rerank", "rerank"),
        ("/v1/audio/transcriptions", "transcription"),
        ("/v1/audio/speech", "speech"),
    ],
)
async def test_an_endpoint_goes_to_an_expert_that_has_it(endpoint, capability):
    one = router({"general": {}, "special": {"capabilities": [capability]}})
    decision = await one.decide(facts_of({"input": "x"}, endpoint=endpoint))
    assert decision.expert == "special"
    assert decision.excluded == {"general": f"cannot do {capability}"}


async def test_a_key_reaches_only_its_experts():
    one = router(rules=RULES)
    facts = facts_of(chat(CODE))
    decision = await one.decide(facts, allowed=frozenset({"math", "gpt-4o"}))
    assert decision.expert == "general"
    assert decision.excluded["coder"] == "not allowed for this key"
    with pytest.raises(NoSuitableExpert):
        await one.decide(facts, allowed=frozenset({"auto"}))


async def test_a_long_request_goes_where_it_fits():
    one = router({"general": {"context_tokens": 2000}, "long": {"context_tokens": 50_000}})
    assert (await one.decide(facts_of(chat("Hi")))).expert == "general"
    decision = await one.decide(facts_of(chat("word " * 4000)))
    assert (decision.expert, decision.reason) == ("long", "only-candidate")
    assert decision.excluded["general"].startswith("context 2000 <")
    decision = await one.decide(facts_of(chat("word " * 90_000)))
    assert (decision.expert, decision.reason) == ("long", "largest-context")


async def test_nobody_to_see_an_image_is_said():
    with pytest.raises(NoSuitableExpert, match="sees no images"):
        await router({"general": {}, "coder": {}}).decide(facts_of(with_picture("Look")))


async def test_neighbours_decide_what_rules_leave_open():
    one = router(rules=RULES, **NEAR)
    decision = await one.decide(facts_of(chat(PYTHON)))
    assert decision.expert == "coder"
    assert decision.reason.startswith("neighbour:0.")
    assert 0.5 < decision.confidence <= 1
    assert (await one.decide(facts_of(chat(STORY)))).expert == "general"


async def test_what_is_like_no_example_goes_to_the_classifier():
    asked = Experts(says='{"expert": "math"}')
    one = router(asked=asked, classifier="small", **NEAR)
    decision = await one.decide(facts_of(chat(ODD)))
    assert (decision.expert, decision.reason) == ("math", "classifier")
    assert decision.skipped["neighbour"].startswith("nearest")
    offered = asked.asked[-1][2]["response_format"]["json_schema"]["schema"]
    assert offered["properties"]["expert"]["enum"] == [
        name for name in EXPERTS if EXPERTS[name].get("description")
    ]


async def test_the_classifier_is_offered_only_candidates():
    asked = Experts(says='{"expert": "coder"}')
    one = router(asked=asked, classifier="small")
    decision = await one.decide(facts_of(chat(ODD)), live=all_but("coder"))
    assert decision.expert == "general"
    assert decision.skipped["classifier"] == "it named 'coder'"


@pytest.mark.parametrize("nonsense", [b"", b"{}", b'{"data": []}', b"<html>"])
async def test_nonsense_from_everybody_ends_at_the_default(nonsense):
    asked = Experts(instead=lambda _: nonsense)
    decision = await router(asked=asked, classifier="small", **NEAR).decide(facts_of(chat(ODD)))
    assert decision.reason == "default"
    assert set(decision.skipped) == {"neighbour", "classifier"}


async def test_a_silent_expert_costs_no_more_than_its_timeout():
    async def silent(_: str) -> bytes:
        await asyncio.sleep(3600)
        return b""

    near = NEAR | {"neighbours": {"timeout_s": 0.01}}
    one = router(
        asked=Experts(instead=silent), classifier="small", classifier_timeout_s=0.01, **near
    )
    decision = await one.decide(facts_of(chat(ODD)))
    assert decision.reason == "default"
    assert decision.skipped == {"neighbour": "timeout", "classifier": "timeout"}
    await one.close()


async def test_helpers_that_are_down_are_not_asked():
    asked = Experts()
    one = router(asked=asked, classifier="small", **NEAR)
    decision = await one.decide(facts_of(chat(ODD)), live=all_but("small", "embedder"))
    assert decision.reason == "default"
    assert asked.asked == []
    assert decision.skipped["neighbour"] == "embedder: no live replica"


async def test_a_dead_default_is_replaced_first_by_its_fallbacks():
    experts = {"general": {"fallbacks": ["third"]}, "second": {}, "third": {}, "fourth": {}}
    one = router(experts)
    decision = await one.decide(facts_of(chat("Hi")), live=all_but("general"))
    assert (decision.expert, decision.reason) == ("third", "last-resort")
    decision = await one.decide(facts_of(chat("Ho")), live=all_but("general", "third"))
    assert decision.expert == "second"


async def test_with_nobody_live_the_choice_is_as_if_all_were():
    decision = await router(rules=RULES).decide(facts_of(chat(CODE)), live=lambda _: False)
    assert decision.reason == "rule:code"


async def test_an_explanation_shows_every_stage_and_remembers_nothing():
    asked = Experts(says='{"expert": "math"}')
    one = router(asked=asked, rules=RULES, classifier="small", **NEAR)
    facts = facts_of(chat(CODE))
    told = await one.explain("auto", facts)
    assert json.loads(json.dumps(told)) == told
    assert told["decision"]["reason"] == "rule:code"
    assert [(rule["name"], rule["matches"], rule["failing"]) for rule in told["rules"]] == [
        ("images", False, "images"),
        ("json", False, "wants_json"),
        ("code", True, None),
        ("translate", False, "contains"),
    ]
    assert len(told["neighbours"]["nearest"]) == 2
    assert told["classifier"]["said"] == '{"expert": "math"}'
    assert told["sticky"] == {"remembered": None}
    assert (await one.decide(facts)).stage is Stage.RULE


async def test_an_explanation_names_what_is_remembered():
    one = router(rules=RULES)
    await one.decide(facts_of(chat(CODE)))
    told = await one.explain("auto", facts_of(chat(CODE, "Ok", "More")))
    assert told["decision"]["reason"] == "sticky"
    assert told["sticky"] == {"remembered": "coder"}


async def test_a_refusal_and_a_plain_name_are_explained_too():
    blind = router({"general": {}, "coder": {}})
    told = await blind.explain("auto", facts_of(with_picture("Look")))
    assert told["decision"] is None
    assert "sees no images" in told["refusal"]
    told = await blind.explain("coder", facts_of(chat("Hi")))
    assert told["decision"]["reason"] == "explicit"
    with pytest.raises(ModelNotFound):
        await blind.explain("nobody", facts_of(chat("Hi")))


REASONS = st.sampled_from([CODE, STORY, PYTHON, ODD, "Translate: cat", "", "Wie geht es dir?"])


@given(REASONS, st.sets(st.sampled_from(list(EXPERTS))), st.sets(st.sampled_from(list(EXPERTS))))
def test_a_decision_is_allowed_possible_and_fit_for_a_header(text, allowed, dead):
    one = router(rules=RULES, classifier="small", **NEAR)

    async def decide():
        return await one.decide(
            facts_of(chat(text)), allowed=frozenset(allowed), live=lambda name: name not in dead
        )

    try:
        decision = asyncio.run(decide())
    except NoSuitableExpert:
        assert allowed <= {"embedder"}
        return
    assert decision.expert in allowed - {"embedder"}
    assert decision.expert not in dead or allowed - {"embedder"} <= dead
    assert decision.reason.isascii()
    assert " " not in decision.reason
    assert decision.expert in decision.considered
    json.dumps(decision.document())
