"""Leaves a replica alone that keeps failing, and tries it again with one request at a time. Pure:
the time is given.
"""

from typing import Final

_FAILURES: Final = 3
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class Breaker:
    """Closed: everything passes. Open: nothing does, until the pause is over; then one request
    decides whether it closes or the pause doubles. ``failures`` are those in a row.
    """

    __slots__ = ("_pause_s", "_until", "failures", "open")

    def __init__(self) -> None:
        self.failures = 0
        self.open = False
        self._pause_s = 0.0
        self._until = 0.0

    def allows(self, now: float) -> bool:
        """Whether a request may be sent."""
        return not self.open or now >= self._until

    def taken(self, now: float) -> None:
        """A request is being sent; while open, it is the one trial."""
        if self.open:
            self._until = now + self._pause_s

    def succeeded(self) -> None:
        """A request was answered."""
        self.failures = 0
        self.open = False
        self._pause_s = 0.0

    def failed(self, now: float) -> None:
        """A request was lost."""
        self.failures += 1
        self.open = self.failures >= _FAILURES
        if self.open:
            self._pause_s = min(max(_FIRST_PAUSE_S, self._pause_s * 2), _LONGEST_PAUSE_S)
            self._until = now + self._pause_s
