import hashlib
from pathlib import Path

import pytest

from toolchain import digest
from toolchain.errors import ChecksumError

SUM = "a" * 64


@pytest.mark.parametrize(
    "line", [f"{SUM}  nomad.zip", f"{SUM} *nomad.zip", f"{SUM.upper()}  ./nomad.zip\r"]
)
def test_every_form_of_checksum_line_is_understood(line: str) -> None:
    assert digest.parse_checksums(f"# comment\n{line}\nshort  other.zip\n") == {"nomad.zip": SUM}


def test_a_file_that_is_not_the_promised_one_is_refused_with_both_sums(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    actual = hashlib.sha256(b"content").hexdigest()
    digest.require(file, actual.upper(), "the list")
    with pytest.raises(ChecksumError, match=f"{actual}, the list says {SUM}"):
        digest.require(file, SUM, "the list")
