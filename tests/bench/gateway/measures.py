"""The measures: each asks every system the same question once per round.

Owns what is asked and how a row comes about. Does not decide rounds, order or presentation.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from tests.bench.gateway.processes import machine_busy_s
from tests.bench.gateway.records import Records, Row
from tests.bench.gateway.systems import System
from tests.bench.gateway.tools import Report, Tools

_SLACK_S = 20.0  # beyond what a tool should take; then it hangs
_PATIENCE_S = 45.0  # for streams to open


class Measure:
    """One question. ``letter`` is its name on the command line, ``name`` its name in the report."""

    letter: str
    name: str
    most_rounds = 1000

    def __init__(self, tools: Tools, records: Records) -> None:
        self.tools = tools
        self.records = records

    def round(self, number: int, systems: Sequence[System]) -> None:
        """Visits the systems in the order given; a failure becomes a note and a missing row."""
        for system in systems:
            if number and system.slow:
                continue
            try:
                row = self.visit(system)
            except Exception as error:  # one system's fault must not end the comparison
                self.note(system, f"{type(error).__name__}: {error}")
                continue
            if row:
                self.records.add(self.name, system.name, number, row)

    def visit(self, system: System) -> Row:
        """The row of one system; empty when the question is not for it."""
        raise NotImplementedError

    def note(self, system: System, text: str) -> None:
        """Something the reader of the report has to know."""
        self.records.notes.append(f"{self.name}, {system.name}: {text[:300]}")

    def check(self, system: System, report: Report) -> None:
        """Notes errors, with the first of them in words."""
        if report.get("errors"):
            self.note(system, f"{report['errors']} errors; first: {report.get('first_error', '')}")

    @contextmanager
    def costs(self, system: System, row: Row) -> Iterator[None]:
        """Adds the system's processor time to the row, and how busy others kept the machine."""
        process, began, busy = system.process, time.monotonic(), machine_busy_s()
        ours = process.cpu_s() if process else 0.0
        upstream, tools = self.tools.upstream.cpu_s(), _children_s()
        yield
        seconds = time.monotonic() - began
        row["cpu_s"] = process.cpu_s() - ours if process else 0.0
        known = row["cpu_s"] + self.tools.upstream.cpu_s() - upstream + _children_s() - tools
        row["other_load"] = max(0.0, (machine_busy_s() - busy - known) / seconds)


class Throughput(Measure):
    """Requests per second of JSON answers, closed loop."""

    connections: int
    body_bytes: int

    def __init__(self, tools: Tools, records: Records, seconds: float) -> None:
        super().__init__(tools, records)
        self._seconds = seconds
        self._body = tools.body(self.body_bytes)

    def visit(self, system: System) -> Row:
        """One run of the load generator."""
        row: Row = {}
        # A slow one answers its first requests while the others are done: it gets longer.
        seconds, warmup = (3 * self._seconds, 3.0) if system.slow else (self._seconds, 0.3)
        with self.costs(system, row):
            report = self.tools.load(
                "rps",
                seconds + warmup + _SLACK_S,
                port=system.port,
                connections=self.connections,
                seconds=seconds,
                warmup=warmup,
                body=self._body,
                key=system.key,
            )
        self.check(system, report)
        row |= {name: report[name] for name in ("rps", "p50_us", "p99_us", "errors", "reconnects")}
        if system.process and report["all_requests"]:
            row["cpu_us"] = row["cpu_s"] * 1e6 / report["all_requests"]
        return row


class SmallJson(Throughput):
    """The everyday request."""

    letter, name, connections, body_bytes = "a", "json-1k-c64", 64, 1024


class MediumJson(Throughput):
    """A long prompt."""

    letter, name, connections, body_bytes = "c", "json-32k-c64", 64, 32 * 1024


class LargeJson(Throughput):
    """A very long prompt."""

    letter, name, connections, body_bytes = "c", "json-256k-c16", 16, 256 * 1024


class Latency(Measure):
    """One request at a time, the systems in random order, compared with the direct beside it."""

    letter, name = "b", "latency-c1"

    def __init__(self, tools: Tools, records: Records, requests: int) -> None:
        super().__init__(tools, records)
        self._requests = requests
        self._body = tools.body(1024)

    def round(self, number: int, systems: Sequence[System]) -> None:
        """One call visits them all, as ``load`` shuffles; a slow one only meets the direct."""
        direct = [system for system in systems if system.name == "direct"]
        others = [system for system in systems if system.name != "direct"]
        groups = [[*direct, *(system for system in others if not system.slow)]]
        if number == 0:
            groups += [[*direct, system] for system in others if system.slow]
        for group in groups:
            try:
                rows = self._ask(group)
            except Exception as error:  # as in the other measures: noted, and the run goes on
                self.note(group[-1], f"{type(error).__name__}: {error}")
                continue
            for system, row in zip(group, rows, strict=True):
                if system.name != "direct" or group is groups[0]:
                    self.records.add(self.name, system.name, number, row)

    def _ask(self, systems: Sequence[System]) -> list[Row]:
        keys = {system.key for system in systems if system.key != "none"}
        report = self.tools.load(
            "latency",
            _SLACK_S + self._requests * 0.2,
            ports=",".join(str(system.port) for system in systems),
            rounds=self._requests,
            body=self._body,
            key=next(iter(keys), "none"),  # only Hearth looks at it
        )
        for system, row in zip(systems, report["ports"], strict=True):
            if row["errors"]:
                self.note(system, f"{row['errors']} errors")
        names = ("p50_us", "p99_us", "added_p50_us", "errors")
        return [{name: row[name] for name in names} for row in report["ports"]]


