"""The progress display on a terminal: one live line for the running step.

Owns the drawing. Does not own steps or logs. Imported only where a terminal is there.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from toolchain.progress import amount_text, elapsed_text


class TerminalDisplay:
    """Draws with rich; the live line disappears when the step is over, its outcome stays."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, title: str) -> None:
        """Starts the live line."""
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            TextColumn("{task.fields[activity]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task(title, total=None, activity="", amount="")

    def update(self, title: str, activity: str, done: int, total: int, unit: str) -> None:
        """Moves the bar; it pulses while no total is known."""
        if self._live is None or self._task is None:
            return
        self._live.update(
            self._task,
            activity=activity,
            amount=amount_text(done, total, unit) if done or total else "",
            total=total or None,
            completed=done,
        )

    def end(self, title: str, summary: str, seconds: float, *, ok: bool) -> None:
        """Replaces the live line by its outcome."""
        if self._live is not None:
            self._live.stop()
        self._live = self._task = None
        mark = "[green]✓[/green]" if ok else "[red]✗[/red]"
        self._console.print(mark, title, end=" ")
        self._console.print(f"{summary} [{elapsed_text(seconds)}]", markup=False, style="dim")

    def note(self, text: str) -> None:
        """A line above the live line."""
        self._console.print(text, markup=False)
