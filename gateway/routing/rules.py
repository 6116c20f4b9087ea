"""The owner's rules, compiled. Pure: facts in, the first failing condition out."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from contract.routing_settings import Condition, Failure, Rule
from gateway.routing.facts import Facts

Test = Callable[[Facts], bool]

_SEARCHED_CHARACTERS: Final = 20_000
_NO_REASONING: Final = ("", "none")


@dataclass(frozen=True)
class CompiledRule:
    """A rule and its conditions, each with the name it has in the settings."""

    name: str
    expert: str
    closed: bool  # no other expert may see what it matches
    tests: tuple[tuple[str, Test], ...]

    def failing(self, facts: Facts) -> str | None:
        """The first condition that does not hold; None when the rule matches."""
        for name, test in self.tests:
            if not test(facts):
                return name
        return None


def compile_rules(rules: Iterable[Rule]) -> tuple[CompiledRule, ...]:
    """The rules in their order."""
    return tuple(
        CompiledRule(
            name=rule.name,
            expert=rule.expert,
            closed=rule.fail is Failure.CLOSED,
            tests=tuple(_tests(rule.when, everywhere=rule.fail is Failure.CLOSED)),
        )
        for rule in rules
    )


def _tests(when: Condition, *, everywhere: bool) -> Iterable[tuple[str, Test]]:
    """One test per condition that is given, the cheap ones first."""
    flags: tuple[tuple[str, bool | None, Test], ...] = (
        ("images", when.images, lambda facts: facts.has_images),
        ("audio", when.audio, lambda facts: facts.has_audio),
        ("code", when.code, lambda facts: facts.has_code),
        ("tools", when.tools, lambda facts: facts.tools > 0),
        ("wants_json", when.wants_json, lambda facts: facts.wants_json),
        ("reasoning", when.reasoning, lambda facts: facts.reasoning not in _NO_REASONING),
    )
    for name, wanted, holds in flags:
        if wanted is not None:
            yield name, _is(holds, wanted)
    low, high = when.min_tokens, when.max_tokens
    if low is not None:
        yield "min_tokens", lambda facts: facts.opening_tokens >= low
    if high is not None:
        yield "max_tokens", lambda facts: facts.opening_tokens <= high
    if when.languages:
        yield "languages", lambda facts: facts.language in when.languages
    if when.endpoints:
        yield "endpoints", lambda facts: facts.endpoint in when.endpoints
    if when.keys:
        yield "keys", lambda facts: facts.key_name in when.keys
    for name, value in when.headers.items():
        yield f"headers.{name}", _has_header(name, value)
    if when.contains:
        yield "contains", _finds(when.contains, everywhere=everywhere)


def _is(holds: Test, wanted: bool) -> Test:
    return lambda facts: holds(facts) is wanted


def _has_header(name: str, value: str) -> Test:
    return lambda facts: facts.headers.get(name) == value


def _finds(patterns: Iterable[str], *, everywhere: bool) -> Test:
    compiled = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]

    def find(facts: Facts) -> bool:
        # A closed rule keeps a promise, so nothing may hide from it: not a later turn, not length.
        texts = facts.texts if everywhere else (facts.first_user_text[:_SEARCHED_CHARACTERS],)
        return any(pattern.search(text) for text in texts for pattern in compiled)

    return find
