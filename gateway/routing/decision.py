"""A routing decision, and why it came out so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """Which part of routing decided, in the order they are asked."""

    EXPLICIT = "explicit"
    ALIAS = "alias"
    DEFAULT = "default"
    STICKY = "sticky"
    RULE = "rule"
    ONLY_CANDIDATE = "only-candidate"
    NEIGHBOUR = "neighbour"
    CLASSIFIER = "classifier"
    LAST_RESORT = "last-resort"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Who answers a request."""

    expert: str
    stage: Stage
    reason: str  # visible ASCII without spaces: it becomes the header x-hearth-reason
    confidence: float | None = None  # 0 to 1; None: the stage knows none
    closed: bool = False  # no fallback: this expert answers, or nobody does
    considered: tuple[str, ...] = ()  # experts that could have taken it
    excluded: Mapping[str, str] = field(default_factory=dict)  # expert -> why not
    skipped: Mapping[str, str] = field(default_factory=dict)  # stage or rule -> why it said nothing
    facts: Mapping[str, object] = field(default_factory=dict)  # ``Facts.summary()``

    def document(self) -> dict[str, object]:
        """JSON for /v1/route/explain."""
        return {
            "expert": self.expert,
            "stage": self.stage.value,
            "reason": self.reason,
            "confidence": None if self.confidence is None else round(self.confidence, 3),
            "closed": self.closed,
            "considered": list(self.considered),
            "excluded": dict(self.excluded),
            "skipped": dict(self.skipped),
        }
