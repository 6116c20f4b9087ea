"""What changed between old and new inputs, in the engine's terms. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from toolchain.plugins.values import Properties, reveal


class Kind(StrEnum):
    """How one property changed; the names are the protocol's."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


@dataclass
class Diff:
    """Changed paths with their kind, and which of them force a replacement."""

    changes: dict[str, Kind] = field(default_factory=dict)
    replaces: set[str] = field(default_factory=set)

    @property
    def keys(self) -> list[str]:
        """Top-level names of the changed properties, sorted."""
        return sorted({path.partition(".")[0].partition("[")[0] for path in self.changes})


def compare(old: Properties, new: Properties, *, ignored: frozenset[str] = frozenset()) -> Diff:
    """Compare inputs by value; a secret mark alone is no change. Internal names are skipped."""
    diff = Diff()
    for name in sorted({*old, *new}):
        if not name.startswith("__") and name not in ignored:
            _walk(name, reveal(old.get(name)), reveal(new.get(name)), diff)
    return diff


def _walk(path: str, old: Any, new: Any, diff: Diff) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            _walk(f"{path}.{key}", old.get(key), new.get(key), diff)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            _walk(f"{path}[{index}]", before, after, diff)
    # In Python True == 1; for the engine they are different values.
    elif old == new and isinstance(old, bool) == isinstance(new, bool):
        return
    elif old is None or new is None:
        diff.changes[path] = Kind.ADD if old is None else Kind.DELETE
    else:
        diff.changes[path] = Kind.UPDATE
