"""The course of one decision: what is known, and what the stages have said so far."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.routing.candidates import Candidates
from gateway.routing.decision import Decision, Stage
from gateway.routing.facts import Facts
from gateway.routing.neighbours import Vote
from gateway.routing.rules import CompiledRule


@dataclass(kw_only=True)
class Course:
    """Filled in from stage to stage, and read by the explanation."""

    facts: Facts
    rules: tuple[CompiledRule, ...]
    candidates: Candidates
    live: Callable[[str], bool]
    conversation: bytes | None = None
    remembered: str | None = None  # the expert the conversation has had so far
    vote: Vote | None = None  # None: the examples have not been asked
    said: str | None = None  # the classifier's words
    classified: str | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def pool(self) -> tuple[str, ...]:
        """Experts to choose from: when none is live, the choice is as if all were, and the request
        waits for the right one.
        """
        return self.candidates.live or self.candidates.possible

    def why_not(self, expert: str) -> str:
        """Why an expert is not in the pool."""
        return self.candidates.excluded.get(expert, "not a candidate")

    def decision(
        self, expert: str, stage: Stage, reason: str, confidence: float | None = None
    ) -> Decision:
        """The end of the course."""
        return Decision(
            expert=expert,
            stage=stage,
            reason=reason,
            confidence=confidence,
            closed=self.candidates.closed_by is not None,
            considered=self.pool,
            excluded=self.candidates.excluded,
            skipped=dict(self.skipped),
            facts=self.facts.summary(),
        )
