"""Which rung to serve, from facts. Pure: looks at nothing and starts nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from contract.expert_settings import Rung


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about one rung at one moment.

    ``file_bytes`` is None while the file is missing; ``need_mib`` is None while its header cannot
    be read, and ``damage`` then says why; ``retry_in_s`` is how long a failed rung still rests.
    """

    rung: Rung
    file_bytes: int | None = None
    need_mib: int | None = None
    damage: str | None = None
    retry_in_s: float = 0.0
    last_failure: str | None = None


class State(Enum):
    """What a rung may do now."""

    READY = "ready"
    RESTING = "resting"  # failed a short while ago
    UNFIT = "unfit"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A rung, what it may do, and why, in words for the log."""

    rung: Rung
    state: State
    reason: str


def judge(facts: Facts, budget_mib: int) -> Verdict:
    """Whether a rung may be started with ``budget_mib`` of memory."""
    unfit = _obstacle(facts, budget_mib)
    if unfit is not None:
        return Verdict(rung=facts.rung, state=State.UNFIT, reason=unfit)
    if facts.retry_in_s > 0:
        reason = f"failed ({facts.last_failure}); next try in {facts.retry_in_s:.0f} s"
        return Verdict(rung=facts.rung, state=State.RESTING, reason=reason)
    reason = f"needs {facts.need_mib} MiB of {budget_mib} MiB"
    return Verdict(rung=facts.rung, state=State.READY, reason=reason)


def _obstacle(facts: Facts, budget_mib: int) -> str | None:
    if facts.file_bytes is None:
        return f"{facts.rung.path} is missing"
    if facts.rung.size is not None and facts.file_bytes != facts.rung.size:
        return f"file has {facts.file_bytes} bytes, expected {facts.rung.size}"
    if facts.need_mib is None:
        return facts.damage or "the model's header was not read"
    if facts.need_mib > budget_mib:
        return f"needs {facts.need_mib} MiB, only {budget_mib} MiB may be used"
    return None


def choose(verdicts: Sequence[Verdict], *, tried: frozenset[str] = frozenset()) -> Verdict | None:
    """The best rung to start now, or None when nothing is left.

    A resting rung is taken only when no other is left: resting saves time while something else
    serves, and costs an answer when nothing does. ``tried`` names the rungs that failed already
    in this walk.
    """
    untried = [verdict for verdict in verdicts if verdict.rung.name not in tried]
    for state in (State.READY, State.RESTING):
        for verdict in untried:
            if verdict.state is state:
                return verdict
    return None


def better(verdicts: Sequence[Verdict], serving: str) -> Verdict | None:
    """The best startable rung above the one that serves, or None."""
    for verdict in verdicts:
        if verdict.rung.name == serving:
            return None
        if verdict.state is State.READY:
            return verdict
    return None
