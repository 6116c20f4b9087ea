"""What clients ask: uvicorn's HTTP protocol, in which requests to experts never enter ASGI. Owns
reading a request within its bounds; an ``Exchange`` owns what becomes of it. Every other path goes
to FastAPI as usual.
"""

import logging
import time
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.access.errors import EndpointForbidden
from gateway.access.key import Key
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    GatewayError,
    HeadTooLarge,
    Internal,
    MethodNotAllowed,
    ShuttingDown,
)
from gateway.request.call import Call
from gateway.request.head import Repeat, RequestHead, endpoint_of
from gateway.wire.client import ClientConnection
from gateway.wire.exchange import Exchange
from gateway.wire.heads import LARGEST_HEAD

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SMALL_BODY: Final = 64 * 1024  # read to its end even when refused, so that the client can reuse
_TOO_LARGE: Final = "The request's headers are too large."

_log = logging.getLogger("gateway.wire")
_super: Final = HttpToolsProtocol
_now: Final = time.monotonic


class GatewayProtocol(ClientConnection):
    """Reads one request at a time: what a client sends before its answer has ended is not read, and
    the connection closes behind that answer.
    """

    _repeat: Repeat | None = None
    _key: Key | None = None
    _key_version = -1
    _presented: bytes | None = None
    _refusal: GatewayError | None = None
    _parts: list[bytes]
    _missing = 0  # bytes of a body whose head was recognised and not parsed
    _received = _head_bytes = _hosts = 0
    _trailing = False  # header fields behind the head are trailers, which mean nothing here
    _undecided = False

    def data_received(self, data: bytes) -> None:
        if self._exchange is not None:
            self._deaf = self._last = True
        if self._deaf:
            return
        if self._missing:
            self._gather(data)
            return
        repeat = self._repeat
        if repeat is not None and not self._reading:
            start, length = repeat.body_at(data)
            have = len(data) - start
            if start > 0 and have <= length <= self._core.settings.max_body_bytes:
                self._head, self._refusal = repeat.head, None
                if have == length:
                    self._complete(data[start:])
                    return
                self._reading, self._since = True, _now()
                self._parts, self._missing = [data[start:]], length - have
                return
        self._parse(data)

    def _gather(self, data: bytes) -> None:
        """More of a body whose head was recognised."""
        self._missing -= len(data)
        if self._missing > 0:
            self._parts.append(data)
            return
        if self._missing < 0:
            data = data[: self._missing]
            self._deaf = self._last = True
        self._missing, self._reading = 0, False
        parts = self._parts
        parts.append(data)
        self._parts = []
        self._complete(b"".join(parts))

    def _parse(self, data: bytes) -> None:
        """Reads bytes that are no repetition."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        starts = not self._reading
        self._head_bytes += len(data)
        if starts and len(data) > LARGEST_HEAD and data.find(b"\r\n\r\n", 0, LARGEST_HEAD) < 0:
            self._refuse_at_once(HeadTooLarge(_TOO_LARGE))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:  # a fault of this module
            _log.error("request could not be read", exc_info=error.__context__)
            self._refuse_at_once(Internal())
        except httptools.HttpParserUpgrade as change:
            self._decline_upgrade(data[change.args[0] :])
        except httptools.HttpParserError:
            self._malformed()
        if self._reading and self._head_bytes > LARGEST_HEAD:
            self._refuse_at_once(HeadTooLarge(_TOO_LARGE))
        elif (
            starts and self._head is not None and not (self._repeat or self._refusal or self._deaf)
        ):
            self._repeat = Repeat.of(self._head, data)

    def _decline_upgrade(self, rest: bytes) -> None:
        """The client offers another protocol, as some do with every first request. It is answered
        in this one; the parser has given up, so the body is read without it.
        """
        head = self._head
        if self._deaf or head is None or self._exchange is not None or not self._reading:
            self._stop_reading()
            return
        self._last = True
        self._missing = head.length
        self._gather(rest)

    def on_message_begin(self) -> None:
        if self._exchange is not None or self._busy():
            self._stop_reading()
            return
        self.url = b""
        self._undecided = self._reading = True
        self._head = self._refusal = self._repeat = None
        self._since = _now()
        self._received = self._hosts = 0
        self._trailing = False

    def on_url(self, url: bytes) -> None:
        if not self._deaf:
            self.url += url

    def _decide(self) -> None:
        """The path is known: one of ours, or FastAPI's."""
        self._undecided = False
        url = self.url
        endpoint = endpoint_of(url)
        if endpoint is None:
            if self.flow is None:
                self._meet_asgi()
            _super.on_message_begin(self)
            self.url = url
        else:
            self._head = RequestHead(endpoint)
            self._parts = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._deaf or self._trailing:
            return
        if self._undecided:
            self._decide()
        if len(name) == 4 and name.lower() == b"host":
            self._hosts += 1
        if self._head is None:
            _super.on_header(self, name, value)
        else:
            self._head.header(name, value)

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        if self._undecided:
            self._decide()
        self._head_bytes = -(1 << 62)  # what follows is a body, which has a limit of its own
        self._trailing = True
        self.http10 = self.parser.get_http_version() != "1.1"
        if self._hosts > 1 or not (self._hosts or self.http10):
            # Whoever stands in front may have read another one than we would (RFC 9112, 3.2).
            self._refuse_at_once(BadRequest("A request has exactly one Host header."))
            return
        head = self._head
        if head is None:
            self._hand_to_asgi()
            return
        head.http10 = self.http10
        self._last = head.last = (
            self.http10 or self._core.draining or not self.parser.should_keep_alive()
        )
        try:
            if self.parser.get_method() != b"POST":
                raise MethodNotAllowed("POST")
            self._check(head)
            self._check_size(head.length)
        except GatewayError as error:
            if head.length > _SMALL_BODY or head.expects:
                self._refuse_at_once(error)
            else:
                self._refusal = error
            return
        if head.expects:
            self.write(_CONTINUE)

    def _hand_to_asgi(self) -> None:
        try:
            _super.on_headers_complete(self)
            self.cycle.keep_alive &= not self._core.draining
        except (httptools.HttpParserInvalidURLError, AttributeError):
            self._malformed()  # what it wants is no URL, or one without a path

    def _check(self, head: RequestHead) -> Key:
        """Who asks, and whether this key may ask here. Recognising a key costs a digest, so what
        this connection presented last is remembered for as long as no key has changed.
        """
        core, ring, key = self._core, self._core.ring, self._key
        if (
            key is None
            or head.presented != self._presented
            or ring.version != self._key_version
            or key.expires_at <= time.time()
        ):
            self._key, self._key_version, self._presented = None, ring.version, head.presented
            scheme, _, token = (head.presented or b"").partition(b" ")
            key = self._key = ring.find(token.strip() if scheme.lower() == b"bearer" else b"")
        if key.endpoints is not None and head.endpoint.path not in key.endpoints:
            raise EndpointForbidden(head.endpoint.path)
        if core.draining:
            raise ShuttingDown("The gateway is being restarted.")
        return key

    def _check_size(self, size: int) -> None:
        if size > (limit := self._core.settings.max_body_bytes):
            raise BodyTooLarge(f"The request body may have at most {limit} bytes.")

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        if self._head is None:
            _super.on_body(self, body)
            return
        self._received += len(body)
        if self._refusal is not None:
            if self._received > _SMALL_BODY:
                self._refuse_at_once(self._refusal)
            return
        self._parts.append(body)
        try:
            self._check_size(self._received)
        except BodyTooLarge as error:
            self._refuse_at_once(error)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._reading, self._head_bytes = False, 0
        if self._head is None:
            _super.on_message_complete(self)
            return
        parts, self._parts = self._parts, []
        if not self._received and self._head.length > 0:
            self._reading = True  # see _decline_upgrade
            return
        self._complete(parts[0] if len(parts) == 1 else b"".join(parts))

    def _complete(self, content: bytes) -> None:
        """The request is whole."""
        head = self._head
        assert head is not None
        try:
            if self._refusal is not None:
                raise self._refusal
            key = self._check(head)
        except GatewayError as error:
            self._answer_refusal(error)
            return
        call = Call(head, key, content)
        exchange = self._exchange = Exchange(self._core, self, call, _now())
        exchange.start()

    def _malformed(self) -> None:
        if self._exchange is not None or self._busy():
            self._stop_reading()
        else:
            self._refuse_at_once(BadRequest("This is no valid HTTP/1.1 request."))
