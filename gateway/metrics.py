"""Counts what the gateway does and writes it in Prometheus' text form. Owns the counters; labels
are experts, statuses and codes only, so their number is bounded whatever clients send.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.replicas import Fleet, Replica

_PREFIX: Final = "hearth_gateway"
_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Durations in seconds, by expert."""

    def __init__(self) -> None:
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, expert: str, seconds: float) -> None:
        """Adds one duration."""
        buckets = self._buckets.setdefault(expert, [0] * (len(_BUCKETS_S) + 1))
        place = next((i for i, edge in enumerate(_BUCKETS_S) if seconds <= edge), len(_BUCKETS_S))
        buckets[place] += 1
        self._sums[expert] = self._sums.get(expert, 0.0) + seconds

    def lines(self, name: str, help_text: str) -> Iterable[str]:
        """The histogram in text form."""
        yield from _head(name, "histogram", help_text)
        for expert, buckets in sorted(self._buckets.items()):
            total = 0
            for edge, count in zip([*map(str, _BUCKETS_S), "+Inf"], buckets, strict=True):
                total += count
                yield f'{_PREFIX}_{name}_bucket{{expert="{expert}",le="{edge}"}} {total}'
            yield f'{_PREFIX}_{name}_sum{{expert="{expert}"}} {self._sums[expert]:.6f}'
            yield f'{_PREFIX}_{name}_count{{expert="{expert}"}} {total}'


class Metrics:
    """Everything counted since start."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._retries: Counter[str] = Counter()
        self._cancelled: Counter[str] = Counter()
        self.first_byte = Histogram()
        self.duration = Histogram()

    def request(self, expert: str, status: int) -> None:
        """A request to an expert was answered with this status."""
        self._requests[expert, status] += 1

    def error(self, expert: str, code: str) -> None:
        """An expert's request failed, before or after the first byte."""
        self._errors[expert, code] += 1

    def retry(self, expert: str) -> None:
        """A request went to another replica."""
        self._retries[expert] += 1

    def cancelled(self, expert: str) -> None:
        """A client went away before its answer ended."""
        self._cancelled[expert] += 1

    def text(self, experts: Iterable[str], fleet: Fleet) -> str:
        """The exposition, ending in a newline."""
        experts = list(experts)
        lines = [
            *_head("requests_total", "counter", "Answered requests by expert and HTTP status."),
            *(
                _line("requests_total", {"expert": expert, "status": str(status)}, count)
                for (expert, status), count in sorted(self._requests.items())
            ),
            *_head("errors_total", "counter", "Failed requests by expert and error code."),
            *(
                _line("errors_total", {"expert": expert, "code": code}, count)
                for (expert, code), count in sorted(self._errors.items())
            ),
            *_by_expert("retries_total", "Requests sent to another replica.", self._retries),
            *_by_expert("cancelled_total", "Requests their client gave up.", self._cancelled),
            *self.first_byte.lines("first_byte_seconds", "From request to first byte."),
            *self.duration.lines("duration_seconds", "From request to last byte."),
        ]
        for name, help_text, value in _GAUGES:
            lines += _head(name, "gauge", help_text)
            lines += [_line(name, {"expert": e}, value(fleet.of(e))) for e in experts]
        return "\n".join(lines) + "\n"


def _live(replicas: list[Replica]) -> int:
    return sum(replica.live for replica in replicas)


def _in_flight(replicas: list[Replica]) -> int:
    return sum(replica.in_flight for replica in replicas)


def _degraded(replicas: list[Replica]) -> int:
    live = [replica for replica in replicas if replica.live]
    return int(bool(live) and all(replica.degraded for replica in live))


_GAUGES: Final = (
    ("replicas", "Live replicas.", _live),
    ("in_flight", "Requests being answered.", _in_flight),
    ("degraded", "1 when no replica serves the expert's first choice of model.", _degraded),
)


def _by_expert(name: str, help_text: str, counts: Mapping[str, int]) -> list[str]:
    lines = [_line(name, {"expert": expert}, count) for expert, count in sorted(counts.items())]
    return [*_head(name, "counter", help_text), *lines]


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {_PREFIX}_{name} {help_text}", f"# TYPE {_PREFIX}_{name} {kind}"]


def _line(name: str, labels: Mapping[str, str], value: int) -> str:
    joined = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{_PREFIX}_{name}{{{joined}}} {value}"
