"""``command:local:Command`` and ``command:local:run``."""

import glob
import hashlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

from toolchain.plugins.command import fields
from toolchain.plugins.command.lifecycle import Command, previous_output
from toolchain.plugins.command.process import Processes
from toolchain.plugins.provider import Invoke
from toolchain.plugins.resource import Checked, Log
from toolchain.plugins.values import ARCHIVE, ASSET, SIGNATURE, Properties

_SHELL: Final = ("/bin/sh", "-c")
_QUIET: Final = "none"


class LocalCommand(Command):
    """A command on the machine the engine runs on."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        return Checked(new, fields.refusals("local.CommandInputs", fields.LOCAL, new))

    def new_id(self, name: str) -> str:
        return name + secrets.token_hex(4)

    def execute(
        self, text: str, inputs: Properties, previous: Properties | None, log: Log
    ) -> Properties:
        return run(self._processes, text, inputs, previous_output(inputs, previous), log)


def run(
    processes: Processes, text: str, inputs: Properties, extra: dict[str, str], log: Log
) -> Properties:
    """Run one text; returns stdout, stderr, and the files asked for."""
    output = processes.run(
        [*(inputs.get("interpreter") or _SHELL), text],
        shown=text,
        stdin=inputs.get("stdin") or "",
        environment={**(inputs.get("environment") or {}), **extra},
        directory=inputs.get("dir"),
        log=None if inputs.get("logging") == _QUIET else log,
    )
    results: Properties = {"stdout": output.stdout, "stderr": output.stderr}
    directory = Path(inputs.get("dir") or ".").absolute()
    if inputs.get("assetPaths"):
        results["assets"] = _assets(directory, inputs["assetPaths"])
    if inputs.get("archivePaths"):
        results["archive"] = {
            SIGNATURE: ARCHIVE,
            "assets": _assets(directory, inputs["archivePaths"]),
        }
    return results


def run_invoke(processes: Processes) -> Invoke:
    """``command:local:run``: runs in previews too."""

    def invoke(arguments: Properties, log: Log) -> Properties:
        return {**arguments, **run(processes, arguments["command"], arguments, {}, log)}

    return invoke


def _assets(directory: Path, patterns: list[str]) -> dict[str, Any]:
    found = {}
    for pattern in patterns:
        for name in sorted(glob.glob(pattern, root_dir=directory, recursive=True)):
            path = directory / name
            if path.is_file():
                found[name] = {
                    SIGNATURE: ASSET,
                    "path": os.fspath(path),
                    "hash": hashlib.sha256(path.read_bytes()).hexdigest(),
                }
    return found
