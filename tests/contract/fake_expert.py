"""A server in a thread that speaks like llama-server, with every pause and fault a test decides.

It takes only what the gateway may send: whatever else arrives is a violation, kept for the test.
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.ports import free_port

_HEADERS: Final = {
    "host",
    "accept-encoding",
    "user-agent",
    "content-type",
    "x-request-id",
    "traceparent",
    "content-length",
}
# What the gateway asks on its own behalf, through a client of its own: the prompt of a request that
# was broken off. Nothing that a client sends takes this form.
_OWN_HEADERS: Final = {
    *("host", "accept", "accept-encoding", "connection", "user-agent", "content-type"),
    "content-length",
}
_LINE: Final = re.compile(rb"[a-z0-9-]+: [\x20-\x7e\x80-\xff]*")
_REQUEST_LINE: Final = re.compile(rb"POST /v1/[a-z_/]+ HTTP/1\.1")


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Behaviour = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


class FakeExpert:
    """One replica. It keeps the last ``keep`` requests; ``counted`` are prompts that the gateway
    itself let it count.
    """

    def __init__(
        self, behaviour: Behaviour, *, slots: int = 8, keep: int = 100, llama: bool = True
    ) -> None:
        self.behaviour = behaviour
        self.slots = slots
        self.asked: list[Asked] = []
        self.count = self.counted = 0
        self.violations: list[bytes] = []
        self.gone = threading.Event()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._keep = keep
        self._llama = llama
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """Ends the thread and everything in it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self) -> None:
        await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 20)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._serve(reader, writer):
                pass
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        first, *lines = head.split(b"\r\n")
        if first.startswith(b"GET "):
            await self._tell(first.split(b" ")[1].decode(), writer)
            return True
        path = first.split(b" ")[1].decode("latin-1") if first.count(b" ") == 2 else ""
        own = {line.partition(b":")[0].decode("latin-1").lower() for line in lines}
        if path.endswith(("/input_tokens", "/count_tokens")) and own == _OWN_HEADERS:
            length = next(line for line in lines if line.lower().startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            self.counted += 1
            await say(writer, 200, {"input_tokens": 1})
            return True
        headers = {}
        for line in lines:
            name, _, value = line.decode("latin-1").partition(": ")
            if name in headers or name not in _HEADERS or not _LINE.fullmatch(line):
                self.violations.append(head)
            headers[name] = value
        if not _REQUEST_LINE.fullmatch(first) or not headers.get("content-length", "").isdigit():
            self.violations.append(head)
            return False
        body = await reader.readexactly(int(headers["content-length"]))
        asked = Asked(first.split(b" ")[1].decode(), headers, body)
        self.asked = [*self.asked[-self._keep + 1 :], asked]
        self.count += 1
        answering = asyncio.ensure_future(self.behaviour(asked, writer))
        closing = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({answering, closing}, return_when="FIRST_COMPLETED")
        if closing.done():
            if not closing.exception() and closing.result():
                self.violations.append(b"bytes behind a body: " + closing.result())
            self.gone.set()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            return False
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await answering
        return True

    async def _tell(self, path: str, writer: asyncio.StreamWriter) -> None:
        """What probes ask."""
        known: dict[str, Any] = {
            "/v1/models": {"data": [{"id": "fake"}]},
        }
        if self._llama:
            known["/props"] = {"total_slots": self.slots}
        await say(writer, 200 if path in known else 404, known.get(path, {}))


async def say(writer: asyncio.StreamWriter, status: int, document: Any) -> None:
    """A JSON answer."""
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (status, len(body)) + body)
    await writer.drain()


async def begin_events(writer: asyncio.StreamWriter) -> None:
    """The head of a stream of events."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    writer.write(head)
    await writer.drain()


async def say_event(writer: asyncio.StreamWriter, document: Any) -> None:
    """One event."""
    data = b"data: " + json.dumps(document).encode() + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()


def chat_chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    """One event's document of a chat."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "fake",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def chat_answer(text: str, tool_calls: list[Any] | None = None) -> dict[str, Any]:
    """A whole answer of a chat."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = tool_calls
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fake",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
