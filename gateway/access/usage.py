"""Usage in SQLite: sums per ledger, key, model and UTC day. Owns the statements of tables `usage`
and `absorbed`. Does not own how usage is counted before it comes here.

A running ledger's rows hold absolute values, so that writing them again changes nothing. When it
has ended they are added to those of ledger '' exactly once: the mark in `absorbed` is made in the
same transaction and outlives the ledger's file.
"""

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.access.database import Database
from gateway.access.period import Period, first_day

PAST: Final = ""  # the ledger of all that have ended

_COUNTERS: Final = (
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_micro",
    "aborted",
)
_INSERT: Final = (
    f"INSERT INTO usage (ledger, key, model, day, {', '.join(_COUNTERS)}) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ledger, key, model, day) DO UPDATE SET "
)
_REPLACE: Final = _INSERT + ", ".join(f"{name} = excluded.{name}" for name in _COUNTERS)
_ADD: Final = _INSERT + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTERS)


class Counters(NamedTuple):
    """What is counted. Prompt tokens include the cached ones."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_micro: int = 0
    aborted: int = 0


class UsageRow(NamedTuple):
    """What one key used of one model on one day."""

    key: str
    model: str
    day: int
    counters: Counters


@dataclass(frozen=True)
class Spent:
    """What a key has used of its quotas: tokens of the day, cost in its budget's period."""

    tokens: int = 0
    cost_micro: int = 0


@dataclass(frozen=True)
class Filter:
    """Which usage to report; both days are included."""

    first_day: int
    last_day: int
    key: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Report:
    """Sums of the same usage, seen in four ways."""

    total: Counters
    by_key: dict[str, Counters]
    by_model: dict[str, Counters]
    by_day: dict[int, Counters]


class UsageTable:
    """The usage of every ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, ledgers: Iterable[tuple[str, Collection[UsageRow]]]) -> None:
        """Put down absolute values of running ledgers, in one transaction."""
        with self._database.writing() as connection:
            for ledger, rows in ledgers:
                _put(connection, _REPLACE, ledger, rows)

    def absorb(self, ledger: str, rows: Collection[UsageRow]) -> None:
        """Add a ledger that has ended to the past, unless that was done already."""
        with self._database.writing() as connection:
            marked = connection.execute(
                "INSERT INTO absorbed VALUES (?) ON CONFLICT DO NOTHING", (ledger,)
            )
            if marked.rowcount:
                _put(connection, _REPLACE, ledger, rows)
                connection.execute(
                    "INSERT INTO usage SELECT ?, key, model, day, "
                    f"{', '.join(_COUNTERS)} FROM usage WHERE ledger = ? "
                    f"{_ADD[_ADD.index('ON CONFLICT') :]}",
                    (PAST, ledger),
                )
                connection.execute("DELETE FROM usage WHERE ledger = ?", (ledger,))

    def forget(self, ledgers: Collection[str]) -> None:
        """Remove the marks of absorbed ledgers whose files are gone for good."""
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM absorbed WHERE ledger = ?", [(ledger,) for ledger in ledgers]
            )

    def spent(self, periods: dict[str, Period], day: int) -> dict[str, Spent]:
        """What each of these keys has used of its quotas until now."""
        with self._database.reading() as connection:
            return {
                key: Spent(
                    tokens=_sum(connection, "prompt_tokens + completion_tokens", key, day),
                    cost_micro=_sum(connection, "cost_micro", key, first_day(period, day)),
                )
                for key, period in periods.items()
            }

    def report(self, wanted: Filter) -> Report:
        """Sums of the usage that fits."""
        sums = ", ".join(f"sum({name})" for name in _COUNTERS)
        where = "day BETWEEN ? AND ?"
        values: list[object] = [wanted.first_day, wanted.last_day]
        for column, value in (("key", wanted.key), ("model", wanted.model)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT {sums} FROM usage WHERE {where}", values).fetchone()
            groups = [
                {
                    name: Counters(*counters)
                    for name, *counters in connection.execute(
                        f"SELECT {column}, {sums} FROM usage WHERE {where} "
                        f"GROUP BY {column} ORDER BY {column}",
                        values,
                    )
                }
                for column in ("key", "model", "day")
            ]
        return Report(Counters(*(count or 0 for count in total)), *groups)


def _put(
    connection: sqlite3.Connection, statement: str, ledger: str, rows: Collection[UsageRow]
) -> None:
    connection.executemany(
        statement, [(ledger, row.key, row.model, row.day, *row.counters) for row in rows]
    )


def _sum(connection: sqlite3.Connection, what: str, key: str, since: int) -> int:
    found = connection.execute(
        f"SELECT sum({what}) FROM usage WHERE key = ? AND day >= ?", (key, since)
    ).fetchone()
    return int(found[0] or 0)
