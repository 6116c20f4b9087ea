"""The command line of `python -m toolchain`: arguments, what is printed, exit codes.

Owns turning errors and signals into words and numbers. Does not own what the parts do
(installer) nor their wiring (assembly).
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

from toolchain.errors import ToolchainError
from toolchain.installer import Finding
from toolchain.progress import Display

OK = 0
INCOMPLETE = 1
INTERRUPTED = 130
TERMINATED = 143
_GO_ON = "run the same command again to go on from here"


class Work(Protocol):
    """What the command line needs of an installer."""

    def findings(self) -> list[Finding]:
        """The state of every part."""

    def damaged(self) -> list[str]:
        """Paths whose content is not what it was."""

    def complete(self) -> bool:
        """Whether there is nothing to do."""

    def run(self, *, upgrade: bool = False) -> None:
        """Gets what is missing."""


class _TerminatedError(Exception):
    """SIGTERM arrived; unwinds like Ctrl-C does."""


@contextlib.contextmanager
def _termination_unwinds() -> Iterator[None]:
    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise _TerminatedError

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m toolchain", description="Put the pinned tools on this machine."
    )
    made.add_argument(
        "--check", action="store_true", help="only say what is there and what would be done"
    )
    made.add_argument(
        "--upgrade",
        action="store_true",
        help="look again for official releases of what was built or stood in for",
    )
    made.add_argument("--cache", type=Path, metavar="DIR", help="instead of ~/.cache/hearth")
    return made


def check(work: Work, display: Display) -> int:
    """Prints the state of every part; changes nothing."""
    findings = work.findings()
    for finding in findings:
        if finding.action:
            display.note(f"--  {finding.part}: {finding.state}; would {finding.action}")
        else:
            display.note(f"ok  {finding.part}: {finding.state}")
    damaged = work.damaged()
    for path in damaged:
        display.note(f"--  {path}: content is not what was put there; remove it and run again")
    return INCOMPLETE if damaged or any(finding.action for finding in findings) else OK


def execute(options: argparse.Namespace, make: Callable[[], Work], display: Display) -> int:
    """Does what the options say; every expected failure ends in an exit code and a message."""
    try:
        with _termination_unwinds():
            work = make()
            if options.check:
                return check(work, display)
            if options.upgrade or not work.complete():
                work.run(upgrade=options.upgrade)
    except ToolchainError as error:
        for line in error.lines():
            display.note(line)
        return INCOMPLETE
    except KeyboardInterrupt:
        display.note(f"interrupted; {_GO_ON}")
        return INTERRUPTED
    except _TerminatedError:
        display.note(f"terminated; {_GO_ON}")
        return TERMINATED
    return OK
