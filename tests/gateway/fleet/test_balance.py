"""Which replica takes a request: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.balance import can_wait, choose_replica
from gateway.fleet.replicas import Endpoint, Replica
from gateway.wire.upstream import Pool


def replica(name: str, **state) -> Replica:
    endpoint = Endpoint(id=name, expert="general", url="http://10.0.0.1:1", preferred="big")
    made = Replica(endpoint, Pool("10.0.0.1", 1), None)
    made.live, made.serving = True, "big"
    for field, value in state.items():
        setattr(made, field, value)
    return made


def opened(made: Replica, now: float) -> Replica:
    for _ in range(3):
        made.breaker.failed(now)
    return made


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"serving": "selftest"}, {"in_flight": 7}),
        ({"in_flight": 2}, {"in_flight": 1, "chosen": 9}),
        ({"chosen": 2}, {"chosen": 1}),
        ({"live": False}, {"serving": "selftest", "in_flight": 7}),
        ({"in_flight": 1, "deferred": 5}, {"in_flight": 5}),
        ({"in_flight": 8}, {"serving": "selftest", "in_flight": 7}),
    ],
)
def test_rank_decides_in_the_order_model_load_and_turn(worse, better):
    candidates = [replica("w", **worse), replica("b", **better)]
    for order in (candidates, candidates[::-1]):
        chosen = choose_replica(order, now=0.0)
        assert chosen is not None
        assert chosen.endpoint.id == "b"


@pytest.mark.parametrize(
    ("knows", "idle", "chosen"),
    [
        ({"in_flight": 0}, {"in_flight": 0}, "knows"),
        ({"in_flight": 2}, {"in_flight": 0}, "knows"),
        ({"in_flight": 3}, {"in_flight": 0}, "idle"),
        ({"in_flight": 1, "deferred": 2}, {"in_flight": 0}, "idle"),
        ({"in_flight": 8}, {"in_flight": 7}, "idle"),
        ({"serving": "selftest"}, {}, "idle"),
    ],
)
def test_a_replica_that_knows_the_conversation_takes_it_unless_it_is_clearly_busier(
    knows, idle, chosen
):
    candidates = [replica("knows", **knows), replica("idle", **idle)]
    found = choose_replica(candidates, now=0.0, known={"knows": 100})
    assert found is not None
    assert found.endpoint.id == chosen


def test_the_one_that_knows_most_takes_it():
    candidates = [replica("a"), replica("b"), replica("c")]
    found = choose_replica(candidates, now=0.0, known={"a": 10, "b": 300, "gone": 999})
    assert found is candidates[1]


STATES = st.fixed_dictionaries(
    {
        "live": st.booleans(),
        "in_flight": st.integers(0, 9),
        "deferred": st.integers(0, 3),
        "serving": st.sampled_from(["big", "selftest"]),
    }
)


@given(
    st.lists(st.tuples(STATES, st.booleans()), max_size=6),
    st.sets(st.integers(0, 5)),
    st.dictionaries(st.integers(0, 5).map(str), st.integers(1, 9)),
)
def test_a_choice_is_live_free_and_untried_and_there_is_one_whenever_it_exists(
    states, tried, known
):
    replicas = [replica(str(n), **state) for n, (state, _) in enumerate(states)]
    for one, (_, broken) in zip(replicas, states, strict=True):
        if broken:
            opened(one, 10.0)
    names = {str(n) for n in tried}
    usable = [r for r in replicas if r.live and r.endpoint.id not in names and not r.breaker.open]
    possible = [r for r in usable if r.in_flight < r.slots]
    chosen = choose_replica(replicas, now=10.5, known=known, tried=names)
    assert (chosen in possible) is bool(possible)
    assert can_wait(replicas, now=10.5, tried=names) is bool(usable)
    if chosen is not None and any(not r.degraded for r in possible):
        assert not chosen.degraded
