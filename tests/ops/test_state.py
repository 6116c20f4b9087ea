"""Probing: the scripts of the state say what is off, and nothing else does."""

from pathlib import Path
from typing import Any

from ops import state

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def export(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": list(resources)}}


def ensured(name: str, script: Any, create: str = "bash -s ensure") -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:dev::hearth::command:local:Command::{name}",
        "type": "command:local:Command",
        "inputs": {"create": create, "stdin": script},
    }


def script(probe: str) -> str:
    return f'probe() {{ {probe}; }}\n"$1" </dev/null\n'


def test_a_probe_that_fails_is_a_finding_with_its_own_words() -> None:
    found = state.probe(
        export(ensured("fine", script("true")), ensured("off", script("echo gone; return 1")))
    )
    assert [(one.name, one.reason) for one in found] == [("off", "gone")]


def test_a_secret_script_is_probed_too() -> None:
    hidden = {**SECRET, "plaintext": '"probe() { echo locked; return 1; }\\n\\"$1\\"\\n"'}
    assert [one.reason for one in state.probe(export(ensured("a", hidden)))] == ["locked"]


def test_commands_that_only_act_on_destroy_are_not_probed() -> None:
    resource = ensured("stop", script("return 1"))
    del resource["inputs"]["create"]
    assert state.probe(export(resource)) == []


def test_a_stack_that_was_never_up_has_no_findings() -> None:
    assert state.probe({"deployment": {}}) == []
    assert state.probe({}) == []


def test_model_files_are_read_from_the_scripts_quoted_or_not() -> None:
    text = "file='/a b/m.gguf'\n" + script("true")
    assert state.model_files(export(ensured("m", text))) == [Path("/a b/m.gguf")]
