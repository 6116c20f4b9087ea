"""Asks a replica how it is: alive, which rung, how many requests at once, how many wait inside it.
Owns the questions and what their answers mean; when to ask is discovery's affair.
"""

import re
from typing import Final

import httpx

from gateway.fleet.replicas import DEFAULT_SLOTS, Replica

_MISSES_ALLOWED: Final = 1
_LONGEST_S: Final = 5.0
_DEFERRED: Final = re.compile(rb"^llamacpp:requests_deferred (\d+)", re.MULTILINE)
FAULTS: Final = (httpx.HTTPError, ValueError, KeyError, TypeError)  # no answer, or a strange one


class Probe:
    """``workers`` processes share every replica, so that each takes its part of the slots."""

    def __init__(self, client: httpx.AsyncClient, *, interval_s: float, workers: int = 1) -> None:
        self._client = client
        self._limit_s = min(max(1.0, interval_s), _LONGEST_S)
        self._workers = workers

    async def __call__(self, replica: Replica) -> None:
        """Looks once and writes down what was found; never raises."""
        was_live = replica.live
        try:
            models = await self._get(replica, "/v1/models")
            rung = str(models.json()["data"][0]["id"])
            if not was_live or rung != replica.serving:
                await self._learn(replica)
            elif replica.counts:
                await self._load(replica)
            replica.answered(rung)
        except httpx.TimeoutException:
            replica.missed(_MISSES_ALLOWED)
        except (*FAULTS, httpx.InvalidURL, IndexError):
            replica.failed()

    async def _learn(self, replica: Replica) -> None:
        """What stays the same while it runs. Only llama-server has /props."""
        try:
            facts = (await self._get(replica, "/props")).json()
            slots = int(facts["total_slots"])
        except httpx.TimeoutException:
            raise
        except FAULTS:
            replica.counts, slots = False, DEFAULT_SLOTS
        else:
            replica.counts = True
        slots = replica.endpoint.slots or slots
        replica.slots = replica.pool.limit = max(1, slots // self._workers)

    async def _load(self, replica: Replica) -> None:
        """Requests waiting inside it: other clients may talk to it as well."""
        try:
            text = (await self._get(replica, "/metrics")).content
        except httpx.HTTPStatusError:
            return
        found = _DEFERRED.search(text)
        replica.deferred = int(found[1]) if found else 0

    async def _get(self, replica: Replica, path: str) -> httpx.Response:
        url = f"{replica.endpoint.root}{path}"
        response = await self._client.get(url, timeout=self._limit_s)
        response.raise_for_status()
        return response
