"""Hearth's gateway beside other gateways and proxies, all in one run on one machine.

``python -m tests.bench.gateway`` from the root of the checkout. Every round visits every system, in
an order of its own; ratios are taken within a round. Gateways have one core, the fake upstream and
the load generator the other. Compare rows, not runs.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.gateway import measures, report
from tests.bench.gateway.endpoint import is_free
from tests.bench.gateway.hearth import Hearth
from tests.bench.gateway.records import Records
from tests.bench.gateway.routers import Litellm, SglangRouter, VllmRouter
from tests.bench.gateway.systems import (
    GATEWAY_CORE,
    TOOLS_CORE,
    UPSTREAM_PORT,
    Direct,
    Haproxy,
    Nginx,
    System,
)
from tests.bench.gateway.tools import Tools

SYSTEMS: list[type[System]] = [
    *(Direct, Nginx, Haproxy, Hearth),
    *(VllmRouter, SglangRouter, Litellm),
]


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="tests.bench.gateway", description=__doc__)
    parser.add_argument("--systems", default=",".join(names), help="which; direct always is one")
    parser.add_argument("--only", default="a,b,c,d,e,f", help="which measures, by letter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run of load")
    parser.add_argument("--streams", type=int, default=5000, help="held at once")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work")
    parser.add_argument("--out", type=Path, help="also write everything as JSON to this file")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.systems.split(",")) - set(names):
        parser.error(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.streams = 1, 1.0, min(chosen.streams, 500)
    return chosen


def started(chosen: Sequence[str], folder: Path, records: Records) -> list[System]:
    """Those systems that could be started; why the others could not goes into the notes."""
    running: list[System] = []
    for kind in SYSTEMS:
        if kind.name not in chosen:
            continue
        system = kind(folder / kind.name)
        say(f"starting {system.name}")
        try:
            system.start()
        except BaseException as error:
            system.stop()
            if not isinstance(error, Exception):
                stop_all(running)
                raise
            records.notes.append(f"{system.name} did not start: {error}{_tail(system.log)}")
            say(records.notes[-1])
            continue
        records.notes += system.notes
        running.append(system)
    return running


def measured(
    tools: Tools, records: Records, systems: list[System], chosen: argparse.Namespace
) -> None:
    """All rounds."""
    hold_s = 4.0 if chosen.quick else 10.0
    # Each stream takes two files in a gateway, and ends in one process on either side.
    streams = min(chosen.streams, (_raise_file_limit() - 500) // 2)
    every: list[measures.Measure] = [
        measures.SmallJson(tools, records, chosen.seconds),
        measures.Latency(tools, records, 100 if chosen.quick else 400),
        measures.MediumJson(tools, records, chosen.seconds),
        measures.LargeJson(tools, records, chosen.seconds),
        measures.FirstToken(tools, records),
        measures.CancelStream(tools, records),
        measures.CancelJson(tools, records),
        measures.HeldStreams(tools, records, streams, hold_s),
    ]
    for number in range(chosen.rounds):
        for measure in every:
            if measure.letter in chosen.only.split(",") and number < measure.most_rounds:
                say(f"round {number + 1} of {chosen.rounds}: {measure.name}")
                measure.round(number, random.sample(systems, len(systems)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and reports. Returns 1 when it could not, 0 otherwise, whatever the verdict."""
    chosen = options(arguments)
    if len(os.sched_getaffinity(0)) < 2 or not is_free(UPSTREAM_PORT):
        say(f"needs two cores, and port {UPSTREAM_PORT} free")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what follows is cleaned up
    _raise_file_limit()
    records, systems, began = Records(), list[System](), time.time()
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        tools = Tools(Path(name))
        try:
            tools.start()
            systems = started([*chosen.systems.split(","), "direct"], Path(name), records)
            os.sched_setaffinity(0, {TOOLS_CORE})
            measured(tools, records, systems, chosen)
        finally:
            stop_all(systems)
            tools.stop()
    order = [system.name for system in SYSTEMS]
    print(f"# Gateways side by side: {chosen.rounds} rounds, {chosen.seconds:g} s each\n")
    print(report.markdown(records, order))
    if chosen.out:
        document = {
            "machine": {**platform.uname()._asdict(), "cores": [GATEWAY_CORE, TOOLS_CORE]},
            "began": began,
            "seconds": time.time() - began,
            "options": {key: str(value) for key, value in vars(chosen).items()},
            "notes": records.notes,
            "rows": records.rows,
            "verdict": report.verdict(records),
        }
        chosen.out.write_text(json.dumps(document, indent=1))
    return 0


def stop_all(systems: Sequence[System]) -> None:
    """Ends them."""
    for system in systems:
        system.stop()


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _tail(log: Path) -> str:
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"; it said: {text.splitlines()[-1][:300]}" if text else ""


if __name__ == "__main__":
    sys.exit(main())
