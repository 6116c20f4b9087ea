"""One request from its last byte in to its last byte out. Owns the order of things: read, limit,
route, choose, send, fail over before the first byte, pass on, account, exactly once.

The rules themselves are elsewhere: what a body says in ``request``, who may in ``access``, which
expert in ``routing``, which replica in ``fleet``, what the client gets in ``answer``.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from contract import headers
from gateway.errors import (
    BadRequest,
    GatewayError,
    Internal,
    QueueTimedOut,
    ShuttingDown,
    UpstreamFailed,
    UpstreamSilent,
)
from gateway.fleet.replicas import Replica
from gateway.reply.refusal import refusal
from gateway.reply.rewrite import Rewrite
from gateway.reply.usage import Usage, read_whole
from gateway.request.body import Body, read_body
from gateway.request.mend import adapt, mend
from gateway.wire.answer import Answer
from gateway.wire.heads import ResponseHead, error_response
from gateway.wire.placement import Placement
from gateway.wire.upstream import Connection

_ATTEMPTS: Final = 3
_LARGEST_REFUSAL: Final = 64 * 1024
_ELSEWHERE: Final = (429, 502, 503, 504)  # full, loading, or its own proxy lost it

_QUEUED: Final = headers.QUEUED.encode()

_now = time.monotonic


@dataclass(slots=True, eq=False, repr=False)
class Exchange(Placement):
    """A request and its answer. ``first_at`` is when the answer began; ``answer`` is None for one
    that came whole.
    """

    answer: Answer | None = None
    first_at: float = 0.0
    holding: bool = False  # counted in the replica's in-flight requests
    replica: Replica | None = None
    reserved: int = -1  # tokens taken from the key's limits; -1: nothing was
    day: int = 0
    sent_bytes: int = 0
    status: int = 0
    usage: Usage | None = None
    _attempts: int = 0
    _connection: Connection | None = None
    _ended: bool = False
    _refusal: list[bytes] | None = None
    _rewrite: Rewrite | None = None
    _task: asyncio.Task[None] | None = None

    # From the request to an expert.

    def start(self) -> None:
        """Begins; whatever happens, the client is told and the request is accounted once."""
        core, call = self._core, self.call
        try:
            body = self.body = read_body(call.content, call.endpoint, call.head.content_type)
            if call.key.limited:
                reserved = len(call.content) // 4 + body.answer_tokens()
                self.day = core.today
                core.limits.admit(call.key, reserved, time.monotonic_ns(), self.day)
                self.reserved = reserved
            decision = core.router.resolve(body.model, allowed=call.key.models)
            if decision is None:
                self._task = core.loop.create_task(self._decide(body))
            else:
                self._go_to(body, decision.expert, decision.reason)
        except GatewayError as error:
            self.fail(error)
        except Exception:
            core.log.failure("request failed", self)
            self.fail(Internal())

    async def _decide(self, body: Body) -> None:
        """Lets the mixture of experts choose; the one step that may ask other experts first."""
        try:
            decision = await self._core.decide(self.call)
            self._task = None
            if not self._ended:
                self.closed = decision.closed
                self._go_to(body, decision.expert, decision.reason)
        except GatewayError as error:
            self._task = None
            self.fail(error)
        except Exception:
            self._core.log.failure("routing failed", self)
            self._task = None
            self.fail(Internal())

    def _go_to(self, body: Body, expert: str, reason: str) -> None:
        endpoint = self.call.endpoint
        if endpoint.needs not in self._core.settings.experts[expert].capabilities:
            error = BadRequest(f"The model `{expert}` does not support {endpoint.path}.")
            error.code, error.param = "unsupported", "model"
            raise error
        self.expert, self.reason = expert, reason
        if body.tool_choice or body.parallel_tool_calls is False:
            self.call.content, self._rewrite = mend(self.call.content, body, endpoint)
        self._dispatch(self.began)

    # To the replica.

    def _send(self, replica: Replica, now: float, *, fresh: bool = False) -> None:
        core = self._core
        self.replica = replica
        self.holding = True
        replica.in_flight += 1
        replica.chosen = core.next_turn()
        if replica.breaker.open:
            replica.breaker.taken(now)
        self._attempts += 1
        if self._links:
            core.prefixes.learn(self._links, replica.endpoint.id)
        connection = None if fresh else replica.pool.take(now)
        if connection is None:
            self.deadline = now + core.settings.timeouts.connect_s
            self._task = core.loop.create_task(self._connect(replica))
        else:
            self._hand_over(replica, connection, now)

    async def _connect(self, replica: Replica) -> None:
        try:
            connection = await replica.pool.open()
        except OSError:
            self._task = None
            if not self._ended:
                self._lose(replica, None)
            return
        self._task = None
        if self._ended:
            connection.abort()
            return
        try:
            self._hand_over(replica, connection, _now())
        except Exception:
            self._core.log.failure("request could not be sent", self)
            self.fail(Internal())

    def _hand_over(self, replica: Replica, connection: Connection, now: float) -> None:
        call, body = self.call, self.body
        self.deadline = now + self._core.settings.timeouts.first_byte_s
        content = call.content
        self._connection = connection
        if self._client.paused_at:
            self.pause()  # it has not read its last answer yet
        if body is not None and (
            replica.endpoint.model is not None or (body.stream and not replica.counts)
        ):
            content, self._rewrite = adapt(
                content,
                body,
                call.endpoint,
                self._rewrite,
                model=replica.endpoint.model,
                counts=replica.counts,
            )
        path, kind = call.endpoint.path, call.head.content_type
        prefix = replica.prefixes.get((path, kind)) or replica.request_prefix(path, kind)
        connection.send(self, call.upstream_head(prefix, len(content)), content)

    # From the replica to the client.

    def receive(
        self, head: ResponseHead | None, raw: bytes, payloads: list[bytes], done: bool
    ) -> None:
        """More of the answer, from the connection."""
        now = _now()
        if done:
            self._connection = None
        answer = self.answer
        if answer is None:
            if head is None or head.status >= 400:
                self._refused(head, payloads, done)
                return
            self.status, self.first_at = head.status, now
            lines = self._own_lines()
            if done and self._rewrite is None and head.length >= 0 and not self._client.http10:
                # Most answers: whole at once, and nothing to change.
                if self.call.endpoint.counted:
                    self.usage = read_whole(raw)
                self.sent_bytes = len(raw)
                self._finish("ok", now, last=head.start + lines + raw)
                return
            answer = self.answer = Answer(
                head, lines, rewrite=self._rewrite, http10=self._client.http10
            )
        self.deadline = now + self._core.settings.timeouts.silence_s
        out = answer.take(raw, payloads, done)
        self.sent_bytes += len(out)
        if done:
            self._finish("ok", now, last=out)
        elif out:
            self._client.write(out)

    def _own_lines(self) -> bytes:
        """The header lines that are the gateway's, and the end of the head."""
        core, call, replica, reason = self._core, self.call, self.replica, self.reason
        assert replica is not None
        lines = replica.lines.get(reason) or replica.lines_for(
            reason, show_host=core.settings.show_hosts
        )
        if self.queue_s:
            lines += b"%b: %d\r\n" % (_QUEUED, round(self.queue_s * 1000))
        if not call.key.limited:
            return b"%bx-request-id: %b\r\n\r\n" % (lines, call.request_id)
        return b"%bx-request-id: %b\r\n%b\r\n" % (
            lines,
            call.request_id,
            core.limits.headers(call.key, time.monotonic_ns()),
        )

    def _refused(self, head: ResponseHead | None, payloads: list[bytes], done: bool) -> None:
        """The replica answers with an error: understood once it is whole."""
        if head is not None:
            self.status = head.status
            self._refusal = []
        assert self._refusal is not None
        if sum(map(len, self._refusal)) < _LARGEST_REFUSAL:
            self._refusal.extend(payloads)
        if not done:
            return
        replica = self.replica
        assert replica is not None
        status, error = self.status, refusal(self.status, b"".join(self._refusal))
        if status in _ELSEWHERE:
            if status == 503:
                replica.failed()
            self._failure = error
            self._elsewhere(replica)
        else:
            if replica.breaker.failures:
                replica.breaker.succeeded()
            self._release()  # it has done its part: this is no request that was broken off
            self.fail(error)

    # When something goes wrong.

    def lost(self, why: str, *, stale: bool) -> None:
        """The connection ended early, from the connection."""
        replica, self._connection = self.replica, None
        assert replica is not None
        if self.sent_bytes:
            replica.failed()
            replica.breaker.failed(_now())
            self.fail(UpstreamFailed(f"The expert failed in the middle of its answer: {why}."))
        elif stale:
            self._release()
            self._attempts -= 1
            self._send(replica, _now(), fresh=True)
        else:
            self._lose(replica, UpstreamFailed("The expert failed before it answered."))

    def _lose(self, replica: Replica, failure: GatewayError | None) -> None:
        replica.failed()
        replica.breaker.failed(_now())
        self._failure = failure or self._failure
        self._elsewhere(replica)

    def _elsewhere(self, replica: Replica) -> None:
        """Not a byte has reached the client, so another replica may answer as well."""
        self._release()
        self._tried = (*self._tried, replica.endpoint.id)
        self._refusal = self.answer = None
        self.first_at = 0.0
        if self._attempts < _ATTEMPTS:
            self._core.metrics.of(self.expert).retries += 1
            self._dispatch(_now())
        elif not self._fall_back():
            self.fail(self._failure or self._nobody())

    def expired(self) -> None:
        """The present phase took too long."""
        if self.queued_at > 0:
            usable = self._usable(_now())
            eta = self._core.waiting.eta_s(self, self._core.slots(self.expert))
            self._leave_queue()
            if self._fall_back():
                return
            msg = f"`{self.expert}` is busy and no slot came free in time."
            self.fail(QueueTimedOut(msg, retry_after_s=eta) if usable else self._nobody())
            return
        if self._connection is None and self.holding and self.replica is not None:
            self._drop()
            self._lose(self.replica, None)
            return
        when = "in the middle of its answer" if self.sent_bytes else "before it answered"
        self.fail(UpstreamSilent(f"The expert fell silent {when}."))

    def shut_down(self) -> None:
        """The gateway ends before the answer does."""
        self.fail(ShuttingDown("The gateway is being restarted."))

    def cancel(self) -> None:
        """The client is gone."""
        if not self._ended:
            self._drop()
            self._finish("cancelled", _now())

    def fail(self, error: GatewayError) -> None:
        """Tells the client, in the way that is still open."""
        if self._ended:
            return
        self._drop()
        core, client, call = self._core, self._client, self.call
        keep_alive = True
        if not self.sent_bytes:
            self.status = error.status
            limits = core.limits.headers(call.key, time.monotonic_ns()) if call.key.limited else b""
            lines = b"x-request-id: %b\r\n%b" % (call.request_id, limits)
            keep_alive = not client.http10
            client.write(error_response(error, call.endpoint.dialect, lines, keep_alive=keep_alive))
        else:
            event = self.answer.broken(error, call.endpoint.dialect) if self.answer else None
            keep_alive = event is not None
            if event:
                client.write(event)
        self._finish(error.code or error.kind, _now(), keep_alive=keep_alive)

    def _drop(self) -> None:
        """Ends whatever is under way upstream, at once."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self._leave_queue()

    def _release(self) -> None:
        if self.holding and self.replica is not None:
            self.replica.in_flight -= 1
            self.holding = False

    # The end.

    def _finish(
        self, outcome: str, now: float, *, last: bytes = b"", keep_alive: bool = True
    ) -> None:
        core, client, replica = self._core, self._client, self.replica
        self._ended = True
        # First the books, then the last bytes: what a client has, it has paid for, whatever kills
        # this process in between.
        core.account(self, outcome, now)
        if last:
            client.transport.write(last)
        self._release()
        if replica is not None and outcome == "ok" and replica.breaker.failures:
            replica.breaker.succeeded()
        client.finished(keep_alive=keep_alive, now=now)
        if core.queues:
            core.waiting.serve(self.expert)

    def pause(self) -> None:
        """The client reads slower than the expert writes."""
        if self._connection is not None:
            self._connection.transport.pause_reading()

    def resume(self) -> None:
        """The client has caught up."""
        if self._connection is not None:
            self._connection.transport.resume_reading()
