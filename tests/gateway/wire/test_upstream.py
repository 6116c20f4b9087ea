"""Connections to one server: their framing, their reuse, their end."""

import asyncio
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.heads import ResponseHead
from gateway.wire.upstream import Connection, Pool
from tests.gateway.fakes import chunk

REQUEST = (b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", b"")


class Transport(asyncio.Transport):
    """Keeps what is written and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.ended = ""

    def write(self, data) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"


class Taker:
    """Gathers one answer."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.raw = b""
        self.payload = b""
        self.done = False
        self.why = ""
        self.stale = False

    def receive(self, head, raw, payloads, done) -> None:
        assert (head is None) is (self.head is not None)
        assert not self.done
        self.head = self.head or head
        self.raw += raw
        self.payload += b"".join(payloads)
        self.done = done

    def lost(self, why: str, *, stale: bool) -> None:
        assert not self.done
        self.why, self.stale = why, stale


def connected(pool: Pool | None = None) -> tuple[Connection, Transport, Pool]:
    pool = pool or Pool("h", 1)
    connection, transport = Connection(pool), Transport()
    connection.connection_made(transport)
    return connection, transport, pool


def fed(answer: bytes, cuts: list[int]) -> tuple[Taker, Connection, Transport, Pool]:
    connection, transport, pool = connected()
    taker = Taker()
    connection.send(taker, *REQUEST)
    places = sorted({min(cut, len(answer)) for cut in cuts} | {0, len(answer)})
    for a, b in itertools.pairwise(places):
        connection.data_received(answer[a:b])
    return taker, connection, transport, pool


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CUTS = st.lists(st.integers(0, 300), max_size=8)
BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@given(BODIES, CUTS, st.booleans(), st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(parts, cuts, chunked, early):
    body = b"".join(parts)
    if chunked:
        framed = b"".join(map(chunk, parts)) + b"0\r\n\r\n"
        text = HEAD + b"transfer-encoding: chunked\r\n\r\n" + framed
    else:
        framed = body
        text = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    if early:
        text = b"HTTP/1.1 100 Continue\r\n\r\n" + text
    taker, connection, transport, pool = fed(text, cuts)
    assert taker.done
    assert (taker.raw, taker.payload) == (framed, body)
    assert transport.ended == ""
    assert pool.take(time.monotonic()) is connection


@given(BODIES, CUTS)
def test_an_answer_without_a_length_ends_with_its_connection(parts, cuts):
    body = b"".join(parts)
    taker, connection, _, pool = fed(HEAD + b"\r\n" + body, cuts)
    assert not taker.done
    connection.connection_lost(None)
    assert taker.done
    assert taker.payload == body
    assert pool.take(time.monotonic()) is None


@given(BODIES, st.integers(0, 200))
def test_an_answer_that_ends_early_is_lost_and_never_done(parts, kept):
    body = b"".join(parts) + b"x"
    text = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    taker, connection, _, _ = fed(text[: min(kept, len(text) - 1)], [])
    connection.connection_lost(None)
    assert not taker.done
    assert taker.why
    assert not taker.stale


@given(st.binary(max_size=300), CUTS)
def test_any_bytes_are_an_answer_or_a_loss_and_never_an_error(text, cuts):
    taker, connection, _, _ = fed(text + b"\r\n\r\n", cuts)
    connection.connection_lost(None)
    assert taker.done or taker.why


@pytest.mark.parametrize("used", [1, 2])
def test_only_a_connection_used_before_can_be_stale(used):
    connection, _, pool = connected()
    for _ in range(used - 1):
        connection.send(Taker(), *REQUEST)
        connection.data_received(HEAD + b"content-length: 0\r\n\r\n")
        assert pool.take(time.monotonic()) is connection
    taker = Taker()
    connection.send(taker, *REQUEST)
    connection.connection_lost(ConnectionResetError())
    assert taker.stale is (used == 2)


@pytest.mark.parametrize(
    "lines", [b"connection: close\r\n", b"content-type: text/event-stream\r\n"]
)
def test_a_connection_that_will_be_closed_is_not_given_back(lines):
    _, _, transport, pool = fed(HEAD + lines + b"content-length: 0\r\n\r\n", [])
    assert pool.take(time.monotonic()) is None
    assert transport.ended == "closed"


def test_bytes_nobody_asked_for_end_a_connection():
    _, connection, transport, pool = fed(HEAD + b"content-length: 0\r\n\r\n", [])
    connection.data_received(b"HTTP/1.1 408 Timeout\r\n\r\n")
    assert transport.ended == "aborted"
    assert pool.take(time.monotonic()) is None


def test_a_connection_idle_for_long_is_not_taken_again():
    _, _, transport, pool = fed(HEAD + b"content-length: 0\r\n\r\n", [])
    assert pool.take(time.monotonic() + 4.5) is None
    assert transport.ended == "aborted"


def test_a_connection_is_used_until_its_server_says_that_it_ends():
    connection, transport, pool = connected()
    for _ in range(300):
        connection.send(Taker(), *REQUEST)
        connection.data_received(HEAD + b"content-length: 0\r\n\r\n")
        assert pool.take(time.monotonic()) is connection
    connection.send(Taker(), *REQUEST)
    connection.data_received(HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n")
    assert pool.take(time.monotonic()) is None
    assert transport.ended == "closed"


def test_the_connection_used_last_is_taken_first():
    pool = Pool("h", 1)
    pair = [connected(pool)[0] for _ in range(2)]
    for one in pair:
        one.send(Taker(), *REQUEST)
    for one in pair:
        one.data_received(HEAD + b"content-length: 0\r\n\r\n")
    assert pool.take(time.monotonic()) is pair[1]


def test_an_endless_head_is_a_loss():
    taker, _, transport, _ = fed(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, [])
    assert taker.why
    assert transport.ended == "aborted"


async def test_spare_connections_are_opened_and_kept_within_bounds():
    count = 0

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(met, "127.0.0.1", 0)
    async with server:
        pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], limit=4)
        pool.tend(time.monotonic(), busy=0)
        await asyncio.sleep(0.05)
        assert count == 0  # nothing was missed yet
        for _ in range(50):
            pool.take(time.monotonic())
        pool.tend(time.monotonic(), busy=0)
        await asyncio.sleep(0.05)
        assert count == 0  # the burst may still be under way
        pool.tend(time.monotonic(), busy=4)
        await asyncio.sleep(0.05)
        assert count == 0  # all threads of the server are busy
        pool.tend(time.monotonic(), busy=0)
        pool.tend(time.monotonic(), busy=0)
        async with asyncio.timeout(2):
            while count < 4:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert count == 4
        assert pool.take(time.monotonic()) is not None
        pool.close()
        assert pool.take(time.monotonic()) is None
