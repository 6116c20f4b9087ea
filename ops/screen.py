"""What the hearth command prints. Plain words; colour only on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.changes import Change
from ops.stack import Unavailable
from ops.state import Finding

_STYLES = {"+": "green", "~": "yellow", "±": "magenta", "-": "red"}


class Screen:
    """Prints to one console; tests give their own."""

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors

    def say(self, text: str = "") -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def piece(self, text: str) -> None:
        """Part of a line, at once."""
        self._console.file.write(text)
        self._console.file.flush()

    def warn(self, text: str) -> None:
        """Something the user should know, on standard error."""
        self._errors.print(Text("warning: ", style="yellow") + text, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Why the command ends, on standard error."""
        self._errors.print(Text("error: ", style="bold red") + text, soft_wrap=True)

    def changes(self, changes: Sequence[Change]) -> None:
        """What an update would do."""
        if not changes:
            self.say("nothing to change")
            return
        for change in changes:
            style = _STYLES.get(change.symbol, "")
            line = Text(f"  {change.symbol} {change.name}", style=style)
            self._console.print(line + Text(f"  {change.type}", style="dim"), soft_wrap=True)
            for detail in change.details:
                self._console.print(Text(f"      {detail}", style="dim"), soft_wrap=True)
        counts = {
            operation: sum(change.operation == operation for change in changes)
            for operation in dict.fromkeys(change.operation for change in changes)
        }
        self.say(", ".join(f"{count} to {operation}" for operation, count in counts.items()))

    def findings(self, findings: Sequence[Finding]) -> None:
        """What is off."""
        for finding in findings:
            self.say(f"  {finding.name}: {finding.reason.splitlines()[0]}")

    def unavailable(self, models: Sequence[Unavailable]) -> None:
        """Models that could not be had; their experts answer from a lower rung."""
        for model in models:
            self.warn(f"{model.file} is not available: {model.reason}")

    def experts(self, models: Sequence[dict[str, Any]]) -> None:
        """Experts, which rung serves, and whether it is the one wanted."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("expert", "serving", "wanted", "replicas", "state"):
            table.add_column(column)
        for model in models:
            facts = model.get("hearth") or {}
            if facts.get("expert") != model["id"]:
                continue
            if not facts.get("serving"):
                condition = Text("down", style="bold red")
            elif facts.get("degraded"):
                condition = Text("degraded", style="yellow")
            else:
                condition = Text("ok", style="green")
            table.add_row(
                model["id"],
                str(facts.get("serving") or "-"),
                str(facts.get("preferred") or "-"),
                str(facts.get("replicas", 0)),
                condition,
            )
        self._console.print(table)
