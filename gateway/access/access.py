"""Keys, limits and usage of one worker, put together. Owns their order at start and end and the two
watchers; the rules live in the modules it wires.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.database import FILE, Database
from gateway.access.errors import StorageUnavailable
from gateway.access.key import Key
from gateway.access.ledger import Ledger
from gateway.access.limits import Limits
from gateway.access.period import utc_day
from gateway.access.ring import KeyRing, Snapshot
from gateway.access.secret import admin_digest, hasher_of
from gateway.access.shared_limits import SharedLimits
from gateway.access.store import KeyStore
from gateway.access.usage import Spent, UsageTable

REFRESH_INTERVAL_S: Final = 0.25

_log = logging.getLogger("gateway.access")


class Access:
    """Made in the process that uses it, after any fork: its locks are those of one process."""

    def __init__(
        self,
        settings: GatewaySettings,
        secrets: GatewaySecrets,
        *,
        worker: int = 0,
        clock: Callable[[], float] = time.time,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Raises StorageUnavailable when data_dir or the secrets in it cannot be made. A store that
        is unusable is no reason not to start: keys from files serve, and the rest follows.
        """
        folder = data_folder(settings)
        hasher = hasher_of(secrets, folder)
        self.admin_digest = admin_digest(secrets, folder)
        self._database = Database(None if folder is None else folder / FILE)
        self._usage = UsageTable(self._database)
        self._clock = clock
        self._clock_ns = clock_ns
        self.store = None if folder is None else KeyStore(self._database, hasher, clock)
        self.ring = KeyRing([*settings.keys, *secrets.keys], self.store, hasher, clock)
        self.ledger = Ledger(folder, self._usage, clock=clock)
        self.limits = (
            Limits(folder)
            if settings.workers == 1
            else SharedLimits(folder, worker=worker, workers=settings.workers)
        )
        try:
            self.ledger.fold()
            self._adopt(self._load())
        except StorageUnavailable as error:
            _log.critical("only keys from files are known: %s", error.message)
        finally:
            self.limits.share()

    async def run(self) -> None:
        """Follow changes by other workers and bring usage to the store, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self.ledger.watch())

    async def reload(self) -> None:
        """Put in force what the store says now.

        Raises:
            StorageUnavailable: the keys in force stay so.
        """
        self._adopt(await asyncio.to_thread(self._load))

    def close(self) -> None:
        """Write the last usage and let go of every file."""
        self.ledger.close()
        self.limits.close()
        self._database.close()

    async def _watch(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            try:
                await self.reload()
            except StorageUnavailable as error:
                if not failing:
                    _log.error("the known keys stay in force: %s", error.message)
                failing = True
            else:
                failing = False

    def _load(self) -> tuple[Snapshot, list[tuple[Key, Spent]]] | None:
        """The store's keys, and what those with a new quota have used of it. Blocks."""
        snapshot = self.ring.load()
        if snapshot is None:
            return None
        present = self.ring.keys()
        capped = {
            key.id: key
            for key in snapshot.keys.values()
            if key.limited and _quotas(key) != _quotas(present.get(key.row))
        }
        if capped:
            self.ledger.fold()
        day = utc_day(self._clock())
        spent = self._usage.spent({key.id: key.budget_period for key in capped.values()}, day)
        return snapshot, [(key, spent[key.id]) for key in capped.values()]

    def _adopt(self, loaded: tuple[Snapshot, list[tuple[Key, Spent]]] | None) -> None:
        """In the thread of the event loop, so that no request meets a key between two states."""
        if loaded is None:
            return
        snapshot, capped = loaded
        day, now_ns = utc_day(self._clock()), self._clock_ns()
        for key, spent in capped:
            self.limits.prime(key, day, spent, now_ns)
        self.ring.adopt(snapshot)


def _quotas(key: Key | None) -> tuple[object, ...] | None:
    """What of a key decides which sums of the past its cells must hold."""
    if key is None:
        return None
    return key.daily_tokens is None, key.budget_micro is None, key.budget_period


def data_folder(settings: GatewaySettings) -> Path | None:
    """The folder for what must outlive the process, made if need be; None: nothing is kept.

    Raises:
        StorageUnavailable: it cannot be made.
    """
    if settings.data_dir is None:
        return None
    folder = Path(settings.data_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"data_dir {folder} cannot be made: {error.strerror}.") from error
    return folder
