"""How often `auto` chooses the expert a labelled set names.

``python -m gateway.routing.evaluation --settings FILE --set FILE [--min-accuracy X]`` asks embedder
and classifier through a running gateway (``--gateway URL``), or at the addresses in the settings.
Where they do not answer, it says so and judges what is left.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import yaml
from pydantic import ValidationError

from contract.gateway_settings import GatewaySettings
from gateway.errors import UpstreamFailed
from gateway.routing.asking import Ask
from gateway.routing.decision import Stage
from gateway.routing.errors import NoSuitableExpert
from gateway.routing.labelled_set import Labelled, read_labelled
from gateway.routing.router import Router

_TIMEOUT_S: Final = 30.0
_FAILED: Final = 1
_USAGE_ERROR: Final = 2
_NOBODY: Final = "(nobody)"


@dataclass(frozen=True)
class Report:
    """Counts over a labelled set."""

    confusion: Counter[tuple[str, str]]  # (expected, chosen) -> prompts
    stages: Counter[str]
    skipped: Counter[str] = field(default_factory=Counter)  # "stage: why" -> prompts

    @property
    def count(self) -> int:
        """Prompts judged."""
        return self.confusion.total()

    @property
    def accuracy(self) -> float:
        """Share of prompts that reached the expert they name; 0 to 1."""
        right = sum(n for (expected, chosen), n in self.confusion.items() if expected == chosen)
        return right / self.count if self.count else 0.0

    @property
    def abstention(self) -> float:
        """Share of prompts left to the default expert, because no stage knew better."""
        left = self.stages[Stage.DEFAULT] + self.stages[Stage.LAST_RESORT]
        return left / self.count if self.count else 0.0

    def accuracy_of(self, expert: str) -> float:
        """Share of an expert's prompts that reached it; 0 to 1."""
        total = sum(n for (expected, _), n in self.confusion.items() if expected == expert)
        return self.confusion[expert, expert] / total if total else 0.0

    def text(self) -> str:
        """The report for people."""
        expected = sorted({pair[0] for pair in self.confusion})
        chosen = sorted({pair[1] for pair in self.confusion})
        width = max(map(len, ["expected", *expected, *chosen]), default=0) + 2
        lines = [
            f"prompts {self.count}   accuracy {self.accuracy:.3f}   "
            f"abstention {self.abstention:.3f}",
            "stages  " + "  ".join(f"{name} {n}" for name, n in self.stages.most_common()),
            "",
            "".join(name.ljust(width) for name in ["expected", *chosen, "accuracy"]),
        ]
        for name in expected:
            row = [str(self.confusion[name, other] or ".") for other in chosen]
            cells = [name, *row, f"{self.accuracy_of(name):.3f}"]
            lines.append("".join(cell.ljust(width) for cell in cells))
        lines += [f"skipped {n} times: {why}" for why, n in self.skipped.most_common(5)]
        return "\n".join(line.rstrip() for line in lines)


async def evaluate(router: Router, labelled: Iterable[Labelled]) -> Report:
    """Decides for every prompt, each a conversation of its own."""
    confusion: Counter[tuple[str, str]] = Counter()
    stages: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for place, one in enumerate(labelled):
        try:
            decision = await router.decide(one.facts(session=f"evaluation-{place}"))
        except NoSuitableExpert as error:
            confusion[one.expert, _NOBODY] += 1
            stages["refused"] += 1
            skipped[error.message] += 1
            continue
        confusion[one.expert, decision.expert] += 1
        stages[decision.stage] += 1
        skipped.update(f"{stage}: {why}" for stage, why in decision.skipped.items())
    return Report(confusion, stages, skipped)


def ask_over_http(client: httpx.AsyncClient, settings: GatewaySettings, gateway: str | None) -> Ask:
    """Puts questions to a gateway, or straight to an expert's first server."""

    async def ask(expert: str, path: str, body: bytes) -> bytes:
        upstreams = settings.experts[expert].upstreams
        base = gateway or (upstreams[0].url if upstreams else None)
        if base is None:
            raise UpstreamFailed(f"{expert} has no address in the settings; give --gateway")
        base = base.rstrip("/").removesuffix("/v1")
        try:
            answer = await client.post(base + path, content=body)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise UpstreamFailed(f"{expert} at {base}: {error or type(error).__name__}") from error
        return answer.content

    return ask


async def run(options: argparse.Namespace) -> int:
    """Evaluates and prints. Returns 1 when the accuracy is below the floor."""
    settings = GatewaySettings.model_validate(yaml.safe_load(options.settings.read_text()))
    settings = settings.model_copy(update={"data_dir": None})
    labelled = read_labelled(options.set)
    headers = {"content-type": "application/json"}
    if options.key_file is not None:
        headers["authorization"] = f"Bearer {options.key_file.read_text().strip()}"
    async with httpx.AsyncClient(headers=headers, timeout=_TIMEOUT_S) as client:
        router = Router(settings, ask_over_http(client, settings, options.gateway))
        ready = await router.prepare()
        if ready is not None:
            print(f"rules and classifier only: {ready}")
        report = await evaluate(router, labelled)
        await router.close()
    print(report.text())
    if report.accuracy < options.min_accuracy:
        print(f"accuracy {report.accuracy:.3f} is below {options.min_accuracy}", file=sys.stderr)
        return _FAILED
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, 1 below the floor, 2 on unusable files."""
    parser = argparse.ArgumentParser(prog="gateway.routing.evaluation", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the gateway's document")
    parser.add_argument("--set", type=Path, required=True, help="labelled prompts, YAML")
    parser.add_argument("--min-accuracy", type=float, default=0.0, help="fail below this share")
    parser.add_argument("--gateway", help="base URL of a running gateway that reaches the experts")
    parser.add_argument("--key-file", type=Path, help="file with the API key for it")
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(run(options))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return _USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
