"""What a key may use per minute, per day and at once. Owns the cells in which this is counted, in
memory that all workers share. Does not own the record of usage, from which it is set at start.

A request passes when every limit of its key has room, and takes from all of them or from none:

- ``rpm`` and ``tpm`` are GCRA with a burst of one minute: in any window of w seconds at most
  limit * (1 + w/60) requests, or tokens as estimated, pass. Tokens beyond an estimate are a debt
  that delays what follows.
- ``concurrency`` counts requests between ``admit`` and ``settle``.
- ``daily_tokens`` holds for estimates too, per UTC day.
- ``budget`` refuses once it is used up. Nothing is set aside for the requests in flight, because
  their price is unknown; they are the most by which a budget can be exceeded.

``settle`` takes the same Key object as its ``admit``, whatever the ring says meanwhile.
"""

import fcntl
import logging
import mmap
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from gateway.access import refusal
from gateway.access.key import CELLS, MINUTE_NS, ROWS, Key
from gateway.access.period import numbers
from gateway.access.usage import Spent

FILE: Final = "limits"

# Cells of a row. Eight columns of requests in flight: one writer each.
_REQUESTS_TAT: Final = 0
_TOKENS_TAT: Final = 1
_DAY: Final = 2
_DAY_TOKENS: Final = 3
_PERIOD: Final = 4
_PERIOD_COST: Final = 5
_IN_FLIGHT: Final = 8

_MOST: Final = 1 << 62  # a debt of a century; the next one must not overflow the cell
_BYTES: Final = ROWS * CELLS * 8

_log = logging.getLogger("gateway.access")


