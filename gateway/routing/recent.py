"""A bounded memory that forgets what has not been used for a while."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """At most ``size`` entries; the one unused longest gives way, and none is kept past ``ttl_s``.

    An entry past its time stays until its place is needed, for callers that prefer an old answer
    to none.
    """

    def __init__(self, size: int, ttl_s: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, *, even_expired: bool = False) -> Value | None:
        """The value; does not count as a use."""
        entry = self._entries.get(key)
        if entry is None or (self._clock() - entry[0] > self._ttl_s and not even_expired):
            return None
        return entry[1]

    def put(self, key: bytes, value: Value) -> None:
        """Keeps the value as the most recent one."""
        self._entries[key] = (self._clock(), value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self) -> None:
        """Empties the memory."""
        self._entries.clear()
