"""The table of limits that several workers share. Owns the lock; the rules are in ``limits``."""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.access.key import Key
from gateway.access.limits import Limits

LOCK_FILE: Final = "limits.lock"


class SharedLimits(Limits):
    """The table of limits, as one of several workers sees it."""

    __slots__ = ("_lock",)

    def __init__(
        self,
        folder: Path | None,
        *,
        worker: int,
        workers: int,
        allocate: Callable[[int, int, int], None] = os.posix_fallocate,
    ) -> None:
        self._lock = -1
        super().__init__(folder, worker=worker, workers=workers, allocate=allocate)

    def admit(self, key: Key, estimate: int, now_ns: int, day: int) -> None:
        """As ``Limits.admit``, against what all workers count."""
        with self._locked():
            super().admit(key, estimate, now_ns, day)

    def settle(
        self,
        key: Key,
        estimate: int,
        tokens: int,
        cost_micro: int,
        day: int,
        ended: bool = True,
    ) -> None:
        """As ``Limits.settle``, for all workers."""
        with self._locked():
            super().settle(key, estimate, tokens, cost_micro, day, ended)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps the other workers out; nobody where the file cannot be used."""
        if self._lock < 0:
            yield
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _share(self, folder: Path, allocate: Callable[[int, int, int], None]) -> mmap.mmap:
        memory = super()._share(folder, allocate)
        self._lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held.append(self._lock)
        return memory

    def _release(self) -> None:
        super()._release()
        self._lock = -1
