"""The vendors' own release downloads.

Owns asking once per run whether the vendors can be reached at all, and verifying what they
send. Does not own addresses (lock.toml) or transfer (download).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from toolchain import archive, digest
from toolchain.download import Downloader
from toolchain.errors import ChecksumError, DownloadError
from toolchain.lock import ReleaseFile, ToolPin
from toolchain.progress import Step


def rebased(url: str, base: str) -> str:
    """`url` behind a caching proxy: `https://host/path` as `<base>/host/path`; as is without."""
    if not base:
        return url
    parts = urllib.parse.urlsplit(url)
    return f"{base.rstrip('/')}/{parts.netloc}{parts.path}"


def origin_of(url: str) -> str:
    """`https://host:port` of an address."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class OfficialSource:
    """`urls` are all addresses a run may need: their hosts are looked at together, once."""

    name = "official"

    def __init__(
        self, downloader: Downloader, downloads: Path, urls: Iterable[str], base: str = ""
    ) -> None:
        self._downloader = downloader
        self._downloads = downloads
        self._base = base
        self._origins = {origin_of(rebased(url, base)) for url in urls}
        self._unreachable: dict[str, str] | None = None

    def _require_reachable(self, url: str, step: Step) -> None:
        if self._unreachable is None:
            step.activity("looking for the vendors' servers")
            self._unreachable = self._downloader.reachable(self._origins | {origin_of(url)})
            for origin, reason in self._unreachable.items():
                step.log(f"{origin}: {reason or 'reachable'}")
        origin = origin_of(url)
        if origin not in self._unreachable:
            self._unreachable.update(self._downloader.reachable([origin]))
        if self._unreachable[origin]:
            raise DownloadError(f"{origin}: {self._unreachable[origin]}")

    def _expected(self, release: ReleaseFile, step: Step) -> str:
        if release.sha256:
            return release.sha256
        url = rebased(release.checksums_url, self._base)
        self._require_reachable(url, step)
        known = digest.parse_checksums(self._downloader.text(url))
        if release.archive not in known:
            raise ChecksumError(f"{url} does not name {release.archive}")
        return known[release.archive]

    def fetch(self, url: str, sha256: str, step: Step) -> Path:
        """The verified file in the download folder; the caller removes it after use."""
        address = rebased(url, self._base)
        self._require_reachable(address, step)
        target = self._downloads / address.rsplit("/", 1)[-1]
        self._downloader.fetch(address, target, sha256, step)
        return target

    def outlook(self, pin: ToolPin) -> str:
        """Says what would be downloaded, if it can be."""
        return f"download {pin.release.archive}, if the vendor can be reached"

    def supply(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Downloads, verifies and unpacks the vendor's archive."""
        release = pin.release
        address = rebased(release.url, self._base)
        self._require_reachable(address, step)
        sha256 = self._expected(release, step)
        packed = self.fetch(release.url, sha256, step)
        try:
            step.activity(f"unpacking {release.archive}")
            archive.extract_programs(packed, release.members, into)
        finally:
            packed.unlink(missing_ok=True)
        return "official release"
