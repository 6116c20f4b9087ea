"""Running one program to its end, line by line, into a log.

Owns starting, reading, stopping. Does not own what the lines mean. Arguments and output go to
log files: callers pass no secrets.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolchain.errors import CommandError
from toolchain.progress import Step

_TAIL_LINES = 12


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the program and everything it started (it leads its own process group)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=5)
            break
        except subprocess.TimeoutExpired:
            continue


def run(
    argv: Sequence[str],
    *,
    step: Step,
    environ: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """The output lines, stdout and stderr together.

    Raises CommandError with the last lines if the program cannot be started or exits non-zero.
    An exception raised meanwhile (Ctrl-C) stops the program and its children first.
    """
    step.log(f"$ (cd {cwd} && {shlex.join(argv)})")
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
    lines: list[str] = []
    try:
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                line = raw.rstrip("\n")
                lines.append(line)
                step.log(line)
                if on_line is not None:
                    on_line(line)
        code = process.wait()
    except BaseException:
        _stop(process)
        raise
    if code != 0:
        tail = "\n    ".join(deque((line for line in lines if line.strip()), _TAIL_LINES))
        name = os.path.basename(argv[0])
        raise CommandError(f"{name} ended with {code}:\n    {tail}", log=str(step.log_path))
    return lines


def probe(argv: Sequence[str], environ: Mapping[str, str], timeout_s: float = 20.0) -> str:
    """stdout of a quick program, or empty if it cannot be run or fails."""
    try:
        done = subprocess.run(
            list(argv),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
