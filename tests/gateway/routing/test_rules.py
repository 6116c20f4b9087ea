"""Rules: every condition, alone and together."""

import pytest

from contract.routing_settings import Rule
from gateway.routing.facts import Facts
from gateway.routing.rules import CompiledRule, compile_rules


def rule(when: dict, **more: object) -> CompiledRule:
    document = {"name": "r", "when": when, "expert": "e"} | more
    return compile_rules([Rule.model_validate(document)])[0]


CASES = [
    ({"images": True}, {"has_images": True}, {}),
    ({"images": False}, {}, {"has_images": True}),
    ({"audio": True}, {"has_audio": True}, {}),
    ({"code": True}, {"has_code": True}, {}),
    ({"tools": True}, {"tools": 2}, {}),
    ({"tools": False}, {}, {"tools": 1}),
    ({"wants_json": True}, {"wants_json": True}, {}),
    ({"reasoning": True}, {"reasoning": "high"}, {"reasoning": "none"}),
    ({"languages": ["de", "fr"]}, {"language": "fr"}, {"language": "en"}),
    ({"min_tokens": 10}, {"opening_tokens": 10}, {"opening_tokens": 9}),
    ({"max_tokens": 10}, {"opening_tokens": 10}, {"opening_tokens": 11}),
    ({"endpoints": ["/v1/completions"]}, {"endpoint": "/v1/completions"}, {}),
    ({"headers": {"x-team": "red"}}, {"headers": {"x-team": "red"}}, {"headers": {"x-team": "b"}}),
    ({"headers": {"x-team": "red"}}, {"headers": {"x-team": "red", "a": "b"}}, {}),
    ({"keys": ["phone"]}, {"key_name": "phone"}, {"key_name": "laptop"}),
    ({"contains": ["beta", "^tax"]}, {"first_user_text": "Tax return"}, {"first_user_text": "No"}),
]


@pytest.mark.parametrize(("when", "yes", "no"), CASES)
def test_a_condition_holds_or_is_named(when, yes, no):
    assert rule(when).failing(Facts(**yes)) is None
    failing = rule(when).failing(Facts(**no))
    assert failing is not None
    assert failing.startswith(next(iter(when)))


def test_all_conditions_must_hold():
    both = rule({"images": True, "languages": ["de"]})
    assert both.failing(Facts(has_images=True, language="de")) is None
    assert both.failing(Facts(has_images=True)) == "languages"
    assert both.failing(Facts(language="de")) == "images"


def test_an_open_rule_reads_the_first_user_message_only():
    later = Facts(first_user_text="Hello", texts=("Hello", "Hi", "my tax return"))
    assert rule({"contains": ["tax"]}).failing(later) == "contains"


def test_nothing_hides_from_a_closed_rule():
    closed = rule({"contains": ["confidential"]}, fail="closed")
    for texts in (("Hello", "Hi", "CONFIDENTIAL: x"), ("x" * 50_000 + "confidential",)):
        assert closed.failing(Facts(first_user_text="Hello", texts=texts)) is None
    assert closed.failing(Facts(texts=("Hello",))) == "contains"
