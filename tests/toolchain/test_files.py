import errno
import os
from pathlib import Path

import pytest

from toolchain import files


def test_a_placed_file_is_the_same_file_without_a_second_copy(tmp_path: Path) -> None:
    source = tmp_path / "cache" / "pulumi"
    source.parent.mkdir()
    source.write_text("program")
    target = tmp_path / "bin" / "pulumi"
    files.place(source, target)
    assert target.stat().st_ino == source.stat().st_ino
    assert not target.is_symlink()
    files.place(source, target)
    assert [path.name for path in target.parent.iterdir()] == ["pulumi"]


def test_a_file_on_another_disk_is_copied_and_still_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "pulumi"
    source.write_text("program")
    source.chmod(0o755)
    target = tmp_path / "bin" / "pulumi"
    files.place(source, target)
    assert target.stat().st_ino != source.stat().st_ino
    assert target.stat().st_mode & 0o111
    assert files.same_file(source, target)


def test_a_file_that_was_replaced_is_not_the_same_file(tmp_path: Path) -> None:
    source = tmp_path / "one"
    source.write_text("program")
    other = tmp_path / "two"
    other.write_text("another")
    assert not files.same_file(source, other)
    assert not files.same_file(source, tmp_path / "missing")
    link = tmp_path / "link"
    link.symlink_to(source)
    assert not files.same_file(source, link)


def test_a_failed_write_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    files.write_text(target, "old", mode=0o755)
    assert target.stat().st_mode & 0o777 == 0o755

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_tree_with_read_only_folders_is_removed(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "module@v1"
    inner.mkdir(parents=True)
    (inner / "file.go").write_text("package x")
    inner.chmod(0o555)
    files.remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    files.remove_tree(tmp_path / "tree")
