"""Looks at this machine and this checkout. Reads only."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from components.inspection import inspect_hardware
from ops.errors import OpsError
from ops.stack import Stack


@dataclass(frozen=True)
class Examination:
    """One thing looked at. ``finding`` says what is wrong and how to mend it."""

    subject: str
    ok: bool
    finding: str = ""


def hardware_stanza() -> str:
    """This machine's hardware as a stack file would declare it."""
    facts = inspect_hardware()
    return yaml.safe_dump(
        {
            "hardware": {
                "cpu-class": facts.cpu_class.value,
                "cores": facts.cores,
                "memory-mib": facts.memory_mib,
                "gpu": "none",
            }
        },
        sort_keys=False,
    ).strip()


def examine(stack: Stack) -> Iterator[Examination]:
    """Toolchain, stack file, machine and what runs, in the order they depend on each other."""
    tools = subprocess.run(
        [sys.executable, "-m", "toolchain", "--check"],
        cwd=stack.checkout.root,
        capture_output=True,
        text=True,
        check=False,
    )
    yield Examination("toolchain", tools.returncode == 0, (tools.stderr or tools.stdout).strip())
    if tools.returncode != 0:
        return
    try:
        stack.prepare()
        stack.preview()
    except OpsError as error:
        yield Examination("stack file and preflight", False, str(error))
        return
    yield Examination("stack file and preflight", True)
    for finding in stack.findings():
        yield Examination(finding.name, False, f"{finding.reason}; run: hearth heal")
