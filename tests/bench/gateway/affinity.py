"""What the gateway's routing saves: prompt tokens evaluated by four real llama-servers.

Chats of several turns share one system prompt; their next turns come in random order. The same
chats run through Hearth and dealt out to the servers in turn, each on fresh servers.
``python -m tests.bench.gateway.affinity [--chats N] [--turns N] [--seeds N]``
"""

import argparse
import http.client
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.gateway.endpoint import Answer, Json, exchange
from tests.bench.gateway.engines import counter, llama_servers
from tests.bench.gateway.hearth import Hearth
from tests.bench.gateway.systems import GATEWAY_CORE, TOOLS_CORE

_CORES = [GATEWAY_CORE, TOOLS_CORE] * 2
_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
]
_SYSTEM_WORDS, _QUESTION_WORDS, _AT_ONCE, _LIMIT_S = 200, 160, 4, 120.0
Ask = Callable[[Json], Answer]


@dataclass
class Outcome:
    """One policy's run."""

    evaluated: int = 0
    whole: int = 0
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        """A line of the table."""
        hit = 1 - self.evaluated / self.whole if self.whole else 0.0
        spread = "/".join(str(count) for _, count in sorted(self.requests.items()))
        wait = statistics.median(self.waits) * 1e3 if self.waits else 0.0
        return (
            f"| {name} | {self.evaluated:,} | {hit:.2f} | {wait:.0f} "
            f"| {self.seconds:.1f} | {spread} |"
        )


def talk(ask: Ask, ports: Sequence[int], chats: int, turns: int, seed: int) -> Outcome:
    """All chats to their end, some requests at once; each waits for its own last answer.

    Raises:
        RuntimeError: a request was refused, or not answered.
    """
    order, free, outcome = random.Random(seed), threading.Condition(), Outcome()
    system: Json = {"role": "system", "content": " ".join(order.choices(_WORDS, k=_SYSTEM_WORDS))}
    histories: list[list[Json]] = [[system] for _ in range(chats)]
    questions = [
        [" ".join(order.choices(_WORDS, k=_QUESTION_WORDS)) for _ in range(turns)]
        for _ in range(chats)
    ]
    waiting, faults = list(range(chats)), list[str]()
    before = [counter(port, "prompt_tokens_total") for port in ports]

    def one_turn(_: int) -> None:
        with free:
            # Towards the end the remaining turns may all be of chats that are being answered.
            free.wait_for(lambda: bool(waiting) or bool(faults))
            if faults:
                return
            chat = waiting.pop(order.randrange(len(waiting)))
        history = histories[chat]
        history.append({"role": "user", "content": questions[chat].pop()})
        began = time.monotonic()
        try:
            answer = ask({"model": "fake", "messages": history, "max_tokens": 8})
            reply = json.loads(answer.text)
            said = reply["choices"][0]["message"]["content"]
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            with free:  # the others must not wait for this chat
                faults.append(f"{type(error).__name__}: {error}")
                free.notify_all()
            return
        history.append({"role": "assistant", "content": said})
        with free:
            outcome.waits.append(time.monotonic() - began)
            outcome.whole += reply["usage"]["prompt_tokens"]
            outcome.requests[answer.headers.get("x-hearth-host", "?")] += 1
            if questions[chat]:
                waiting.append(chat)
            free.notify_all()

    began = time.monotonic()
    with ThreadPoolExecutor(min(_AT_ONCE, chats)) as pool:
        list(pool.map(one_turn, range(chats * turns)))
    if faults:
        raise RuntimeError(faults[0])
    outcome.seconds = time.monotonic() - began
    totals = [counter(port, "prompt_tokens_total") for port in ports]
    outcome.evaluated = sum(totals) - sum(before)
    return outcome


def dealt(ports: Sequence[int]) -> Ask:
    """Plain round robin."""
    turn = itertools.cycle(ports)

    def ask(body: Json) -> Answer:
        port = next(turn)
        answer = exchange(port, "POST", "/v1/chat/completions", body, timeout=_LIMIT_S)
        answer.headers["x-hearth-host"] = str(port)
        return answer

    return ask


def routed(gateway: Hearth) -> Ask:
    """As the gateway decides."""
    path = "/v1/chat/completions"
    return lambda body: exchange(gateway.port, "POST", path, body, gateway.key, timeout=_LIMIT_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and, per seed, how many times fewer tokens Hearth evaluates."""
    parser = argparse.ArgumentParser(prog="tests.bench.gateway.affinity", description=__doc__)
    parser.add_argument("--chats", type=int, default=8)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    chosen = parser.parse_args(arguments)
    if chosen.chats < _AT_ONCE:
        parser.error(f"needs at least {_AT_ONCE} chats, as many as talk at once")
    print("| policy | prompt tokens evaluated | hit | answer p50 ms | wall s | per server |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    ratios = []
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        folder = Path(name)
        for seed in range(chosen.seeds):
            with llama_servers(folder, _CORES) as ports:
                plain = talk(dealt(ports), ports, chosen.chats, chosen.turns, seed)
            print(plain.row("round robin"), flush=True)
            with llama_servers(folder, _CORES) as ports:
                gateway = Hearth(folder / f"hearth-{seed}", ports, slots=None)
                try:
                    gateway.start()
                    ours = talk(routed(gateway), ports, chosen.chats, chosen.turns, seed)
                finally:
                    gateway.stop()
            print(ours.row("hearth"), flush=True)
            ratios.append(plain.evaluated / max(1, ours.evaluated))
    print(f"\nfewer prompt tokens evaluated, times: {', '.join(f'{r:.2f}' for r in ratios)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
