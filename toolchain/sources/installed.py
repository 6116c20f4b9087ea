"""Programs that are already on this machine, at exactly the pinned version.

Owns the look at PATH. Does not own our own cache, which is looked at before any source.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import command
from toolchain.errors import SourceUnavailableError
from toolchain.lock import ToolPin
from toolchain.progress import Step

_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.-]+)?)")
_ELF = b"\x7fELF"


def version_in(text: str) -> str:
    """The first thing in a program's `version` output that looks like one, or empty."""
    match = _VERSION.search(text)
    return match.group(1) if match else ""


def version_of(program: Path, pin: ToolPin, environ: Mapping[str, str]) -> str:
    """The version that a program says it has, or empty if it does not run.

    The Pulumi CLI writes a log into its home folder at every start, hence the throw-away one.
    """
    with tempfile.TemporaryDirectory(prefix="hearth-probe-") as home:
        quiet = {**environ, "PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        return version_in(command.probe([str(program), *pin.probe], quiet))


class InstalledSource:
    """`ignore` is this checkout's own bin folder, which may be on PATH as well."""

    name = "installed"

    def __init__(self, environ: Mapping[str, str], ignore: Path) -> None:
        self._environ = environ
        self._ignore = ignore

    def _candidate(self, pin: ToolPin) -> Path | None:
        folders = [
            folder
            for folder in self._environ.get("PATH", "").split(":")
            if folder and Path(folder) != self._ignore
        ]
        found = shutil.which(pin.name, path=":".join(folders))
        return Path(found).resolve() if found else None

    def _refusal(self, pin: ToolPin, candidate: Path | None) -> str:
        if candidate is None:
            return f"no {pin.name} on PATH"
        with candidate.open("rb") as stream:
            if stream.read(4) != _ELF:
                # A version manager's launcher works only where it was put.
                return f"{candidate} is a script"
        version = version_of(candidate, pin, self._environ)
        if version != pin.version:
            return f"{candidate} is version {version or 'unknown'}, not {pin.version}"
        return ""

    def outlook(self, pin: ToolPin) -> str:
        """Says which file would be copied."""
        candidate = self._candidate(pin)
        return "" if self._refusal(pin, candidate) else f"copy {candidate}"

    def supply(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Copies the program, and the files of its release that lie beside it."""
        candidate = self._candidate(pin)
        refusal = self._refusal(pin, candidate)
        if refusal or candidate is None:
            raise SourceUnavailableError(refusal)
        step.activity(f"copying {candidate}")
        shutil.copy2(candidate, into / pin.name)
        for member in pin.release.members[1:]:
            beside = candidate.with_name(member)
            if beside.is_file():
                shutil.copy2(beside, into / member)
        return f"from {candidate}"
