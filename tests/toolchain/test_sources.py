import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from toolchain.download import Downloader
from toolchain.errors import ChecksumError, DownloadError, SourceUnavailableError
from toolchain.lock import GoBuild, ReleaseFile, ToolPin
from toolchain.progress import Step
from toolchain.sources.installed import InstalledSource, version_in
from toolchain.sources.mirror import MirrorSource
from toolchain.sources.official import OfficialSource, origin_of, rebased

ARCHIVE = "pulumi-v3.0.1-linux-x64.tar.gz"
SUMS = "pulumi-3.0.1-checksums.txt"


@pytest.fixture
def pin(lock: Any) -> ToolPin:
    found: ToolPin = lock.tool("pulumi")
    return found


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- installed


@pytest.mark.parametrize(
    ("text", "version"),
    [("v3.259.0\n", "3.259.0"), ("Nomad v1.11.3\nBuildDate 2026-03-11", "1.11.3"), ("none", "")],
)
def test_the_version_is_found_in_what_a_program_prints(text: str, version: str) -> None:
    assert version_in(text) == version


@pytest.fixture
def echo_pin() -> ToolPin:
    """A pin for which a copy of `echo` is the real program: it prints its arguments."""
    release = ReleaseFile("", "", "", "", "", ("tool", "tool-helper"))
    return ToolPin("tool", "1.2.3", ("v1.2.3",), release, GoBuild("", "", (), ""))


