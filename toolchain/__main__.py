"""`python -m toolchain`: arguments, environment, exit codes.

Owns the command line and putting the parts together. Does not own what they do.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from toolchain import lock as lock_file
from toolchain.cache import Cache
from toolchain.checkout import Checkout
from toolchain.download import Downloader
from toolchain.errors import ToolchainError
from toolchain.gobuild import GoBuilder
from toolchain.installer import Installer
from toolchain.llama_source import LlamaSource
from toolchain.pip import Pip
from toolchain.plugin_install import PluginInstaller
from toolchain.plugins.versions import VERSIONS
from toolchain.progress import Display, display_for
from toolchain.sources.base import Source
from toolchain.sources.installed import InstalledSource
from toolchain.sources.mirror import MirrorSource
from toolchain.sources.official import OfficialSource
from toolchain.sources.registries import RegistriesSource

ALL_SOURCES = ("installed", "mirror", "official", "registries")


class _TerminatedError(Exception):
    """SIGTERM arrived; unwinds like Ctrl-C does."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def chosen_sources(environ: Mapping[str, str]) -> tuple[str, ...]:
    """HEARTH_SOURCES (comma-separated, in the order given), else all; raises ToolchainError."""
    text = environ.get("HEARTH_SOURCES", "")
    names = tuple(part.strip() for part in text.split(",") if part.strip()) or ALL_SOURCES
    for name in names:
        if name not in ALL_SOURCES:
            raise ToolchainError(
                f"HEARTH_SOURCES: {name!r} is no source",
                fix=f"choose from {', '.join(ALL_SOURCES)}",
            )
    return names


def assemble(
    *,
    lock: lock_file.Lock,
    cache: Cache,
    checkout: Checkout,
    versions: Mapping[str, str],
    display: Display,
    environ: Mapping[str, str],
    downloader: Downloader,
    python: Path,
) -> Installer:
    """The installer for one checkout, wired up; touches nothing."""
    allowed = chosen_sources(environ)
    pip = Pip(python, environ)
    builder = GoBuilder(lock.go, cache, lock.platform.tag, pip, environ)
    directory = environ.get("HEARTH_MIRROR", "")
    mirror = MirrorSource(Path(directory).expanduser().absolute() if directory else None)
    urls = [url for pin in lock.tools for url in (pin.release.url, pin.release.checksums_url)]
    official = OfficialSource(
        downloader, cache.downloads, urls, environ.get("HEARTH_OFFICIAL_URL", "")
    )
    every: dict[str, Source] = {
        "installed": InstalledSource(environ, checkout.bin),
        "mirror": mirror,
        "official": official,
        "registries": RegistriesSource(builder),
    }
    return Installer(
        lock=lock,
        cache=cache,
        checkout=checkout,
        sources=[every[name] for name in allowed],
        llama=LlamaSource(lock.llama, cache, mirror, official, pip, environ, allowed),
        plugins=PluginInstaller(lock, cache, checkout, mirror, versions, environ, allowed),
        builder=builder,
        display=display,
        environ=environ,
    )


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
