"""Files copied over SFTP to a real SSH server in this process."""

import os
from pathlib import Path
from typing import Any

import pytest

from toolchain.plugins.command.copy import CopyToRemote
from toolchain.plugins.command.ssh import Sessions
from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import ARCHIVE, ASSET, SIGNATURE, UNKNOWN, secret


@pytest.fixture
def copy() -> CopyToRemote:
    return CopyToRemote(Sessions(first_delay_s=0.01))


def file(path: Path | str, hash_: str = "h1") -> dict[str, Any]:
    return {SIGNATURE: ASSET, "path": str(path), "hash": hash_}


def text(content: str, hash_: str = "h1") -> dict[str, Any]:
    return {SIGNATURE: ASSET, "text": content, "hash": hash_}


def archive(path: Path | str, hash_: str = "h1") -> dict[str, Any]:
    return {SIGNATURE: ARCHIVE, "path": str(path), "hash": hash_}


class Sender:
    """Sends one source after another to one server."""

    def __init__(self, copy: CopyToRemote, connection: dict[str, Any], log: Any) -> None:
        self._copy = copy
        self._connection = connection
        self._log = log

    def inputs(self, source: Any, target: Path | str, **more: Any) -> dict[str, Any]:
        given = {"connection": self._connection, "source": source, "remotePath": str(target)}
        full = self._copy.check("c", {}, {**given, **more})
        assert not full.failures, full.failures
        return full.inputs

    def send(self, source: Any, target: Path | str) -> Any:
        return self._copy.create(
            "c", self.inputs(source, target), preview=False, timeout_s=0, log=self._log
        )

    def refused(self, source: Any, target: Path | str) -> str:
        with pytest.raises(PluginError) as caught:
            self.send(source, target)
        return str(caught.value)


@pytest.fixture
def sender(copy: CopyToRemote, ssh_server: Any, log: Any) -> Sender:
    return Sender(copy, ssh_server.connection(), log)


def test_text_becomes_a_file_and_its_parents_are_made(sender: Sender, tmp_path: Path) -> None:
    made = sender.send(text("häß\n"), tmp_path / "a/b/c.txt")
    assert (tmp_path / "a/b/c.txt").read_text() == "häß\n"
    assert len(made.id) == 8
    assert int(made.id, 16) >= 0


def test_text_onto_a_directory_is_refused(sender: Sender, tmp_path: Path) -> None:
    assert sender.refused(text("x"), tmp_path) == (
        f"remote path {tmp_path} is a directory; when using a text asset, "
        "remotePath must be a file path"
    )


def test_a_file_onto_a_directory_goes_into_it_and_otherwise_takes_the_name(
    sender: Sender, tmp_path: Path
) -> None:
    (tmp_path / "here.bin").write_bytes(os.urandom(300_000))
    (tmp_path / "there").mkdir()
    sender.send(file(tmp_path / "here.bin"), tmp_path / "there")
    sender.send(file(tmp_path / "here.bin"), tmp_path / "deep/er/other.bin")
    content = (tmp_path / "here.bin").read_bytes()
    assert (tmp_path / "there/here.bin").read_bytes() == content
    assert (tmp_path / "deep/er/other.bin").read_bytes() == content


def test_a_directory_keeps_its_name_unless_a_slash_ends_it(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "arc/sub").mkdir(parents=True)
    (tmp_path / "arc/one").write_text("1")
    (tmp_path / "arc/sub/two").write_text("2")
    (tmp_path / "arc/empty").mkdir()
    sender.send(archive(tmp_path / "arc"), tmp_path / "named")
    sender.send(archive(f"{tmp_path}/arc/"), tmp_path / "inside")
    for root in (tmp_path / "named/arc", tmp_path / "inside"):
        assert (root / "one").read_text() == "1"
        assert (root / "sub/two").read_text() == "2"
        assert (root / "empty").is_dir()


