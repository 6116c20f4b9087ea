"""Runs one command with its output shown line by line. Owns the running children."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from toolchain.plugins.command.quoting import quoted
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Log


@dataclass(frozen=True)
class Output:
    """What a command wrote; one trailing newline removed."""

    stdout: str
    stderr: str


class Processes:
    """The commands running now, so that a cancelled update can end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def kill_all(self) -> None:
        """End every running command with its children; what detached itself lives on."""
        with self._lock:
            for pid in self._running:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def run(
        self,
        argv: Sequence[str],
        *,
        shown: str,
        stdin: str,
        environment: Mapping[str, str],
        directory: str | None,
        log: Log | None,
    ) -> Output:
        """Run to the end. Raises PluginError with ``shown`` and all output when it fails."""
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
                cwd=directory,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            call = "chdir" if directory and error.filename == directory else "fork/exec"
            msg = f"{call} {error.filename}: no such file or directory: running {quoted(shown)}:\n"
            raise PluginError(msg) from None
        except OSError as error:
            msg = f"fork/exec {argv[0]}: {error.strerror}: running {quoted(shown)}:\n"
            raise PluginError(msg) from None
        with self._lock:
            self._running.add(child.pid)
        try:
            chunks = _converse(child, stdin, log)
        finally:
            code = child.wait()
            with self._lock:
                self._running.discard(child.pid)
        if code != 0:
            cause = f"exit status {code}" if code > 0 else f"signal: {_signal_name(-code)}"
            everything = "".join(text for _, text in chunks)
            raise PluginError(f"{cause}: running {quoted(shown)}:\n{everything}")
        return Output(
            stdout=_trimmed(text for name, text in chunks if name == "stdout"),
            stderr=_trimmed(text for name, text in chunks if name == "stderr"),
        )


def _converse(
    child: "subprocess.Popen[bytes]", stdin: str, log: Log | None
) -> list[tuple[str, str]]:
    """Feed and read the child; the lines of both streams in the order they came."""
    chunks: list[tuple[str, str]] = []

    def read(name: str, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode(errors="replace")
            chunks.append((name, text))
            if log is not None:
                log.progress(text.rstrip("\n"))

    assert child.stdin
    assert child.stdout
    assert child.stderr
    readers = [
        threading.Thread(target=read, args=("stdout", child.stdout), daemon=True),
        threading.Thread(target=read, args=("stderr", child.stderr), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        child.stdin.write(stdin.encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # a command need not read what it is given
    for reader in readers:
        reader.join()
    return chunks


def _trimmed(texts: Iterable[str]) -> str:
    return "".join(texts).removesuffix("\n")


def _signal_name(number: int) -> str:
    names = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}
    return names.get(signal.Signals(number), signal.strsignal(number) or str(number)).lower()
