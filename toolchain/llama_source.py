"""The llama.cpp source at the pinned commit, slimmed down to what a build needs.

Owns fetching it, the slim tree `src/` and the deterministic `src.tar.gz` that is pushed to
other hosts. Does not own building it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolchain import archive, command, digest
from toolchain.cache import Cache, Entry, Stamp
from toolchain.errors import ChecksumError, NoSourceError, SourceUnavailableError
from toolchain.lock import LlamaPin
from toolchain.pip import Pip
from toolchain.progress import Step
from toolchain.sources.mirror import MirrorSource
from toolchain.sources.official import OfficialSource

# The build backend that the sdist names in its pyproject.toml.
_BACKEND = "scikit_build_core.build"


class LlamaSource:
    """Gets the source into the cache; `allowed` are the names of the sources to try."""

    def __init__(
        self,
        pin: LlamaPin,
        cache: Cache,
        mirror: MirrorSource,
        official: OfficialSource,
        pip: Pip,
        environ: Mapping[str, str],
        allowed: Sequence[str],
    ) -> None:
        self._pin = pin
        self._cache = cache
        self._mirror = mirror
        self._official = official
        self._pip = pip
        self._environ = environ
        self._allowed = allowed

    @property
    def entry(self) -> Entry:
        """Its folder in the cache."""
        return self._cache.llama(self._pin.commit)

    def outlook(self) -> str:
        """For `--check`: what would be done."""
        if self._mirror.has(self._pin.sdist.archive):
            return f"unpack {self._pin.sdist.archive} from the mirror"
        if self._pin.source == "sdist":
            return f"download {self._pin.sdist.archive} (77 MB) from the package registry"
        return f"fetch commit {self._pin.commit[:9]} from {self._pin.git_url}"

    def _from_mirror(self, scratch: Path, step: Step) -> tuple[Path, str, str]:
        sdist = self._pin.sdist
        self._mirror.find(sdist.archive)
        step.activity(f"verifying {sdist.archive}")
        return self._mirror.verified(sdist.archive, sdist.sha256, ()), sdist.subtree, "mirror"

    def _from_registry(self, scratch: Path, step: Step) -> tuple[Path, str, str]:
        sdist = self._pin.sdist
        step.activity(f"downloading {sdist.archive}")
        self._pip.download_sdist(
            scratch, sdist.package, sdist.version, sdist.sha256, _BACKEND, step
        )
        found = scratch / sdist.archive
        digest.require(found, sdist.sha256, "lock.toml")
        return found, sdist.subtree, f"sdist {sdist.package} {sdist.version}"

    def _from_archive(self, scratch: Path, step: Step) -> tuple[Path, str, str]:
        if not self._pin.archive_sha256:
            raise ChecksumError(
                "llama.git.archive-sha256 is missing in lock.toml, and no checksum file exists",
                fix="pin it, or use source = git, where the commit itself is the checksum",
            )
        url = self._pin.archive_url
        return self._official.fetch(url, self._pin.archive_sha256, step), "", "official archive"

    def _from_git(self, scratch: Path, step: Step) -> tuple[Path, str, str]:
        environ = {**self._environ, "GIT_TERMINAL_PROMPT": "0"}
        commit = self._pin.commit
        repository = scratch / "repository"
        packed = scratch / "source.tar"
        step.activity(f"fetching commit {commit[:9]}")
        inside = ["git", "-C", str(repository)]
        for argv in (
            ["git", "init", "--quiet", "--bare", str(repository)],
            [*inside, "fetch", "--depth", "1", self._pin.git_url, commit],
            [*inside, "archive", "--prefix=llama.cpp/", "-o", str(packed), commit],
        ):
            command.run(argv, step=step, environ=environ, cwd=scratch)
        return packed, "", "git commit"

    def _ways(self) -> list[tuple[str, Callable[[Path, Step], tuple[Path, str, str]]]]:
        ways: list[tuple[str, Callable[[Path, Step], tuple[Path, str, str]]]] = []
        ways.append(("mirror", self._from_mirror))
        if self._pin.source == "archive":
            ways.append(("official", self._from_archive))
        elif self._pin.source == "git":
            ways.append(("official", self._from_git))
        else:
            ways.append(("registries", self._from_registry))
        return [way for way in ways if way[0] in self._allowed]

    def ensure(self, step: Step) -> Stamp:
        """The stamp of the source in the cache, fetching it first if needed.

        Raises NoSourceError with the reason of each source.
        """
        existing = self.entry.stamp()
        if existing is not None:
            return existing
        began = time.monotonic()
        reasons: list[tuple[str, str]] = []
        with self._cache.filling(self.entry) as folder:
            scratch = folder / "scratch"
            for name, fetch in self._ways():
                scratch.mkdir()
                try:
                    packed, subtree, detail = fetch(scratch, step)
                    step.activity("unpacking the slim source tree")
                    count = archive.extract_subtree(
                        packed, subtree, self._pin.keep, self._pin.drop, folder / "src"
                    )
                except SourceUnavailableError as error:
                    tell = step.warn if isinstance(error, ChecksumError) else step.log
                    tell(f"{name}: {error}")
                    reasons.append((name, str(error)))
                    shutil.rmtree(scratch)
                    shutil.rmtree(folder / "src", ignore_errors=True)
                    continue
                shutil.rmtree(scratch)
                step.activity(f"packing {count} files for other hosts")
                archive.pack_tree(folder / "src", folder / "src.tar.gz")
                return self._cache.commit(
                    folder, self.entry, source=name, detail=detail, began=began
                )
        raise NoSourceError(
            "llama.cpp source",
            reasons,
            fix=f"put {self._pin.sdist.archive} into a folder and set HEARTH_MIRROR to it",
            log=str(step.log_path),
        )