def put_echo(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return Path(shutil.copy("/bin/echo", folder / "tool"))


def test_a_program_on_path_at_the_right_version_is_taken_with_what_lies_beside_it(
    echo_pin: ToolPin, tmp_path: Path, into: Path, step: Step
) -> None:
    program = put_echo(tmp_path / "usr")
    (tmp_path / "usr" / "tool-helper").write_text("helper")
    source = InstalledSource({"PATH": str(tmp_path / "usr")}, tmp_path / "own")
    assert source.outlook(echo_pin) == f"copy {program}"
    assert source.supply(echo_pin, into, step) == f"from {program}"
    assert names(into) == ["tool", "tool-helper"]


def test_another_version_on_path_is_not_taken(
    echo_pin: ToolPin, tmp_path: Path, into: Path, step: Step
) -> None:
    put_echo(tmp_path / "usr")
    other = ToolPin("tool", "1.2.4", echo_pin.probe, echo_pin.release, echo_pin.go)
    source = InstalledSource({"PATH": str(tmp_path / "usr")}, tmp_path / "own")
    assert source.outlook(other) == ""
    with pytest.raises(SourceUnavailableError, match=r"version 1\.2\.3, not 1\.2\.4"):
        source.supply(other, into, step)


def test_a_script_on_path_is_not_taken_because_it_only_works_where_it_is(
    echo_pin: ToolPin, tmp_path: Path, into: Path, step: Step, program: Any
) -> None:
    program(tmp_path / "usr" / "tool", "#!/bin/sh\necho v1.2.3\n")
    source = InstalledSource({"PATH": f"{tmp_path / 'usr'}:/bin"}, tmp_path / "own")
    with pytest.raises(SourceUnavailableError, match="is a script"):
        source.supply(echo_pin, into, step)


def test_our_own_link_on_path_is_not_an_installed_program(
    echo_pin: ToolPin, tmp_path: Path
) -> None:
    put_echo(tmp_path / "own")
    source = InstalledSource({"PATH": str(tmp_path / "own")}, tmp_path / "own")
    assert source.outlook(echo_pin) == ""


# -- mirror


@pytest.fixture
def directory(tmp_path: Path, release: dict[str, bytes]) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in release.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_mirror_needs_only_the_vendors_files_under_their_own_names(
    directory: Path, pin: ToolPin, into: Path, step: Step
) -> None:
    assert MirrorSource(directory).supply(pin, into, step) == f"from the mirror {directory}"
    assert names(into) == ["pulumi", "pulumi-language-python", "pulumi-language-python-exec"]


def test_a_mirrored_file_that_nothing_vouches_for_is_refused_with_the_cure(
    directory: Path, pin: ToolPin, into: Path, step: Step
) -> None:
    (directory / SUMS).unlink()
    with pytest.raises(ChecksumError, match="nothing says") as caught:
        MirrorSource(directory).supply(pin, into, step)
    assert SUMS in caught.value.fix
    digest = hashlib.sha256((directory / ARCHIVE).read_bytes()).hexdigest()
    (directory / "SHA256SUMS").write_text(f"{digest}  {ARCHIVE}\n")
    MirrorSource(directory).supply(pin, into, step)


def test_a_mirrored_file_with_another_checksum_is_refused(
    directory: Path, pin: ToolPin, into: Path, step: Step
) -> None:
    (directory / SUMS).write_text(f"{'0' * 64}  {ARCHIVE}\n")
    with pytest.raises(ChecksumError, match="0000"):
        MirrorSource(directory).supply(pin, into, step)


def test_the_hash_in_the_lock_outranks_a_list_in_the_mirror(
    directory: Path, lock: Any, into: Path, step: Step
) -> None:
    with pytest.raises(ChecksumError, match=r"lock\.toml"):
        MirrorSource(directory).verified(ARCHIVE, "1" * 64, (SUMS,))


@pytest.mark.parametrize(
    ("given", "reason"), [(None, "HEARTH_MIRROR is not set"), ("nowhere", "is no directory")]
)
def test_a_mirror_that_is_not_there_says_why(
    given: str | None, reason: str, pin: ToolPin, into: Path, step: Step, tmp_path: Path
) -> None:
    source = MirrorSource(tmp_path / given if given else None)
    assert source.outlook(pin) == ""
    with pytest.raises(SourceUnavailableError, match=reason):
        source.supply(pin, into, step)


# -- official


@pytest.fixture
def official(serve_release: Any, pin: ToolPin, tmp_path: Path) -> OfficialSource:
    return OfficialSource(
        Downloader(sleep=lambda _: None, connect_timeout_s=1.0),
        tmp_path / "downloads",
        [pin.release.url, pin.release.checksums_url],
    )


def test_a_release_is_checked_against_the_vendors_list_and_unpacked(
    official: OfficialSource, pin: ToolPin, into: Path, step: Step, tmp_path: Path, host: Any
) -> None:
    assert official.supply(pin, into, step) == "official release"
    assert "pulumi-language-python" in names(into)
    assert [path for path, _ in host.requests] == [f"/sums/{SUMS}", f"/releases/{ARCHIVE}"]
    assert list((tmp_path / "downloads").iterdir()) == []


@pytest.mark.parametrize("listing", [b"", f"{'0' * 64}  {ARCHIVE}\n".encode()])
def test_a_release_that_the_vendors_list_does_not_confirm_is_refused(
    listing: bytes, official: OfficialSource, pin: ToolPin, into: Path, step: Step, host: Any
) -> None:
    host.files[f"/sums/{SUMS}"] = listing
    with pytest.raises(ChecksumError, match=ARCHIVE):
        official.supply(pin, into, step)
    assert names(into) == []


def test_a_vendor_without_a_checksum_list_is_never_trusted(
    official: OfficialSource, pin: ToolPin, into: Path, step: Step, host: Any
) -> None:
    del host.files[f"/sums/{SUMS}"]
    with pytest.raises(DownloadError, match="HTTP 404"):
        official.supply(pin, into, step)
    assert f"/releases/{ARCHIVE}" not in [path for path, _ in host.requests]


class CountingDownloader(Downloader):
    """Reaches nobody and counts how often it was asked to try."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[list[str]] = []

    def reachable(self, origins: Any) -> dict[str, str]:
        self.looks.append(sorted(origins))
        return {origin: "no route" for origin in origins}


def test_an_unreachable_vendor_is_tried_once_per_run_not_once_per_tool(
    pin: ToolPin, into: Path, step: Step, tmp_path: Path
) -> None:
    downloader = CountingDownloader()
    urls = [pin.release.url, "https://two.example/x"]
    official = OfficialSource(downloader, tmp_path, urls)
    for _ in range(3):
        with pytest.raises(DownloadError, match="no route"):
            official.supply(pin, into, step)
    assert downloader.looks == [sorted({origin_of(pin.release.url), "https://two.example"})]


def test_a_caching_proxy_is_asked_for_the_vendors_host_and_path() -> None:
    url = "https://releases.example.com/nomad/1/nomad.zip"
    assert rebased(url, "http://proxy:81/cache/") == (
        "http://proxy:81/cache/releases.example.com/nomad/1/nomad.zip"
    )
    assert rebased(url, "") == url
    assert origin_of(url) == "https://releases.example.com"
