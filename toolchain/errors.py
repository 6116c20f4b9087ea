"""Exceptions of the toolchain package.

Owns what went wrong and the sentence that says what to do. Does not own how it is printed.
"""

from __future__ import annotations

from collections.abc import Sequence


class ToolchainError(Exception):
    """Something a person has to act on; `str()` is what they read."""

    def __init__(self, message: str, *, fix: str = "", log: str = "") -> None:
        super().__init__(message)
        self.fix = fix
        self.log = log

    def lines(self) -> list[str]:
        """The message, then one indented line each for the fix and the log file."""
        out = [str(self)]
        if self.fix:
            out.append(f"  fix: {self.fix}")
        if self.log:
            out.append(f"  log: {self.log}")
        return out


class LockFileError(ToolchainError):
    """lock.toml is missing something or holds a value of the wrong shape."""


class UnsupportedPlatformError(ToolchainError):
    """This operating system or processor has no entry in lock.toml."""


class SourceUnavailableError(ToolchainError):
    """One source cannot supply one tool; the next source is tried."""


class DownloadError(SourceUnavailableError):
    """A file could not be fetched from its address."""


class ChecksumError(SourceUnavailableError):
    """A file is not the file that was promised; it has been removed."""


class ArchiveError(SourceUnavailableError):
    """An archive lacks a member or holds one that points outside of it."""


class CommandError(SourceUnavailableError):
    """A program that was needed on the way (go, pip, git, pulumi) failed."""


class NoSourceError(ToolchainError):
    """Every source was tried for one tool and none supplied it."""

    def __init__(
        self, tool: str, reasons: Sequence[tuple[str, str]], *, fix: str, log: str = ""
    ) -> None:
        tried = "".join(f"\n  {source}: {reason}" for source, reason in reasons)
        super().__init__(f"{tool}: no source could supply it{tried}", fix=fix, log=log)
        self.tool = tool
        self.reasons = tuple(reasons)
