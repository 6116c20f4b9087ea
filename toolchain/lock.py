"""lock.toml as values.

Owns the shape of the file and the filling-in of its patterns. Does not own fetching anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import LockFileError
from toolchain.platform import Platform

DEFAULT_PATH = Path(__file__).resolve().parent / "lock.toml"


@dataclass(frozen=True)
class ReleaseFile:
    """One vendor archive: `sha256` is hex, or empty where `checksums` has to vouch for it."""

    archive: str
    url: str
    sha256: str
    checksums: str
    checksums_url: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class GoBuild:
    """How to build one program: `module` is the folder below toolchain/gomod."""

    module: str
    package: str
    tags: tuple[str, ...]
    ldflags: str


@dataclass(frozen=True)
class ToolPin:
    """One program at one version: `probe` are the arguments that make it print its version."""

    name: str
    version: str
    probe: tuple[str, ...]
    release: ReleaseFile
    go: GoBuild


@dataclass(frozen=True)
class GoPin:
    """The compiler: `minimum` accepts one on PATH, `package==version` is installed otherwise."""

    minimum: tuple[int, ...]
    package: str
    version: str
    sha256: str


@dataclass(frozen=True)
class SdistPin:
    """A source distribution in the package registry and the folder in it that we want."""

    package: str
    version: str
    archive: str
    sha256: str
    subtree: str


@dataclass(frozen=True)
class LlamaPin:
    """llama.cpp at one commit; `keep` and `drop` are paths below its root."""

    commit: str
    source: str
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    sdist: SdistPin
    git_url: str
    archive_url: str
    archive_sha256: str


@dataclass(frozen=True)
class Lock:
    """Everything that is pinned, for one platform."""

    platform: Platform
    tools: tuple[ToolPin, ...]
    go: GoPin
    llama: LlamaPin
    plugin_archive: str

    def tool(self, name: str) -> ToolPin:
        """The pin called `name`; raises LockFileError if there is none."""
        for pin in self.tools:
            if pin.name == name:
                return pin
        raise LockFileError(f"lock.toml: no tool called {name!r}")

    def plugin_file(self, name: str, version: str) -> str:
        """The vendor's file name of one provider plugin."""
        return self.plugin_archive.format(name=name, version=version, arch=self.platform.go_arch)


class _Table:
    """A TOML table that knows its own path, for errors that name the key."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self._values = values
        self._path = path

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise LockFileError(f"lock.toml: {self._path}.{key} has to be a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise LockFileError(f"lock.toml: {self._path}.{key} has to be a list of strings")
        return tuple(value)

    def table(self, key: str, *, optional: bool = False) -> _Table:
        value = self._values.get(key, {} if optional else None)
        if not isinstance(value, dict):
            raise LockFileError(f"lock.toml: {self._path}.{key} has to be a table")
        return _Table(value, f"{self._path}.{key}".lstrip("."))

    def names(self) -> tuple[str, ...]:
        return tuple(self._values)


def _release(table: _Table, version: str, platform: Platform) -> ReleaseFile:
    arch = table.table("arch").text(platform.machine)
    archive = table.text("archive").format(version=version, arch=arch)
    checksums = table.text("checksums").format(version=version)
    names = {"version": version, "archive": archive, "checksums": checksums}
    return ReleaseFile(
        archive=archive,
        url=table.text("url").format(**names),
        sha256=table.table("sha256", optional=True).text(platform.machine, ""),
        checksums=checksums,
        checksums_url=table.text("checksums-url").format(**names),
        members=table.texts("members"),
    )


def _tool(name: str, table: _Table, platform: Platform) -> ToolPin:
    version = table.text("version")
    go = table.table("go")
    return ToolPin(
        name=name,
        version=version,
        probe=table.texts("probe"),
        release=_release(table.table("release"), version, platform),
        go=GoBuild(
            module=go.text("module"),
            package=go.text("package"),
            tags=go.texts("tags"),
            ldflags=go.text("ldflags").format(version=version),
        ),
    )


def _llama(table: _Table) -> LlamaPin:
    sdist = table.table("sdist")
    git = table.table("git")
    commit = table.text("commit")
    source = table.text("source")
    if source not in ("sdist", "archive", "git"):
        raise LockFileError(
            f"lock.toml: llama.source is {source!r}", fix="write sdist, archive or git"
        )
    return LlamaPin(
        commit=commit,
        source=source,
        keep=table.texts("keep"),
        drop=table.texts("drop"),
        sdist=SdistPin(
            package=sdist.text("package"),
            version=sdist.text("version"),
            archive=sdist.text("archive"),
            sha256=sdist.text("sha256"),
            subtree=sdist.text("subtree"),
        ),
        git_url=git.text("url"),
        archive_url=git.text("archive-url").format(commit=commit),
        archive_sha256=git.text("archive-sha256", ""),
    )


def parse_version(text: str) -> tuple[int, ...]:
    """`1.26.0` as (1, 26, 0); stops at the first part that is no number."""
    parts: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
        if digits != part:
            break
    return tuple(parts)


def parse(text: str, platform: Platform) -> Lock:
    """Raises LockFileError naming the key that is wrong."""
    try:
        root = _Table(tomllib.loads(text), "")
    except tomllib.TOMLDecodeError as error:
        raise LockFileError(f"lock.toml: {error}") from error
    tools = root.table("tools")
    go = root.table("go")
    return Lock(
        platform=platform,
        tools=tuple(_tool(name, tools.table(name), platform) for name in tools.names()),
        go=GoPin(
            minimum=parse_version(go.text("minimum")),
            package=go.text("package"),
            version=go.text("version"),
            sha256=go.table("sha256").text(platform.machine),
        ),
        llama=_llama(root.table("llama")),
        plugin_archive=root.table("plugins").text("archive"),
    )


def load(path: Path = DEFAULT_PATH, platform: Platform | None = None) -> Lock:
    """The lock file at `path` for `platform` (this machine if not given)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LockFileError(f"{path}: {error.strerror}") from error
    return parse(text, platform or Platform.current())
