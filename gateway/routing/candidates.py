"""Which experts could take a request, and why the others could not. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from contract.gateway_settings import Capability, ExpertRoute
from gateway.routing.facts import Facts
from gateway.routing.rules import CompiledRule

NOT_LIVE: Final = "no live replica"

_NEEDS: Final = {
    "/v1/embeddings": Capability.EMBEDDINGS,
    "/v1/rerank": Capability.RERANK,
    "/v1/reranking": Capability.RERANK,
    "/v1/audio/transcriptions": Capability.TRANSCRIPTION,
    "/v1/audio/translations": Capability.TRANSCRIPTION,
    "/v1/audio/speech": Capability.SPEECH,
}


def is_conversation(endpoint: str) -> bool:
    """True for the paths that end in a chat model."""
    return endpoint not in _NEEDS


@dataclass(frozen=True)
class Candidates:
    """``possible`` could take the request; ``live`` of these could take it now."""

    possible: tuple[str, ...]
    live: tuple[str, ...]
    excluded: Mapping[str, str]  # expert -> why; also those possible, but not live
    largest: str | None = None  # has the most room, where none has enough
    closed_by: CompiledRule | None = None  # the closed rule that left only its own expert


def find_candidates(
    experts: Mapping[str, ExpertRoute],
    facts: Facts,
    *,
    closed: CompiledRule | None,
    allowed: frozenset[str] | None,
    live: Callable[[str], bool],
) -> Candidates:
    """Puts every expert to the hard constraints.

    Args:
        closed: the closed rule that matches, whose expert is the only one left.
        allowed: experts the key may use; None: all.
        live: whether an expert could take a request now.
    """
    possible: list[str] = []
    tight: list[str] = []
    excluded: dict[str, str] = {}
    for name, expert in experts.items():
        why = _lacks(expert.capabilities, facts)
        if closed is not None and name != closed.expert:
            excluded[name] = f"rule {closed.name} allows only {closed.expert}"
        elif allowed is not None and name not in allowed:
            excluded[name] = "not allowed for this key"
        elif why is not None:
            excluded[name] = why
        elif expert.context_tokens is not None and expert.context_tokens < facts.estimated_tokens:
            excluded[name] = f"context {expert.context_tokens} < {facts.estimated_tokens} tokens"
            tight.append(name)
        else:
            possible.append(name)
            if not live(name):
                excluded[name] = NOT_LIVE
    return Candidates(
        possible=tuple(possible),
        live=tuple(name for name in possible if name not in excluded),
        excluded=excluded,
        largest=max(tight, key=lambda name: experts[name].context_tokens or 0, default=None),
        closed_by=closed,
    )


def _lacks(capabilities: Iterable[Capability], facts: Facts) -> str | None:
    """What an expert cannot do that the request needs."""
    need = _NEEDS.get(facts.endpoint)
    if need is not None:
        return None if need in capabilities else f"cannot do {need}"
    if Capability.CHAT not in capabilities and Capability.VISION not in capabilities:
        return "cannot chat"
    if facts.has_images and Capability.VISION not in capabilities:
        return "sees no images"
    return None
