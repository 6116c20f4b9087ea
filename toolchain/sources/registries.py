"""Package registries alone: programs built from Go modules.

Owns nothing but the fit to the other sources. Does not own the build (gobuild).
"""

from __future__ import annotations

from pathlib import Path

from toolchain.gobuild import GoBuilder
from toolchain.lock import ToolPin
from toolchain.progress import Step


class RegistriesSource:
    """Works wherever the Go module proxy can be reached; takes minutes the first time."""

    name = "registries"

    def __init__(self, builder: GoBuilder) -> None:
        self._builder = builder

    def outlook(self, pin: ToolPin) -> str:
        """Says what would be built, and with what."""
        compiler = self._builder.found()
        using = compiler.label if compiler else "a Go that is installed first"
        return f"build from Go modules with {using}, some minutes the first time"

    def supply(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Builds the program."""
        return self._builder.build(pin, into, step)
