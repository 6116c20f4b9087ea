"""Requests that wait because every slot of their expert is busy. Owns the queues and their bounds;
what a turn means is the request's own affair.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from contract.gateway_settings import Admission
from gateway.admission.queue import FairQueue
from gateway.errors import QueueFull

if TYPE_CHECKING:
    from gateway.wire.placement import Placement

_SHORTEST_ETA_S: Final = 0.25
_WEIGHT: Final = 0.1  # of the latest duration in the running mean


class WaitingRoom:
    """One queue per expert; an expert nobody waits for has none."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.queues: dict[str, FairQueue[Placement]] = {}
        """By expert; read by every request, written here only."""
        self._mean_s: dict[str, float] = {}

    def length(self, expert: str) -> int:
        """How many requests wait for an expert."""
        return len(self.queues.get(expert, ()))

    def line(self, expert: str, slots: int) -> Iterator[tuple["Placement", int, float]]:
        """Those who wait for an expert, each with its position (1 is next) and the seconds until
        its turn.
        """
        for position, placement in enumerate(self.queues.get(expert, ()), start=1):
            yield placement, position, self._estimate_s(expert, position, slots)

    def enter(self, placement: "Placement", slots: int) -> None:
        """Lets a request wait.

        Raises:
            QueueFull: as many wait as may, of all keys or of this one.
        """
        admission, expert, key = self._admission, placement.expert, placement.call.key
        queue = self.queues.get(expert) or FairQueue()
        if len(queue) >= admission.queue_length or (
            queue.waiting(key.id) >= admission.queue_length_per_key
        ):
            eta = self.eta_s(placement, slots)
            ahead = queue.position(key=key.id, priority=key.priority)
            msg = (
                f"`{expert}` is busy and too many requests wait: {ahead} go before yours. "
                f"Try again in about {eta:.0f} s."
            )
            raise QueueFull(msg, retry_after_s=eta)
        queue.push(placement, key=key.id, priority=key.priority)
        self.queues[expert] = queue

    def leave(self, placement: "Placement") -> None:
        """Takes a request out."""
        queue = self.queues.get(placement.expert)
        if queue is not None:
            key = placement.call.key
            queue.remove(placement, key=key.id, priority=key.priority)
            if not queue:
                del self.queues[placement.expert]

    def serve(self, expert: str) -> None:
        """Lets those go on whose turn it is, as long as there are free slots."""
        queue = self.queues.get(expert)
        while queue:
            first = queue.peek()
            if first is None or not first.try_again():
                break
            key = first.call.key
            queue.took_turn(key=key.id, priority=key.priority)
            queue = self.queues.get(expert)

    def serve_all(self) -> None:
        """The same for every expert."""
        for expert in list(self.queues):
            self.serve(expert)

    def took(self, expert: str, seconds: float) -> None:
        """A request was answered after this long; the estimates learn from it."""
        mean = self._mean_s.get(expert, seconds)
        self._mean_s[expert] = mean + (seconds - mean) * _WEIGHT

    def eta_s(self, placement: "Placement", slots: int) -> float:
        """Seconds until a request of this key would have its turn, by what the latest took."""
        queue, key = self.queues.get(placement.expert), placement.call.key
        ahead = queue.position(key=key.id, priority=key.priority) if queue else 0
        return self._estimate_s(placement.expert, ahead + 1, slots)

    def _estimate_s(self, expert: str, position: int, slots: int) -> float:
        mean = self._mean_s.get(expert, 1.0)
        return max(_SHORTEST_ETA_S, mean * position / max(1, slots))
