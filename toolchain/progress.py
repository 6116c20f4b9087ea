"""Telling a person what is going on: one step at a time, and a log file for each.

Owns the display and the log files. Does not own what a step does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TextIO


def elapsed_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `4 min 09 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def amount_text(done: int, total: int, unit: str) -> str:
    """`12/340 packages`, `3.1/76.6 MB`; without a total only what is done."""
    if unit == "B":
        whole = f"/{total / 1e6:.1f}" if total else ""
        return f"{done / 1e6:.1f}{whole} MB"
    return f"{done}/{total} {unit}" if total else f"{done} {unit}"


class Display(Protocol):
    """Where the progress of the running step is shown."""

    def begin(self, title: str) -> None:
        """A step has started."""

    def update(self, title: str, activity: str, done: int, total: int, unit: str) -> None:
        """The step is doing `activity`; `total` is 0 where it is not known."""

    def end(self, title: str, summary: str, seconds: float, *, ok: bool) -> None:
        """The step is over; `summary` is one line."""

    def note(self, text: str) -> None:
        """A line that belongs to no step."""


class PlainDisplay:
    """Lines on a stream: for logs, pipes and dumb terminals."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 15.0,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._interval_s = interval_s
        self._activity = ""
        self._last = 0.0
        self._began = 0.0

    def begin(self, title: str) -> None:
        """Forgets the step before."""
        self._activity = ""
        self._began = self._clock()

    def update(self, title: str, activity: str, done: int, total: int, unit: str) -> None:
        """A line when the activity changes, then one each interval."""
        now = self._clock()
        if activity == self._activity and now - self._last < self._interval_s:
            return
        self._activity = activity
        self._last = now
        amount = f" {amount_text(done, total, unit)}" if done or total else ""
        self.note(f"{title}: {activity}{amount} [{elapsed_text(now - self._began)}]")

    def end(self, title: str, summary: str, seconds: float, *, ok: bool) -> None:
        """One line with the outcome."""
        self.note(f"{'ok' if ok else 'FAILED'}  {title}: {summary} [{elapsed_text(seconds)}]")

    def note(self, text: str) -> None:
        """Writes and flushes one line."""
        print(text, file=self._stream, flush=True)


class Step:
    """The running step: activity for the display, text for the log file."""

    def __init__(self, title: str, display: Display, log: TextIO, log_path: Path) -> None:
        self.title = title
        self.log_path = log_path
        self._display = display
        self._log = log
        self._activity = ""
        self._summary = "done"

    def activity(self, text: str) -> None:
        """What the step does from now on, e.g. `downloading nomad_1.11.3.zip`."""
        self._activity = text
        self.log(f"== {text}")
        self._display.update(self.title, text, 0, 0, "")

    def amount(self, done: int, total: int, unit: str) -> None:
        """How far the activity is; unit `B` is shown in MB."""
        self._display.update(self.title, self._activity, done, total, unit)

    def log(self, line: str) -> None:
        """One line for the log file only."""
        self._log.write(line.rstrip("\n") + "\n")
        self._log.flush()

    def warn(self, text: str) -> None:
        """Something that does not stop the step but that a person has to see."""
        self.log(f"warning: {text}")
        self._display.note(f"warning: {text}")

    def finish(self, summary: str) -> None:
        """The line shown when the step is over."""
        self._summary = summary

    @property
    def summary(self) -> str:
        """What `finish` was given last."""
        return self._summary


@contextlib.contextmanager
def running(display: Display, title: str, log_path: Path) -> Iterator[Step]:
    """A step with its log file; tells the display how it ended, also when it raised."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log_path.open("w", encoding="utf-8") as log:
        display.begin(title)
        step = Step(title, display, log, log_path)
        try:
            yield step
        except KeyboardInterrupt:
            step.log("interrupted")
            display.end(title, "interrupted", time.monotonic() - began, ok=False)
            raise
        except Exception as error:
            step.log(f"failed: {error}")
            display.end(title, "failed", time.monotonic() - began, ok=False)
            raise
        display.end(title, step.summary, time.monotonic() - began, ok=True)


def display_for(stream: TextIO) -> Display:
    """A live display on a terminal that has the library for it, lines otherwise."""
    if stream.isatty():
        try:
            from toolchain.terminal import TerminalDisplay
        except ImportError:
            return PlainDisplay(stream)
        return TerminalDisplay(stream)
    return PlainDisplay(stream)
