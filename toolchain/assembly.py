"""Putting the parts of the toolchain together for one checkout.

Owns which environment variables are read and what they mean. Does not own what the parts do.
HEARTH_SOURCES narrows and orders the sources, HEARTH_MIRROR is a directory with the vendors'
files, HEARTH_OFFICIAL_URL a caching proxy in front of the vendors' servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
from toolchain.progress import Display
from toolchain.sources.base import Source
from toolchain.sources.installed import InstalledSource
from toolchain.sources.mirror import MirrorSource
from toolchain.sources.official import OfficialSource
from toolchain.sources.registries import RegistriesSource

ALL_SOURCES = ("installed", "mirror", "official", "registries")


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
