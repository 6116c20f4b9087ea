"""What the stack's state says: its ensure commands, and what of them is off.

The program gives every ensure command a ``probe`` in the very text it runs; the state holds that
text. So probing needs no second list of what ought to be there.
"""

import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_LOCAL_COMMAND: Final = "command:local:Command"
_SECRET_KEY: Final = "4dabf18193072939515e22adb298388d"
_PROBE_TIMEOUT_S: Final = 30


@dataclass(frozen=True)
class Finding:
    """A resource that is not as the state says, and the probe's own words."""

    urn: str
    reason: str

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rsplit("::", 1)[-1]


def probe(export: dict[str, Any]) -> list[Finding]:
    """Run the probe of every ensure command of an exported state. Reads only."""
    return [Finding(urn, reason) for urn, script in _ensured(export) if (reason := _off(script))]


def model_files(export: dict[str, Any]) -> list[Path]:
    """The model files the stack's ensure commands bring onto this machine."""
    return [
        Path(value)
        for _, script in _ensured(export)
        for line in script.splitlines()
        if line.startswith("file=")
        for value in shlex.split(line.removeprefix("file="))
    ]


def resources(export: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources of an exported state; empty for a stack that was never updated."""
    return list(export.get("deployment", {}).get("resources") or [])


def _ensured(export: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for resource in resources(export):
        inputs = resource.get("inputs", {})
        if resource["type"] == _LOCAL_COMMAND and inputs.get("create") == "bash -s ensure":
            yield resource["urn"], _plain(inputs["stdin"])


def _plain(value: Any) -> str:
    """A string input, also when it is a secret shown in plain."""
    if isinstance(value, dict) and _SECRET_KEY in value:
        return str(json.loads(value["plaintext"]))
    return str(value)


def _off(script: str) -> str | None:
    try:
        done = subprocess.run(
            ["bash", "-s", "probe"],
            input=script,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its probe did not end within {_PROBE_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    return done.stdout.strip() or done.stderr.strip() or f"probe exit {done.returncode}"
