"""Who waits for a slot, and whose turn it is. Pure.

Higher priority first; within a priority the keys take turns, so that one busy key delays itself
and not the others.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, Generic, TypeVar, cast

ItemT = TypeVar("ItemT")

_NOBODY: Final = object()


class FairQueue(Generic[ItemT]):
    """Waiting items by priority (0 is first) and key."""

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, deque[ItemT]]] = {}
        self._of_key: dict[str, int] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ItemT]:
        """All items, in the order in which they will be served if nobody comes or goes."""
        for priority in sorted(self._levels):
            for turn in zip_longest(*self._levels[priority].values(), fillvalue=_NOBODY):
                yield from (cast("ItemT", item) for item in turn if item is not _NOBODY)

    def waiting(self, key: str) -> int:
        """How many items of one key wait."""
        return self._of_key.get(key, 0)

    def push(self, item: ItemT, *, key: str, priority: int) -> None:
        """Adds an item behind the others of its key."""
        turns = self._levels.setdefault(priority, OrderedDict())
        turns.setdefault(key, deque()).append(item)
        self._of_key[key] = self._of_key.get(key, 0) + 1
        self._length += 1

    def peek(self) -> ItemT | None:
        """The item whose turn it is."""
        for priority in sorted(self._levels):
            for items in self._levels[priority].values():
                return items[0]
        return None

    def remove(self, item: ItemT, *, key: str, priority: int) -> bool:
        """Takes an item out of the middle; False when it does not wait."""
        items = self._levels.get(priority, OrderedDict()).get(key)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._dropped(priority, key)
        return True

    def took_turn(self, *, key: str, priority: int) -> None:
        """An item of this key was served: the key goes to the end of the line."""
        turns = self._levels.get(priority)
        if turns is not None and key in turns:
            turns.move_to_end(key)

    def position(self, *, key: str, priority: int) -> int:
        """How many items go before a new one of this key, at most."""
        ahead = sum(
            len(items)
            for level, turns in self._levels.items()
            for items in turns.values()
            if level < priority
        )
        mine = self._levels.get(priority, OrderedDict()).get(key, ())
        for other, items in self._levels.get(priority, OrderedDict()).items():
            # The others of this level get one turn for each of mine.
            ahead += len(items) if other == key else min(len(items), len(mine) + 1)
        return ahead

    def _dropped(self, priority: int, key: str) -> None:
        self._length -= 1
        self._of_key[key] -= 1
        if not self._of_key[key]:
            del self._of_key[key]
        turns = self._levels[priority]
        if not turns[key]:
            del turns[key]
        if not turns:
            del self._levels[priority]
