"""The usage of this process: counted without a system call, kept across kill -9, written to the
store every second. Owns which file counts what and when it ends.

One file serves one UTC day, and the dict of its rows begins anew with it. ``add`` and ``tend`` run
in the thread of the event loop; ``fold`` may run in any other, and never touches a file to which
``add`` could still write other than to read it.
"""

import asyncio
import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.access.errors import StorageUnavailable
from gateway.access.ledger_file import BYTES, Allocate, LedgerFile, abandoned
from gateway.access.period import DAY_S, utc_day
from gateway.access.secret import sync_folder
from gateway.access.usage import Counters, Filter, Report, UsageTable

FOLD_INTERVAL_S: Final = 1.0

_COUNTERS: Final = struct.Struct("<6q")
_pack, _unpack = _COUNTERS.pack_into, _COUNTERS.unpack_from

_log = logging.getLogger("gateway.access")


class Ledger:
    """Counts requests, tokens and cost per key, model and day."""

    __slots__ = (
        "_allocate",
        "_begins",
        "_clock",
        "_current",
        "_day",
        "_ends",
        "_files",
        "_folder",
        "_folding",
        "_forgetful",
        "_rows",
        "_size",
        "_table",
    )

    def __init__(
        self,
        folder: Path | None,
        table: UsageTable,
        *,
        clock: Callable[[], float] = time.time,
        size: int = BYTES,
        allocate: Allocate = os.posix_fallocate,
    ) -> None:
        self._folder = folder
        self._table = table
        self._clock = clock
        self._size = size
        self._allocate = allocate
        self._folding = threading.Lock()
        self._forgetful = False
        self._rows: dict[tuple[str, str], tuple[mmap.mmap, int]] = {}
        self._set_day(utc_day(clock()))
        self._current = self._new_file()
        self._files = [self._current]

    @property
    def durable(self) -> bool:
        """Whether everything that is counted now would outlive a kill."""
        return all(file.durable for file in self._files)

    def add(
        self,
        key_id: str,
        model: str,
        prompt: int,
        cached: int,
        completion: int,
        cost_micro: int,
        aborted: int,
        requests: int = 1,
    ) -> None:
        """Count one request, or correct one with ``requests`` of 0. When this returns, the count
        outlives the process.
        """
        if not self._begins <= (now := self._clock()) < self._ends:
            self._turn(utc_day(now))
        found = self._rows.get((key_id, model))
        if found is None:
            found = self._new_row(key_id, model)
        memory, at = found
        requests_before, prompts, caches, completions, costs, aborts = _unpack(memory, at)
        _pack(
            memory,
            at,
            requests_before + requests,
            prompts + prompt,
            caches + cached,
            completions + completion,
            costs + cost_micro,
            aborts + aborted,
        )

    def counted(self) -> Iterator[tuple[str, str, Counters]]:
        """Key, model and what this process counted for both since it began or, if that is later,
        since midnight UTC. For the thread of the event loop.
        """
        for (key_id, model), (memory, at) in self._rows.items():
            yield key_id, model, Counters(*_unpack(memory, at))

    def tend(self) -> None:
        """End the file of a past day, and try again for a file where memory had to do."""
        if not self._begins <= (now := self._clock()) < self._ends:
            self._turn(utc_day(now))
        elif self._forgetful:
            file = self._new_file()
            if file.durable:
                self._begin(file)

    def fold(self) -> None:
        """Bring the store up to date.

        Raises:
            StorageUnavailable: what is counted stays in its files.
        """
        with self._folding:
            try:
                self._absorb()
                self._write()
            except StorageUnavailable:
                for file in self._files:
                    file.sync()
                raise
            except OSError as error:
                raise StorageUnavailable(
                    f"The ledgers in {self._folder} are unusable: {error.strerror}."
                ) from error

    def report(self, wanted: Filter) -> Report:
        """Usage until this moment.

        Raises:
            StorageUnavailable: the store cannot be used.
        """
        self.fold()
        return self._table.report(wanted)

    async def watch(self) -> None:
        """Fold every second. A commit takes milliseconds, so it is made in a thread."""
        failing = False
        while True:
            await asyncio.sleep(FOLD_INTERVAL_S)
            self.tend()
            try:
                await asyncio.to_thread(self.fold)
            except StorageUnavailable as error:
                if not failing:
                    _log.error("usage waits in its ledger: %s", error.message)
                failing = True
            else:
                failing = False

    def close(self) -> None:
        """Fold for the last time and end the files; those the store refuses stay for the next
        start.
        """
        for file in self._files:
            file.retired = True
        self._rows = {}
        try:
            self.fold()
        except StorageUnavailable as error:
            _log.error("usage waits in its ledger for the next start: %s", error.message)
        while self._files:
            self._files.pop().close()

    def _write(self) -> None:
        running, changed = [], []
        for file in list(self._files):
            if file.retired:
                self._end(file)
                self._files.remove(file)
                continue
            rows, content = file.changed_rows()
            if rows:
                changed.append((file.name, rows))
                running.append((file, content))
        if changed:
            self._table.write(changed)
            for file, content in running:
                file.mark_written(content)

    def _absorb(self) -> None:
        """What processes that were killed have left behind. Looked for each time: the kernel may
        let go of a killed process's locks a moment after its successor has begun.
        """
        if self._folder is not None:
            for file in abandoned(self._folder):
                try:
                    self._end(file)
                finally:
                    file.close()

    def _end(self, file: LedgerFile) -> None:
        self._table.absorb(file.name, file.all_rows())
        file.delete()
        if self._folder is not None:
            # The mark goes last: a file that a loss of power brings back must not count twice.
            sync_folder(self._folder)
        self._table.forget([file.name])

    def _turn(self, day: int) -> None:
        self._set_day(day)
        self._begin(self._new_file())

    def _set_day(self, day: int) -> None:
        self._day = day
        self._begins, self._ends = day * DAY_S, (day + 1) * DAY_S

    def _begin(self, file: LedgerFile) -> None:
        """Count in this file only. The others take no more, so that ``fold`` may end them."""
        self._rows = {}
        earlier = list(self._files)
        self._current = file
        self._files.append(file)
        for other in earlier:
            other.retired = True

    def _new_row(self, key_id: str, model: str) -> tuple[mmap.mmap, int]:
        at = self._current.add_row(key_id, model, self._day)
        if at is None:
            self._current = self._new_file()
            self._files.append(self._current)
            at = self._current.add_row(key_id, model, self._day)
            if at is None:
                msg = f"a ledger of {self._size} bytes has no room for a row"
                raise ValueError(msg)
        found = self._rows[key_id, model] = self._current.memory, at
        return found

    def _new_file(self) -> LedgerFile:
        if self._folder is None:
            return LedgerFile.in_memory(self._size)
        try:
            file = LedgerFile.create(self._folder, self._size, self._allocate)
        except OSError as error:
            if not self._forgetful:
                _log.error(
                    "no file for usage in %s (%s): up to %.0f s of it would be lost in a crash",
                    self._folder,
                    error.strerror,
                    FOLD_INTERVAL_S,
                )
            self._forgetful = True
            return LedgerFile.in_memory(self._size)
        if self._forgetful:
            _log.info("usage is counted in a file again")
        self._forgetful = False
        return file
