"""The keys in memory: which token opens as which key. Owns the lookup that every request makes and
the copy of the store it is made in. Does not own the store, nor what a key may use.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contract.gateway_settings import ApiKey
from gateway.access.errors import KeyExpired, StorageUnavailable
from gateway.access.key import Key, file_key, key_of
from gateway.access.secret import Hasher
from gateway.access.store import KeyStore
from gateway.errors import GatewayError, Unauthorized


@dataclass(frozen=True)
class Snapshot:
    """The store's keys by their digests, as of a number of changes."""

    changes: int
    keys: Mapping[bytes, Key]


class KeyRing:
    """Finds keys.

    ``version`` grows when anything changed. Whoever keeps a found key reads ``version`` before
    ``find``, compares it before each further use, and compares ``expires_at`` with the clock.
    """

    __slots__ = ("_changes", "_clock", "_digest", "_files", "_lock", "_store", "_stored", "version")

    def __init__(
        self,
        files: Sequence[ApiKey],
        store: KeyStore | None,
        hasher: Hasher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = {
            bytes.fromhex(key.sha256): file_key(key, place) for place, key in enumerate(files)
        }
        self._store = store
        self._digest = hasher.digest
        self._clock = clock
        self._stored: Mapping[bytes, Key] = {}
        self._changes = 0
        self._lock = threading.Lock()
        self.version = 1

    def find(self, token: bytes) -> Key:
        """The key a token opens as. A dict of digests needs no comparison in constant time: what
        its timing could tell is about a hash that nobody can aim at.

        Raises:
            Unauthorized: no token, an unknown one, or that of a revoked key.
            KeyExpired: its key or its overlap has ended.
            StorageUnavailable: the store could not be read since the start.
        """
        key = self._stored.get(self._digest(token)) if self._stored else None
        if key is None:
            key = self._files.get(hashlib.sha256(token).digest())
            if key is None:
                raise self._refusal(token)
        if key.expires_at <= self._clock():
            raise KeyExpired
        return key

    def _refusal(self, token: bytes) -> GatewayError:
        if not token:
            return Unauthorized(_ABSENT)
        if self._store is not None and not self._changes:
            # To call a key wrong that was never looked up would make clients throw it away.
            return StorageUnavailable("API keys cannot be looked up at this moment; try again.")
        return Unauthorized(_INCORRECT)

    def keys(self) -> dict[int, Key]:
        """The store's keys by their rows."""
        return {key.row: key for key in self._stored.values()}

    def of_settings(self) -> dict[str, Key]:
        """The keys that stand in the settings, by their ids."""
        return {key.id: key for key in self._files.values()}

    def load(self) -> Snapshot | None:
        """What the store says now, or None when that is what is in force. Blocks.

        Raises:
            StorageUnavailable: the keys in force stay so.
        """
        if self._store is None or self._store.changes() == self._changes:
            return None
        changes, secrets = self._store.secrets()
        keys = {}
        for digest, secret, record in secrets:
            key = key_of(record)
            if secret.expires_at is not None:
                key = key.until(min(key.expires_at, secret.expires_at))
            keys[digest] = key
        return Snapshot(changes, keys)

    def adopt(self, snapshot: Snapshot) -> None:
        """Put it in force, unless something newer is."""
        with self._lock:
            if snapshot.changes > self._changes:
                self._changes = snapshot.changes
                self._stored = snapshot.keys
                self.version += 1

    def refresh(self) -> bool:
        """Load and adopt. Returns whether anything changed.

        Raises:
            StorageUnavailable: the keys in force stay so.
        """
        snapshot = self.load()
        if snapshot is not None:
            self.adopt(snapshot)
        return snapshot is not None


_ABSENT = "You didn't provide an API key. Send it as `Authorization: Bearer <key>`."
_INCORRECT = "Incorrect API key provided."
