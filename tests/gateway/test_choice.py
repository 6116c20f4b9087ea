"""Names to experts, replicas to requests: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.choice import choose_replica, resolve_expert
from gateway.errors import ModelNotFound
from gateway.replicas import Endpoint, Replica
from tests.gateway.fakes import settings_of


def replica(name: str, **state) -> Replica:
    endpoint = Endpoint(id=name, expert="general", address="10.0.0.1", port=1, preferred="big")
    return Replica(endpoint=endpoint, **({"live": True, "serving": "big"} | state))


@pytest.mark.parametrize(
    ("model", "expert"),
    [
        ("coder", "coder"),
        ("gpt-4o-mini", "general"),
        ("auto", "general"),
        ("", "general"),
        (None, "general"),
    ],
)
def test_a_name_means_an_expert(model, expert):
    assert resolve_expert(model, settings_of()) == expert


@pytest.mark.parametrize("model", ["Coder", "coder ", "selftest", "expert-coder"])
def test_no_other_name_means_one(model):
    with pytest.raises(ModelNotFound):
        resolve_expert(model, settings_of())


def test_an_endless_name_is_not_repeated_to_its_end():
    with pytest.raises(ModelNotFound) as caught:
        resolve_expert("x" * 10_000, settings_of())
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"serving": "selftest"}, {"in_flight": 50}),
        ({"in_flight": 2}, {"in_flight": 1, "chosen": 9}),
        ({"chosen": 2}, {"chosen": 1}),
        ({"live": False}, {"serving": "selftest", "in_flight": 9}),
    ],
)
def test_rank_decides_in_the_order_model_load_and_turn(worse, better):
    candidates = [replica("w", **worse), replica("b", **better)]
    for order in (candidates, candidates[::-1]):
        chosen = choose_replica(order)
        assert chosen is not None
        assert chosen.endpoint.id == "b"


STATES = st.fixed_dictionaries(
    {
        "live": st.booleans(),
        "in_flight": st.integers(0, 5),
        "serving": st.sampled_from(["big", "selftest"]),
    }
)


@given(st.lists(STATES, max_size=6), st.sets(st.integers(0, 5)))
def test_a_choice_is_live_and_untried_and_there_is_one_whenever_it_exists(states, tried):
    replicas = [replica(str(n), **state) for n, state in enumerate(states)]
    names = {str(n) for n in tried}
    possible = [r for r in replicas if r.live and r.endpoint.id not in names]
    assert (choose_replica(replicas, tried=names) in possible) is bool(possible)
