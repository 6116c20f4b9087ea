"""How keys and what was used with them look in a terminal. Asks nobody; ``keys`` does."""

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console
from rich.table import Table

_COUNTERS: Final = (
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost",
    "aborted",
)


def list_keys(keys: Iterable[dict[str, Any]]) -> None:
    """A line for each key, as /admin describes it."""
    table = _table("id", "name", "models", "limits", "priority", "created", "ends")
    for key in keys:
        ends = f"revoked {key['revoked_at']}" if key["revoked_at"] else key["expires_at"] or "-"
        table.add_row(
            key["id"],
            key["name"],
            ", ".join(key["models"] or ["all"]),
            limits(key) or "-",
            key["priority"],
            key["created_at"] or f"in the {key['source']}",
            ends,
        )
    _print(table)


def show_key(key: dict[str, Any]) -> None:
    """A line for each field of one key."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for field, value in key.items():
        if field == "secrets":
            value = [secret["expires_at"] or "no end" for secret in value]
        if field != "object":
            table.add_row(field.replace("_", " "), _text(value))
    _print(table)


def show_usage(report: dict[str, Any], by: str) -> None:
    """The sums of a report by key, model or day, and the total."""
    table = _table(by, *(counter.removesuffix("_tokens") for counter in _COUNTERS), numbers=True)
    for sums in report[f"by_{by}"]:
        table.add_row(sums[by], *_numbers(sums))
    table.add_row("total", *_numbers(report["total"]), style="bold")
    _print(table)
    say(f"{report['from']} to {report['to']}, days of UTC")


def show_once(made: dict[str, Any], as_json: bool, note: str) -> None:
    """A new key. The note goes to standard error, so that $(hearth keys create …) is the key
    alone.
    """
    if as_json:
        say_json(made)
        return
    sys.stderr.write(f"{note} shown again:\n")
    sys.stderr.flush()
    say(made["key"])


def limits(key: dict[str, Any]) -> str:
    """What a key may use, in words; empty when it may use everything."""
    names = ("rpm", "tpm", "concurrency", "daily_tokens")
    found = [f"{name.replace('_', ' ')} {key[name]}" for name in names if key[name] is not None]
    if key["budget"] is not None:
        found.append(f"budget {key['budget']:g} ({key['budget_period']})")
    return ", ".join(found)


def say_json(answer: object) -> None:
    """The gateway's answer as it is."""
    say(json.dumps(answer, indent=2))


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(text + "\n")


def _numbers(sums: dict[str, Any]) -> list[str]:
    return [f"{sums[name]:,.2f}" if name == "cost" else f"{sums[name]:,}" for name in _COUNTERS]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items()) or "-"
    return "-" if value is None else str(value)


def _table(*columns: str, numbers: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and place else "left")
    return table


def _print(table: Table) -> None:
    # Names come from people and may look like markup.
    Console(markup=False, highlight=False).print(table)
