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
from gateway.core import Core

KEY = "sk-hearth-client"
UPSTREAM_KEY = "sk-upstream-of-the-experts"
ANSWER = b'{"id": "chatcmpl-1",  "choices":[ {"message":{"content":"gr\xc3\xbc\xc3\x9fe"}} ]}\n'
EVENTS = [b'data: {"n": %d}\n\n' % n for n in range(3)] + [b"data: [DONE]\n\n"]


@dataclass
class Received:
    """A request as an upstream saw it; ``reused``: it was not the first on its connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reused: bool = False


# True: the connection is kept for another request.
Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[bool | None]]


def head(status: int, kind: str, *more: str, keep: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", *more]
    if not keep:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def say(
    writer: asyncio.StreamWriter, status: int, body: bytes, *, keep: bool = False
) -> None:
    start = head(status, "application/json", f"content-length: {len(body)}", keep=keep)
    writer.write(start + body)
    await writer.drain()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answers(status: int = 200, body: bytes = ANSWER, *, keep: bool = False) -> Behaviour:
    async def behave(_: Received, writer: asyncio.StreamWriter) -> bool:
        await say(writer, status, body, keep=keep)
        return keep

    return behave


def streams(
    *pieces: bytes, end: bytes = b"0\r\n\r\n", pause: asyncio.Event | None = None
) -> Behaviour:
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


def writes(*pieces: bytes, hold: bool = False) -> Behaviour:
    """Sends these bytes, whatever they are, and closes; with ``hold`` it stays open instead."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        if hold:
            await asyncio.sleep(3600)

    return behave


async def hangs_up(_: Received, writer: asyncio.StreamWriter) -> None:
    """Closes without a byte."""


async def says_nothing(_: Received, writer: asyncio.StreamWriter) -> None:
    """Keeps the request and never answers."""
    await asyncio.sleep(3600)


def until(event: asyncio.Event, then: Behaviour) -> Behaviour:
    """Answers once the event is set."""

    async def behave(request: Received, writer: asyncio.StreamWriter) -> bool | None:
        await event.wait()
        return await then(request, writer)

    return behave


class Upstream:
    """One replica. ``props`` makes it a llama-server with that answer to /props, which also counts
    the tokens of a prompt: ``prompt_tokens``.
    """

    def __init__(self, rung: str, behaviour: Behaviour) -> None:
        self.rung = rung
        self.behaviour = behaviour
        self.health = 200
        self.props: dict[str, Any] | None = None
        self.deferred = 0
        self.prompt_tokens = 7
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

    async def hang_up(self) -> None:
        """Closes every connection and goes on to listen."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        broken = (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError)
        with contextlib.suppress(*broken):
            count, ahead = 0, b""
            while (ahead := await self._serve(reader, writer, count, ahead)) is not None:
                count += 1
        with contextlib.suppress(ConnectionError, RuntimeError):
            writer.close()
        self._tasks.discard(task)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int, ahead: bytes
    ) -> bytes | None:
        """One request; returns what came of the next one, or None when the connection ends."""
        lines = (ahead + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            await self._tell(path, headers, writer)
            return None
        if self.props is not None and path.endswith(("/input_tokens", "/count_tokens")):
            await say(writer, 200, b'{"input_tokens": %d}' % self.prompt_tokens)
            return None
        self.connections += 1
        request = Received(method, path, headers, body, reused=count > 0)
        self.received.append(request)
        answering = asyncio.create_task(self.behaviour(request, writer))
        closing = asyncio.create_task(reader.read(1))
        try:
            done, _ = await asyncio.wait({answering, closing}, return_when="FIRST_COMPLETED")
            kept = answering in done and answering.exception() is None and answering.result()
            after = b""
            if closing in done:
                after = b"" if closing.exception() else closing.result()
                if not after:
                    self.gone.set()
                    return None
            return after if kept else None
        finally:
            answering.cancel()
            closing.cancel()
            await asyncio.gather(answering, closing, return_exceptions=True)

    async def _tell(self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        """What probes ask."""
        if self.health != 200:
            await say(writer, self.health, b"{}")
        elif headers.get("authorization") != f"Bearer {UPSTREAM_KEY}":
            await say(writer, 401, b"{}")
        elif path == "/v1/models":
            await say(writer, 200, json.dumps({"data": [{"id": self.rung}]}).encode())
        elif path == "/props" and self.props is not None:
            await say(writer, 200, json.dumps(self.props).encode())
        elif path == "/metrics" and self.props is not None:
            text = f"# TYPE x gauge\nllamacpp:requests_deferred {self.deferred}\n"
            await say(writer, 200, text.encode())
        else:
            await say(writer, 404, b"{}")


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
    core: Core
    server: uvicorn.Server
    admin_key: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def chat(self, **fields: object) -> httpx.Response:
        question = {"model": "general", "messages": [{"role": "user", "content": "Hi"}]}
        return await self.client.post("/v1/chat/completions", json=question | fields)

    async def chat_with(self, key: str, **fields: object) -> httpx.Response:
        """The same with another key."""
        question = {"model": "general", "messages": [{"role": "user", "content": "Hi"}]}
        return await self.client.post(
            "/v1/chat/completions",
            json=question | fields,
            headers={"authorization": f"Bearer {key}"},
        )

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        """The answer of /admin, which must be a success."""
        answer = await self.client.request(
            method,
            f"/admin{path}",
            json=body,
            headers={"authorization": f"Bearer {self.admin_key}"},
        )
        assert answer.is_success, answer.text
        return answer.json()

    async def new_key(self, **terms: object) -> tuple[str, str]:
        """Id and text of a new key."""
        made = await self.admin("POST", "/keys", {"name": "test"} | terms)
        return made["id"], made["key"]

    async def usage(self, **filters: str) -> dict[str, Any]:
        """Usage of every key and model, as /admin/usage sums it."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        return (await self.admin("GET", f"/usage?{query}"))["total"]

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


def settings_of(**changes: Any) -> GatewaySettings:
    """Short timeouts; ``request_timeout_s`` is how long an expert may be silent. Sections given in
    part keep the rest.
    """
    silence = changes.pop("request_timeout_s", 5.0)
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 1,
        "nomad_address": "http://nomad.test",
        "experts": {"general": {}, "coder": {}},
        "aliases": {"gpt-4o-mini": "general"},
        "default_expert": "general",
        "probe_interval_s": 0.1,
        "max_body_bytes": 1_000_000,
    }
    sections = {
        "admission": {"restart_wait_s": 0.2},
        "timeouts": {"first_byte_s": silence, "silence_s": silence, "drain_s": 2},
    }
    for name, defaults in sections.items():
        fields[name] = defaults | changes.pop(name, {})
    return GatewaySettings.model_validate(fields | changes)


def secrets_of(key: str = KEY) -> GatewaySecrets:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return GatewaySecrets.model_validate(
        {"keys": [{"id": "sk-hearth-cl", "sha256": digest}], "upstream_key": UPSTREAM_KEY}
    )


async def assert_idle(gateway: Gateway) -> None:
    """Holds once no request is counted as being answered, waits or holds a connection's attention,
    by every count there is.
    """
    core = gateway.core

    async def idle() -> bool:
        return (
            await gateway.metric('hearth_gateway_in_flight{expert="general"}') == "0"
            and all(replica.in_flight == 0 for replica in core.fleet.all())
            and not core.queues
            and all(client._exchange is None for client in core.connections)
        )

    await gateway.until(idle)
