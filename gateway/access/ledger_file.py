"""One file of usage counters in memory that the kernel keeps. Owns its layout, its lock and its
birth and end as a file. Does not own what is counted, nor when it is written to the store.

The kernel holds the pages, so that a process killed between two instructions loses nothing it had
counted. A row is one fixed record; its counters are written by one ``pack_into``, and the mark that
the row is in use comes last.
"""

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.access.usage import Counters, UsageRow

SUFFIX: Final = ".ledger"
BYTES: Final = 1 << 20

Allocate = Callable[[int, int, int], None]

_DRAFT: Final = ".draft"
_HEADER: Final = struct.Struct("<16s144x")
_ROW: Final = struct.Struct("<32s64sq6qq")
_COUNTERS: Final = struct.Struct("<6q")
_MAGIC: Final = b"hearth ledger 1\n"
_COUNTERS_AT: Final = 104
_IN_USE_AT: Final = 152
_IN_USE: Final = struct.Struct("<q")
_KEY_BYTES: Final = 32
_MODEL_BYTES: Final = 64

_log = logging.getLogger("gateway.access")


class LedgerFile:
    """Rows of counters; durable when a file is behind them."""

    def __init__(self, memory: mmap.mmap, name: str, path: Path | None, handle: int) -> None:
        self.memory = memory
        self.name = name
        self.retired = False
        self._path = path
        self._handle = handle
        self._end = _HEADER.size
        self._written = b""

    @classmethod
    def create(cls, folder: Path, size: int, allocate: Allocate) -> "LedgerFile":
        """A new file, locked by this process before it has its name.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        name = uuid.uuid4().hex
        path, draft = folder / f"{name}{SUFFIX}", folder / f"{name}{_DRAFT}"
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Every block is taken now: a full disk must be an error here and no SIGBUS later.
            allocate(handle, 0, size)
            memory = mmap.mmap(handle, size)
            _HEADER.pack_into(memory, 0, _MAGIC)
            draft.rename(path)
        except BaseException:
            os.close(handle)
            draft.unlink(missing_ok=True)
            raise
        return cls(memory, name, path, handle)

    @classmethod
    def in_memory(cls, size: int) -> "LedgerFile":
        """The same without a file: it ends with the process."""
        return cls(mmap.mmap(-1, size), uuid.uuid4().hex, None, -1)

    @property
    def durable(self) -> bool:
        """Whether what is counted here outlives the process."""
        return self._path is not None

    def add_row(self, key_id: str, model: str, day: int) -> int | None:
        """Where the counters of a new row are; None: the file is full."""
        at = self._end
        if at + _ROW.size > len(self.memory):
            return None
        self._end = at + _ROW.size
        key, name = cut(key_id, _KEY_BYTES), cut(model, _MODEL_BYTES)
        _ROW.pack_into(self.memory, at, key, name, day, 0, 0, 0, 0, 0, 0, 0)
        _IN_USE.pack_into(self.memory, at + _IN_USE_AT, 1)
        return at + _COUNTERS_AT

    def changed_rows(self) -> tuple[list[UsageRow], bytes]:
        """Rows that differ from what was ``written``, and the bytes to call written."""
        now, before = self.memory[: self._end], self._written
        if now == before:
            return [], now
        size = _ROW.size
        places = range(_HEADER.size, len(now), size)
        return [
            _row(now, at) for at in places if now[at : at + size] != before[at : at + size]
        ], now

    def mark_written(self, content: bytes) -> None:
        """The store has this content."""
        self._written = content

    def all_rows(self) -> list[UsageRow]:
        """Every row of a file that nobody adds to."""
        return list(_rows(self.memory[:]))

    def sync(self) -> None:
        """Bring the counters to the disk; unlike msync, this lets other threads run."""
        if self._handle >= 0:
            os.fdatasync(self._handle)

    def delete(self) -> None:
        """End the file: its rows are in the store."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of file and lock."""
        self.memory.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def abandoned(folder: Path) -> Iterator[LedgerFile]:
    """Ledgers whose processes have ended, locked by this one; the caller closes them."""
    for path in sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{_DRAFT}")]):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        with contextlib.ExitStack() as failed:
            failed.callback(os.close, handle)
            if not _locked(handle, path):
                continue
            if path.suffix == _DRAFT:
                # It never got its name, so nothing was ever counted in it.
                path.unlink(missing_ok=True)
                continue
            memory = _mapped(handle, path)
            if memory is None:
                continue
            failed.pop_all()
            yield LedgerFile(memory, path.stem, path, handle)


def cut(text: str, limit: int) -> bytes:
    """UTF-8 of at most ``limit`` bytes, never ending within a character."""
    content = text.encode(errors="replace")
    return content if len(content) <= limit else content[:limit].decode(errors="ignore").encode()


def _locked(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have absorbed and removed it between our opening and our lock.
        return path.stat().st_ino == os.fstat(handle).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _mapped(handle: int, path: Path) -> mmap.mmap | None:
    """The content. A file that lost power before its first page was written has none."""
    size = os.fstat(handle).st_size
    if size < _HEADER.size:
        return mmap.mmap(-1, _HEADER.size)
    memory = mmap.mmap(handle, size)
    if _HEADER.unpack_from(memory)[0] in (_MAGIC, bytes(len(_MAGIC))):
        return memory
    memory.close()
    _log.error("%s is no ledger this version can read; it stays where it is", path)
    return None


def _rows(content: bytes) -> Iterator[UsageRow]:
    for at in range(_HEADER.size, len(content) - _ROW.size + 1, _ROW.size):
        if not _IN_USE.unpack_from(content, at + _IN_USE_AT)[0]:
            return
        yield _row(content, at)


def _row(content: bytes, at: int) -> UsageRow:
    key, model, day, *counters, _ = _ROW.unpack_from(content, at)
    return UsageRow(
        key.rstrip(b"\0").decode(errors="replace"),
        model.rstrip(b"\0").decode(errors="replace"),
        day,
        Counters(*counters),
    )
