import dataclasses
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from toolchain.download import Downloader
from toolchain.errors import NoSourceError
from toolchain.llama_source import LlamaSource
from toolchain.lock import LlamaPin
from toolchain.pip import Pip
from toolchain.progress import Step
from toolchain.sources.mirror import MirrorSource
from toolchain.sources.official import OfficialSource

SLIM = ["CMakeLists.txt", "src/llama.cpp", "tools/ui/CMakeLists.txt"]


def source(outside: Any, pin: LlamaPin | None = None, mirror: Path | None = None) -> LlamaSource:
    downloader = Downloader(connect_timeout_s=1.0, sleep=lambda _: None)
    return LlamaSource(
        pin or outside.lock.llama,
        outside.cache,
        MirrorSource(mirror),
        OfficialSource(downloader, outside.cache.downloads, []),
        Pip(outside.root / "python", outside.environ),
        {**os.environ, **outside.environ},
        ("installed", "mirror", "official", "registries"),
    )


def slim(llama: LlamaSource) -> list[str]:
    root = llama.entry.path / "src"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_sdist_gives_a_slim_tree_and_the_same_as_an_archive(outside: Any, step: Step) -> None:
    llama = source(outside)
    stamp = llama.ensure(step)
    assert (stamp.source, stamp.detail) == ("registries", "sdist llama-cpp-python 0.0.1")
    assert slim(llama) == SLIM
    with tarfile.open(llama.entry.path / "src.tar.gz") as tar:
        assert tar.getnames() == SLIM
    assert sorted(path.name for path in llama.entry.path.iterdir()) == [
        "src",
        "src.tar.gz",
        "stamp.json",
    ]


def test_a_source_that_is_there_is_not_fetched_again(outside: Any, step: Step) -> None:
    first = source(outside).ensure(step)
    assert source(outside).ensure(step) == first
    assert outside.pip_calls.count("\n") == 1


def test_the_hash_is_given_to_pip_and_checked_again_after_it(outside: Any, step: Step) -> None:
    packed = outside.root / "served" / outside.lock.llama.sdist.archive
    packed.write_bytes(packed.read_bytes() + b"x")
    with pytest.raises(NoSourceError, match=r"lock\.toml says"):
        source(outside).ensure(step)
    assert "--require-hashes" in outside.pip_calls
    assert not source(outside).entry.path.exists()


def test_a_mirrored_sdist_comes_before_the_registry(
    outside: Any, step: Step, sdist: bytes, tmp_path: Path
) -> None:
    (tmp_path / outside.lock.llama.sdist.archive).write_bytes(sdist)
    llama = source(outside, mirror=tmp_path)
    assert "from the mirror" in llama.outlook()
    assert llama.ensure(step).source == "mirror"
    assert outside.pip_calls == ""


def test_a_registry_that_fails_is_reported_with_every_reason(outside: Any, step: Step) -> None:
    outside.put_pip(behaviour="echo 'no matching distribution'; exit 1")
    with pytest.raises(NoSourceError) as caught:
        source(outside).ensure(step)
    assert [name for name, _ in caught.value.reasons] == ["mirror", "registries"]
    assert "no matching distribution" in str(caught.value)
    assert "HEARTH_MIRROR" in caught.value.fix


def test_an_archive_without_a_pinned_hash_is_refused(outside: Any, step: Step) -> None:
    pin = dataclasses.replace(outside.lock.llama, source="archive")
    with pytest.raises(NoSourceError, match="archive-sha256 is missing"):
        source(outside, pin).ensure(step)


def test_an_archive_with_a_pinned_hash_is_unpacked(
    outside: Any, step: Step, host: Any, make_tar: Any
) -> None:
    packed = make_tar({"llama.cpp-abc/CMakeLists.txt": b"p", "llama.cpp-abc/docs/x": b"d"})
    host.files[f"/llama.cpp/{outside.lock.llama.commit}.tar.gz"] = packed
    pin = dataclasses.replace(
        outside.lock.llama, source="archive", archive_sha256=hashlib.sha256(packed).hexdigest()
    )
    llama = source(outside, pin)
    assert llama.ensure(step).source == "official"
    assert slim(llama) == ["CMakeLists.txt"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_git_commit_is_its_own_checksum(outside: Any, step: Step, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    (upstream / "CMakeLists.txt").write_text("project(llama)")
    (upstream / "README.md").write_text("unwanted")
    git = ["git", "-C", str(upstream), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for argv in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *argv], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    pin = dataclasses.replace(
        outside.lock.llama, source="git", commit=head.stdout.strip(), git_url=str(upstream)
    )
    llama = source(outside, pin)
    assert llama.ensure(step).detail == "git commit"
    assert slim(llama) == ["CMakeLists.txt"]
    with pytest.raises(NoSourceError, match="git ended with"):
        source(outside, dataclasses.replace(pin, commit="0" * 40)).ensure(step)