def test_a_packed_archive_is_copied_as_it_is(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(b"\x1f\x8bnot unpacked")
    sender.send(archive(tmp_path / "x.tgz"), tmp_path / "y.tgz")
    assert (tmp_path / "y.tgz").read_bytes() == b"\x1f\x8bnot unpacked"


def test_new_files_get_the_usual_permissions_not_the_sources(
    sender: Sender, tmp_path: Path
) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    sender.send(file(tmp_path / "run.sh"), tmp_path / "copied.sh")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "copied.sh").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_in_the_way_of_a_directory_is_told(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "arc").mkdir()
    words = sender.refused(archive(tmp_path / "arc"), tmp_path / "file")
    assert words == f"failed to create remote directory {tmp_path}/file/arc: file does not exist"
    words = sender.refused(text("x"), tmp_path / "file/below")
    assert words == (
        f"failed to create parent directories for {tmp_path}/file/below: file does not exist"
    )


def test_a_source_that_has_gone_is_told(sender: Sender, tmp_path: Path) -> None:
    words = sender.refused(file(tmp_path / "gone"), tmp_path / "x")
    assert words == f"failed to open {tmp_path}/gone: no such file or directory"


def test_an_archive_made_of_assets_and_an_unknown_source_are_refused(
    copy: CopyToRemote, ssh_server: Any
) -> None:
    base = {"connection": ssh_server.connection(), "remotePath": "/x"}
    made_of = {SIGNATURE: ARCHIVE, "assets": {"a": text("1")}}
    (reason,) = copy.check("c", {}, {**base, "source": made_of}).failures
    assert reason.reason == "archive must be a path to a file or directory"
    (reason,) = copy.check("c", {}, {**base, "source": UNKNOWN}).failures
    assert "either asset or archive must be set" in reason.reason


def test_a_secret_text_arrives_in_plain(sender: Sender, tmp_path: Path) -> None:
    sender.send(secret(text("hidden")), tmp_path / "s")
    assert (tmp_path / "s").read_text() == "hidden"


def test_only_new_content_or_a_new_path_is_sent_again(
    copy: CopyToRemote, sender: Sender, ssh_server: Any, log: Any, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.write_text("one")
    old = sender.inputs(file(here, "h1"), there)
    copy.create("c", old, preview=False, timeout_s=0, log=log)

    def update(new: dict[str, Any]) -> Any:
        return copy.update("id", old, old, new, preview=False, timeout_s=0, log=log)

    here.write_text("two")
    relogin = {**old, "connection": secret(ssh_server.connection(dialErrorLimit=3))}
    assert update(relogin) == relogin
    assert there.read_text() == "one"  # a changed login only writes state
    update(sender.inputs(file(here, "h2"), there))
    assert there.read_text() == "two"
    update(sender.inputs(file(here, "h1"), tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere").read_text() == "two"
    assert there.exists()  # the old file stays


def test_a_preview_knows_the_source_only_when_it_stays(
    copy: CopyToRemote, sender: Sender, log: Any
) -> None:
    old = sender.inputs(text("a", "h1"), "/x")
    made = copy.create("c", old, preview=True, timeout_s=0, log=log)
    assert made.id == ""
    assert made.outputs["source"] == UNKNOWN

    def seen(new: dict[str, Any]) -> Any:
        return copy.update("id", old, old, new, preview=True, timeout_s=0, log=log)["source"]

    assert seen(sender.inputs(text("b", "h2"), "/x")) == UNKNOWN
    assert seen(sender.inputs(text("a", "h1"), "/y")) == old["source"]


def test_a_changed_source_is_one_update_and_triggers_as_a_whole_replace(
    copy: CopyToRemote, sender: Sender
) -> None:
    old = sender.inputs(text("a", "h1"), "/x")
    diff = copy.diff(old, sender.inputs(text("b", "h2"), "/x"), old)
    assert dict(diff.changes) == {"source": "UPDATE"}
    assert not diff.replaces
    assert copy.diff(old, sender.inputs(old["source"], "/x", triggers=[1]), old).replaces == {
        "triggers"
    }
