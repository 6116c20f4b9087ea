"""A directory with the vendors' files under their official names: machines without internet.

Owns finding and verifying files there. Does not own making such a directory.
"""

from __future__ import annotations

from pathlib import Path

from toolchain import archive, digest
from toolchain.errors import ChecksumError, SourceUnavailableError
from toolchain.lock import ToolPin
from toolchain.progress import Step

_OWN_LIST = "SHA256SUMS"


class MirrorSource:
    """`directory` is None where HEARTH_MIRROR is not set."""

    name = "mirror"

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def find(self, file_name: str) -> Path:
        """The file of that name; raises SourceUnavailableError saying what is missing."""
        if self._directory is None:
            raise SourceUnavailableError("HEARTH_MIRROR is not set")
        if not self._directory.is_dir():
            raise SourceUnavailableError(f"HEARTH_MIRROR={self._directory} is no directory")
        found = self._directory / file_name
        if not found.is_file():
            raise SourceUnavailableError(f"{self._directory} holds no {file_name}")
        return found

    def has(self, file_name: str) -> bool:
        """Whether `find` would succeed."""
        return self._directory is not None and (self._directory / file_name).is_file()

    def verified(self, file_name: str, sha256: str, checksum_lists: tuple[str, ...]) -> Path:
        """The file, checked against `sha256` or else against a list that names it.

        The lists are the vendor's, then a file SHA256SUMS that whoever filled the directory may
        have written. Raises ChecksumError on a mismatch or if nothing vouches for the file.
        """
        found = self.find(file_name)
        if sha256:
            digest.require(found, sha256, "lock.toml")
            return found
        for name in (*checksum_lists, _OWN_LIST):
            listing = found.with_name(name)
            if listing.is_file():
                known = digest.parse_checksums(listing.read_text(encoding="utf-8"))
                if file_name in known:
                    digest.require(found, known[file_name], str(listing))
                    return found
        wanted = " or ".join((*checksum_lists, _OWN_LIST))
        raise ChecksumError(
            f"{found}: nothing says what its sha256 has to be",
            fix=f"put {wanted} beside it (sha256sum * > {_OWN_LIST})",
        )

    def outlook(self, pin: ToolPin) -> str:
        """Says which file would be unpacked."""
        if self.has(pin.release.archive):
            return f"unpack {pin.release.archive} from {self._directory}"
        return ""

    def supply(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Unpacks the vendor's archive."""
        release = pin.release
        self.find(release.archive)
        step.activity(f"unpacking {release.archive}")
        found = self.verified(release.archive, release.sha256, (release.checksums,))
        archive.extract_programs(found, release.members, into)
        return f"from the mirror {self._directory}"
