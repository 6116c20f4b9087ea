"""Settings that cannot work are refused, with the key path, the value, the rule and the fix."""

import pytest
import yaml
from pydantic import ValidationError

from contract.routing_settings import Routing
from tests.gateway.routing.fakes import EXPERTS, HERE, RULES, settings_of

EXAMPLES = [{"text": "Hello", "expert": "general"}]


@pytest.mark.parametrize(
    ("routing", "complaint"),
    [
        ({"rules": [{**RULES[0], "expert": "nobody"}]}, r"routing\.rules\[0\]\.expert.*'nobody'"),
        ({"rules": [RULES[0], RULES[0]]}, r"rules\[1\]\.name: 'images' is taken"),
        ({"rules": [{**RULES[0], "name": "has space"}]}, "name"),
        ({"rules": [{**RULES[0], "when": {}}]}, "it is empty"),
        ({"rules": [{**RULES[0], "when": {"contains": ["(oops"]}}]}, "no regular expression"),
        ({"rules": [{**RULES[0], "when": {"min_tokens": 9, "max_tokens": 3}}]}, "above max_tokens"),
        ({"rules": [{**RULES[0], "when": {"languages": ["german"]}}]}, "languages"),
        ({"rules": [{**RULES[0], "when": {"image": True}}]}, "Extra inputs"),
        ({"rules": [{**RULES[0], "fail": "sometimes"}]}, "fail"),
        (
            {"examples": [{"text": "x", "expert": "nobody"}], "embedder": "embedder"},
            r"routing\.examples\[0\]\.expert.*'nobody'",
        ),
        ({"examples": EXAMPLES}, "embedder: the examples need one"),
        ({"embedder": "embedder"}, "nothing to compare with"),
        ({"examples": EXAMPLES, "embedder": "nobody"}, r"routing\.embedder.*'nobody'"),
        ({"examples": EXAMPLES, "embedder": "coder"}, "'coder' lacks the capability embeddings"),
        ({"classifier": "nobody"}, r"routing\.classifier.*'nobody'"),
        ({"classifier": "embedder"}, "'embedder' lacks the capability chat"),
    ],
)
def test_a_mistake_is_refused_where_it_stands(routing, complaint):
    with pytest.raises(ValidationError, match=complaint):
        settings_of(routing=routing)


def test_a_classifier_needs_descriptions_to_choose_by():
    with pytest.raises(ValidationError, match="at least two experts a description"):
        settings_of({"general": {"description": "All."}, "small": {}}, {"classifier": "small"})


def test_no_expert_may_be_called_auto():
    with pytest.raises(ValidationError, match=r"experts\.auto"):
        settings_of({"auto": {}})


def test_the_stack_file_and_the_gateways_document_share_the_classes():
    dashed = {
        "sticky-ttl-s": 5,
        "rules": [{"name": "a", "when": {"min-tokens": 3, "wants-json": True}, "expert": "b"}],
    }
    routing = Routing.model_validate(dashed)
    assert Routing.model_validate(routing.model_dump(mode="json")) == routing
    assert routing.rules[0].when.min_tokens == 3
    assert "min-tokens" in str(Routing.model_json_schema())


def test_every_field_is_described():
    definitions = [Routing.model_json_schema(), *Routing.model_json_schema()["$defs"].values()]
    fields = [field for one in definitions for field in one.get("properties", {}).items()]
    assert len(fields) > 25
    assert [name for name, field in fields if "description" not in field] == []


def test_the_example_of_the_manual_is_accepted():
    manual = (HERE.parents[2] / "docs/routing.md").read_text()
    document = yaml.safe_load(manual.split("```yaml\n")[1].split("```")[0])
    settings = settings_of(document["experts"], document["routing"])
    assert len(settings.routing.rules) == 4


def test_a_whole_configuration_is_accepted():
    routing = {
        "rules": RULES,
        "examples": EXAMPLES,
        "embedder": "embedder",
        "classifier": "small",
        "neighbours": {"k": 3, "min_similarity": 0.4},
    }
    assert settings_of(EXPERTS, routing).routing.neighbours.k == 3
