"""Tokens per second of a real llama-server: through Hearth and directly, in turn.

The server has one core; Hearth and the client share the other, so that what the gateway costs is
not taken from the model. ``python -m tests.bench.gateway.through [--rounds N] [--tokens N]``
"""

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.bench.gateway.engines import llama_servers
from tests.bench.gateway.hearth import Hearth
from tests.bench.gateway.systems import GATEWAY_CORE, TOOLS_CORE

_LIMIT_S = 120.0
_PARALLEL = (1, 4)


class Target(NamedTuple):
    """Where to ask."""

    name: str
    port: int
    key: str


def stream(target: Target, tokens: int) -> int:
    """One streamed answer read to its end; how many tokens it had.

    Raises:
        OSError, http.client.HTTPException, ValueError: it was not a whole answer.
    """
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": f"tell me {random.random()}"}],
        "max_tokens": tokens,
        "ignore_eos": True,  # the tiny model would stop after its sentence
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=_LIMIT_S)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        pieces = []
        while piece := answer.read1(65536):
            pieces.append(piece)
    finally:
        connection.close()
    events = [line for line in b"".join(pieces).splitlines() if line.startswith(b"data: {")]
    if answer.status != http.HTTPStatus.OK or not events:
        msg = f"{target.name}: status {answer.status}"
        raise ValueError(msg)
    return int(json.loads(events[-1][6:])["timings"]["predicted_n"])


def rate(target: Target, parallel: int, tokens: int) -> float:
    """Tokens per second of so many streams at once, from the first request to the last end."""
    began = time.monotonic()
    with ThreadPoolExecutor(parallel) as pool:
        total = sum(pool.map(lambda _: stream(target, tokens), range(parallel)))
    return total / (time.monotonic() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints medians, and the median of the ratios of the same round."""
    parser = argparse.ArgumentParser(prog="tests.bench.gateway.through", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=400)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        folder = Path(name)
        with llama_servers(folder, [TOOLS_CORE]) as ports:
            os.sched_setaffinity(0, {GATEWAY_CORE})
            gateway = Hearth(folder / "hearth", ports, slots=None)
            try:
                gateway.start()
                targets = [
                    Target("direct", ports[0], "none"),
                    Target("hearth", gateway.port, gateway.key),
                ]
                print("| streams | direct tok/s | hearth tok/s | hearth ÷ direct |")
                print("| ---: | ---: | ---: | ---: |")
                for parallel in _PARALLEL:
                    print(compared(targets, parallel, chosen.rounds, chosen.tokens), flush=True)
            finally:
                gateway.stop()
    return 0


def compared(targets: list[Target], parallel: int, rounds: int, tokens: int) -> str:
    """A line of the table."""
    for target in targets:
        rate(target, parallel, 50)  # connections, caches
    rates: dict[str, list[float]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in random.sample(targets, len(targets)):
            rates[target.name].append(rate(target, parallel, tokens))
    direct, ours = rates["direct"], rates["hearth"]
    ratio = statistics.median(b / a for a, b in zip(direct, ours, strict=True))
    medians = f"{statistics.median(direct):,.0f} | {statistics.median(ours):,.0f}"
    return f"| {parallel} | {medians} | {ratio:.3f} |"


if __name__ == "__main__":
    sys.exit(main())
