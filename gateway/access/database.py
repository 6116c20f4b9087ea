"""The SQLite file of keys and usage: its schema, its one connection, and what its failures mean.
Owns no statement about keys or usage.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.access.errors import StorageUnavailable

FILE: Final = "keys.sqlite"
SCHEMA_VERSION: Final = 1

_BUSY_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE keys (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    priority INTEGER NOT NULL,
    models TEXT,
    endpoints TEXT,
    rpm INTEGER,
    tpm INTEGER,
    concurrency INTEGER,
    daily_tokens INTEGER,
    budget_micro INTEGER,
    budget_period TEXT NOT NULL,
    metadata TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (
    row INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    key_row INTEGER NOT NULL REFERENCES keys (row),
    created_at REAL NOT NULL,
    expires_at REAL
) STRICT;
CREATE INDEX secrets_of_key ON secrets (key_row);
CREATE TABLE changes (number INTEGER NOT NULL) STRICT;
INSERT INTO changes VALUES (1);
CREATE TABLE usage (
    ledger TEXT NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    day INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_micro INTEGER NOT NULL,
    aborted INTEGER NOT NULL,
    PRIMARY KEY (ledger, key, model, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_key ON usage (key, day);
CREATE TABLE absorbed (ledger TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
_FIXES: Final = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_READONLY": "it cannot be written; check the rights and the mount of data_dir",
    "SQLITE_CANTOPEN": "it cannot be opened; check the rights and the space of data_dir",
    "SQLITE_IOERR": "the disk is full or failing",
    "SQLITE_CORRUPT": "the file is damaged; restore it from a backup",
    "SQLITE_NOTADB": "the file is damaged; restore it from a backup",
    "SQLITE_BUSY": "another process holds it; try again",
}


class Database:
    """One connection, used by one thread at a time. It opens when first needed, and again after
    the file was unusable, so that a repaired disk needs no restart.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view.

        Raises:
            StorageUnavailable: the file cannot be used.
        """
        with self._transaction("BEGIN", self._open_to_read) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on the disk once the block is left.

        Raises:
            StorageUnavailable: the file cannot be used; nothing was changed.
        """
        with self._transaction("BEGIN IMMEDIATE", self._open) as connection:
            yield connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def _transaction(
        self, begin: str, open_file: Callable[[], sqlite3.Connection]
    ) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = open_file()
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    # SQLite may have rolled back already, e.g. when the disk is full.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                finally:
                    if connection is not self._connection:
                        connection.close()
            except sqlite3.Error as error:
                if self._path is not None:
                    self._drop()
                raise StorageUnavailable(f"The key store is unusable: {_reason(error)}.") from error
            except OSError as error:
                raise StorageUnavailable(
                    f"The key store is unusable: {error.strerror or error}."
                ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                # SQLite gives its side files the rights of the main one.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(
                self._path or ":memory:",
                timeout=_BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _open_to_read(self) -> sqlite3.Connection:
        """On a full or read-only disk SQLite cannot make its side files, and so not even read. Then
        the main file is read as it is, unless a write-ahead log holds more: a revocation, perhaps.
        """
        try:
            return self._open()
        except sqlite3.OperationalError:
            if self._path is None or not _complete(self._path):
                raise
            return sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro&immutable=1",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _prepare(connection: sqlite3.Connection) -> None:
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    if _version(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        # Asked again: another worker may have made the tables while this one waited.
        if _version(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    if (version := _version(connection)) > SCHEMA_VERSION:
        raise sqlite3.NotSupportedError(
            f"it was written by a newer Hearth (schema {version}, this one knows {SCHEMA_VERSION})"
        )


def _complete(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return bool(path.stat().st_size) and not (log.exists() and log.stat().st_size)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _write_ahead(connection: sqlite3.Connection) -> None:
    """The change of the journal's mode does not wait for others as every other statement does."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _reason(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    primary = "_".join(name.split("_")[:2])
    return _FIXES.get(primary) or str(error)
