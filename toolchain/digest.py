"""SHA-256 of files, and the vendors' checksum lists.

Owns reading and comparing. Does not own what happens to a file that does not match.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from toolchain.errors import ChecksumError

_LINE = re.compile(r"^([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(\S.*?)\s*$")


def sha256_of(path: Path) -> str:
    """Lower-case hex digest of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_checksums(text: str) -> dict[str, str]:
    """File name to lower-case hex, from lines as sha256sum prints them; others are skipped."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found[match.group(2)] = match.group(1).lower()
    return found


def require(path: Path, expected: str, promised_by: str) -> None:
    """Raises ChecksumError unless the file's digest is `expected` (hex)."""
    actual = sha256_of(path)
    if actual != expected.lower():
        raise ChecksumError(
            f"{path.name}: sha256 is {actual}, {promised_by} says {expected.lower()}"
        )
