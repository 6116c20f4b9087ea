"""One line of JSON per request, without a word of what was asked or answered. Owns the buffer:
lines are written together a few times a second, because a write per request costs more than the
request's own work.
"""

import logging
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from gateway.reply.usage import Usage

if TYPE_CHECKING:
    from gateway.wire.exchange import Exchange

_MOST_HELD: Final = 10_000
_log = logging.getLogger("gateway")


class Record(msgspec.Struct, gc=False, omit_defaults=True):
    """What is worth knowing of one request. ``time`` is when it ended, in seconds since 1970;
    the other times are milliseconds.
    """

    time: float
    path: str
    status: int
    outcome: str
    ms: float
    id: str
    trace: str
    key: str
    expert: str
    model: str
    replica: str
    reason: str
    queue_ms: float
    first_byte_ms: float
    bytes: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


_encode_lines: Final = msgspec.json.Encoder().encode_lines


class RequestLog:
    """Gathers records; ``flush`` writes them. What cannot be written in time is dropped, counted
    and said, because a full disk must not stop the answers.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._held: list[Record] = []
        self._dropped = 0
        self._epoch = time.time() - time.monotonic()

    def add(
        self, exchange: "Exchange", outcome: str, usage: Usage, now: float, seconds: float
    ) -> None:
        """Keeps what one request was like that ended at ``now``, to be written soon."""
        if len(self._held) >= _MOST_HELD:
            self._dropped += 1
            return
        call, replica, first = exchange.call, exchange.replica, exchange.first_at
        self._held.append(
            Record(
                self._epoch + now,
                call.endpoint.path,
                exchange.status,
                outcome,
                seconds * 1000.0,
                call.request_id.decode("latin-1"),
                call.trace_id if call.head.traceparent is not None else "",
                call.key.id,
                exchange.expert,
                (replica.serving or "") if replica is not None else "",
                replica.endpoint.id if replica is not None else "",
                exchange.reason,
                exchange.queue_s * 1000.0,
                (first - exchange.began) * 1000.0 if first else 0.0,
                exchange.sent_bytes,
                usage.prompt,
                usage.cached,
                usage.completion,
            )
        )

    def flush(self) -> None:
        """Writes what has gathered."""
        held, self._held = self._held, []
        self._epoch = time.time() - time.monotonic()
        if self._dropped:
            _log.warning("request log: %d lines dropped", self._dropped)
            self._dropped = 0
        if not held:
            return
        try:
            self._stream.write(_encode_lines(held))
            self._stream.flush()
        except OSError:
            self._dropped += len(held)

    def failure(self, what: str, exchange: "Exchange") -> None:
        """A fault nobody foresaw, with its traceback."""
        _log.exception("%s id=%s", what, exchange.call.request_id.decode("latin-1"))
