"""Which replica takes a request. Pure: no I/O, the time is given."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.fleet.replicas import Replica

_IMBALANCE: Final = 2
"""How many requests busier than the idlest a replica may be and still be chosen for its cache."""


def choose_replica(
    replicas: Sequence[Replica],
    *,
    now: float,
    known: Mapping[str, int] | None = None,
    tried: Collection[str] = (),
) -> Replica | None:
    """The replica to send to, or None when none has a free slot.

    The best model goes before an idle machine. Between equals the one that knows most of the
    conversation takes it, unless it is clearly busier than the idlest; else the least busy, then
    the one used longest ago. ``known`` are bytes of the conversation by replica id.
    """
    free = [
        replica
        for replica in replicas
        if replica.live
        and replica.in_flight < replica.slots
        and replica.breaker.allows(now)
        and replica.endpoint.id not in tried
    ]
    if len(free) < 2:
        return free[0] if free else None
    if any(not replica.degraded for replica in free):
        free = [replica for replica in free if not replica.degraded]
    idlest = min(free, key=_load)
    if known:
        limit = _load(idlest)[0] + _IMBALANCE
        deepest = max(
            (
                replica
                for replica in free
                if replica.endpoint.id in known and _load(replica)[0] <= limit
            ),
            key=lambda replica: (known[replica.endpoint.id], -replica.in_flight),
            default=None,
        )
        if deepest is not None:
            return deepest
    return idlest


def can_wait(replicas: Sequence[Replica], *, now: float, tried: Collection[str] = ()) -> bool:
    """Whether any replica will have a free slot once a request on it ends."""
    return any(
        replica.live and replica.breaker.allows(now) and replica.endpoint.id not in tried
        for replica in replicas
    )


def _load(replica: Replica) -> tuple[int, int]:
    return replica.in_flight + replica.deferred, replica.chosen