class Limits:
    """The table of limits of a gateway with one worker."""

    __slots__ = ("_alone", "_cells", "_column", "_day", "_held", "_numbers", "_workers")

    def __init__(
        self,
        folder: Path | None = None,
        *,
        worker: int = 0,
        workers: int = 1,
        allocate: Callable[[int, int, int], None] = os.posix_fallocate,
    ) -> None:
        self._column = _IN_FLIGHT + worker
        self._workers = workers
        self._day = 0
        self._numbers = numbers(0)
        self._held: list[int] = []
        self._alone = True
        memory: mmap.mmap | None = None
        if folder is not None:
            try:
                memory = self._share(folder, allocate)
            except OSError as error:
                self._release()
                _log.error(
                    "%s cannot be used (%s): limits are counted by each worker alone",
                    folder / FILE,
                    error.strerror,
                )
        self._cells = memoryview(memory or mmap.mmap(-1, _BYTES)).cast("q")

    def close(self) -> None:
        """Let go of the table."""
        self._cells.release()
        self._release()

    def prime(self, key: Key, day: int, spent: Spent, now_ns: int) -> None:
        """Set a key's cells from the record of its usage. What other workers count at this moment
        is never lowered.
        """
        cells, at = self._cells, key.cell
        if self._alone:
            # More than a minute ahead is a debt or the clock of an earlier boot; a restart
            # forgives both.
            for tat in (at + _REQUESTS_TAT, at + _TOKENS_TAT):
                if cells[tat] - now_ns > MINUTE_NS:
                    cells[tat] = now_ns
        number = numbers(day)[key.period]
        for mark, wanted, cell, value in (
            (at + _DAY, day, at + _DAY_TOKENS, spent.tokens),
            (at + _PERIOD, number, at + _PERIOD_COST, spent.cost_micro),
        ):
            keep = cells[cell] if cells[mark] == wanted and not self._alone else 0
            cells[mark] = wanted
            cells[cell] = max(keep, value)

    def share(self) -> None:
        """The cells are set: let the other workers begin. Until then they wait, if this one came
        first, so that nothing they count is set back.
        """
        self._alone = False
        if self._held:
            # Held for as long as this process lives: it tells the next one that it is not alone.
            fcntl.flock(self._held[0], fcntl.LOCK_SH)

    def headers(self, key: Key, now_ns: int) -> bytes:
        """The header lines that tell a client what is left, each with its line end."""
        cells, at = self._cells, key.cell
        left: tuple[int | bytes, ...] = ()
        if step := key.request_ns:
            left = _left(key.rpm or 0, step, cells[at + _REQUESTS_TAT] - now_ns)
        if step := key.token_ns:
            left += _left(key.tpm or 0, step, cells[at + _TOKENS_TAT] - now_ns)
        return key.limit_lines % left

    def admit(self, key: Key, estimate: int, now_ns: int, day: int) -> None:
        """Let a request pass and take what it needs.

        Raises:
            LimitExceeded: a limit has no room; nothing was taken.
        """
        cells, at = self._cells, key.cell
        requests_tat = tokens_tat = used = 0
        if step := key.request_ns:
            requests_tat = cells[at]
            if requests_tat < now_ns:
                requests_tat = now_ns
            requests_tat += step
            if requests_tat - now_ns > key.request_burst_ns:
                raise refusal.too_many_requests(key, requests_tat - now_ns)
        if step := key.token_ns:
            tokens_tat = cells[at + 1]
            if tokens_tat < now_ns:
                tokens_tat = now_ns
            tokens_tat += step * estimate
            if tokens_tat - now_ns > key.token_burst_ns:
                raise refusal.too_many_tokens(key, estimate, tokens_tat - now_ns)
        if key.daily_tokens is not None:
            if cells[at + 2] != day:
                self._turn(at + 2, day)
            used = cells[at + 3]
            if used + estimate > key.daily_tokens:
                raise refusal.day_used_up(key, estimate, used, day)
        if key.budget_micro is not None:
            if day != self._day:
                self._numbers = numbers(day)
                self._day = day
            period = self._numbers[key.period]
            if cells[at + 4] != period:
                self._turn(at + 4, period)
            if cells[at + 5] >= key.budget_micro:
                raise refusal.budget_used_up(key, cells[at + 5], day)
        if key.concurrency is not None:
            if self._workers == 1:
                running = cells[at + self._column]
            else:
                running = sum(cells[at + _IN_FLIGHT : at + _IN_FLIGHT + self._workers])
            if running >= key.concurrency:
                raise refusal.too_many_at_once(key)
            cells[at + self._column] += 1
        if requests_tat:
            cells[at] = requests_tat
        if tokens_tat:
            cells[at + 1] = tokens_tat
        if key.daily_tokens is not None:
            cells[at + 3] = used + estimate

    def settle(
        self,
        key: Key,
        estimate: int,
        tokens: int,
        cost_micro: int,
        day: int,
        ended: bool = True,
    ) -> None:
        """The request has ended: replace its estimate by what it used. ``day`` is that of its
        ``admit``: past midnight its estimate went with the old day. With ``ended`` of False it had
        been settled before and turned out to have used so much more.
        """
        cells, at = self._cells, key.cell
        if ended and key.concurrency is not None:
            column = at + self._column
            # Never below zero: after a restart beside a draining predecessor both use one column.
            if cells[column] > 0:
                cells[column] -= 1
        if step := key.token_ns:
            cells[at + 1] = min(cells[at + 1] + (tokens - estimate) * step, _MOST)
        if key.daily_tokens is not None:
            used = cells[at + 3] + (tokens - estimate if cells[at + 2] == day else tokens)
            cells[at + 3] = used if used > 0 else 0
        if key.budget_micro is not None:
            cells[at + 5] += cost_micro

    def _turn(self, mark: int, number: int) -> None:
        """Begin the next day or period. The cell of one that is just ahead stays: the clock went
        back a little, and nobody's allowance doubles for it.
        """
        if self._cells[mark] != number + 1:
            self._cells[mark] = number
            self._cells[mark + 1] = 0

    def _share(self, folder: Path, allocate: Callable[[int, int, int], None]) -> mmap.mmap:
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._alone = False
            fcntl.flock(handle, fcntl.LOCK_SH)
        # Every block is taken now: a full disk must be an error here and no SIGBUS later.
        allocate(handle, 0, _BYTES)
        memory = mmap.mmap(handle, _BYTES)
        with memoryview(memory) as view, view.cast("q") as cells:
            for column in range(_IN_FLIGHT, CELLS) if self._alone else (self._column,):
                for row, running in enumerate(cells[column::CELLS].tolist()):
                    if running:
                        cells[row * CELLS + column] = 0
        return memory

    def _release(self) -> None:
        while self._held:
            os.close(self._held.pop())


def _left(limit: int, step: int, ahead: int) -> tuple[int, bytes]:
    """What remains of a bucket, and when it will be full."""
    if ahead <= 0:
        return limit, b"0s"
    left = limit - -(-ahead // step)
    return left if left > 0 else 0, _reset(-(-ahead // refusal.MILLISECOND_NS))


@lru_cache(maxsize=4096)
def _reset(milliseconds: int) -> bytes:
    return refusal.duration(milliseconds * refusal.MILLISECOND_NS).encode()
