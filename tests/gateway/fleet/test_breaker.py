"""When a failing replica is left alone, and when it is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.breaker import Breaker


def broken(now: float) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        assert breaker.allows(now)
        breaker.failed(now)
    return breaker


def test_three_failures_in_a_row_open_it_and_fewer_do_not():
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.allows(0.0)
    assert not broken(0.0).allows(0.9)


def test_after_the_pause_one_request_is_let_through_and_no_second():
    breaker = broken(100.0)
    assert breaker.allows(101.0)
    breaker.taken(101.0)
    assert not breaker.allows(101.5)


def test_a_trial_that_succeeds_closes_it():
    breaker = broken(100.0)
    breaker.taken(101.0)
    breaker.succeeded()
    assert breaker.allows(101.0)
    breaker.failed(101.0)
    assert breaker.allows(101.0)


def test_the_pause_doubles_and_stays_below_its_limit():
    breaker, now, pauses = broken(0.0), 0.0, []
    for _ in range(8):
        begin = now
        while not breaker.allows(now):
            now += 0.5
        pauses.append(now - begin)
        breaker.taken(now)
        breaker.failed(now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=40))
def test_it_never_stays_closed_to_trials_for_longer_than_the_longest_pause(steps):
    breaker, now = Breaker(), 0.0
    for good, pause in steps:
        now += pause
        if breaker.allows(now):
            breaker.taken(now)
            if good:
                breaker.succeeded()
            else:
                breaker.failed(now)
        assert breaker.allows(now + 30.0)
