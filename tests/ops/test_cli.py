"""The command line: mistakes end in one message and the right exit code, never in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def hearth(*args: str) -> "subprocess.CompletedProcess[str]":
    roots = os.pathsep.join(str(ROOT / part) for part in ("", "images/base", "images/llama"))
    return subprocess.run(
        [sys.executable, "-m", "ops", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": roots, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (["upp"], 2, "Did you mean 'up'?"),
        (["up", "--stck", "dev"], 2, "--stack"),
        (["logs", "--kib", "none"], 2, "'--kib'"),
        (["preview", "--stack", "nowhere"], 1, "there is no Pulumi.nowhere.yaml; stacks here:"),
    ],
)
def test_a_mistake_is_one_message(args: list[str], code: int, expected: str) -> None:
    done = hearth(*args)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_help_lists_every_verb() -> None:
    shown = hearth("--help").stdout
    for verb in ("up", "preview", "down", "doctor", "status", "env", "chat", "logs", "heal"):
        assert f" {verb} " in shown


def test_doctor_measures_this_machine_as_a_stanza() -> None:
    shown = hearth("doctor", "--write").stdout
    assert shown.startswith("hardware:")
    assert "cpu-class:" in shown
    assert "memory-mib:" in shown
