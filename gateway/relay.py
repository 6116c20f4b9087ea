"""Sends one request to a replica and its answer back, byte for byte. Owns failover before the
first byte, the error event after it, and the end of the upstream request when the client goes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import httpx
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from contract import headers
from gateway.choice import choose_replica
from gateway.errors import (
    GatewayError,
    NoReplica,
    ShuttingDown,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamSilent,
    error_event,
)
from gateway.metrics import Metrics
from gateway.replicas import Fleet, Replica

_ATTEMPTS: Final = 3
_LARGEST_EVENT: Final = 1024 * 1024
_EVENT_STREAM: Final = "text/event-stream"
_PASS_TO_ANOTHER: Final = (502, 503, 504)  # it is loading, or its proxy lost it


@dataclass(frozen=True, kw_only=True)
class Relay:
    """What every relayed request needs. ``timeout_s`` bounds an upstream's silence."""

    fleet: Fleet
    client: httpx.AsyncClient
    metrics: Metrics
    timeout_s: float
    clock: Callable[[], float] = time.monotonic


class RelayedAnswer(Response):
    """The answer of one expert to one request; the upstream request starts when it is sent."""

    def __init__(self, relay: Relay, *, expert: str, path: str, body: bytes) -> None:
        self._relay = relay
        self._expert = expert
        self._path = path
        self._body = body
        self._started = False
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, or stops at once when the client disconnects."""
        answer = asyncio.create_task(self._answer(send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self._relay.metrics.cancelled(self._expert)
        except asyncio.CancelledError:
            await _end(answer, gone)
            # The server's patience at its own end is over; the client is told before it is cut off.
            error = ShuttingDown("The gateway is being restarted.")
            if not self._started:
                raise error from None
            await send({"type": "http.response.body", "body": error_event(error)})
            raise
        results = await _end(answer, gone)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _answer(self, send: Send) -> None:
        relay, began = self._relay, self._relay.clock()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._started = True
                relay.metrics.request(self._expert, message["status"])
                relay.metrics.first_byte.observe(self._expert, relay.clock() - began)
            await send(message)

        try:
            await self._attempt_all(counted)
        except GatewayError as error:
            relay.metrics.error(self._expert, error.code or error.kind)
            if self._started:
                await send({"type": "http.response.body", "body": error_event(error)})
                return
            relay.metrics.request(self._expert, error.status)
            raise
        finally:
            relay.metrics.duration.observe(self._expert, relay.clock() - began)

    async def _attempt_all(self, send: Send) -> None:
        relay, tried = self._relay, set[str]()
        failure: GatewayError = NoReplica(f"No replica of `{self._expert}` is ready.")
        while len(tried) < _ATTEMPTS:
            replica = choose_replica(relay.fleet.of(self._expert), tried=tried)
            if replica is None:
                break
            if tried:
                relay.metrics.retry(self._expert)
            tried.add(replica.endpoint.id)
            replica.chosen = max(r.chosen for r in relay.fleet.of(self._expert)) + 1
            replica.in_flight += 1
            try:
                await self._attempt(replica, send)
                return
            except (httpx.ConnectError, httpx.ConnectTimeout):
                replica.failed()
            except httpx.ReadTimeout as error:
                raise UpstreamSilent("The expert did not answer in time.") from error
            except httpx.HTTPError:
                replica.failed()
                failure = UpstreamFailed("The expert failed before it answered.")
            except NoReplica as error:
                failure = error
            finally:
                replica.in_flight -= 1
        raise failure

    async def _attempt(self, replica: Replica, send: Send) -> None:
        """One replica. An exception of httpx means nothing was sent to the client yet."""
        relay = self._relay
        request = relay.client.build_request(
            "POST",
            f"{replica.endpoint.url}{self._path}",
            content=self._body,
            headers={"content-type": "application/json"},
            timeout=httpx.Timeout(relay.timeout_s, connect=2.0),
        )
        response = await relay.client.send(request, stream=True)
        try:
            if response.status_code in _PASS_TO_ANOTHER:
                replica.failed()
                raise NoReplica(f"The expert `{self._expert}` is not ready.")
            if response.status_code != httpx.codes.OK:
                raise _refusal(response.status_code, await response.aread())
            if response.headers.get("content-type", "").startswith(_EVENT_STREAM):
                await self._stream(replica, response, send)
            else:
                await self._whole(replica, response, send)
        finally:
            await response.aclose()

    async def _whole(self, replica: Replica, response: httpx.Response, send: Send) -> None:
        content = b"".join([chunk async for chunk in response.aiter_raw()])
        head = [(b"content-length", str(len(content)).encode())]
        await send(_start(self._expert, replica, response, head))
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, replica: Replica, response: httpx.Response, send: Send) -> None:
        events = _whole_events(response.aiter_raw())
        first = await anext(events, b"")
        head = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await send(_start(self._expert, replica, response, head))
        try:
            if first:
                await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in events:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.ReadTimeout as error:
            raise UpstreamSilent("The expert fell silent in the middle of its answer.") from error
        except httpx.HTTPError as error:
            replica.failed()
            raise UpstreamFailed("The expert failed in the middle of its answer.") from error
        await send({"type": "http.response.body", "body": b""})


async def _whole_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, cut between events, so that an upstream which dies inside an event leaves
    the client with whole ones and room for an error event.
    """
    held = b""
    async for chunk in chunks:
        held += chunk
        end = held.rfind(b"\n\n") + 2
        if end < 2 and len(held) > _LARGEST_EVENT:
            end = len(held)
        if end >= 2:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _start(
    expert: str, replica: Replica, response: httpx.Response, extra: list[tuple[bytes, bytes]]
) -> Message:
    rung = replica.serving or ""
    own = {headers.EXPERT: expert, headers.MODEL: rung}
    if replica.degraded:
        own[headers.DEGRADED] = rung
    kind = response.headers.get("content-type", "application/json")
    lines = [(name.encode(), value.encode("latin-1", "replace")) for name, value in own.items()]
    return {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": [(b"content-type", kind.encode("latin-1")), *extra, *lines],
    }


def _refusal(status: int, answer: bytes) -> GatewayError:
    # A refused upstream key is this system's fault, and no caller's key could mend it.
    if status in (401, 403):
        return UpstreamFailed("The expert refused the gateway's own key.")
    return UpstreamRefused(status, answer)


async def _end(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