class FirstToken(Measure):
    """Many streams opened at the same moment."""

    letter, name = "e", "ttft-300"
    _streams = 300

    def visit(self, system: System) -> Row:
        """All are asked for at once and read to their end."""
        report = self.tools.streams(
            "hold",
            _PATIENCE_S + _SLACK_S,
            port=system.port,
            streams=self._streams,
            hold=10,
            limit=_PATIENCE_S,
            body=self.tools.body(1024, stream=True, tokens=20, interval_us=50_000),
            key=system.key,
        )
        self.check(system, report)
        names = ("answered", "finished", "errors", "ttft_p50_us", "ttft_p99_us")
        return {name: report[name] for name in (*names, "transit_p50_us", "transit_p99_us")}


class HeldStreams(Measure):
    """Thousands of slow streams: their memory, and how late their tokens are."""

    letter, name, most_rounds = "d", "held-streams", 3

    def __init__(self, tools: Tools, records: Records, streams: int, hold_s: float) -> None:
        super().__init__(tools, records)
        self._streams = streams
        self._hold_s = hold_s

    def visit(self, system: System) -> Row:
        """A fresh process, warmed up, then filled."""
        if not system.holds:
            return {}
        system.restart()
        warm = self.tools.body(1024)
        self.tools.load("rps", _SLACK_S, port=system.port, seconds=0.5, body=warm, key=system.key)
        time.sleep(0.5)
        row: Row = {}
        before = system.process.pss_bytes() if system.process else 0
        # Opened over a whole number of token intervals, the tokens of all are spread evenly.
        ramp = max(1, self._streams // 1000)
        with (
            self.costs(system, row),
            self.tools.held_streams(
                ramp + self._hold_s + _PATIENCE_S + _SLACK_S,
                port=system.port,
                streams=self._streams,
                ramp=ramp,
                hold=self._hold_s,
                limit=ramp + _PATIENCE_S,
                body=self.tools.body(1024, stream=True, tokens=100_000, interval_us=1_000_000),
                key=system.key,
            ) as reports,
        ):
            report = next(reports)
            opened = report.get("event") == "open"
            if opened:
                time.sleep(self._hold_s / 2)
                if system.process:
                    growth = system.process.pss_bytes() - before
                    row["pss_per_stream"] = growth / max(1, report["answered"])
                report = next(reports)
        self.check(system, report)
        if not opened:
            self.note(system, f"only {report['answered']} of {self._streams} streams opened")
        row |= {name: report[name] for name in ("answered", "errors", "transit_p50_us")}
        row |= {"transit_p99_us": report["transit_p99_us"], "idle_pss": float(before)}
        if system.process and report["tokens"]:
            row["cpu_us_token"] = row["cpu_s"] * 1e6 / report["tokens"]
        _wait_until_idle(self.tools)
        return row


class Cancel(Measure):
    """The client goes away: when does the upstream know."""

    letter, most_rounds = "f", 1
    _tries = 25
    _think_ms = 250
    _wanted: int

    def visit(self, system: System) -> Row:
        """Each close is paired with the first the upstream saw before the next."""
        options = {"tokens": 300, "interval_us": 10_000}
        if not self._wanted:
            options = {"think_ms": self._think_ms}
        self.tools.control("reset")
        report = self.tools.streams(
            "cancel",
            self._tries + _PATIENCE_S,
            port=system.port,
            tries=self._tries,
            tokens=self._wanted,
            after_ms=30,
            pause_ms=150 if self._wanted else self._think_ms,
            body=self.tools.body(1024, stream=bool(self._wanted), **options),
            key=system.key,
        )
        _wait_until_idle(self.tools)
        self.check(system, report)
        seen, delays = self.tools.control("closes"), []
        for close, following in pairwise([*report["closes"], float("inf")]):
            first = next((at for at in seen if close <= at < following), None)
            if first is not None:
                delays.append((first - close) / 1e6)
        row: Row = {"tries": len(report["closes"]), "seen": len(delays)}
        if delays:
            row |= {"p50_ms": sorted(delays)[len(delays) // 2], "max_ms": max(delays)}
        return row


class CancelStream(Cancel):
    """After three tokens."""

    name, _wanted = "cancel-sse", 3


class CancelJson(Cancel):
    """While the upstream thinks."""

    name, _wanted = "cancel-json", 0


def _wait_until_idle(tools: Tools) -> None:
    deadline = time.monotonic() + 5
    while tools.control("open") and time.monotonic() < deadline:
        time.sleep(0.05)


def _children_s() -> float:
    # The load generators have been waited for by then, so that they count here, as we do ourselves.
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
