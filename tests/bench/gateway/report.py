"""The report: Markdown tables of a run, and the verdict on Hearth. Owns the targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.gateway.records import Records

HEARTH, YARDSTICK = "hearth", "nginx"
_RUST = ("vllm-router", "sglang-router")
Figure = float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading, and how a system's figure under it comes about."""

    head: str
    of: Callable[[Records, str, str], Figure]
    form: str = ",.0f"


def _median(head: str, field: str, form: str = ",.0f", scale: float = 1.0) -> Column:
    def of(records: Records, measure: str, system: str) -> Figure:
        value = records.median(measure, system, field)
        return None if value is None else value * scale

    return Column(head=head, of=of, form=form)


def _ratio(head: str, field: str) -> Column:
    return Column(
        head=head, of=lambda r, m, system: r.ratio(m, system, YARDSTICK, field), form=".2f"
    )


def _above_direct(head: str, field: str, form: str, scale: float = 1.0) -> Column:
    def of(records: Records, measure: str, system: str) -> Figure:
        value = records.difference(measure, system, "direct", field)
        return None if value is None else value * scale

    return Column(head=head, of=of, form=form)


_ERRORS = Column(head="errors", of=lambda r, m, system: r.total(m, system, "errors"))
_LOAD = _median("other load, cores", "other_load", ".2f")
_THROUGHPUT = [
    _median("rps", "rps"),
    _ratio("÷ nginx", "rps"),
    _median("cpu µs/request", "cpu_us"),
    _ratio("cpu ÷ nginx", "cpu_us"),
    _median("p50 ms", "p50_us", ".2f", 1e-3),
    _median("p99 ms", "p99_us", ".2f", 1e-3),
    _ERRORS,
    _LOAD,
]
_CANCEL = [
    _median("tries", "tries"),
    _median("seen", "seen"),
    _median("p50 ms", "p50_ms", ".2f"),
    Column(head="max ms", of=lambda r, m, system: r.worst(m, system, "max_ms"), form=".2f"),
]
_TABLES: list[tuple[str, str, list[Column]]] = [
    ("json-1k-c64", "Small JSON, 64 connections", _THROUGHPUT),
    (
        "latency-c1",
        "One request at a time",
        [
            _median("p50 µs", "p50_us"),
            _median("added p50 µs", "added_p50_us"),
            _median("p99 µs", "p99_us"),
            _ERRORS,
        ],
    ),
    ("json-32k-c64", "32 KB bodies, 64 connections", _THROUGHPUT),
    ("json-256k-c16", "256 KB bodies, 16 connections", _THROUGHPUT),
    (
        "held-streams",
        "Held streams, one token per second each",
        [
            _median("streams", "answered"),
            _median("idle PSS MB", "idle_pss", ".0f", 1e-6),
            _median("KiB/stream", "pss_per_stream", ".1f", 1 / 1024),
            _median("cpu µs/token", "cpu_us_token"),
            _median("transit p50 ms", "transit_p50_us", ".3f", 1e-3),
            _median("transit p99 ms", "transit_p99_us", ".2f", 1e-3),
            _above_direct("p99 above direct ms", "transit_p99_us", ".2f", 1e-3),
            _ERRORS,
            _LOAD,
        ],
    ),
    (
        "ttft-300",
        "300 streams opened at once",
        [
            _median("TTFT p50 ms", "ttft_p50_us", ".2f", 1e-3),
            _median("TTFT p99 ms", "ttft_p99_us", ".2f", 1e-3),
            _ratio("p99 ÷ nginx", "ttft_p99_us"),
            _median("whole streams", "finished"),
            _ERRORS,
        ],
    ),
    ("cancel-sse", "Client closes a stream after 3 tokens (10 ms apart)", _CANCEL),
    ("cancel-json", "Client closes while the upstream thinks", _CANCEL),
]


def markdown(records: Records, order: Sequence[str]) -> str:
    """All tables that have rows, the notes, and the verdict."""
    parts = []
    for measure, title, columns in _TABLES:
        systems = sorted(records.systems(measure), key=order.index)
        rows = [
            [system, *(_cell(column, records, measure, system) for column in columns)]
            for system in systems
        ]
        if rows:
            heads = ["system", *(column.head for column in columns)]
            parts.append(f"## {title}\n\n{_table(heads, rows)}")
    if records.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in records.notes))
    verdicts = [
        [name, target, "no figure" if value is None else f"{value:.2f}", _word(met)]
        for name, target, value, met in verdict(records)
    ]
    parts.append("## Verdict\n\n" + _table(["measure", "target", "Hearth", "result"], verdicts))
    return "\n\n".join(parts) + "\n"


def verdict(records: Records) -> list[tuple[str, str, Figure, bool | None]]:
    """Measure, target, figure, and whether it is met (None: no figure)."""
    r = records
    to_rust = [r.ratio("json-1k-c64", HEARTH, system, "rps") for system in _RUST]
    cancels = {kind: r.median(f"cancel-{kind}", HEARTH, "p50_ms") for kind in ("sse", "json")}
    for kind in cancels:
        if r.median(f"cancel-{kind}", HEARTH, "seen") != r.median(
            f"cancel-{kind}", HEARTH, "tries"
        ):
            cancels[kind] = None  # a close that was never seen is no short one
    pss = r.median("held-streams", HEARTH, "pss_per_stream")
    late = r.difference("held-streams", HEARTH, "direct", "transit_p99_us")
    rows: list[tuple[str, Figure, str, float]] = [
        ("JSON, 64 connections ÷ nginx", _to_nginx(r, "json-1k-c64"), "≥", 0.8),
        ("… ÷ fastest Rust router", _least(to_rust), "≥", 2),
        ("… ÷ LiteLLM", r.ratio("json-1k-c64", HEARTH, "litellm", "rps"), "≥", 100),
        ("added latency p50, µs", r.median("latency-c1", HEARTH, "added_p50_us"), "≤", 150),
        ("32 KB bodies ÷ nginx", _to_nginx(r, "json-32k-c64"), "≥", 0.5),
        ("256 KB bodies ÷ nginx", _to_nginx(r, "json-256k-c16"), "≥", 0.35),
        ("held stream, KiB", None if pss is None else pss / 1024, "≤", 12),
        ("transit p99 above direct, ms", None if late is None else late / 1000, "≤", 1),
        ("TTFT p99 ÷ nginx", r.ratio("ttft-300", HEARTH, YARDSTICK, "ttft_p99_us"), "≤", 2),
        ("cancel of a stream p50, ms", cancels["sse"], "≤", 1),
        ("cancel of JSON p50, ms", cancels["json"], "≤", 1),
    ]
    return [
        (
            name,
            f"{sign} {target:g}",
            value,
            None if value is None else value >= target if sign == "≥" else value <= target,
        )
        for name, value, sign, target in rows
    ]


def _to_nginx(records: Records, measure: str) -> Figure:
    return records.ratio(measure, HEARTH, YARDSTICK, "rps")


def _least(values: Sequence[Figure]) -> Figure:
    return min((value for value in values if value is not None), default=None)


def _word(met: bool | None) -> str:
    return {True: "met", False: "MISSED", None: "-"}[met]


def _cell(column: Column, records: Records, measure: str, system: str) -> str:
    value = column.of(records, measure, system)
    return "-" if value is None else format(value, column.form)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in (heads, *rows)) for at in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(heads), line(rule), *(line(row) for row in rows)])
