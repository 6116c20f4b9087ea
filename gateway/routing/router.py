"""Router: which expert answers. Names are looked up; `auto` goes through the stages, first answer
wins. Owns the memory of conversations; does not choose replicas and sends nothing itself.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from contract.gateway_settings import GatewaySettings
from contract.routing_settings import AUTO
from gateway.errors import ModelNotFound
from gateway.routing import classifier, explanation
from gateway.routing.asking import FAILURES, Ask, reason_of
from gateway.routing.candidates import NOT_LIVE, find_candidates, is_conversation
from gateway.routing.conversation_id import conversation_id
from gateway.routing.course import Course
from gateway.routing.decision import Decision, Stage
from gateway.routing.errors import NoSuitableExpert
from gateway.routing.examples import Examples
from gateway.routing.facts import Facts
from gateway.routing.neighbours import Vote
from gateway.routing.recent import Recent
from gateway.routing.rules import compile_rules

_ABSENT: Final = ""


def _always(_: str) -> bool:
    return True


class Router:
    """Decides for one set of settings.

    Args:
        ask: puts a question of routing's own to an expert.
        clock: seconds, monotonic.
    """

    def __init__(
        self, settings: GatewaySettings, ask: Ask, clock: Callable[[], float] = time.monotonic
    ) -> None:
        routing = settings.routing
        self._experts = settings.experts
        self._ask = ask
        self._rules = compile_rules(routing.rules)
        self._closed_rules = tuple(rule for rule in self._rules if rule.closed)
        self._classifier = routing.classifier
        self._classifier_timeout_s = routing.classifier_timeout_s
        self._sticky: Recent[str] = Recent(routing.sticky_size, routing.sticky_ttl_s, clock)
        self._examples = (
            Examples(
                routing.examples,
                routing.embedder,
                routing.neighbours,
                ask=ask,
                clock=clock,
                folder=None if settings.data_dir is None else Path(settings.data_dir),
            )
            if routing.embedder is not None
            else None
        )
        default = settings.default
        ranked = (default, *settings.experts[default].fallbacks, *settings.experts)
        self._preference = tuple(dict.fromkeys(ranked))
        self._names: dict[str, Decision | None] = {
            _ABSENT: Decision(expert=default, stage=Stage.DEFAULT, reason="default"),
            AUTO: None,
        }
        self._names |= {
            name: Decision(expert=expert, stage=Stage.ALIAS, reason="alias")
            for name, expert in settings.aliases.items()
        }
        self._names |= {
            name: Decision(expert=name, stage=Stage.EXPLICIT, reason="explicit")
            for name in settings.experts
        }

    def resolve(
        self, model: str | None, *, allowed: frozenset[str] | None = None
    ) -> Decision | None:
        """What a model name means; None for `auto`, which ``decide`` answers.

        Args:
            allowed: names of experts and aliases the key may use; None: all.

        Raises:
            ModelNotFound: no expert and no alias has this name, or the key may not use it.
        """
        name = model or _ABSENT
        try:
            decision = self._names[name]
        except KeyError:
            raise ModelNotFound(name) from None
        if allowed is None or decision is None:
            return decision
        if decision.expert in allowed or name in allowed:
            return decision
        raise ModelNotFound(name or decision.expert)

    async def decide(
        self,
        facts: Facts,
        *,
        allowed: frozenset[str] | None = None,
        live: Callable[[str], bool] = _always,
    ) -> Decision:
        """Chooses the expert for model `auto`, and remembers it for the conversation.

        Args:
            allowed: names of experts and aliases the key may use; None: all.
            live: whether an expert could take a request now.

        Raises:
            NoSuitableExpert: nobody the key may use can do what the request needs.
        """
        course = self._begin(facts, allowed, live)
        decision = self._decide_at_once(course) or await self._decide_by_asking(course)
        if course.conversation is not None:
            self._sticky.put(course.conversation, decision.expert)
        return decision

    async def explain(
        self,
        model: str | None,
        facts: Facts,
        *,
        allowed: frozenset[str] | None = None,
        live: Callable[[str], bool] = _always,
    ) -> dict[str, object]:
        """What would be decided and what every stage says, as JSON; remembers nothing.

        Raises:
            ModelNotFound: as ``resolve``.
        """
        named = self.resolve(model, allowed=allowed)
        if named is not None:
            return {"decision": named.document(), "facts": facts.summary()}
        course = self._begin(facts, allowed, live)
        try:
            decision = self._decide_at_once(course) or await self._decide_by_asking(course)
        except NoSuitableExpert as error:
            return explanation.of_refusal(course, error.message)
        await self._ask_examples(course)
        await self._ask_classifier(course)
        return explanation.of_decision(course, decision)

    async def prepare(self) -> str | None:
        """Embeds the examples, so that the first prompts need not wait; returns why it failed."""
        return None if self._examples is None else await self._examples.prepare()

    async def close(self) -> None:
        """Ends background work."""
        if self._examples is not None:
            await self._examples.close()

    def _begin(
        self, facts: Facts, allowed: frozenset[str] | None, live: Callable[[str], bool]
    ) -> Course:
        closed = next((rule for rule in self._closed_rules if rule.failing(facts) is None), None)
        candidates = find_candidates(
            self._experts,
            facts,
            closed=closed,
            allowed=None if allowed is None else self._experts_of(allowed),
            live=live,
        )
        course = Course(facts=facts, rules=self._rules, candidates=candidates, live=live)
        if is_conversation(facts.endpoint):
            course.conversation = conversation_id(facts)
        if course.conversation is not None:
            course.remembered = self._sticky.get(course.conversation, even_expired=facts.tool_loop)
        return course

    def _experts_of(self, names: frozenset[str]) -> frozenset[str]:
        known = (self._names.get(name) for name in names)
        return frozenset(decision.expert for decision in known if decision is not None)

    def _decide_at_once(self, course: Course) -> Decision | None:
        """What needs no question to an expert; None when that is not enough."""
        candidates, facts = course.candidates, course.facts
        closed = candidates.closed_by
        if not candidates.possible:
            if candidates.largest is None:
                raise NoSuitableExpert(_refusal(course))
            return course.decision(candidates.largest, Stage.LAST_RESORT, "largest-context")
        if closed is not None:
            return course.decision(closed.expert, Stage.RULE, f"rule:{closed.name}")
        kept = course.remembered
        # Within a tool loop a conversation waits for its expert, should that be down for a moment.
        if kept in (candidates.possible if facts.tool_loop else candidates.live):
            assert kept is not None
            return course.decision(kept, Stage.STICKY, "sticky")
        for rule in self._rules:
            if rule.failing(facts) is None:
                if rule.expert in course.pool:
                    return course.decision(rule.expert, Stage.RULE, f"rule:{rule.name}")
                course.skipped[f"rule:{rule.name}"] = course.why_not(rule.expert)
        if len(course.pool) == 1:
            return course.decision(course.pool[0], Stage.ONLY_CANDIDATE, "only-candidate")
        if self._examples is None and self._classifier is None:
            return self._decide_by_default(course)
        if not is_conversation(facts.endpoint):
            return self._decide_by_default(course)
        return None

    async def _decide_by_asking(self, course: Course) -> Decision:
        await self._ask_examples(course)
        vote = course.vote
        if vote is not None and vote.expert is not None:
            reason = f"neighbour:{vote.similarity:.2f}"
            return course.decision(vote.expert, Stage.NEIGHBOUR, reason, vote.share)
        await self._ask_classifier(course)
        if course.classified is not None:
            return course.decision(course.classified, Stage.CLASSIFIER, "classifier")
        return self._decide_by_default(course)

    def _decide_by_default(self, course: Course) -> Decision:
        expert = next(name for name in self._preference if name in course.pool)
        if expert == self._preference[0]:
            return course.decision(expert, Stage.DEFAULT, "default")
        course.skipped["default"] = course.why_not(self._preference[0])
        return course.decision(expert, Stage.LAST_RESORT, "last-resort")

    async def _ask_examples(self, course: Course) -> None:
        examples, text = self._examples, course.facts.first_user_text
        if examples is None or course.vote is not None:
            return
        if not text:
            course.vote = Vote(None, why="no user text")
        elif not course.live(examples.embedder):
            course.vote = Vote(None, why=f"{examples.embedder}: {NOT_LIVE}")
        else:
            course.vote = await examples.vote(text, course.pool)
        if course.vote.expert is None:
            course.skipped[Stage.NEIGHBOUR] = course.vote.why

    async def _ask_classifier(self, course: Course) -> None:
        expert, text = self._classifier, course.facts.first_user_text
        asked = course.classified is not None or Stage.CLASSIFIER in course.skipped
        if expert is None or asked:
            return
        described = {name: self._experts[name].description for name in course.pool}
        offered = {name: purpose for name, purpose in described.items() if purpose}
        if not text:
            course.skipped[Stage.CLASSIFIER] = "no user text"
        elif not course.live(expert):
            course.skipped[Stage.CLASSIFIER] = f"{expert}: {NOT_LIVE}"
        elif len(offered) < 2:
            course.skipped[Stage.CLASSIFIER] = "fewer than two candidates have a description"
        else:
            body = classifier.request_body(expert, text, offered)
            try:
                async with asyncio.timeout(self._classifier_timeout_s):
                    answer = await self._ask(expert, classifier.PATH, body)
                course.said = classifier.content(answer)
                course.classified = classifier.chosen(course.said, offered)
            except FAILURES as error:
                course.skipped[Stage.CLASSIFIER] = reason_of(error)


def _refusal(course: Course) -> str:
    reasons = sorted(set(course.candidates.excluded.values()))
    return f"No expert can take this request: {'; '.join(reasons)}."
