"""Comparing two sets of inputs the way the official providers report it.

Owns the kinds and the paths of a detailed diff. Does not own which property forces a replacement:
resources say that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from toolchain.plugins.values import Props, Value, same

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$]*")


class Kind(IntEnum):
    """Numbers as in the wire protocol; the odd ones replace the resource."""

    ADD = 0
    ADD_REPLACE = 1
    DELETE = 2
    DELETE_REPLACE = 3
    UPDATE = 4
    UPDATE_REPLACE = 5

    def replacing(self) -> Kind:
        """The kind that says the same and asks for a replacement."""
        return Kind(self | 1)


@dataclass(frozen=True)
class Diff:
    """`changes` maps a property path to its kind; `replaces` names top-level properties."""

    changes: Mapping[str, Kind] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    stables: tuple[str, ...] = ()
    delete_before_replace: bool = False
    input_diff: bool = True

    def __bool__(self) -> bool:
        return bool(self.changes or self.replaces)

    @property
    def tops(self) -> tuple[str, ...]:
        """The changed top-level properties, in the order of the changes."""
        return tuple(dict.fromkeys(top(path) for path in self.changes))


def top(path: str) -> str:
    """The top-level property that a path lies in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _member(path: str, key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{quoted}"]'


def _walk(path: str, old: Value, new: Value) -> Iterator[tuple[str, Kind]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = _member(path, key)
            if key not in new:
                yield inner, Kind.DELETE
            elif key not in old:
                yield inner, Kind.ADD
            else:
                yield from _walk(inner, old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            inner = f"{path}[{index}]"
            if index >= len(new):
                yield inner, Kind.DELETE
            elif index >= len(old):
                yield inner, Kind.ADD
            else:
                yield from _walk(inner, old[index], new[index])
    elif not same(old, new):
        yield path, Kind.UPDATE


def compare(old: Props, new: Props) -> dict[str, Kind]:
    """Every path at which `new` differs, sorted by top-level name.

    Maps and lists are entered where both sides are bare; below a secret there is one path for
    the whole. Keys beginning with two underscores are bookkeeping and never differ.
    """
    shown = {
        key: value for key, value in old.items() if not key.startswith("__") and value is not None
    }
    wanted = {
        key: value for key, value in new.items() if not key.startswith("__") and value is not None
    }
    return dict(_walk("", shown, wanted))


def replacing(changes: Mapping[str, Kind], names: Collection[str]) -> Diff:
    """A diff in which every change inside one of `names` replaces the resource."""
    marked = {
        path: kind.replacing() if top(path) in names else kind for path, kind in changes.items()
    }
    hit: Iterable[str] = (top(path) for path in changes if top(path) in names)
    return Diff(marked, tuple(dict.fromkeys(hit)))
