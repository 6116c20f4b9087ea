"""Interrupted at any moment, or started twice: a clear message, and the next run continues."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Ports, Sandbox

MOMENTS_S = (0.2, 0.8, 2.0, 4.0, 6.0, 8.0)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(
        root=tmp_path_factory.mktemp("interrupt") / "c",
        ports=Ports(nomad=17946, gateway=18400, dynamic=(27000, 27500)),
    )
    sandbox.make()
    cluster = sandbox.cluster()
    cluster["experts"]["general"]["ladder"] = ["selftest"]
    sandbox.write(cluster)
    yield sandbox
    sandbox.hearth("down", "--yes")


def start(sandbox: Sandbox) -> "subprocess.Popen[str]":
    root: Path = sandbox.root
    roots = os.pathsep.join(str(root / part) for part in ("", "images/base", "images/llama"))
    return subprocess.Popen(
        [str(root / ".venv/bin/python"), "-m", "ops", "up", "--yes"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": roots, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_interrupt_at_any_moment_leaves_a_state_the_next_run_continues(fresh: Sandbox) -> None:
    for moment in MOMENTS_S:
        child = start(fresh)
        time.sleep(moment)
        child.send_signal(signal.SIGINT)
        text = child.communicate(timeout=120)[0]
        assert "Traceback" not in text, f"after {moment} s:\n{text}"
        assert child.returncode in (0, 130), f"after {moment} s:\n{text}"
        if child.returncode:
            assert "interrupted" in text, f"after {moment} s:\n{text}"
    done = fresh.hearth("up", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fresh.hearth("chat", "hello").stdout.strip()


def test_a_killed_run_is_recovered_from(fresh: Sandbox) -> None:
    assert fresh.hearth("down", "--yes").returncode == 0
    child = start(fresh)
    time.sleep(5)
    for pid in fresh.processes():
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"pulumi" in line or pid == child.pid:
            os.kill(pid, signal.SIGKILL)
    child.communicate(timeout=60)
    deadline = time.monotonic() + 15
    while programs(fresh):
        assert time.monotonic() < deadline, "the program outlives its engine"
        time.sleep(0.2)
    done = fresh.hearth("up", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fresh.hearth("chat", "hello").stdout.strip()


def programs(sandbox: Sandbox) -> list[int]:
    """The Pulumi programs that run."""
    found = []
    for pid in sandbox.processes():
        with contextlib.suppress(OSError):
            if b"language_exec" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_a_second_run_at_the_same_time_is_refused_and_names_the_first(fresh: Sandbox) -> None:
    cluster = fresh.cluster()
    cluster["experts"]["general"]["slots"] = 1
    fresh.write(cluster)
    first = start(fresh)
    time.sleep(1.5)
    second = fresh.hearth("up", "--yes")
    assert second.returncode == 1
    assert f"another hearth command (process {first.pid})" in second.stderr
    assert first.wait(timeout=120) == 0
