"""A client's connection: what it is sent and when it ends. Reads no requests; ``protocol`` does."""

import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.core import CORE, Core
from gateway.errors import GatewayError, RequestTimedOut
from gateway.request.call import request_id
from gateway.request.endpoints import Dialect
from gateway.request.head import RequestHead
from gateway.wire.heads import error_response

if TYPE_CHECKING:
    from gateway.wire.exchange import Exchange

_KEEP_ALIVE_S: Final = 75.0
_LINGER_S: Final = 2.0  # what a refused client still sends is read and dropped, or it sees a reset

_super: Final = HttpToolsProtocol
_now: Final = time.monotonic


class ClientConnection(HttpToolsProtocol):
    """One client connection. Defaults stand on the class, so that a connection holds only what it
    has met; what FastAPI needs to know of it is found out when FastAPI is first asked.
    """

    http10 = False
    paused_at = 0.0  # since when the client leaves its answer unread
    _exchange: "Exchange | None" = None
    _head: RequestHead | None = None
    _deaf = False  # nothing more is read
    _last = False  # the connection closes behind the answer under way
    _reading = False
    _since = _lingers_since = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write
        self._core: Core = self.app_state[CORE]
        self._core.connections.add(self)
        self.connections.add(self)
        self._since = _now()

    def _meet_asgi(self) -> None:
        """FastAPI is asked for the first time on this connection."""
        _super.connection_made(self, self.transport)
        if self.paused_at:
            self.flow.pause_writing()

    # What the client is sent.

    def finished(self, *, keep_alive: bool, now: float) -> None:
        """The exchange has written its last byte."""
        self._exchange = None
        self._since = now
        self.server_state.total_requests += 1
        if not keep_alive or self._last:
            self._deaf = True
            self.transport.close()

    def _answer_refusal(self, error: GatewayError) -> None:
        self._tell(error, keep_alive=not self._last)
        self._since = _now()
        if self._last:
            self._deaf = True
            self.transport.close()

    def _refuse_at_once(self, error: GatewayError) -> None:
        """Answers without using the rest of the request, which ends the connection."""
        if self._deaf:
            return
        self._reading = False
        self._deaf = self._last = True
        self._tell(error, keep_alive=False)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._lingers_since = _now()
        else:
            self.transport.close()

    def _tell(self, error: GatewayError, *, keep_alive: bool) -> None:
        head, parser = self._head, self.parser
        dialect = head.endpoint.dialect if head is not None else Dialect.OPENAI
        lines = b"x-request-id: %b\r\n" % request_id(head.offered_id if head is not None else None)
        empty = head is not None and parser.get_method() == b"HEAD"
        self._core.metrics.refused[error.code or error.kind] += 1
        self.write(error_response(error, dialect, lines, keep_alive=keep_alive, empty=empty))

    def _stop_reading(self) -> None:
        """The connection ends behind the answer under way."""
        self._deaf = self._last = True
        if self._busy():
            self.cycle.keep_alive = False

    def _busy(self) -> bool:
        """Whether FastAPI answers."""
        return self.cycle is not None and not self.cycle.response_complete

    # The connection itself.

    def pause_writing(self) -> None:
        if self.flow is not None:
            _super.pause_writing(self)
        self.paused_at = _now()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        if self.flow is not None:
            _super.resume_writing(self)
        self.paused_at = 0.0
        if self._exchange is not None:
            self._exchange.resume()

    def eof_received(self) -> None:
        # The transport closes now, and what is still written reaches nobody: it must not count.
        exchange, self._exchange = self._exchange, None
        self._deaf = True
        if exchange is not None:
            exchange.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._core.connections.discard(self)
        self.eof_received()
        _super.connection_lost(self, exc)

    def shutdown(self) -> None:
        """The server ends: what is under way may finish."""
        self._last = self._core.draining = True
        if self._exchange is None and not (self._reading and not self._busy()):
            _super.shutdown(self)

    def end(self) -> None:
        """The server's patience is over."""
        if self._exchange is not None:
            self._exchange.shut_down()

    def abort(self) -> None:
        """Closes at once, whatever is under way."""
        self.transport.abort()

    def sweep(self, now: float) -> None:
        """Called a few times a second: everything that takes too long ends here, so that no
        request needs a timer of its own.
        """
        timeouts = self._core.settings.timeouts
        if self.paused_at:
            if now - self.paused_at > timeouts.stalled_client_s:
                self.transport.abort()
        elif self._exchange is not None:
            if now > self._exchange.deadline:
                self._exchange.expired()
        elif self._reading:
            if now - self._since > timeouts.request_s:
                self._refuse_at_once(RequestTimedOut("The request did not arrive in time."))
        elif self._lingers_since:
            if now - self._lingers_since > _LINGER_S:
                self.transport.close()
        elif now - self._since > _KEEP_ALIVE_S and not self._busy():
            self.transport.close()
