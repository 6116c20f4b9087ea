"""The choice of a rung: pure facts in, verdicts out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.expert_settings import Rung
from expert_runner.ladder import Facts, State, better, choose, judge


def facts(name: str, **changes) -> Facts:
    known = {"file_bytes": 100, "need_mib": 50}
    return Facts(rung=Rung(name=name, path=f"/models/{name}.gguf"), **(known | changes))


def verdicts(*all_facts: Facts, budget: int = 1000):
    return [judge(f, budget) for f in all_facts]


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, State.READY, "needs 50 MiB of 1000 MiB"),
        ({"file_bytes": None}, State.UNFIT, "/models/m.gguf is missing"),
        ({"need_mib": None, "damage": "not a GGUF file"}, State.UNFIT, "not a GGUF file"),
        ({"need_mib": 1000}, State.READY, "needs 1000 MiB of 1000 MiB"),
        ({"need_mib": 1001}, State.UNFIT, "needs 1001 MiB, only 1000 MiB may be used"),
        (
            {"retry_in_s": 90.0, "last_failure": "exit status 1"},
            State.RESTING,
            "failed (exit status 1); next try in 90 s",
        ),
    ],
)
def test_a_verdict_says_what_and_why(changes, state, reason):
    verdict = judge(facts("m", **changes), 1000)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_a_file_of_another_size_than_declared_is_not_tried():
    rung = Rung(name="m", path="/models/m.gguf", size=200)
    verdict = judge(Facts(rung=rung, file_bytes=100, need_mib=1), 1000)
    assert verdict.state is State.UNFIT
    assert verdict.reason == "file has 100 bytes, expected 200"


def test_the_first_ready_rung_is_chosen():
    found = choose(verdicts(facts("a", file_bytes=None), facts("b"), facts("c")))
    assert found is not None
    assert found.rung.name == "b"


def test_a_resting_rung_yields_to_a_worse_one_that_is_ready():
    found = choose(verdicts(facts("a", retry_in_s=9.0), facts("b")))
    assert found is not None
    assert found.rung.name == "b"


def test_a_resting_rung_is_chosen_when_the_ready_ones_have_failed():
    found = choose(verdicts(facts("a", retry_in_s=9.0), facts("b")), tried=frozenset("b"))
    assert found is not None
    assert found.rung.name == "a"


def test_nothing_is_chosen_when_all_were_tried_or_are_unfit():
    assert choose(verdicts(facts("a", need_mib=2000), facts("b")), tried=frozenset("b")) is None


def test_only_a_ready_rung_above_the_serving_one_is_better():
    ladder = verdicts(facts("a", retry_in_s=9.0), facts("b"), facts("c"), facts("d"))
    found = better(ladder, "c")
    assert found is not None
    assert found.rung.name == "b"
    assert better(ladder, "b") is None


STATES = st.sampled_from([{}, {"file_bytes": None}, {"retry_in_s": 5.0}, {"need_mib": 5000}])


@given(st.lists(STATES, min_size=1, max_size=6), st.integers(0, 5))
def test_the_better_rung_is_always_one_that_choose_would_take(states, place):
    ladder = verdicts(*(facts(str(n), **state) for n, state in enumerate(states)))
    found = better(ladder, str(min(place, len(states) - 1)))
    if found is not None:
        assert choose(ladder) == found
