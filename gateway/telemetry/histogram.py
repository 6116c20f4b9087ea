"""A histogram of durations in Prometheus' sense. Pure."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BUCKETS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)


@dataclass(slots=True)
class Histogram:
    """Counts by bucket, and the sum, in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Adds one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds

    def include(self, other: "Histogram") -> None:
        """Adds what another one counted."""
        self.counts = list(map(int.__add__, self.counts, other.counts))
        self.total += other.total

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Upper edge and count up to it; the last edge is ``+Inf``."""
        seen = 0
        for edge, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            seen += count
            yield edge, seen
