import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from toolchain import cli
from toolchain.errors import NoSourceError
from toolchain.installer import Finding

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class FakeWork:
    """An installer that only remembers what was asked of it."""

    action: str = ""
    damage: list[str] = field(default_factory=list)
    failing: Callable[[], None] = lambda: None
    runs: list[bool] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        return [
            Finding("nomad 1.11.3", "missing" if self.action else "official release", self.action)
        ]

    def damaged(self) -> list[str]:
        return self.damage

    def complete(self) -> bool:
        return not self.action

    def run(self, *, upgrade: bool = False) -> None:
        self.runs.append(upgrade)
        self.failing()


def execute(work: FakeWork, display: Any, *arguments: str) -> int:
    return cli.execute(cli.parser().parse_args(arguments), lambda: work, display)


@pytest.mark.parametrize(
    ("action", "arguments", "runs"),
    [("", (), []), ("build it", (), [False]), ("", ("--upgrade",), [True])],
)
def test_work_is_done_only_where_something_is_missing_or_asked_for(
    action: str, arguments: tuple[str, ...], runs: list[bool], display: Any
) -> None:
    work = FakeWork(action)
    assert execute(work, display, *arguments) == 0
    assert work.runs == runs


def test_a_check_says_what_is_missing_and_does_nothing(display: Any) -> None:
    work = FakeWork("build it")
    assert execute(work, display, "--check") == 1
    assert display.notes == ["--  nomad 1.11.3: missing; would build it"]
    assert work.runs == []


def test_a_check_of_a_complete_toolchain_succeeds(display: Any) -> None:
    assert execute(FakeWork(), display, "--check") == 0
    assert display.notes == ["ok  nomad 1.11.3: official release"]


def test_a_check_finds_damage(display: Any) -> None:
    assert execute(FakeWork(damage=["/cache/nomad"]), display, "--check") == 1
    assert "/cache/nomad: content is not what was put there" in display.notes[-1]


def test_a_failure_is_a_message_with_reasons_and_a_fix_not_a_traceback(display: Any) -> None:
    def fail() -> None:
        raise NoSourceError("nomad 1.11.3", [("mirror", "empty")], fix="do this", log="/log")

    assert execute(FakeWork("build it", failing=fail), display) == 1
    assert display.notes == [
        "nomad 1.11.3: no source could supply it\n  mirror: empty",
        "  fix: do this",
        "  log: /log",
    ]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process started in the background of a script ignores interrupts; this one must not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_work_with_one_line(
    number: signal.Signals, code: int, word: str, display: Any, interruptible: None
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    work = FakeWork("build it", failing=lambda: os.kill(os.getpid(), number))
    assert execute(work, display) == code
    assert display.notes == [f"{word}; run the same command again to go on from here"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_command_works_in_this_checkout_and_a_check_creates_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "--check", "--cache", str(cache)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--  nomad 1.11.3: missing; would " in done.stderr
    assert "plugin command 1.2.1" in done.stderr
    assert not cache.exists()
