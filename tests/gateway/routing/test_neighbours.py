"""Neighbours vote when they are near and agree, and abstain otherwise."""

import math
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.routing_settings import Neighbours
from gateway.routing.embedding import BadEmbeddings, read_vectors, unit
from gateway.routing.neighbours import cosine, label, vote


def at(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


COMPASS = label(["north", "north", "east", "east"], [at(90), at(70), at(0), at(20)])
SETTINGS = Neighbours(k=3, min_similarity=0.9, min_margin=0.2)


def test_the_nearest_experts_examples_win():
    said = vote(at(88), COMPASS, SETTINGS, ["north", "east"])
    assert said.expert == "north"
    assert said.similarity == pytest.approx(math.cos(math.radians(2)))
    assert said.share > 0.8
    assert [one.place for one in said.neighbours] == [0, 1, 3]


def test_what_is_far_from_all_gets_no_vote():
    said = vote(at(200), COMPASS, SETTINGS, ["north", "east"])
    assert (said.expert, said.why) == (None, "nearest -0.34 < 0.90")


def test_a_split_vote_is_no_vote():
    settings = Neighbours(k=4, min_similarity=0.5, min_margin=0.2)
    said = vote(at(45), COMPASS, settings, ["north", "east"])
    assert said.expert is None
    assert said.why.startswith("margin 0.00")


def test_only_candidates_vote_but_every_example_opens_the_gate():
    said = vote(at(90), COMPASS, SETTINGS, ["east"])
    assert said.expert == "east"
    assert said.share == 1.0


def test_without_an_example_of_a_candidate_there_is_no_vote():
    assert vote(at(90), COMPASS, SETTINGS, ["west"]).expert is None


def test_the_gate_measures_itself_on_the_examples():
    settings = Neighbours(k=3)
    assert COMPASS.typical_similarity == pytest.approx(math.cos(math.radians(20)))
    assert vote(at(80), COMPASS, settings, ["north", "east"]).expert == "north"
    assert vote(at(45), COMPASS, settings, ["north", "east"]).expert is None


def test_variants_of_one_sentence_do_not_close_the_gate():
    places = [90, 89, 88, 70, 0, 1]
    labelled = label(["north"] * 4 + ["east"] * 2, [at(degrees) for degrees in places])
    assert labelled.typical_similarity < 0.95


def test_a_single_example_has_a_gate_too():
    assert label(["north"], [at(90)]).typical_similarity == 0.5


VECTORS = st.lists(st.floats(-100, 100), min_size=3, max_size=3).filter(
    lambda numbers: math.hypot(*numbers) > 1e-3
)


@given(VECTORS, VECTORS)
def test_the_cosine_is_the_scalar_product(one, other):
    one, other = unit(one), unit(other)
    assert cosine(one, other) == pytest.approx(sum(map(mul, one, other)), abs=1e-9)


@given(VECTORS, st.lists(st.tuples(st.sampled_from("abc"), VECTORS), min_size=1, max_size=8))
def test_a_winner_is_a_candidate_within_gate_and_margin(query, examples):
    labelled = label([name for name, _ in examples], [unit(vector) for _, vector in examples])
    said = vote(unit(query), labelled, SETTINGS, ["a", "b"])
    if said.expert is None:
        assert said.why
    else:
        assert said.expert in ("a", "b")
        assert 0 < said.share <= 1.0 + 1e-9
        assert max(cosine(unit(query), vector) for vector in labelled.vectors) >= 0.9


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": 5}',
        b'{"data": []}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": [0, 0]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0, "embedding": [[1, 2]]}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1]}]}',
    ],
)
def test_a_nonsense_embedding_is_refused(answer):
    with pytest.raises(BadEmbeddings):
        read_vectors(answer, 1)


def test_vectors_come_in_the_order_of_their_index():
    answer = b'{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 0]}]}'
    assert read_vectors(answer, 2) == [(1.0, 0.0), (0.0, 1.0)]
