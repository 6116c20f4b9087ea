"""Upstreams and a catalogue whose every move a test decides."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from contract.gateway_settings import GatewaySecrets, GatewaySettings

KEY = "sk-hearth-client"
UPSTREAM_KEY = "sk-upstream-of-the-experts"
ANSWER = b'{"id": "chatcmpl-1",  "choices":[ {"message":{"content":"gr\xc3\xbc\xc3\x9fe"}} ]}\n'
EVENTS = [b'data: {"n": %d}\n\n' % n for n in range(3)] + [b"data: [DONE]\n\n"]


@dataclass
class Received:
    """A request as an upstream saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def head(status: int, kind: str, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def say(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    writer.write(head(status, "application/json", f"content-length: {len(body)}") + body)
    await writer.drain()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answers(status: int = 200, body: bytes = ANSWER) -> Behaviour:
    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, status, body)

    return behave


def streams(*pieces: bytes, end: bytes = b"0\r\n\r\n", pause: asyncio.Event | None = None):
    """Sends the pieces as chunks; with ``pause``, waits for it after the first one."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, "text/event-stream", "transfer-encoding: chunked"))
        for place, piece in enumerate(pieces):
            writer.write(chunk(piece))
            await writer.drain()
            if place == 0 and pause is not None:
                await pause.wait()
        writer.write(end)
        await writer.drain()

    return behave


async def hangs_up(_: Received, writer: asyncio.StreamWriter) -> None:
    """Closes without a byte."""


async def says_nothing(_: Received, writer: asyncio.StreamWriter) -> None:
    """Keeps the request and never answers."""
    await asyncio.sleep(3600)


class Upstream:
    """One replica."""

    def __init__(self, rung: str, behaviour: Behaviour) -> None:
        self.rung = rung
        self.behaviour = behaviour
        self.health = 200
        self.received: list[Received] = []
        self.connections = 0
        self.gone = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> "Upstream":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._serve(reader, writer)
        with contextlib.suppress(ConnectionError, RuntimeError):
            writer.close()
        self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/health":
            await say(writer, self.health, b"{}")
        elif path == "/v1/models":
            known = headers.get("authorization") == f"Bearer {UPSTREAM_KEY}"
            listing = json.dumps({"data": [{"id": self.rung}]}).encode()
            await say(writer, 200 if known else 401, listing)
        else:
            self.connections += 1
            request = Received(method, path, headers, body)
            self.received.append(request)
            answering = asyncio.create_task(self.behaviour(request, writer))
            closing = asyncio.create_task(reader.read(1))
            done, waiting = await asyncio.wait(
                {answering, closing}, return_when=asyncio.FIRST_COMPLETED
            )
            if closing in done:
                self.gone.set()
            for task in waiting:
                task.cancel()
            await asyncio.gather(answering, closing, return_exceptions=True)


@dataclass
class Catalogue:
    """Nomad's native services, blocking queries included."""

    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    index: int = 1
    status: int = 200
    requests: list[httpx.Request] = field(default_factory=list)

    def register(self, expert: str, *upstreams: Upstream, preferred: str | None = "big") -> None:
        tags = [f"preferred-rung={preferred}"] if preferred else []
        self.entries[f"expert-{expert}"] = [
            {"ID": f"{expert}-{u.port}", "Address": "127.0.0.1", "Port": u.port, "Tags": tags}
            for u in upstreams
        ]
        self.index += 1

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        asked = int(request.url.params.get("index", 0))
        while asked == self.index and self.status == 200:
            await asyncio.sleep(0.01)
        name = request.url.path.rpartition("/")[2]
        return httpx.Response(
            self.status,
            json=self.entries.get(name, []),
            headers={"x-nomad-index": str(self.index)},
        )


class QuietServer(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


@dataclass
class Gateway:
    """A running gateway, a client that holds a valid key, and everything around it."""

    client: httpx.AsyncClient
    catalogue: Catalogue
    url: str

    async def chat(self, **fields: object) -> httpx.Response:
        question = {"model": "general", "messages": [{"role": "user", "content": "Hi"}]}
        return await self.client.post("/v1/chat/completions", json=question | fields)

    async def metric(self, line: str) -> str | None:
        """The value of a metric, or None."""
        text = (await self.client.get("/metrics")).text
        found = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        return found[0].split()[-1] if found else None

    async def until(self, check: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
        """Returns once the check holds."""
        async with asyncio.timeout(seconds):
            while not await check():
                await asyncio.sleep(0.01)

    async def replicas(self, expert: str = "general") -> int:
        """How many live replicas the gateway sees."""
        model = (await self.client.get(f"/v1/models/{expert}")).json()
        return model["hearth"]["replicas"]


def settings_of(**changes: object) -> GatewaySettings:
    fields = {
        "host": "127.0.0.1",
        "port": 1,
        "nomad_address": "http://nomad.test",
        "experts": ["general", "coder"],
        "aliases": {"gpt-4o-mini": "general"},
        "default_expert": "general",
        "probe_interval_s": 0.1,
        "request_timeout_s": 5.0,
        "max_body_bytes": 100_000,
    }
    return GatewaySettings.model_validate(fields | changes)


def secrets_of(key: str = KEY) -> GatewaySecrets:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return GatewaySecrets.model_validate(
        {"keys": [{"id": "sk-hearth-cl", "sha256": digest}], "upstream_key": UPSTREAM_KEY}
    )


async def assert_idle(gateway: Gateway) -> None:
    """Holds once no request to `general` is counted as being answered."""

    async def idle() -> bool:
        return await gateway.metric('hearth_gateway_in_flight{expert="general"}') == "0"

    await gateway.until(idle)
