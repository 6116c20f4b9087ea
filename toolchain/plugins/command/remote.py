"""``command:remote:Command``: a command text on another machine, in the login shell there."""

from __future__ import annotations

import asyncio
import codecs
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from toolchain.plugins.command import connection, fields
from toolchain.plugins.command.lifecycle import Command, previous_output
from toolchain.plugins.command.quoting import quoted
from toolchain.plugins.command.ssh import Sessions
from toolchain.plugins.diffing import Diff, Kind
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Checked, Log
from toolchain.plugins.values import Properties

if TYPE_CHECKING:
    import asyncssh

_KIND: Final = "CommandInputs"
_CHUNK: Final = 65536
_SIGNALLED: Final = 128
_SIGNALS: Final = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "ILL": 4,
    "ABRT": 6,
    "FPE": 8,
    "KILL": 9,
    "USR1": 10,
    "SEGV": 11,
    "USR2": 12,
    "PIPE": 13,
    "ALRM": 14,
    "TERM": 15,
}
_REFUSED: Final = (
    "Unable to set '{name}'. This only works if your SSH server is configured to accept these "
    "variables via AcceptEnv. Alternatively, prefix the command with the assignment."
)


class RemoteCommand(Command):
    """A command on the machine that ``connection`` leads to."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = fields.refusals(f"remote.{_KIND}", fields.REMOTE, new)
        inputs, more = connection.checked(_KIND, new)
        return Checked(inputs, failures + more)

    def new_id(self, name: str) -> str:
        return name + secrets.token_hex(4)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        return whole(super().diff(old, new, outputs), "connection")

    def execute(
        self, text: str, inputs: Properties, previous: Properties | None, log: Log
    ) -> Properties:
        shown = None if inputs.get("logging") == "none" else log
        route = connection.route(inputs["connection"])
        return self._sessions.run(
            route, lambda client: _run(client, text, inputs, previous, shown, log), log
        )


def whole(diff: Diff, *names: str) -> Diff:
    """The diff with every change inside one of these inputs told as a change of the input."""
    changes: dict[str, Kind] = {}
    for path, kind in diff.changes.items():
        top = path.partition(".")[0].partition("[")[0]
        changes.update({top: Kind.UPDATE} if top in names and path != top else {path: kind})
    return Diff(changes, diff.replaces)


async def _run(
    client: asyncssh.SSHClientConnection,
    text: str,
    inputs: Properties,
    previous: Properties | None,
    shown: Log | None,
    log: Log,
) -> Properties:
    wanted: Mapping[str, str] = inputs.get("environment") or {}
    if wanted:
        await _require_accepted(client, wanted, log)
    environment = {**wanted, **previous_output(inputs, previous)}
    process = await client.create_process(text, env=environment, encoding=None)
    chunks: list[tuple[str, bytes]] = []

    async def read(name: str, stream: Any) -> None:
        lines = _Lines(shown)
        while chunk := await stream.read(_CHUNK):
            chunks.append((name, chunk))
            lines.feed(chunk)
        lines.end()

    async def feed() -> None:
        try:
            process.stdin.write((inputs.get("stdin") or "").encode())
            await process.stdin.drain()
            process.stdin.write_eof()
        except (BrokenPipeError, ConnectionError):
            return  # a command need not read what it is given

    await asyncio.gather(read("stdout", process.stdout), read("stderr", process.stderr), feed())
    await process.wait_closed()
    if process.exit_signal is not None or process.exit_status != 0:
        everything = b"".join(chunk for _, chunk in chunks).decode(errors="replace")
        raise PluginError(f"{_cause(process)}: running {quoted(text)}:\n{everything}")
    return {
        name: b"".join(chunk for stream, chunk in chunks if stream == name)
        .decode(errors="replace")
        .removesuffix("\n")
        for name in ("stdout", "stderr")
    }


def _cause(process: Any) -> str:
    if process.exit_signal is not None:
        name = process.exit_signal[0]
        code = _SIGNALLED + _SIGNALS.get(name, 0)
        return f"Process exited with status {code} from signal {name}"
    if process.exit_status is None:
        return "wait: remote command exited without exit status or exit signal"
    return f"Process exited with status {process.exit_status}"


async def _require_accepted(
    client: asyncssh.SSHClientConnection, wanted: Mapping[str, str], log: Log
) -> None:
    """Servers drop variables they do not accept without a word, so they are looked for first."""
    answer = await client.run("env", env=dict(wanted), encoding="utf-8", errors="replace")
    there = {line.partition("=")[0] for line in str(answer.stdout).splitlines()}
    for name in wanted:
        if name not in there:
            advice = _REFUSED.format(name=name)
            log.progress(advice)
            raise PluginError(
                f'could not set environment variable "{name}": ssh: setenv failed\n{advice}'
            )


class _Lines:
    """Cuts a stream of bytes into lines for the progress display; a line may have any length."""

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest: list[str] = []

    def feed(self, chunk: bytes) -> None:
        if self._log is None:
            return
        *lines, rest = self._decoder.decode(chunk).split("\n")
        for line in lines:
            self._log.progress("".join((*self._rest, line)))
            self._rest.clear()
        self._rest.append(rest)

    def end(self) -> None:
        if self._log is not None and (last := "".join(self._rest)):
            self._log.progress(last)
