import io
from pathlib import Path
from typing import Any

import pytest

from toolchain.progress import PlainDisplay, amount_text, display_for, elapsed_text, running


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.4, "12 s"), (249.0, "4 min 09 s")]
)
def test_a_duration_reads_like_a_person_says_it(seconds: float, text: str) -> None:
    assert elapsed_text(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (3_100_000, 76_600_000, "B", "3.1/76.6 MB"),
        (3_100_000, 0, "B", "3.1 MB"),
        (12, 340, "packages", "12/340 packages"),
        (12, 0, "modules", "12 modules"),
    ],
)
def test_an_amount_has_its_unit(done: int, total: int, unit: str, text: str) -> None:
    assert amount_text(done, total, unit) == text


def test_a_log_gets_a_line_for_each_activity_and_then_one_per_interval() -> None:
    now = [0.0]
    out = io.StringIO()
    display = PlainDisplay(out, clock=lambda: now[0], interval_s=15)
    display.begin("nomad")
    for second in range(40):
        now[0] = float(second)
        display.update("nomad", "compiling", second, 100, "packages")
    display.end("nomad", "built", 40.0, ok=True)
    assert out.getvalue().splitlines() == [
        "nomad: compiling 0/100 packages [0.0 s]",
        "nomad: compiling 15/100 packages [15 s]",
        "nomad: compiling 30/100 packages [30 s]",
        "ok  nomad: built [40 s]",
    ]


def test_a_step_that_failed_is_shown_as_failed_and_logged(tmp_path: Path, display: Any) -> None:
    log = tmp_path / "logs" / "step.log"
    with pytest.raises(ValueError, match="reason"), running(display, "nomad", log):
        raise ValueError("the reason")
    assert display.ends == [("nomad", "failed", False)]
    assert "failed: the reason" in log.read_text()


def test_an_interrupted_step_says_so(tmp_path: Path, display: Any) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running(display, "nomad", tmp_path / "log"),
    ):
        raise KeyboardInterrupt
    assert display.ends == [("nomad", "interrupted", False)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_keeps_the_outcome_of_each_step() -> None:
    out = Terminal()
    display = display_for(out)
    assert type(display).__name__ == "TerminalDisplay"
    display.begin("nomad")
    display.update("nomad", "compiling [x]", 1, 2, "packages")
    display.end("nomad", "built [with] go", 3.0, ok=True)
    display.note("text [brackets] stay")
    assert "built [with] go [3.0 s]" in out.getvalue()
    assert "text [brackets] stay" in out.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    assert isinstance(display_for(io.StringIO()), PlainDisplay)
