"""Writes the counters in Prometheus' text form. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from gateway.fleet.replicas import Fleet, Replica
from gateway.telemetry.figures import Figures
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.metrics import ExpertCounters

_PREFIX: Final = "hearth_gateway"
Sample = tuple[Mapping[str, str], float]


def exposition(figures: Figures, fleet: Fleet, experts: Iterable[str]) -> str:
    """The whole text, ending in a newline. What keys used begins anew with each day, as counters
    may.
    """
    experts = list(experts)
    known = sorted(figures.experts.items())
    parts: list[str] = []

    def family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> None:
        parts.append(f"# HELP {_PREFIX}_{name} {help_text}")
        parts.append(f"# TYPE {_PREFIX}_{name} {kind}")
        parts.extend(_line(name, labels, value) for labels, value in samples)

    def counted(name: str, help_text: str, value: Callable[[ExpertCounters], float]) -> None:
        samples = (({"expert": expert}, value(counters)) for expert, counters in known)
        family(name, "counter", help_text, samples)

    def measured(name: str, help_text: str, of: Callable[[ExpertCounters], Histogram]) -> None:
        parts.append(f"# HELP {_PREFIX}_{name} {help_text}")
        parts.append(f"# TYPE {_PREFIX}_{name} histogram")
        for expert, counters in known:
            parts.extend(_histogram(name, expert, of(counters)))

    def gauge(name: str, help_text: str, value: Callable[[list[Replica]], float]) -> None:
        samples = (({"expert": expert}, value(fleet.of(expert))) for expert in experts)
        family(name, "gauge", help_text, samples)

    family("requests_total", "counter", "Requests by expert and HTTP status.", _by_status(known))
    family("errors_total", "counter", "Failed requests by expert and code.", _by_code(known))
    family(
        "refused_total",
        "counter",
        "Requests refused before they had an expert, by code.",
        (({"code": code}, count) for code, count in sorted(figures.refused.items())),
    )
    counted("retries_total", "Requests sent to another replica.", lambda c: c.retries)
    counted("failovers_total", "Requests another expert stood in for.", lambda c: c.failovers)
    counted("cancelled_total", "Requests their client gave up.", lambda c: c.cancelled)
    counted("prompt_tokens_total", "Tokens read.", lambda c: c.prompt)
    counted("cached_tokens_total", "Tokens read from a prompt cache.", lambda c: c.cached)
    counted("completion_tokens_total", "Tokens written.", lambda c: c.completion)
    counted("output_seconds_total", "Time spent writing answers.", lambda c: c.output_seconds)
    measured("first_byte_seconds", "From request to first byte.", lambda c: c.first_byte)
    measured("duration_seconds", "From request to last byte.", lambda c: c.duration)
    measured("queue_seconds", "Wait for a slot, of those that waited.", lambda c: c.queue)
    keys = sorted(figures.keys)
    for field, help_text in _OF_KEYS.items():
        samples = (
            ({"key": key, "expert": expert}, getattr(counters, field))
            for key, expert, counters in keys
        )
        family(f"key_{field}_total", "counter", help_text, samples)
    gauge("replicas", "Live replicas.", lambda rs: sum(replica.live for replica in rs))
    gauge(
        "in_flight",
        "Requests being answered.",
        lambda rs: sum(figures.in_flight.get(replica.endpoint.id, 0) for replica in rs),
    )
    gauge(
        "slots",
        "Requests the live replicas take at once.",
        lambda rs: sum(figures.slots.get(replica.endpoint.id, 0) for replica in rs if replica.live),
    )
    gauge("degraded", "1 when no replica serves the expert's first choice of model.", _degraded)
    gauge(
        "breakers_open",
        "Replicas left alone because they keep failing.",
        lambda rs: sum(replica.breaker.open for replica in rs),
    )
    family(
        "waiting",
        "gauge",
        "Requests waiting for a slot.",
        (({"expert": expert}, figures.waiting.get(expert, 0)) for expert in experts),
    )
    return "\n".join(parts) + "\n"


_OF_KEYS: Final = {
    "requests": "Answered requests by key and expert, of this UTC day.",
    "prompt_tokens": "Tokens read by key and expert, of this UTC day.",
    "completion_tokens": "Tokens written by key and expert, of this UTC day.",
}


def _degraded(replicas: list[Replica]) -> int:
    live = [replica for replica in replicas if replica.live]
    return int(bool(live) and all(replica.degraded for replica in live))


def _by_status(known: list[tuple[str, ExpertCounters]]) -> Iterator[Sample]:
    for expert, counters in known:
        for status, count in sorted(counters.statuses.items()):
            yield {"expert": expert, "status": str(status)}, count


def _by_code(known: list[tuple[str, ExpertCounters]]) -> Iterator[Sample]:
    for expert, counters in known:
        for code, count in sorted(counters.errors.items()):
            yield {"expert": expert, "code": code}, count


def _histogram(name: str, expert: str, histogram: Histogram) -> Iterator[str]:
    total = 0
    for edge, total in histogram.cumulative():
        yield _line(f"{name}_bucket", {"expert": expert, "le": edge}, total)
    yield _line(f"{name}_sum", {"expert": expert}, histogram.total)
    yield _line(f"{name}_count", {"expert": expert}, total)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    joined = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    number = f"{value:.6f}" if isinstance(value, float) else str(value)
    return f"{_PREFIX}_{name}{{{joined}}} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
