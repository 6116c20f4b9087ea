"""`python -m toolchain`: arguments, environment, exit codes.

Owns the command line. Does not own what the parts do (installer) nor their wiring (assembly).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from toolchain import lock as lock_file
from toolchain.assembly import assemble
from toolchain.cache import Cache
from toolchain.checkout import Checkout
from toolchain.download import Downloader
from toolchain.errors import ToolchainError
from toolchain.installer import Installer
from toolchain.plugins.versions import VERSIONS
from toolchain.progress import Display, display_for


class _TerminatedError(Exception):
    """SIGTERM arrived; unwinds like Ctrl-C does."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def check(installer: Installer, display: Display) -> int:
    """Prints the state of every part; 0 if nothing is missing, else 1."""
    findings = installer.findings()
    for finding in findings:
        if finding.action:
            display.note(f"--  {finding.part}: {finding.state}; would {finding.action}")
        else:
            display.note(f"ok  {finding.part}: {finding.state}")
    damaged = installer.damaged()
    for path in damaged:
        display.note(f"--  {path}: content is not what was put there; remove it and run again")
    return 1 if damaged or any(finding.action for finding in findings) else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m toolchain", description="Put the pinned tools on this machine."
    )
    made.add_argument(
        "--check", action="store_true", help="say what is there and what would be done; exit 1"
    )
    made.add_argument(
        "--upgrade",
        action="store_true",
        help="look again for official releases of what was built or stood in for",
    )
    made.add_argument("--cache", type=Path, metavar="DIR", help="instead of ~/.cache/hearth")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 complete, 1 something is missing or failed, 130 and 143 after a signal."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    display = display_for(sys.stderr)
    try:
        installer = assemble(
            lock=lock_file.load(),
            cache=Cache.chosen(os.environ, options.cache),
            checkout=Checkout.containing_this_package(),
            versions=VERSIONS,
            display=display,
            environ=os.environ,
            downloader=Downloader(),
            python=Path(sys.executable),
        )
        if options.check:
            return check(installer, display)
        if options.upgrade or not installer.complete():
            installer.run(upgrade=options.upgrade)
    except ToolchainError as error:
        for line in error.lines():
            display.note(line)
        return 1
    except KeyboardInterrupt:
        display.note("interrupted; run the same command again to go on from here")
        return 130
    except _TerminatedError:
        display.note("terminated; run the same command again to go on from here")
        return 143
    return 0


if __name__ == "__main__":
    sys.exit(main())
