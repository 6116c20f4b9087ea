"""Where a request goes: to a replica with a free slot, into the queue, or to an expert that stands
in. Owns the order of these and nothing of what is sent there.
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, NoReplica
from gateway.fleet.balance import can_wait, choose_replica
from gateway.fleet.prefix import Link
from gateway.fleet.replicas import Replica
from gateway.request.body import Body
from gateway.request.call import Call

if TYPE_CHECKING:
    from gateway.core import Core
    from gateway.wire.protocol import GatewayProtocol

_now: Final = time.monotonic


@dataclass(slots=True, eq=False, repr=False)
class Placement:
    """A request that looks for its replica. ``began`` is when it was whole, ``deadline`` when the
    present phase must have ended, ``queue_s`` how long it has waited for a slot, ``queued_at``
    since when it waits now; 0: it does not.
    """

    _core: "Core"
    _client: "GatewayProtocol"
    call: Call
    began: float
    body: Body | None = None
    closed: bool = False  # no other expert may see it
    deadline: float = math.inf
    expert: str = ""
    reason: str = ""
    queue_s: float = 0.0
    queued_at: float = 0.0
    _failure: GatewayError | None = None
    _links: list[Link] | None = None
    _tried: tuple[str, ...] = ()

    def _send(self, replica: Replica, now: float, *, fresh: bool = False) -> None:
        raise NotImplementedError

    def fail(self, error: GatewayError) -> None:
        """Tells the client that nothing comes of it."""
        raise NotImplementedError

    def _dispatch(self, now: float) -> None:
        core = self._core
        if core.queues and self.queued_at == 0.0 and self.expert in core.queues:
            self._wait(now)  # others came first
            return
        replicas = core.fleet.of(self.expert)
        replica = self._choose(replicas, now)
        if replica is not None:
            self._send(replica, now)
        elif can_wait(replicas, now=now, tried=self._tried):
            self._wait(now)
        elif self._fall_back():
            pass
        elif replicas and self._failure is None:
            self._wait(now)  # it may just be restarting
        else:
            self.fail(self._failure or self._nobody())

    def _choose(self, replicas: list[Replica], now: float) -> Replica | None:
        if len(replicas) == 1 and not self._tried:
            only = replicas[0]
            free = only.live and only.in_flight < only.slots
            return only if free and (not only.breaker.open or only.breaker.allows(now)) else None
        known = None
        if len(replicas) > 1:
            if self._links is None:
                self._links = self._core.conversation(self)
            known = self._core.prefixes.known(self._links)
        return choose_replica(replicas, now=now, known=known, tried=self._tried)

    def try_again(self) -> bool:
        """It is this request's turn in the queue; False when still nothing is free."""
        if self._choose(self._core.fleet.of(self.expert), _now()) is None:
            return False
        self._leave_queue()
        self.queued_at = -1.0  # it has waited: it does not go behind the others again
        self._dispatch(_now())
        self.queued_at = max(0.0, self.queued_at)
        return True

    def _wait(self, now: float) -> None:
        admission = self._core.settings.admission
        usable = self._usable(now)
        self._tried = ()
        try:
            self._core.waiting.enter(self, self._core.slots(self.expert))
        except GatewayError as error:
            if not self._fall_back():
                self.fail(error)
            return
        self.queued_at = now
        self.deadline = now + (admission.queue_wait_s if usable else admission.restart_wait_s)

    def _usable(self, now: float) -> bool:
        """Whether it is only slots that lack: someone answers and does not keep failing."""
        return can_wait(self._core.fleet.of(self.expert), now=now)

    def _leave_queue(self) -> None:
        if self.queued_at > 0:
            self._core.waiting.leave(self)
            self.queue_s += _now() - self.queued_at
            self.queued_at = 0.0

    def _fall_back(self) -> bool:
        """Goes on with an expert that stands in for this one; False when there is none."""
        if self.closed:
            return False
        core, before = self._core, self.reason
        visited = before.split(">")[1:] if before.startswith("fallback>") else []
        for other in core.settings.experts[self.expert].fallbacks:
            if other not in visited and core.fleet.live(other):
                core.metrics.of(self.expert).failovers += 1
                self.reason = ">".join(("fallback", *visited, self.expert))
                self.expert, self._tried, self._links = other, (), None
                self._dispatch(_now())
                return True
        return False

    def _nobody(self) -> NoReplica:
        return NoReplica(f"No replica of `{self.expert}` is ready.")
