"""What a worker has counted and holds at the moment, and the sum over several workers. Pure."""

from collections import Counter
from collections.abc import Iterable
from itertools import starmap
from typing import TYPE_CHECKING

import msgspec

from gateway.access.usage import Counters
from gateway.telemetry.metrics import ExpertCounters

if TYPE_CHECKING:
    from gateway.core import Core


class Figures(msgspec.Struct):
    """``keys`` are rows of key, expert and what was counted for both on the UTC day ``day``;
    ``waiting`` is by expert, ``in_flight`` and ``slots`` are by id of the replica.
    """

    day: int = 0
    experts: dict[str, ExpertCounters] = {}
    refused: dict[str, int] = {}
    keys: list[tuple[str, str, Counters]] = []
    waiting: dict[str, int] = {}
    in_flight: dict[str, int] = {}
    slots: dict[str, int] = {}

    def counted(self) -> "Figures":
        """What stays true when the worker that counted it is gone."""
        return Figures(day=self.day, experts=self.experts, refused=self.refused, keys=self.keys)


def figures_of(core: "Core") -> Figures:
    """The figures of this process."""
    replicas = core.fleet.all()
    return Figures(
        day=core.today,
        experts=core.metrics.experts,
        refused=core.metrics.refused,
        keys=list(core.ledger.counted()),
        waiting={expert: core.waiting.length(expert) for expert in core.settings.experts},
        in_flight={replica.endpoint.id: replica.in_flight for replica in replicas},
        slots={replica.endpoint.id: replica.slots for replica in replicas},
    )


def total(own: Figures, others: Iterable[Figures]) -> Figures:
    """The sum; rows of keys that are of another day than one's own are left out."""
    parts = [own, *others]
    if len(parts) == 1:
        return own
    experts: dict[str, ExpertCounters] = {}
    keys: dict[tuple[str, str], Counters] = {}
    for part in parts:
        for name, counters in part.experts.items():
            experts.setdefault(name, ExpertCounters()).include(counters)
        if part.day == own.day:
            for key, expert, counted in part.keys:
                known = keys.get((key, expert), Counters())
                keys[key, expert] = Counters(
                    *starmap(int.__add__, zip(known, counted, strict=True))
                )
    return Figures(
        day=own.day,
        experts=experts,
        refused=_added(part.refused for part in parts),
        keys=[(key, expert, counted) for (key, expert), counted in keys.items()],
        waiting=_added(part.waiting for part in parts),
        in_flight=_added(part.in_flight for part in parts),
        slots=_added(part.slots for part in parts),
    )


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)
