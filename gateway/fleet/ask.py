"""Asks an expert something on the gateway's own behalf. Not for clients' requests: those take the
wire, which streams, queues and accounts.
"""

import httpx

from gateway.errors import NoReplica, UpstreamFailed
from gateway.fleet.balance import choose_replica
from gateway.fleet.replicas import Fleet, Replica


class Asker:
    """Puts questions to the replica with the least to do; never waits for a free one."""

    def __init__(self, fleet: Fleet, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        self._fleet = fleet
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, expert: str, path: str, body: bytes) -> bytes:
        """The body of a successful answer.

        Raises:
            NoReplica: nothing serves this expert, or all its slots are taken.
            UpstreamFailed: it did not answer, or not well.
        """
        replica = choose_replica(self._fleet.of(expert), now=0.0)
        if replica is None:
            raise NoReplica(f"No replica of `{expert}` is free.")
        replica.in_flight += 1
        try:
            return await self.of(replica, path, body, timeout_s=self._timeout_s)
        finally:
            replica.in_flight -= 1

    async def of(self, replica: Replica, path: str, body: bytes, *, timeout_s: float) -> bytes:
        """The body of a successful answer of one replica.

        Raises:
            UpstreamFailed: it did not answer, or not well.
        """
        name = replica.endpoint.expert
        try:
            response = await self._client.post(
                f"{replica.endpoint.root}{path}",
                content=body,
                headers={"content-type": "application/json"},
                timeout=timeout_s,
            )
        except httpx.HTTPError as error:
            raise UpstreamFailed(f"`{name}`: {type(error).__name__}") from error
        if response.status_code != 200:
            raise UpstreamFailed(f"`{name}` answered HTTP {response.status_code}")
        return response.content
