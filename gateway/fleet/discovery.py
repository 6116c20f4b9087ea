"""Keeps the fleet true: reads Nomad's catalogue and asks every replica itself, because the native
catalogue lists dead ones too. Owns its background tasks; chooses nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from contract import services
from contract.gateway_settings import ExpertRoute, GatewaySettings
from gateway.fleet.probe import FAULTS, Probe
from gateway.fleet.replicas import Endpoint, Fleet, Replica

_WAIT_S: Final = 30  # how long Nomad may hold a query that has no news
_PACE_S: Final = 0.2  # the shortest pause between two looks at the same thing

_log = logging.getLogger("gateway.discovery")


class Discovery:
    """One watcher per expert and one prober for all replicas."""

    def __init__(
        self,
        settings: GatewaySettings,
        fleet: Fleet,
        *,
        nomad: httpx.AsyncClient | None,
        probe: Probe,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._nomad = nomad
        self._probe_replica = probe
        self._sleep = sleep
        self._looked_up = [name for name, route in settings.experts.items() if not route.upstreams]
        for name, route in settings.experts.items():
            if route.upstreams:
                fleet.update(name, _fixed(name, route))

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for expert in self._looked_up:
                tasks.create_task(self._watch(expert))
            tasks.create_task(self._probe_forever())
            tasks.create_task(self._revive_forever())

    async def first_look(self, timeout_s: float) -> None:
        """Learns what there is before the first request comes; gives up after ``timeout_s``."""
        looks: list[Awaitable[object]] = [self.look(expert) for expert in self._looked_up]
        looks.append(self.probe_all())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                # What fails here is tried again, and reported, by the watchers.
                await asyncio.gather(*looks, return_exceptions=True)

    async def look(self, expert: str, index: int = 0) -> int:
        """Reads one expert's registrations, probes the new ones and returns the catalogue's index;
        with an index, it first waits for a change.

        Raises:
            httpx.HTTPError, ValueError: Nomad did not answer, or not as documented.
        """
        assert self._nomad is not None  # the settings demand an address where this is called
        response = await self._nomad.get(
            f"/v1/service/{services.expert_service(expert)}",
            params={"index": index, "wait": f"{_WAIT_S}s"} if index else {},
            timeout=_WAIT_S * 1.5,
        )
        response.raise_for_status()
        self._fleet.update(expert, _endpoints(expert, response.json()))
        await self._probe([r for r in self._fleet.of(expert) if not r.live])
        return int(response.headers.get("x-nomad-index", 0))

    async def probe_all(self) -> None:
        """Asks every replica once."""
        await self._probe(self._fleet.all())

    async def _watch(self, expert: str) -> None:
        index, reachable = 0, True
        while True:
            try:
                latest = await self.look(expert, index)
                # An index that fell means a restored or replaced Nomad: start over.
                index = latest if latest >= index else 0
                if not reachable:
                    _log.info("catalogue answers again expert=%s", expert)
                reachable = True
            except (*FAULTS, OSError) as error:
                # The replicas known so far stay: they are probed anyway.
                if reachable:
                    _log.warning("catalogue fails expert=%s why=%s", expert, _reason(error))
                index, reachable = 0, False
            await self._sleep(_PACE_S if index else self._settings.probe_interval_s)

    async def _probe_forever(self) -> None:
        while True:
            await self._sleep(self._settings.probe_interval_s)
            await self.probe_all()

    async def _revive_forever(self) -> None:
        # A restarted expert is back within a fraction of a second; its clients wait for this look.
        while True:
            await self._sleep(_PACE_S)
            await self._probe([replica for replica in self._fleet.all() if not replica.live])

    async def _probe(self, replicas: list[Replica]) -> None:
        await asyncio.gather(*(self._probe_one(replica) for replica in replicas))

    async def _probe_one(self, replica: Replica) -> None:
        before = (replica.live, replica.serving)
        await self._probe_replica(replica)
        if before != (replica.live, replica.serving):
            _log.info(
                "replica %s expert=%s at=%s rung=%s slots=%d degraded=%s",
                "live" if replica.live else "lost",
                replica.endpoint.expert,
                replica.endpoint.url,
                replica.serving,
                replica.slots,
                replica.degraded,
            )


def _endpoints(expert: str, entries: list[dict[str, Any]]) -> list[Endpoint]:
    """The registrations that can be used: one that is malformed must not hide the others.

    Raises:
        ValueError: all are malformed, which is no reason to forget the replicas that are known.
    """
    found = []
    for entry in entries:
        try:
            found.append(_endpoint(expert, entry))
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("registration is unusable expert=%s why=%r", expert, error)
    if entries and not found:
        msg = f"none of the registrations of {expert} can be used"
        raise ValueError(msg)
    return found


def _endpoint(expert: str, entry: dict[str, Any]) -> Endpoint:
    address = str(entry["Address"])
    host = f"[{address}]" if ":" in address else address
    endpoint = Endpoint(
        id=str(entry["ID"]),
        expert=expert,
        url=f"http://{host}:{int(entry['Port'])}",
        preferred=services.preferred_rung(list(entry.get("Tags") or [])),
    )
    if not endpoint.address[0]:
        msg = f"no host in {endpoint.url}"
        raise ValueError(msg)
    return endpoint


def _fixed(expert: str, route: ExpertRoute) -> list[Endpoint]:
    return [
        Endpoint(
            id=f"{expert}-{place}",
            expert=expert,
            url=upstream.url,
            model=upstream.model,
            slots=upstream.slots,
        )
        for place, upstream in enumerate(route.upstreams)
    ]


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__
