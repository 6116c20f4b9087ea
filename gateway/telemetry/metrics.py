"""Counts what the gateway does. Owns the counters, which are plain attributes because they are
written for every request; how they look to Prometheus is in ``exposition``.

Labels are experts, statuses and codes only: their number is bounded whatever clients send. Tokens
by key are in the ledger.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.reply.usage import Usage
from gateway.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from gateway.wire.exchange import Exchange


@dataclass(slots=True)
class ExpertCounters:
    """Everything counted for one expert since start."""

    statuses: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    failovers: int = 0
    cancelled: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    first_byte: Histogram = field(default_factory=Histogram)
    duration: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    output_seconds: float = 0.0
    """Spent writing answers, first to last byte."""

    def include(self, other: "ExpertCounters") -> None:
        """Adds what another worker counted."""
        for name in (entry.name for entry in dataclasses.fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Histogram):
                mine.include(theirs)
            elif isinstance(mine, dict):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + theirs)


class Metrics:
    """All counters. Requests refused before they had an expert count under the empty name."""

    def __init__(self) -> None:
        self.experts: dict[str, ExpertCounters] = {}
        self.refused: Counter[str] = Counter()

    def of(self, expert: str) -> ExpertCounters:
        """The counters of one expert."""
        found = self.experts.get(expert)
        if found is None:
            found = self.experts[expert] = ExpertCounters()
        return found

    def ended(self, exchange: "Exchange", outcome: str, usage: Usage, seconds: float) -> None:
        """A request to an expert ended, in whatever way."""
        counters = self.experts.get(exchange.expert) or self.of(exchange.expert)
        if outcome == "cancelled":
            counters.cancelled += 1
        else:
            if outcome != "ok":
                counters.errors[outcome] = counters.errors.get(outcome, 0) + 1
            status = exchange.status
            counters.statuses[status] = counters.statuses.get(status, 0) + 1
        if exchange.queue_s:
            counters.queue.add(exchange.queue_s)
        counters.duration.add(seconds)
        if exchange.first_at:
            first = exchange.first_at - exchange.began
            counters.first_byte.add(first)
            counters.output_seconds += seconds - first
            counters.prompt += usage.prompt
            counters.cached += usage.cached
            counters.completion += usage.completion
