"""Sends bytes, whatever they are, and reads what comes back as strictly as a proxy would."""

import asyncio
import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]+")
_LINE: Final = re.compile(rb"([a-z0-9-]+): ([\x20-\x7e\x80-\xff]*)")
_QUIET_S: Final = 0.04  # nothing more comes, once something came
_PATIENCE_S: Final = 0.25
_UNFINISHED_S: Final = 10.0
_HEADERS: Final = {
    *("content-type", "content-length", "transfer-encoding", "connection", "allow", "etag"),
    *("x-request-id", "x-should-retry", "retry-after", "retry-after-ms", "www-authenticate"),
    *("cache-control", "x-accel-buffering", "last-modified", "accept-ranges"),
    *("content-security-policy", "referrer-policy", "x-content-type-options"),
}
_OURS: Final = ("x-hearth-", "x-ratelimit-")


class Malformed(AssertionError):
    """What came back is no sound HTTP."""


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def asks_head(parts: Sequence[bytes]) -> bool:
    """Whether the answer to these bytes has no body."""
    return b"".join(parts).startswith(b"HEAD ")


async def exchange(
    port: int, *parts: bytes, patience_s: float = _PATIENCE_S, in_turn: bool = False
) -> bytes:
    """Everything that comes back on one connection until it closes or falls silent.

    Args:
        patience_s: how long to wait for the first byte of an answer.
        in_turn: each part is sent when the answer to the one before has come.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise Malformed("the gateway takes no connection") from error
    heard, to_head = b"", asks_head(parts)
    with contextlib.suppress(ConnectionError):
        for place, part in enumerate(parts):
            writer.write(part)
            await writer.drain()
            if place + 1 == len(parts):
                break
            if in_turn:
                heard += await _hear(reader, patience_s, to_head)
            else:
                await asyncio.sleep(0.005)
    heard += await _hear(reader, patience_s, to_head)
    writer.transport.abort()
    return heard


async def _hear(reader: asyncio.StreamReader, patience_s: float, to_head: bool) -> bytes:
    """What comes until silence. An answer that has begun must end: that the connection closed
    within it is the gateway's doing, silence may be a busy machine's, so the two are told apart.
    """
    heard = b""
    with contextlib.suppress(ConnectionError):
        while True:
            wait_s = _waiting_time(heard, patience_s, to_head)
            try:
                async with asyncio.timeout(wait_s):
                    data = await reader.read(65536)
            except TimeoutError:
                if wait_s == _UNFINISHED_S:
                    raise Malformed(f"silence for {wait_s} s within an answer") from None
                break
            if not data:
                break
            heard += data
    return heard


def _waiting_time(heard: bytes, patience_s: float, to_head: bool) -> float:
    """An answer that has begun gets time to end."""
    if not heard:
        return patience_s
    try:
        read_answers(heard, to_head=to_head)
    except Malformed:
        return _UNFINISHED_S
    return _QUIET_S


def read_answers(heard: bytes, *, to_head: bool = False) -> list[Answer]:
    """The responses in what was heard; raises Malformed where it is anything else.

    Args:
        to_head: the request was HEAD, whose answers have no body.
    """
    answers: list[Answer] = []
    while heard:
        head, end, rest = heard.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        found = _STATUS.fullmatch(first)
        if not end or found is None:
            raise Malformed(f"no head: {heard[:300]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            field = _LINE.fullmatch(line)
            name = field[1].decode() if field else ""
            if field is None or name in headers:
                raise Malformed(f"odd header line: {line!r}")
            if name not in _HEADERS and not name.startswith(_OURS):
                raise Malformed(f"nobody should send: {line!r}")
            headers[name] = field[2].decode("latin-1")
        if found[1] == b"100":
            heard = rest
            continue
        # What could not be read as a request has no method either: its refusal may have a body, for
        # the connection ends behind it and no reader can fall out of step.
        unread = found[1] == b"400" and headers.get("connection") == "close" and rest
        body, heard = (b"", rest) if to_head and not unread else _body(headers, rest)
        answers.append(Answer(int(found[1]), headers, body))
    return answers


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes]:
    if "transfer-encoding" not in headers:
        if "content-length" not in headers:
            if headers.get("connection") != "close":
                raise Malformed("an answer without an end")
            return rest, b""
        length = int(headers["content-length"])
        if len(rest) < length:
            raise Malformed(f"{length - len(rest)} bytes are missing")
        return rest[:length], rest[length:]
    if headers["transfer-encoding"] != "chunked" or "content-length" in headers:
        raise Malformed("two framings")
    body = b""
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise Malformed(f"no chunk: {size[:60]!r}")
        length = int(size, 16)
        if rest[length : length + 2] != b"\r\n":
            raise Malformed("a chunk is cut")
        if not length:
            return body, rest[2:]
        body, rest = body + rest[:length], rest[length + 2 :]


def check(answer: Answer, *, ids: tuple[str, ...] = ()) -> None:
    """An answer is a success or an error that clients understand, and none of the gateway's own
    faults; it names none of the given keys' ids.
    """
    shown = f"{answer.status} {answer.body[:500]!r}"
    assert answer.status < 500, shown
    assert not [one for one in ids if one.encode() in answer.body], shown
    if answer.status < 400 or not answer.body:
        assert answer.status < 300 or answer.status >= 400, shown
        return
    document = answer.document
    error = document["error"]
    assert set(error) == {"message", "type", "param", "code"}, shown
    assert isinstance(error["message"], str), shown
    assert error["message"], shown
    assert isinstance(error["type"], str), shown
    assert set(document) in ({"error"}, {"error", "type"}), shown
    assert answer.headers["content-type"] == "application/json", shown
    assert answer.headers["x-should-retry"] in ("true", "false"), shown
