"""Where an expert goes: pure arithmetic over declared memory.

A rung fits a host when its need is at most what the host has left above its reserve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from components.model.expert import Expert
from components.model.model_file import ModelFile
from contract.memory import ModelFacts, limit_mib, required_mib
from contract.services import SELFTEST

UBATCH_TOKENS: Final = 128  # on small hosts this saves more memory than a quantised cache
RESERVE_MIB: Final = 512
RESERVE_SHARE: Final = 0.10
SELFTEST_FACTS: Final = ModelFacts(
    weights_bytes=1024 * 1024,
    kv_bytes_per_token=256,
    vocabulary=512,
    embedding=64,
    feed_forward=128,
)


class PlacementError(ValueError):
    """No host can take an expert; the message names key, need, offer and fix."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """An expert's host and what it may use there. MiB."""

    host: str
    memory_mib: int


def reserve_mib(memory_mib: int) -> int:
    """Memory of a host that experts leave alone."""
    return max(RESERVE_MIB, int(memory_mib * RESERVE_SHARE))


def rung_need_mib(rung: str, expert: Expert, models: Mapping[str, ModelFile]) -> int:
    """MiB to grant an expert for one rung: what the rung needs, and a margin."""
    if rung == SELFTEST:
        facts = SELFTEST_FACTS
    else:
        model = models[rung]
        facts = ModelFacts(
            weights_bytes=model.size,
            kv_bytes_per_token=model.kv_bytes_per_token,
            vocabulary=model.vocabulary,
        )
    need = required_mib(
        facts,
        context_tokens=expert.context_tokens,
        slots=expert.slots,
        ubatch_tokens=UBATCH_TOKENS,
        prompt_cache_mib=expert.prompt_cache_mib,
    )
    return limit_mib(need)


def place(
    experts: Mapping[str, Expert], models: Mapping[str, ModelFile], memory: Mapping[str, int]
) -> dict[str, Placement]:
    """Each expert's host: the best rung that fits anywhere, on the host with most memory left.

    ``memory`` is the installed MiB of each worker. Experts are placed in the order of the file,
    so the first named has the first choice. Raises PlacementError when an expert fits nowhere.
    """
    free = {host: mib - reserve_mib(mib) for host, mib in memory.items()}
    placed: dict[str, Placement] = {}
    for name, expert in experts.items():
        candidates = [expert.host] if expert.host is not None else list(free)
        placed[name] = _place_one(name, expert, models, {host: free[host] for host in candidates})
        free[placed[name].host] -= placed[name].memory_mib
    return placed


def _place_one(
    name: str, expert: Expert, models: Mapping[str, ModelFile], free: Mapping[str, int]
) -> Placement:
    roomiest = max(free, key=lambda host: free[host])
    needs = {rung: rung_need_mib(rung, expert, models) for rung in expert.ladder}
    # Whatever is granted must hold the last rung too, or nothing would be left to fall back to.
    floor = rung_need_mib(SELFTEST, expert, models)
    for need in needs.values():
        if max(need, floor) <= free[roomiest]:
            return Placement(host=roomiest, memory_mib=max(need, floor))
    smallest = min(needs, key=lambda rung: needs[rung])
    msg = (
        f"experts.{name}.ladder: no model of it fits on any host: {smallest} needs "
        f"{needs[smallest]} MiB at context-tokens {expert.context_tokens} x slots {expert.slots}, "
        f"and {roomiest} has {max(free[roomiest], 0)} MiB left; add a smaller model, lower "
        f"context-tokens or slots, or end the ladder with {SELFTEST}"
    )
    raise PlacementError(msg)
