"""The keys in SQLite: made, listed, changed, rotated, revoked. A change is on the disk before its
method returns.

Nothing is deleted because of the time of day: expiry is a comparison whenever a key is used, and a
revocation is a mark that no clock undoes. So a clock that goes back makes a key valid again for
exactly as long as the clock says, and one that goes ahead destroys nothing.
"""

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.access.database import Database
from gateway.access.errors import KeyNotFound, KeyRevoked, TooManyKeys
from gateway.access.key import FILE_ROWS, ROWS, KeyRecord, Priority, SecretRecord, Terms
from gateway.access.period import Period
from gateway.access.secret import Hasher, new_id, new_key

MOST_KEYS: Final = ROWS - FILE_ROWS - 1  # row 0 stays empty: SQLite counts from 1

_TERMS: Final = tuple(item.name for item in dataclasses.fields(Terms))


class KeyStore:
    """All keys that were ever made here."""

    def __init__(
        self, database: Database, hasher: Hasher, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock

    def create(self, terms: Terms) -> tuple[KeyRecord, str]:
        """A new key and its text, which exists nowhere else.

        Raises:
            TooManyKeys: no row is left.
            StorageUnavailable: it could not be kept.
        """
        now = self._clock()
        with self._database.writing() as connection:
            key_id = new_id()
            while _row_of(connection, key_id) is not None:
                key_id = new_id()
            text = new_key(key_id)
            columns = {"id": key_id, "created_at": now} | _columns(terms)
            row = connection.execute(
                f"INSERT INTO keys ({', '.join(columns)}) VALUES ({_marks(columns)})",
                tuple(columns.values()),
            ).lastrowid
            if row is None or row > MOST_KEYS:
                raise TooManyKeys(MOST_KEYS)
            self._add_secret(connection, row, text, now)
            _count_change(connection)
            return _record(connection, key_id), text

    def get(self, key_id: str) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFound: there is none of this id.
        """
        with self._database.reading() as connection:
            return _record(connection, key_id)

    def all(self) -> list[KeyRecord]:
        """Every key, the oldest first, revoked ones too."""
        with self._database.reading() as connection:
            return [record for record, _ in _all(connection)]

    def update(self, key_id: str, changes: Mapping[str, Any]) -> KeyRecord:
        """Change some terms; fields of ``Terms`` by name.

        Raises:
            KeyNotFound, KeyRevoked, StorageUnavailable: nothing was changed.
        """
        with self._database.writing() as connection:
            record = _unrevoked(connection, key_id)
            columns = _columns(dataclasses.replace(record.terms, **changes))
            connection.execute(
                f"UPDATE keys SET {', '.join(f'{name} = ?' for name in columns)} WHERE row = ?",
                (*columns.values(), record.row),
            )
            _count_change(connection)
            return _record(connection, key_id)

    def rotate(self, key_id: str, overlap_s: float) -> tuple[KeyRecord, str]:
        """Another text for the same key; the present one opens for ``overlap_s`` more seconds, and
        one from an earlier rotation no longer.

        Raises:
            KeyNotFound, KeyRevoked, StorageUnavailable: nothing was changed.
        """
        now = self._clock()
        with self._database.writing() as connection:
            record = _unrevoked(connection, key_id)
            connection.execute(
                "DELETE FROM secrets WHERE key_row = ?1 AND row < "
                "(SELECT max(row) FROM secrets WHERE key_row = ?1)",
                (record.row,),
            )
            connection.execute(
                "UPDATE secrets SET expires_at = ? WHERE key_row = ?", (now + overlap_s, record.row)
            )
            text = new_key(key_id)
            self._add_secret(connection, record.row, text, now)
            _count_change(connection)
            return _record(connection, key_id), text

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key for good. To revoke twice is no error.

        Raises:
            KeyNotFound, StorageUnavailable: nothing was changed.
        """
        with self._database.writing() as connection:
            record = _record(connection, key_id)
            if record.revoked_at is None:
                connection.execute(
                    "UPDATE keys SET revoked_at = ? WHERE row = ?", (self._clock(), record.row)
                )
                _count_change(connection)
            return _record(connection, key_id)

    def changes(self) -> int:
        """A number that grows with every change of any key, whoever made it."""
        with self._database.reading() as connection:
            return _changes(connection)

    def secrets(self) -> tuple[int, list[tuple[bytes, SecretRecord, KeyRecord]]]:
        """The digests that open, with their keys, and the number of changes they stand for."""
        with self._database.reading() as connection:
            found = [
                (digest, secret, record)
                for record, digests in _all(connection)
                if record.revoked_at is None
                for digest, secret in zip(digests, record.secrets, strict=True)
            ]
            return _changes(connection), found

    def _add_secret(self, connection: sqlite3.Connection, row: int, text: str, now: float) -> None:
        connection.execute(
            "INSERT INTO secrets (digest, key_row, created_at) VALUES (?, ?, ?)",
            (self._hasher.digest(text.encode()), row, now),
        )


def _columns(terms: Terms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in _TERMS} | {
        "models": _json_list(terms.models),
        "endpoints": _json_list(terms.endpoints),
        "priority": int(terms.priority),
        "budget_period": str(terms.budget_period),
        "metadata": json.dumps(terms.metadata),
    }


def _marks(columns: Mapping[str, Any]) -> str:
    return ", ".join("?" * len(columns))


def _json_list(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else json.dumps(names)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _count_change(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE changes SET number = number + 1")


def _changes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT number FROM changes").fetchone()[0])


def _row_of(connection: sqlite3.Connection, key_id: str) -> int | None:
    found = connection.execute("SELECT row FROM keys WHERE id = ?", (key_id,)).fetchone()
    return None if found is None else int(found[0])


def _unrevoked(connection: sqlite3.Connection, key_id: str) -> KeyRecord:
    record = _record(connection, key_id)
    if record.revoked_at is not None:
        raise KeyRevoked
    return record


def _record(connection: sqlite3.Connection, key_id: str) -> KeyRecord:
    row = _row_of(connection, key_id)
    if row is None:
        raise KeyNotFound
    return next(_all(connection, row))[0]


def _all(
    connection: sqlite3.Connection, row: int | None = None
) -> Iterator[tuple[KeyRecord, list[bytes]]]:
    """Keys and the digests of their secrets, in the same order as these."""
    secrets: dict[int, list[tuple[bytes, SecretRecord]]] = {}
    where = "" if row is None else f" WHERE key_row = {row:d}"
    for key_row, digest, created_at, expires_at in connection.execute(
        f"SELECT key_row, digest, created_at, expires_at FROM secrets{where} ORDER BY row"
    ):
        secrets.setdefault(key_row, []).append((digest, SecretRecord(created_at, expires_at)))
    where = "" if row is None else f" WHERE row = {row:d}"
    for number, key_id, created_at, revoked_at, *values in connection.execute(
        f"SELECT row, id, created_at, revoked_at, {', '.join(_TERMS)} FROM keys{where} ORDER BY row"
    ):
        terms = dict(zip(_TERMS, values, strict=True))
        mine = secrets.get(number, [])
        record = KeyRecord(
            row=number,
            id=key_id,
            created_at=created_at,
            revoked_at=revoked_at,
            terms=Terms(
                **terms
                | {
                    "models": _names(terms["models"]),
                    "endpoints": _names(terms["endpoints"]),
                    "priority": Priority(terms["priority"]),
                    "budget_period": Period(terms["budget_period"]),
                    "metadata": json.loads(terms["metadata"]),
                }
            ),
            secrets=tuple(secret for _, secret in mine),
        )
        yield record, [digest for digest, _ in mine]
