"""The per-user cache: one folder per tool and version, each with a stamp.

Owns the layout, the stamps and the lock against a second run. Does not own where the content
comes from. A folder is complete exactly when its stamp is there, because the folder is made
elsewhere and renamed into place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import digest, files
from toolchain.errors import ToolchainError

_STAMP = "stamp.json"


@dataclass(frozen=True)
class Stamp:
    """What is in a cache folder.

    `files` maps a path below the folder to (bytes, sha256), `trees` a sub-folder to (number of
    files, their bytes). `source` is the name of the source, `detail` a sentence about it.
    """

    name: str
    version: str
    source: str
    detail: str
    seconds: float
    files: Mapping[str, tuple[int, str]]
    trees: Mapping[str, tuple[int, int]]

    def dumps(self) -> str:
        """JSON text with sorted keys."""
        return json.dumps(self.__dict__, indent=2, sort_keys=True, default=dict) + "\n"

    @classmethod
    def loads(cls, text: str) -> Stamp:
        """Raises ValueError if the text is not a stamp."""
        try:
            raw = json.loads(text)
            return cls(
                name=str(raw["name"]),
                version=str(raw["version"]),
                source=str(raw["source"]),
                detail=str(raw["detail"]),
                seconds=float(raw["seconds"]),
                files={k: (int(v[0]), str(v[1])) for k, v in raw["files"].items()},
                trees={k: (int(v[0]), int(v[1])) for k, v in raw["trees"].items()},
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"not a stamp: {error!r}") from error


def measure(tree: Path) -> tuple[int, int]:
    """Number of regular files below a folder, and their bytes."""
    count = size = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            count += 1
            size += status.st_size
    return count, size


@dataclass(frozen=True)
class Entry:
    """One folder of the cache."""

    name: str
    version: str
    path: Path

    def stamp(self) -> Stamp | None:
        """The stamp if the folder still holds what it says, by presence and size."""
        try:
            found = Stamp.loads((self.path / _STAMP).read_text(encoding="utf-8"))
            if (found.name, found.version) != (self.name, self.version):
                return None
            for relative, (size, _) in found.files.items():
                if (self.path / relative).stat().st_size != size:
                    return None
            for relative, expected in found.trees.items():
                if measure(self.path / relative) != expected:
                    return None
        except (OSError, ValueError):
            return None
        return found

    def damaged(self) -> str:
        """Path of the first file whose sha256 is not the stamped one, or empty."""
        found = self.stamp()
        if found is None:
            return str(self.path)
        for relative, (_, expected) in found.files.items():
            if digest.sha256_of(self.path / relative) != expected:
                return str(self.path / relative)
        return ""


class Cache:
    """The cache at `root`; nothing is created before something is put in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def chosen(cls, environ: Mapping[str, str], override: Path | None = None) -> Cache:
        """`--cache`, else HEARTH_CACHE, else XDG_CACHE_HOME/hearth, else ~/.cache/hearth."""
        if override is not None:
            return cls(override.expanduser().absolute())
        if environ.get("HEARTH_CACHE"):
            return cls(Path(environ["HEARTH_CACHE"]).expanduser().absolute())
        if environ.get("XDG_CACHE_HOME"):
            return cls(Path(environ["XDG_CACHE_HOME"]).expanduser().absolute() / "hearth")
        return cls(Path.home() / ".cache" / "hearth")

    @property
    def downloads(self) -> Path:
        """Files on their way in; kept between runs so that they can be resumed."""
        return self.root / "downloads"

    @property
    def go_work(self) -> Path:
        """Module and build cache of a Go that we installed ourselves."""
        return self.root / "go-work"

    def tool(self, name: str, version: str, platform_tag: str) -> Entry:
        """The folder of one program."""
        return Entry(name, version, self.root / "tools" / f"{name}-{version}-{platform_tag}")

    def llama(self, commit: str) -> Entry:
        """The folder of the llama.cpp source: `src/` and `src.tar.gz`."""
        return Entry("llama.cpp", commit, self.root / "llama.cpp" / commit)

    @contextlib.contextmanager
    def filling(self, entry: Entry) -> Iterator[Path]:
        """A fresh folder to fill; it is removed again unless `commit` moved it away."""
        scratch = self.root / "staging"
        scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", dir=scratch))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            files.remove_tree(folder)

    def commit(
        self, folder: Path, entry: Entry, *, source: str, detail: str, began: float
    ) -> Stamp:
        """Stamps `folder` and renames it to the entry's place; `began` is time.monotonic()."""
        single: dict[str, tuple[int, str]] = {}
        trees: dict[str, tuple[int, int]] = {}
        for child in sorted(folder.iterdir()):
            if child.is_dir():
                trees[child.name] = measure(child)
            else:
                single[child.name] = (child.stat().st_size, digest.sha256_of(child))
        stamp = Stamp(
            name=entry.name,
            version=entry.version,
            source=source,
            detail=detail,
            seconds=round(time.monotonic() - began, 1),
            files=single,
            trees=trees,
        )
        files.write_text(folder / _STAMP, stamp.dumps())
        files.remove_tree(entry.path)
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(entry.path)
        return stamp

    @contextlib.contextmanager
    def exclusively(self, purpose: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Holds the cache for this process; calls `waiting(holder)` once if it has to wait."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ToolchainError(
                f"{self.root}: {error.strerror}",
                fix="give a writable folder with --cache or HEARTH_CACHE",
            ) from error
        with handle:
            told = False
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        handle.seek(0)
                        waiting(handle.read().strip() or "another process")
                        told = True
                    time.sleep(0.2)
            handle.truncate(0)
            since = time.strftime("%H:%M:%S")
            handle.write(f"process {os.getpid()} ({purpose}, since {since})\n")
            handle.flush()
            try:
                # What a killed run left behind; nobody else can be using it now.
                files.remove_tree(self.root / "staging")
                yield
            finally:
                files.remove_tree(self.root / "staging")
                handle.truncate(0)
