"""Reads and writes the heads of HTTP/1.1 messages. Pure bytes in, bytes out."""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from gateway.errors import GatewayError
from gateway.reply.dialects import error_body
from gateway.request.endpoints import Dialect

LARGEST_HEAD: Final = 64 * 1024

# Hop by hop, or about the replica and not about the answer.
_DROPPED: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"content-length",
        b"upgrade",
        b"server",
        b"set-cookie",
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-allow-methods",
        b"access-control-allow-headers",
    }
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?$")
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class BadHead(Exception):
    """The upstream did not answer in HTTP/1.1."""


class ResponseHead:
    """What the gateway needs of a replica's head. ``kept`` are the header lines to pass on;
    ``length`` is -1 where the head gives none; ``events`` says that the body is an event stream;
    ``start`` is the head as it goes on, without its end.
    """

    __slots__ = (
        *("chunked", "events", "keep_alive", "kept", "length", "start", "status", "status_line"),
    )

    def __init__(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.match(first)
        if match is None:
            raise BadHead
        self.status = int(match[2])
        self.status_line = status_line(self.status)
        self.keep_alive = match[1] == b"1"
        self.length = -1
        self.chunked = self.events = False
        kept = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise BadHead
            name, value = name.lower(), value.strip()
            if name == b"content-length":
                if not value.isdigit() or self.length not in (-1, int(value)):
                    raise BadHead
                self.length = int(value)
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise BadHead
                self.chunked = True
            elif name == b"connection":
                self.keep_alive = b"close" not in value.lower() and (
                    self.keep_alive or b"keep-alive" in value.lower()
                )
            elif name == b"content-type":
                self.events = value.lower().startswith(b"text/event-stream")
            if name not in _DROPPED and not name.startswith(b"x-hearth-"):
                kept.append(line + b"\r\n")
        if self.chunked:
            self.length = -1
        elif self.status in (204, 304):
            self.length = 0
        if self.events:
            # Proxies in front of the gateway must not gather events.
            kept.append(b"x-accel-buffering: no\r\n")
        self.kept = b"".join(kept)
        framing = b"transfer-encoding: chunked\r\n"
        if self.length >= 0:
            framing = b"content-length: %d\r\n" % self.length
        self.start = self.status_line + self.kept + framing


@lru_cache(maxsize=2048)
def response_head(head: bytes) -> ResponseHead:
    """A replica's head, without the empty line. Heads repeat, so the reading is remembered.

    Raises:
        BadHead: it is none.
    """
    return ResponseHead(head)


@lru_cache(maxsize=64)
def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n".encode()


def error_response(
    error: GatewayError,
    dialect: Dialect,
    lines: bytes = b"",
    *,
    keep_alive: bool = True,
    empty: bool = False,
) -> bytes:
    """A whole answer that says what is wrong; ``empty``: its head only, as HEAD demands."""
    body = error_body(error, dialect)
    headers = "".join(f"{name}: {value}\r\n" for name, value in error.headers().items())
    return b"%bcontent-type: application/json\r\n%b%b%bcontent-length: %d\r\n\r\n%b" % (
        status_line(error.status),
        headers.encode("latin-1", "replace"),
        lines,
        b"" if keep_alive else b"connection: close\r\n",
        len(body),
        b"" if empty else body,
    )


def request_prefix(path: str, host: str, authorization: str | None, content_type: bytes) -> bytes:
    """The part of a request's head that is the same for every request to one replica and path;
    the caller adds the rest, ending with content-length.
    """
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "accept-encoding: identity",
        "user-agent: hearth-gateway",
    ]
    if authorization:
        lines.append(f"authorization: Bearer {authorization}")
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return head + b"content-type: %b\r\n" % content_type
