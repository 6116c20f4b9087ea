"""``command:remote:CopyToRemote``: a file or a directory put on another machine over SFTP.

Nothing there is ever deleted: a changed path leaves the old file, as with the official plugin.
"""

from __future__ import annotations

import os
import posixpath
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolchain.plugins.command import connection, fields
from toolchain.plugins.command.remote import whole
from toolchain.plugins.command.ssh import Sessions
from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Checked, Created, Failure, Log, Resource
from toolchain.plugins.values import (
    ARCHIVE,
    ASSET,
    SIGNATURE,
    UNKNOWN,
    Properties,
    has_unknown,
    reveal,
)

if TYPE_CHECKING:
    import asyncssh

_KIND: Final = "CopyToRemoteInputs"


class CopyToRemote(Resource):
    """A source on this machine and a path on the other; copied when either changes."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = fields.refusals(f"remote.{_KIND}", fields.COPY, new)
        inputs, more = connection.checked(_KIND, new)
        failures += more
        if new.get("remotePath") is None:
            words = f"Missing required field 'remotePath' on 'remote.{_KIND}'"
            failures.append(Failure("remotePath", words))
        if reason := _refused_source(reveal(new.get("source"))):
            failures.append(Failure("source", reason))
        return Checked(inputs, failures)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = whole(compare(old, new), "connection", "source")
        if ("triggers" in old) != ("triggers" in new):
            diff.replaces.add("triggers")
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        if preview:
            return Created("", {**inputs, "source": UNKNOWN})
        self._copy(reveal(inputs), log)
        return Created(secrets.token_hex(4), inputs)

    def update(
        self,
        id_: str,
        outputs: Properties,
        old: Properties,
        new: Properties,
        *,
        preview: bool,
        timeout_s: float,
        log: Log,
    ) -> Properties:
        before, after = reveal(old), reveal(new)
        changed = has_unknown(after.get("source")) or before.get("source") != after.get("source")
        if preview:
            return {**new, "source": UNKNOWN} if changed else new
        moved = before.get("remotePath") != after.get("remotePath")
        if moved or _content(before.get("source")) != _content(after.get("source")):
            self._copy(after, log)
        return new

    def _copy(self, plain: Properties, log: Log) -> None:
        source, target = plain["source"], str(plain["remotePath"])
        self._sessions.run(
            connection.route(plain["connection"]), lambda client: _send(client, source, target), log
        )


def _refused_source(source: Any) -> str | None:
    signature = source.get(SIGNATURE) if isinstance(source, dict) else None
    if signature == ARCHIVE and not source.get("path"):
        return "archive must be a path to a file or directory"
    if signature == ARCHIVE or (signature == ASSET and {"path", "text"} & source.keys()):
        return None
    return "either asset or archive must be set"


def _content(source: Any) -> Any:
    """What decides whether there is anything new to send."""
    return source.get("hash") or source if isinstance(source, dict) else source


async def _send(client: asyncssh.SSHClientConnection, source: Properties, target: str) -> None:
    async with client.start_sftp_client() as sftp:
        if "text" in source and source.get("path") is None:
            if await sftp.isdir(target):
                raise PluginError(
                    f"remote path {target} is a directory; when using a text asset, "
                    "remotePath must be a file path"
                )
            await _make_parents(sftp, target)
            await _write(sftp, source["text"].encode(), target)
            return
        here = Path(source["path"])
        if here.is_dir():
            # As with rsync, a trailing slash means what is inside.
            inside = source["path"].endswith(("/", os.sep))
            await _send_tree(
                sftp, here, target if inside else posixpath.join(target, here.resolve().name)
            )
            return
        if await sftp.isdir(target):
            target = posixpath.join(target, here.name)
        await _make_parents(sftp, target)
        await _put(sftp, here, target)


async def _send_tree(sftp: asyncssh.SFTPClient, here: Path, target: str) -> None:
    for folder, folders, files in os.walk(here):
        folders.sort()
        relative = Path(folder).relative_to(here).as_posix()
        there = target if relative == "." else posixpath.join(target, relative)
        await _make_directory(sftp, there)
        for name in sorted(files):
            await _put(sftp, Path(folder) / name, posixpath.join(there, name))


async def _make_parents(sftp: asyncssh.SFTPClient, target: str) -> None:
    import asyncssh

    parent = posixpath.dirname(target)
    if not parent:
        return
    try:
        await _ensure(sftp, parent)
    except asyncssh.SFTPError as error:
        words = f"failed to create parent directories for {target}: {_words(error)}"
        raise PluginError(words) from None


async def _make_directory(sftp: asyncssh.SFTPClient, target: str) -> None:
    import asyncssh

    try:
        await _ensure(sftp, target)
    except asyncssh.SFTPError as error:
        raise PluginError(f"failed to create remote directory {target}: {_words(error)}") from None


async def _ensure(sftp: asyncssh.SFTPClient, directory: str) -> None:
    import asyncssh

    if await sftp.isdir(directory):
        return
    if await sftp.exists(directory):
        raise asyncssh.SFTPNoSuchFile("file does not exist")
    parent = posixpath.dirname(directory)
    if parent and parent != directory:
        await _ensure(sftp, parent)
    try:
        await sftp.mkdir(directory)
    except asyncssh.SFTPError:
        # Two copies may be making the same directory at the same time.
        if not await sftp.isdir(directory):
            raise


async def _put(sftp: asyncssh.SFTPClient, here: Path, target: str) -> None:
    import asyncssh

    try:
        await sftp.put(os.fspath(here), target, follow_symlinks=True)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise PluginError(f"failed to open {here}: {why}") from None
    except asyncssh.SFTPError as error:
        raise PluginError(f"failed to create remote file {target}: {_words(error)}") from None


async def _write(sftp: asyncssh.SFTPClient, content: bytes, target: str) -> None:
    import asyncssh

    try:
        async with sftp.open(target, "wb") as file:
            await file.write(content)
    except asyncssh.SFTPError as error:
        raise PluginError(f"failed to create remote file {target}: {_words(error)}") from None


def _words(error: asyncssh.SFTPError) -> str:
    import asyncssh

    if isinstance(error, asyncssh.SFTPNoSuchFile):
        return "file does not exist"
    if isinstance(error, asyncssh.SFTPPermissionDenied):
        return "permission denied"
    return error.reason or "failure"
