import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain import archive
from toolchain.errors import ArchiveError

MakeTar = Callable[..., bytes]


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_only_the_named_programs_are_taken_and_can_be_run(
    form: str, packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    members = {"top/nomad": b"program", "LICENSE.txt": b"text"}
    content = zipped(members) if form == "zip" else make_tar(members)
    found = archive.extract_programs(
        packed(f"a.{form}", content), ["nomad", "optional"], tmp_path / "out"
    )
    assert found == [tmp_path / "out" / "nomad"]
    assert list((tmp_path / "out").iterdir()) == found
    assert os.access(found[0], os.X_OK)


def test_an_archive_without_the_program_is_refused(
    packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match="holds no nomad"):
        archive.extract_programs(
            packed("a.tar.gz", make_tar({"other": b""})), ["nomad"], tmp_path / "out"
        )


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_damaged_archive_is_refused_by_name(
    name: str, packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    whole = make_tar({"nomad": os.urandom(50_000)})
    content = whole[: len(whole) // 2] if name.endswith("gz") else b"no zip"
    with pytest.raises(ArchiveError, match=name):
        archive.extract_programs(packed(name, content), ["nomad"], tmp_path / "out")


def test_a_link_in_an_archive_is_never_a_program(
    packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    content = make_tar({"x": b""}, links={"nomad": "/bin/sh"})
    with pytest.raises(ArchiveError, match="holds no nomad"):
        archive.extract_programs(packed("a.tar.gz", content), ["nomad"], tmp_path / "out")


def test_a_subtree_is_cut_down_to_what_is_kept(
    packed: Callable[[str, bytes], Path], sdist: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "src"
    count = archive.extract_subtree(
        packed("s.tar.gz", sdist),
        "vendor/llama.cpp",
        ["CMakeLists.txt", "src", "tools"],
        ["tools/ui/src"],
        out,
    )
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir())
    assert found == ["CMakeLists.txt", "src/llama.cpp", "tools/ui/CMakeLists.txt"]
    assert count == 3


def test_a_path_that_leaves_the_folder_is_refused(
    packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    content = make_tar({"top/src/../../../evil": b"x"})
    with pytest.raises(ArchiveError, match="points outside"):
        archive.extract_subtree(packed("s.tar.gz", content), "", ["src"], [], tmp_path / "out")


def test_a_subtree_that_is_not_there_is_refused(
    packed: Callable[[str, bytes], Path], make_tar: MakeTar, tmp_path: Path
) -> None:
    content = make_tar({"top/README": b"x"})
    with pytest.raises(ArchiveError, match="nothing below vendor"):
        archive.extract_subtree(packed("s.tar.gz", content), "vendor", ["a"], [], tmp_path / "out")


def test_the_same_tree_packs_to_the_same_bytes_whatever_its_age_and_order(tmp_path: Path) -> None:
    sums = set()
    for number, names in enumerate((["b/two", "a"], ["a", "b/two"])):
        tree = tmp_path / str(number)
        for name in names:
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (number, number))
        (tree / "a").chmod(0o700)
        target = tmp_path / f"{number}.tar.gz"
        archive.pack_tree(tree, target)
        sums.add(target.read_bytes())
    assert len(sums) == 1
    with tarfile.open(tmp_path / "0.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a", "b/two"]
    assert [stat.filemode(member.mode) for member in members] == ["?rwxr-xr-x", "?rw-r--r--"]
    assert {(member.uid, member.uname) for member in members} == {(0, "")}
