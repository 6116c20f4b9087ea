"""Turns what a replica sends into what the client is sent. Owns the bytes of one answer from its
head to its end, and what they say about tokens. Sends nothing itself.
"""

from typing import Final

from gateway.errors import GatewayError
from gateway.reply.chunks import LAST_CHUNK, chunk
from gateway.reply.dialects import error_event
from gateway.reply.rewrite import Rewrite
from gateway.reply.usage import Usage, merge, read_usage
from gateway.request.endpoints import Dialect
from gateway.wire.heads import ResponseHead

_LARGEST_EVENT: Final = 1024 * 1024
_REMEMBERED: Final = 64 * 1024
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n")


class Answer:
    """An answer under way; ``own_lines`` end its head. ``events`` counts the events passed on,
    ``usage`` is what the replica reported last. Bytes stay as they came unless there is a rewrite.
    """

    __slots__ = (
        "_held",
        "_http10",
        "_pieces",
        "_rewrite",
        "_size",
        "_sized",
        "_start",
        "events",
        "streaming",
        "usage",
    )

    def __init__(
        self,
        head: ResponseHead,
        own_lines: bytes,
        *,
        rewrite: Rewrite | None,
        http10: bool,
    ) -> None:
        self.streaming = head.events
        self.events = 0
        self.usage: Usage | None = None
        self._rewrite = rewrite
        self._http10 = http10
        self._held = b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._sized = False
        if http10:
            start = head.status_line + head.kept + b"connection: close\r\n"
        elif rewrite is None:
            self._sized = head.length >= 0
            start = head.start
        else:
            start = head.status_line + head.kept + b"transfer-encoding: chunked\r\n"
        self._start = start + own_lines

    def take(self, raw: bytes, payloads: list[bytes], done: bool) -> bytes:
        """The bytes to send for one more piece of the answer; there may be none yet.

        ``raw`` is the piece in the framing of the head, ``payloads`` the same without framing.
        """
        if self.streaming:
            raw = (
                self._whole_events(raw, payloads, done)
                if self._rewrite is None and not self._http10
                else self._rewritten_events(payloads, done)
            )
        elif self._rewrite is None and not self._http10:
            self._remember(payloads, done)
        else:
            raw = self._rewritten_body(payloads, done)
        if self._start and (raw or done or self.streaming):
            raw, self._start = self._start + raw, b""
        return raw

    def broken(self, error: GatewayError, dialect: Dialect) -> bytes | None:
        """The bytes that end a stream with an error, behind the last whole event; None when only an
        early end can tell.
        """
        if not self.streaming or self._sized:
            return None
        start, self._start = self._start, b""
        waiting = b"".join(self._pieces)
        text = waiting[: _last_end(waiting)]
        self._count([text])
        if self._rewrite is not None:
            text = self._rewrite.events(text, False)
        text += error_event(error, dialect)
        return start + (text if self._http10 else chunk(text) + LAST_CHUNK)

    def _count(self, payloads: list[bytes]) -> None:
        """Counts whole events, however they were cut into payloads."""
        text = payloads[0] if len(payloads) == 1 else b"".join(payloads)
        self.events += text.count(b"data:")
        if b'"usage":' in text or b'"timings":' in text:
            for event in text.split(b"\ndata:"):
                self.usage = merge(self.usage, read_usage(event))

    def _whole_events(self, raw: bytes, payloads: list[bytes], done: bool) -> bytes:
        """Events go out whole, so that an upstream that dies inside one leaves the client with
        whole ones and room for an error event.
        """
        if not self._pieces and (done or (payloads and payloads[-1].endswith(_EVENT_ENDS))):
            self._count(payloads)
            return raw
        raw = self._held + raw
        self._pieces.extend(payloads)
        ends = b"".join(self._pieces[-4:]).endswith(_EVENT_ENDS)
        if done or ends or len(raw) > _LARGEST_EVENT:
            self._count(self._pieces)
            self._pieces.clear()
            self._held = b""
            return raw
        self._held = raw
        return b""

    def _rewritten_events(self, payloads: list[bytes], done: bool) -> bytes:
        text = b"".join((*self._pieces, *payloads))
        end = len(text) if done or len(text) > _LARGEST_EVENT else _last_end(text)
        self._pieces = [text[end:]] if end < len(text) else []
        text = text[:end]
        self._count([text])
        if self._rewrite is not None:
            text = self._rewrite.events(text, done)
        if self._http10:
            return text
        return (chunk(text) if text else b"") + (LAST_CHUNK if done else b"")

    def _remember(self, payloads: list[bytes], done: bool) -> None:
        """Keeps what the usage may stand in: the first and the last pieces of a long answer."""
        pieces = self._pieces
        if done and not pieces:
            if payloads:
                self.usage = read_usage(payloads[0])
            return
        pieces.extend(payloads)
        self._size += sum(map(len, payloads))
        if self._size > _REMEMBERED and len(pieces) > 6:
            del pieces[2:-3]
            self._size = sum(map(len, pieces))
        if done:
            self.usage = read_usage(b"".join(pieces))

    def _rewritten_body(self, payloads: list[bytes], done: bool) -> bytes:
        self._pieces.extend(payloads)
        if not done:
            return b""
        text = b"".join(self._pieces)
        self.usage = read_usage(text)
        if self._rewrite is not None:
            text = self._rewrite.whole(text)
        if self._http10 or not text:
            return text if self._http10 else LAST_CHUNK
        return chunk(text) + LAST_CHUNK


def _last_end(text: bytes) -> int:
    """Where the last whole event ends; 0: there is none."""
    return max((at + len(end) for end in _EVENT_ENDS if (at := text.rfind(end)) >= 0), default=0)
