"""Connections to one server: opened when needed, kept warm, never trusted to be still alive.

Owns sockets and the framing of answers. Knows neither what a request means nor who asked.
"""

import asyncio
import ssl
import time
from typing import Final, Protocol

from gateway.reply.chunks import BadChunks, ChunkReader, chunk
from gateway.wire.heads import LARGEST_HEAD, BadHead, ResponseHead, response_head

_IDLE_S: Final = 4.0  # llama-server closes an idle connection after 5 s
_LARGEST_HELD: Final = 16 * 1024 * 1024
_MOST_SPARES: Final = 512
_SPARES_AT_ONCE: Final = 32
_SPARE_S: Final = 5.0


class Taker(Protocol):
    """What a connection tells about the answer to its one request."""

    def receive(
        self, head: ResponseHead | None, raw: bytes, payloads: list[bytes], done: bool
    ) -> None:
        """More of the answer. ``head`` comes with the first piece only; ``raw`` may be sent on as
        it is under the framing of the head (chunks where there is no length), ``payloads`` is the
        same without framing.
        """

    def lost(self, why: str, *, stale: bool) -> None:
        """The connection ended before the answer did. ``stale``: it had been used before and not
        a byte came, so that the request may be sent again on another one.
        """


class Connection(asyncio.Protocol):
    """One connection; at most one request at a time."""

    __slots__ = (
        "_chunks",
        "_head",
        "_held",
        "_left",
        "_pool",
        "_taker",
        "alive",
        "answered",
        "idle_since",
        "transport",
    )

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._taker: Taker | None = None
        self._head: ResponseHead | None = None
        self._chunks: ChunkReader | None = None
        self._held = b""
        self._left = 0
        self.alive = False
        self.answered = False  # a request before this one
        self.idle_since = 0.0
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.alive = True

    def send(self, taker: Taker, head: bytes, body: bytes) -> None:
        """Starts a request."""
        self._taker = taker
        self._head = self._chunks = None
        self._held = b""
        if len(body) < 131_072:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def abort(self) -> None:
        """Drops the connection and the request on it: the server sees the close at once."""
        self._taker = None
        self.alive = False
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        taker = self._taker
        if taker is None:
            self.abort()  # nobody asked
            return
        head = self._head
        try:
            if head is not None:
                self._more(taker, None, data)
                return
            if self._held:
                data = self._held + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held = data
                if len(data) > LARGEST_HEAD:
                    raise BadHead
                return
            self._held = b""
            head = response_head(data[:end])
            rest = data[end + 4 :]
            if head.status < 200:
                if rest:
                    self.data_received(rest)
                return
            self._head = head
            self._left = head.length
            if head.chunked:
                self._chunks = ChunkReader()
            elif len(rest) == head.length:
                self._end(taker, head, rest, [rest])
                return
            self._more(taker, head, rest)
        except (BadHead, BadChunks):
            self._fail("it did not answer in HTTP")

    def _more(self, taker: Taker, head: ResponseHead | None, data: bytes) -> None:
        chunks = self._chunks
        if chunks is not None:
            raw = chunks.feed(data)
            if len(chunks.held) > _LARGEST_HELD:
                raise BadChunks
            if chunks.done:
                self._end(taker, head, raw, chunks.payloads)
            elif raw or head is not None:
                taker.receive(head, raw, chunks.payloads, False)
        elif self._left < 0:
            # No length at all: the answer lasts until the connection does.
            if data or head is not None:
                taker.receive(head, chunk(data) if data else b"", [data] if data else [], False)
        else:
            self._left -= len(data)
            if self._left < 0:
                raise BadHead
            if self._left == 0:
                self._end(taker, head, data, [data])
            elif data or head is not None:
                taker.receive(head, data, [data], False)

    def _end(
        self, taker: Taker, head: ResponseHead | None, raw: bytes, payloads: list[bytes]
    ) -> None:
        known = head or self._head
        self._taker = None
        # Servers say in their last answer that it is the last one, llama-server in its hundredth;
        # but it closes after an event stream without saying so.
        if known is not None and known.keep_alive and not known.events:
            self.answered = True
            self._pool.give(self)
        else:
            self.alive = False
            self.transport.close()
        taker.receive(head, raw, payloads, True)

    def _fail(self, why: str) -> None:
        taker = self._taker
        self.abort()
        if taker is not None:
            taker.lost(why, stale=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        taker, self._taker = self._taker, None
        if taker is None:
            self._pool.forget(self)
        elif self._head is not None and self._left < 0 and self._chunks is None and exc is None:
            taker.receive(None, b"0\r\n\r\n", [], True)
        else:
            stale = self.answered and self._head is None and not self._held
            taker.lost("it closed the connection", stale=stale)

    def pause_writing(self) -> None:
        """The server reads slower than the client sends; the body is in memory anyway."""

    def resume_writing(self) -> None:
        """See ``pause_writing``."""


class Pool:
    """The connections to one server. ``limit`` bounds the spare ones it keeps: event streams never
    give theirs back, so that as many are opened ahead as were lately missed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limit: int = 8,
    ) -> None:
        self.host, self.port, self.limit = host, port, limit
        self._tls = tls
        self._idle: list[Connection] = []
        self._opening = 0
        self._wanted = self._missed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, now: float) -> Connection | None:
        """The connection used last, if any is still good."""
        idle = self._idle
        if not idle:
            self._missed += 1
        while idle:
            connection = idle.pop()
            if connection.alive and now - connection.idle_since < _IDLE_S:
                return connection
            if connection.alive:
                connection.abort()
        return None

    def give(self, connection: Connection) -> None:
        """Takes a connection back."""
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """An idle connection was closed by the server."""
        if connection in self._idle:
            self._idle.remove(connection)

    async def open(self) -> Connection:
        """A new connection. Takes as long as the network lets it: who asks has a deadline.

        Raises:
            OSError: there is none to be had.
        """
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), self.host, self.port, ssl=self._tls
        )
        return connection

    def tend(self, now: float, busy: int) -> None:
        """Called a few times a second: opens spares in the background, a few at a time, and not in
        the middle of the burst that misses them. ``busy`` requests are on other connections: a
        server has a thread for each of its slots and few more, and a spare one holds a thread.
        """
        if self._missed:
            self._wanted = min(self._wanted + self._missed, self.limit, _MOST_SPARES)
            self._missed = 0
            return
        if not self._wanted:
            return
        while self._idle and now - self._idle[0].idle_since >= _IDLE_S:
            self._idle.pop(0).abort()
        missing = min(self._wanted, self.limit - busy) - len(self._idle) - self._opening
        for _ in range(min(missing, _SPARES_AT_ONCE)):
            self._opening += 1
            task = asyncio.ensure_future(self._spare())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cool(self) -> None:
        """Called every few seconds: what was missed some time ago is wanted less."""
        self._wanted = self._wanted * 3 // 4

    async def _spare(self) -> None:
        try:
            async with asyncio.timeout(_SPARE_S):
                connection = await self.open()
        except OSError:
            return
        finally:
            self._opening -= 1
        connection.idle_since = time.monotonic()
        self._idle.insert(0, connection)

    def close(self) -> None:
        """Drops what is idle."""
        for task in self._tasks:
            task.cancel()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
