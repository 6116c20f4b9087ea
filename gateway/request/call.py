"""A request as its head and body say it, before anybody thought about it."""

import itertools
import re
import secrets
from typing import Final

from gateway.access.key import Key
from gateway.request.endpoints import Endpoint
from gateway.request.head import RequestHead

_OWN_ID: Final = b"req_%b%%08x" % secrets.token_hex(8).encode()
_NUMBERS: Final = itertools.count(int.from_bytes(secrets.token_bytes(4)))
_ACCEPTABLE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}").fullmatch
_TRACEPARENT: Final = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})").fullmatch


def request_id(offered: bytes | None, number: int | None = None) -> bytes:
    """The client's own id where it is acceptable, else a new one."""
    if offered is not None and _ACCEPTABLE_ID(offered):
        return offered
    return _OWN_ID % (next(_NUMBERS) if number is None else number)


class Call:
    """One request to an expert. ``content`` is its body."""

    __slots__ = ("_number", "content", "endpoint", "head", "key", "request_id")

    def __init__(self, head: RequestHead, key: Key, content: bytes) -> None:
        self.head = head
        self.endpoint: Endpoint = head.endpoint
        self.key = key
        self.content = content
        number = self._number = next(_NUMBERS)
        offered = head.offered_id
        self.request_id = _OWN_ID % number if offered is None else request_id(offered, number)

    @property
    def trace_id(self) -> str:
        """The W3C trace this request belongs to; empty when its client keeps none."""
        known = _TRACEPARENT(self.head.traceparent or b"")
        return known[1].decode() if known else ""

    def upstream_head(self, prefix: bytes, length: int) -> bytes:
        """The head to send to a replica: its ``prefix``, then request id, trace and length."""
        if self.head.traceparent is None:
            return b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
                prefix,
                self.request_id,
                length,
            )
        return b"%bx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n" % (
            prefix,
            self.request_id,
            self._trace_line(self.head.traceparent),
            length,
        )

    def _trace_line(self, traceparent: bytes) -> bytes:
        known = _TRACEPARENT(traceparent)
        if known is None:
            return b""
        return b"traceparent: 00-%b-%016x-%b\r\n" % (known[1], self._number, known[2])
