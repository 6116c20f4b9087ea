import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolchain.download import Downloader
from toolchain.errors import ChecksumError, DownloadError
from toolchain.progress import Step

BODY = os.urandom(900_000)
SUM = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(sleep=lambda _: None, read_timeout_s=5.0)


@pytest.fixture
def served(host: Any) -> Any:
    host.files["/file.zip"] = BODY
    return host


def test_a_file_arrives_whole_and_leaves_no_part(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step, display: Any
) -> None:
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "d" / "file.zip", SUM, step)
    assert (tmp_path / "d" / "file.zip").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["file.zip"]
    assert display.activities[-1] == f"downloading file.zip {len(BODY)}/{len(BODY)} B"


def test_a_cut_connection_is_continued_from_where_it_ended(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    served.cut_after = [300_000, 200_000]
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert [wanted for _, wanted in served.requests] == ["", "bytes=300000-", "bytes=500000-"]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_later_run_goes_on_with_the_part_of_an_earlier_one(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    (tmp_path / "file.zip.part").write_bytes(BODY[:123_456])
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert served.requests == [("/file.zip", "bytes=123456-")]
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("part", [b"another version", BODY + b"too long"])
def test_a_part_that_does_not_fit_is_thrown_away_once(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step, part: bytes
) -> None:
    (tmp_path / "file.zip.part").write_bytes(part)
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert served.requests[-1] == ("/file.zip", "")


def test_a_server_without_ranges_is_read_from_the_start(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    served.ignores_range = True
    (tmp_path / "file.zip.part").write_bytes(BODY[:1000])
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_file_with_another_checksum_is_refused_and_removed(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    with pytest.raises(ChecksumError, match=SUM):
        downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", "0" * 64, step)
    assert len(served.requests) == 1
    assert not list(tmp_path.glob("file.zip*"))


def test_a_missing_file_is_not_asked_for_twice(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    with pytest.raises(DownloadError, match="HTTP 404"):
        downloader.fetch(f"{served.origin}/other.zip", tmp_path / "other.zip", SUM, step)
    assert len(served.requests) == 1


def test_a_busy_server_is_asked_again(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    served.failures = [503, 429]
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert len(served.requests) == 3


def test_a_server_that_never_gets_further_is_given_up(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    served.failures = [503] * 20
    with pytest.raises(DownloadError, match="HTTP 503"):
        downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert len(served.requests) == 4


def test_a_large_file_over_a_bad_line_is_not_given_up_while_it_grows(
    downloader: Downloader, served: Any, tmp_path: Path, step: Step
) -> None:
    served.cut_after = [100_000] * 8
    downloader.fetch(f"{served.origin}/file.zip", tmp_path / "file.zip", SUM, step)
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_all_hosts_are_looked_at_together_within_one_timeout(host: Any, silent: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        second = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        found = Downloader(connect_timeout_s=0.5).reachable([host.origin, silent, closed, second])
        took = time.monotonic() - began
    # Two silent hosts one after the other would take a second.
    assert took < 0.95
    assert found[host.origin] == ""
    assert "refused" in found[closed]
    assert found[silent]
    assert found[second]


def test_a_text_that_cannot_be_had_says_its_address(downloader: Downloader, host: Any) -> None:
    host.files["/sums"] = b"text"
    assert downloader.text(f"{host.origin}/sums") == "text"
    with pytest.raises(DownloadError, match=f"{host.origin}/none: HTTP 404"):
        downloader.text(f"{host.origin}/none")
