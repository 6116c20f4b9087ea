"""How the model name `auto` chooses an expert: rules, then labelled examples, then a classifier.
The stack file uses these same classes.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from contract.base import Document

if TYPE_CHECKING:
    from contract.gateway_settings import ExpertRoute  # which imports this module

AUTO: Final = "auto"  # the model name that asks for a choice


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        msg = f"{pattern!r} is no regular expression ({error}); mend it, or escape it with \\"
        raise ValueError(msg) from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
HeaderName = Annotated[str, Field(pattern="^[a-z0-9-]+$")]
Language = Annotated[str, Field(pattern="^([a-z]{2}|unknown)$")]


class Failure(StrEnum):
    """What happens when a rule's expert cannot take the request."""

    OPEN = "open"
    CLOSED = "closed"


class Condition(Document):
    """What a request must be like; everything that is given must hold."""

    images: bool | None = Field(default=None, description="It shows an image.")
    audio: bool | None = Field(default=None, description="It carries a recording.")
    code: bool | None = Field(default=None, description="Its first user message holds code.")
    tools: bool | None = Field(default=None, description="It offers tools.")
    wants_json: bool | None = Field(default=None, description="It demands an answer in JSON.")
    reasoning: bool | None = Field(default=None, description="It asks the model to think first.")
    languages: list[Language] = Field(
        default=[],
        description="The first user message is in one of these: two letters, or unknown.",
    )
    min_tokens: int | None = Field(
        default=None, ge=0, description="Estimated tokens up to the first user message, at least."
    )
    max_tokens: int | None = Field(
        default=None, ge=0, description="Estimated tokens up to the first user message, at most."
    )
    contains: list[Pattern] = Field(
        default=[],
        description="One of these regular expressions, in any case, is found in the first user "
        "message; for a rule that fails closed: anywhere in the conversation.",
    )
    endpoints: list[str] = Field(
        default=[], description="It came to one of these paths, e.g. /v1/chat/completions."
    )
    headers: dict[HeaderName, str] = Field(
        default={}, description="Headers (lower case) with exactly these values."
    )
    keys: list[str] = Field(default=[], description="It was sent with one of these keys, by name.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_defaults=True):
            msg = "it is empty; give a condition, or name the expert in default_expert"
            raise ValueError(msg)
        low, high = self.min_tokens, self.max_tokens
        if low is not None and high is not None and low > high:
            msg = f"min_tokens {low} is above max_tokens {high}; swap them"
            raise ValueError(msg)
        return self


class Rule(Document):
    """Requests of one kind, and the expert they go to."""

    name: str = Field(
        pattern="^[a-z0-9][a-z0-9._-]{0,31}$",
        description="Shown as rule:<name> in the header x-hearth-reason.",
    )
    when: Condition = Field(description="Which requests; a rule matches when all of it holds.")
    expert: str = Field(description="Who answers them.")
    fail: Failure = Field(
        default=Failure.OPEN,
        description="When that expert cannot: open asks the next rule and stage; closed lets no "
        "other expert see the request, in any turn, whatever other rules say.",
    )


class Example(Document):
    """A prompt and the expert it should go to."""

    text: str = Field(min_length=1, description="What somebody might ask.")
    expert: str = Field(description="Who should answer it.")


class Neighbours(Document):
    """How a prompt is compared with the examples."""

    k: int = Field(default=5, ge=1, le=50, description="Nearest examples that vote.")
    min_similarity: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Cosine of the nearest example below which nobody votes; default: measured "
        "on the examples themselves, because every embedding model has a scale of its own.",
    )
    min_margin: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the vote by which the best expert must lead the second.",
    )
    timeout_s: float = Field(default=1.0, gt=0, description="Longest wait for an embedding.")


class Routing(Document):
    """Empty: `auto` means the default expert, or another one if that cannot take the request."""

    rules: list[Rule] = Field(default=[], description="First match wins.")
    examples: list[Example] = Field(
        default=[], max_length=5000, description="Prompts with the expert each should go to."
    )
    embedder: str | None = Field(
        default=None, description="Expert whose embeddings compare prompts with the examples."
    )
    neighbours: Neighbours = Field(
        default=Neighbours(), description="Who votes, and when they abstain."
    )
    classifier: str | None = Field(
        default=None,
        description="Expert, a small chat model, asked when rules and examples decide nothing; "
        "it chooses by the experts' descriptions.",
    )
    classifier_timeout_s: float = Field(
        default=3.0, gt=0, description="Longest wait for the classifier."
    )
    sticky_ttl_s: float = Field(
        default=3600.0, gt=0, description="How long an idle conversation is remembered."
    )
    sticky_size: int = Field(default=10_000, ge=1, description="Conversations remembered.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [rule.name for rule in self.rules]
        for place, name in enumerate(names):
            if name in names[:place]:
                msg = f"rules[{place}].name: {name!r} is taken; every rule needs its own name"
                raise ValueError(msg)
        if self.examples and self.embedder is None:
            msg = "embedder: the examples need one; name an expert with capability embeddings"
            raise ValueError(msg)
        if self.embedder is not None and not self.examples:
            msg = "examples: the embedder has nothing to compare with; give some, or drop it"
            raise ValueError(msg)
        return self

    def check(self, experts: Mapping[str, "ExpertRoute"]) -> None:
        """Raises ValueError when something names an expert that does not exist or cannot serve."""
        if AUTO in experts:
            msg = f"experts.{AUTO}: the name {AUTO!r} asks for a choice; call the expert otherwise"
            raise ValueError(msg)
        named = [(f"rules[{n}].expert", rule.expert) for n, rule in enumerate(self.rules)]
        named += [(f"examples[{n}].expert", one.expert) for n, one in enumerate(self.examples)]
        named += [("embedder", self.embedder)] if self.embedder is not None else []
        named += [("classifier", self.classifier)] if self.classifier is not None else []
        for path, name in named:
            if name not in experts:
                msg = f"routing.{path}: there is no expert {name!r}; name one of {_list(experts)}"
                raise ValueError(msg)
        for path, helper, capability in (
            ("embedder", self.embedder, "embeddings"),
            ("classifier", self.classifier, "chat"),
        ):
            if helper is not None and capability not in experts[helper].capabilities:
                msg = (
                    f"routing.{path}: {helper!r} lacks the capability {capability}; "
                    f"add it to experts.{helper}.capabilities, or name another expert"
                )
                raise ValueError(msg)
        described = [name for name, expert in experts.items() if expert.description]
        if self.classifier is not None and len(described) < 2:
            msg = (
                f"routing.classifier: {self.classifier!r} chooses between experts by their "
                "descriptions; give at least two experts a description"
            )
            raise ValueError(msg)


def _list(experts: Mapping[str, "ExpertRoute"]) -> str:
    return ", ".join(sorted(experts))
