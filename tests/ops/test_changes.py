"""A preview in people's words."""

import json
from typing import Any

from ops import changes


def step(op: str, urn_type: str, name: str, **states: Any) -> dict[str, Any]:
    return {"op": op, "urn": f"urn:pulumi:dev::hearth::{urn_type}::{name}", **states}


def test_unchanged_resources_components_and_the_stack_are_left_out() -> None:
    digest = {
        "steps": [
            step("same", "nomad:index/job:Job", "a"),
            step("create", "hearth:cluster:NomadAgent", "b"),
            step("create", "pulumi:pulumi:Stack", "hearth-dev"),
            step("create", "hearth:cluster:NomadAgent$command:local:Command", "c"),
        ]
    }
    assert [(one.symbol, one.name, one.type) for one in changes.changes(digest)] == [
        ("+", "c", "command:local:Command")
    ]


def test_a_changed_jobspec_shows_the_changed_lines_inside_its_embedded_settings() -> None:
    def spec(slots: int) -> dict[str, Any]:
        settings = json.dumps({"slots": slots, "threads": 2})
        return {"inputs": {"jobspec": json.dumps({"Job": {"T": settings}}), "json": True}}

    digest = {
        "steps": [step("update", "nomad:index/job:Job", "e", oldState=spec(2), newState=spec(3))]
    }
    (change,) = changes.changes(digest)
    assert [line.strip() for line in change.details] == [
        "jobspec:",
        '- "slots": 2,',
        '+ "slots": 3,',
    ]


def test_a_secret_is_never_shown() -> None:
    hidden = {"4dabf18193072939515e22adb298388d": "x", "value": "hunter2"}
    digest = {
        "steps": [
            step(
                "update",
                "nomad:index/variable:Variable",
                "v",
                oldState={"inputs": {"items": "a"}},
                newState={"inputs": {"items": hidden}},
            )
        ]
    }
    assert "hunter2" not in str(changes.changes(digest))


def test_a_long_difference_is_cut_and_says_where_the_rest_is() -> None:
    old = {"inputs": {"stdin": "\n".join(f"a{index}" for index in range(50))}}
    new = {"inputs": {"stdin": "\n".join(f"b{index}" for index in range(50))}}
    (change,) = changes.changes(
        {"steps": [step("update", "command:local:Command", "c", oldState=old, newState=new)]}
    )
    assert len(change.details) < 20
    assert "pulumi preview --diff" in change.details[-1]


def test_errors_of_the_program_are_its_own_words() -> None:
    digest = {
        "diagnostics": [
            {"severity": "info", "message": "fine"},
            {"severity": "error", "message": "error: Pulumi.dev.yaml is not valid\n"},
        ]
    }
    assert changes.problems(digest) == ["Pulumi.dev.yaml is not valid"]
