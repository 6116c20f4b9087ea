"""What every source of programs looks like to the installer.

Owns the interface. Does not own the order in which sources are tried (installer).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from toolchain.lock import ToolPin
from toolchain.progress import Step


class Source(Protocol):
    """One place that may supply pinned programs."""

    @property
    def name(self) -> str:
        """installed, mirror, official or registries."""

    def outlook(self, pin: ToolPin) -> str:
        """For `--check`, without any effect: what would be done, or empty if surely nothing."""

    def supply(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Puts the program `pin.name` (and what belongs beside it) into the folder.

        Returns a few words on where it came from; raises SourceUnavailableError.
        """
