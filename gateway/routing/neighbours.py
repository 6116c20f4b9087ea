"""Which expert the nearest labelled examples vote for, and when they rather abstain. Pure."""

import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contract.routing_settings import Neighbours
from gateway.routing.embedding import Vector

_MEASURED: Final = 200  # examples that are compared with all others, to measure the scale
_TYPICAL: Final = 0.1  # share of the examples that the gate would not let pass
_TWIN: Final = 0.95  # variants of one sentence say nothing about how near two prompts usually are
_UNMEASURED: Final = 0.5  # for a single example, which has no nearest


@dataclass(frozen=True)
class Neighbour:
    """An example near the prompt."""

    place: int  # in the list of examples
    expert: str
    similarity: float  # cosine, -1 to 1


@dataclass(frozen=True)
class Vote:
    """What the neighbours say; ``expert`` is None when they abstain, and ``why`` says why."""

    expert: str | None
    similarity: float = 0.0  # of the nearest example of that expert
    share: float = 0.0  # of the whole vote
    neighbours: tuple[Neighbour, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class LabelledVectors:
    """The examples as unit vectors with their experts, and the similarity they usually have."""

    experts: tuple[str, ...]
    vectors: tuple[Vector, ...]
    typical_similarity: float


def label(experts: Sequence[str], vectors: Sequence[Vector]) -> LabelledVectors:
    """Joins them and measures their scale; takes seconds for thousands of examples."""
    step = max(1, len(vectors) // _MEASURED)
    nearest = sorted(
        max(others)
        for vector in vectors[::step]
        if (others := [one for other in vectors if (one := cosine(vector, other)) < _TWIN])
    )
    typical = nearest[int(len(nearest) * _TYPICAL)] if nearest else _UNMEASURED
    return LabelledVectors(tuple(experts), tuple(vectors), typical)


def cosine(one: Vector, other: Vector) -> float:
    """Of two unit vectors. By their distance, because that is one call into C."""
    return 1.0 - math.dist(one, other) ** 2 / 2.0


def vote(
    query: Vector, examples: LabelledVectors, settings: Neighbours, candidates: Sequence[str]
) -> Vote:
    """The candidates' nearest examples vote, each with its similarity.

    The gate looks at the nearest example of any expert: a prompt that belongs to an expert who
    cannot take it is no prompt that nobody knows.
    """
    found = [cosine(query, vector) for vector in examples.vectors]
    gate = settings.min_similarity
    gate = examples.typical_similarity if gate is None else gate
    places = [n for n, expert in enumerate(examples.experts) if expert in candidates]
    near = tuple(
        Neighbour(place, examples.experts[place], found[place])
        for place in heapq.nlargest(settings.k, places, key=found.__getitem__)
    )
    if not near:
        return Vote(None, why="no example is labelled with a candidate")
    best = max(found)
    if best < gate:
        return Vote(None, neighbours=near, why=f"nearest {best:.2f} < {gate:.2f}")
    weights: dict[str, float] = defaultdict(float)
    for one in near:
        weights[one.expert] += max(one.similarity, 0.0)
    total = sum(weights.values())
    if total <= 0:
        return Vote(None, neighbours=near, why="no candidate's example is similar")
    ranked = sorted(weights, key=lambda expert: -weights[expert])
    shares = [weights[expert] / total for expert in ranked] + [0.0]
    margin = shares[0] - shares[1]
    if margin < settings.min_margin:
        return Vote(None, neighbours=near, why=f"margin {margin:.2f} < {settings.min_margin:.2f}")
    similarity = next(one.similarity for one in near if one.expert == ranked[0])
    return Vote(ranked[0], similarity=similarity, share=shares[0], neighbours=near)
