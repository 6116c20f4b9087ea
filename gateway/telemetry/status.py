"""The state of everything in one document, for the status page and for whoever likes JSON. Pure but
for reading the clock.
"""

import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from gateway.fleet.replicas import Replica
from gateway.telemetry.figures import Figures
from gateway.telemetry.metrics import ExpertCounters

if TYPE_CHECKING:
    from gateway.core import Core

_SHOWN: Final = 100


def status(core: "Core", only_key: str | None = None) -> dict[str, Any]:
    """Experts with their replicas and queues since this process began, and tokens by key of today,
    UTC; with ``only_key`` what is this key's alone. Of those who wait, only the queue of the
    process that answers is known.
    """
    figures = core.figures()
    keys: dict[str, dict[str, int]] = {}
    for key, _, counters in figures.keys:
        if only_key is not None and key != only_key:
            continue
        row = keys.setdefault(key, {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0})
        row["requests"] += counters.requests
        row["prompt_tokens"] += counters.prompt_tokens
        row["completion_tokens"] += counters.completion_tokens
    return {
        "time": round(time.time(), 3),
        "uptime_s": round(time.monotonic() - core.began, 1),
        "workers": core.settings.workers,
        "draining": core.draining,
        "usage_durable": core.ledger.durable,
        "experts": [
            _expert(core, figures, name) | {"queue": _queue(core, name, only_key)}
            for name in core.settings.experts
        ],
        "aliases": dict(core.settings.aliases),
        "keys": [{"id": key, **row} for key, row in sorted(keys.items())],
    }


def _expert(core: "Core", figures: Figures, name: str) -> dict[str, Any]:
    counters, replicas = figures.experts.get(name) or ExpertCounters(), core.fleet.of(name)
    live = [replica for replica in replicas if replica.live]
    answered = sum(counters.first_byte.counts)
    seconds = counters.output_seconds
    return {
        "name": name,
        "description": core.settings.experts[name].description,
        "capabilities": list(core.settings.experts[name].capabilities),
        "degraded": bool(live) and all(replica.degraded for replica in live),
        "waiting": figures.waiting.get(name, 0),
        "requests": sum(counters.statuses.values()),
        "errors": sum(counters.errors.values()),
        "cancelled": counters.cancelled,
        "failovers": counters.failovers + counters.retries,
        "prompt_tokens": counters.prompt,
        "cached_tokens": counters.cached,
        "completion_tokens": counters.completion,
        "tokens_per_s": round(counters.completion / seconds, 1) if seconds > 0 else None,
        "first_byte_ms": (
            round(counters.first_byte.total / answered * 1000, 1) if answered else None
        ),
        "replicas": [
            _replica(replica, figures, show_host=core.settings.show_hosts) for replica in replicas
        ],
    }


def _queue(core: "Core", name: str, only_key: str | None) -> list[dict[str, Any]]:
    """The first of those who wait, in the order of their turns."""
    now = time.monotonic()
    shown = (
        {
            "request_id": placement.call.request_id.decode(),
            "key": placement.call.key.id,
            "position": position,
            "eta_s": round(eta_s, 1),
            "waited_s": round(now - placement.queued_at, 1),
        }
        for placement, position, eta_s in core.waiting.line(name, core.slots(name))
        if only_key is None or placement.call.key.id == only_key
    )
    return list(islice(shown, _SHOWN))


def _replica(replica: Replica, figures: Figures, *, show_host: bool) -> dict[str, Any]:
    return {
        "id": replica.endpoint.id,
        "url": replica.endpoint.url if show_host else None,
        "live": replica.live,
        "serving": replica.serving,
        "degraded": replica.degraded,
        "breaker": "open" if replica.breaker.open else "closed",
        "in_flight": figures.in_flight.get(replica.endpoint.id, 0),
        "slots": figures.slots.get(replica.endpoint.id, 0),
        "deferred": replica.deferred,
    }
