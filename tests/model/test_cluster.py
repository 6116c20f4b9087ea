"""The stack file's rules: what is refused, and that the message helps."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from components import stack
from components.explain import explain
from components.model.schema import stack_schema, stack_schema_text

CHECKOUT = Path(__file__).resolve().parents[2]
STACKS = sorted(CHECKOUT.glob("Pulumi.*.yaml"))


def cluster() -> dict[str, Any]:
    text = (CHECKOUT / "Pulumi.dev.yaml").read_text()
    return copy.deepcopy(yaml.safe_load(text)["config"]["hearth:cluster"])


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        stack.validate(document, stack.read_catalogue())
    return explain("Pulumi.dev.yaml", caught.value)


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.name)
def test_every_committed_stack_is_valid(file: Path) -> None:
    document = yaml.safe_load(file.read_text())["config"]["hearth:cluster"]
    stack.validate(document, stack.read_catalogue())


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.name)
def test_every_committed_stack_matches_the_schema_editors_use(file: Path) -> None:
    Draft202012Validator(stack_schema()).validate(yaml.safe_load(file.read_text()))


def test_the_committed_schema_is_the_generated_one() -> None:
    committed = (CHECKOUT / "components/model/stack.schema.json").read_text()
    assert committed == stack_schema_text(), "run: make schema"


def test_every_field_of_the_schema_has_a_description() -> None:
    nameless = [
        f"{section}.{name}"
        for section, definition in stack_schema()["$defs"].items()
        for name, field in definition.get("properties", {}).items()
        if "description" not in field
    ]
    assert nameless == []


@pytest.mark.parametrize(
    ("path", "key", "value", "expected"),
    [
        ([], "expert", {}, "hearth:cluster.expert: unknown key; did you mean 'experts'?"),
        (
            ["experts", "general"],
            "context-token",
            1,
            "hearth:cluster.experts.general.context-token: unknown key; did you mean "
            "'context-tokens'?",
        ),
        (
            ["hosts", "here", "connection"],
            "adress",
            "x",
            "hosts.here.connection.adress: unknown key; did you mean 'address'?",
        ),
        (["hosts", "here"], "role", [], "hosts.here.role: unknown key; did you mean 'roles'?"),
        (["experts", "general"], "context_tokens", 4096, "did you mean 'context-tokens'?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    path: list[str], key: str, value: Any, expected: str
) -> None:
    document = cluster()
    place = document
    for step in path:
        place = place[step]
    place[key] = value
    assert expected in refusal(document)


@pytest.mark.parametrize(
    ("path", "key", "value", "expected"),
    [
        (["experts", "general"], "slots", "many", "experts.general.slots: 'many' is refused"),
        (["gateway"], "port", 99999, "gateway.port: 99999 is refused"),
        (["gateway"], "port", [1], "gateway.port: [1] is refused"),
        (["experts", "general"], "ladder", [], "experts.general.ladder: [] is refused"),
        (["apps"], "driver", "podman", "apps.driver: 'podman' is refused"),
        (["hosts", "here"], "hardware", "auto", "hosts.here.hardware: 'auto' is refused"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_rule(
    path: list[str], key: str, value: Any, expected: str
) -> None:
    document = cluster()
    place = document
    for step in path:
        place = place[step]
    place[key] = value
    message = refusal(document)
    assert message.startswith("Pulumi.dev.yaml is not valid; nothing was changed:")
    assert expected in message


def test_a_missing_key_is_named() -> None:
    document = cluster()
    del document["experts"]
    assert "hearth:cluster.experts: this key is required" in refusal(document)


def test_a_model_nobody_knows_is_refused_with_the_nearest_name() -> None:
    document = cluster()
    document["experts"]["general"]["ladder"] = ["lfm2.5-230m"]
    assert "did you mean 'lfm2.5-230m:q4_k_m'?" in refusal(document)


def test_an_alias_must_point_to_an_expert_and_must_not_hide_one() -> None:
    document = cluster()
    document["gateway"]["aliases"] = {"gpt-4o": "nobody"}
    assert "gateway.aliases.gpt-4o: there is no expert 'nobody'" in refusal(document)
    document["gateway"]["aliases"] = {"general": "general"}
    assert "gateway.aliases.general: an expert has this name already" in refusal(document)


def test_a_fallback_is_another_expert() -> None:
    document = cluster()
    document["experts"]["general"]["fallbacks"] = ["nobody"]
    assert "experts.general.fallbacks: there is no other expert 'nobody'" in refusal(document)
    document["experts"]["general"]["fallbacks"] = ["general"]
    assert "experts.general.fallbacks: there is no other expert 'general'" in refusal(document)


def test_an_expert_that_reranks_does_nothing_else() -> None:
    document = cluster()
    document["experts"]["general"]["capabilities"] = ["chat", "rerank"]
    assert "make it an expert of its own" in refusal(document)


def test_auto_is_not_a_name_for_anything_else() -> None:
    document = cluster()
    document["gateway"]["aliases"] = {"auto": "general"}
    assert "gateway.aliases.auto: the name 'auto' asks for a choice" in refusal(document)


def test_a_rule_of_routing_must_lead_to_an_expert() -> None:
    document = cluster()
    document["gateway"]["routing"] = {
        "rules": [{"name": "code", "when": {"code": True}, "expert": "coder"}]
    }
    message = refusal(document)
    assert "gateway.routing.rules" in message
    assert "coder" in message


def test_a_cluster_needs_an_odd_number_of_servers() -> None:
    document = cluster()
    document["hosts"]["other"] = copy.deepcopy(document["hosts"]["here"])
    assert "2 servers cannot form a majority safely" in refusal(document)
    document["hosts"] = {"here": {**document["hosts"]["here"], "roles": ["worker"]}}
    assert "no host has the role server" in refusal(document)


def test_hardware_of_a_distant_machine_cannot_be_detected() -> None:
    document = cluster()
    document["hosts"]["here"]["connection"] = {
        "kind": "ssh",
        "address": "192.0.2.1",
        "user": "deploy",
        "host-key": "ssh-ed25519 AAAA",
    }
    assert "hearth doctor HOST --write" in refusal(document)


def test_a_model_twice_in_a_ladder_is_refused() -> None:
    document = cluster()
    document["experts"]["general"]["ladder"] = ["selftest", "selftest"]
    assert "selftest stands twice" in refusal(document)
