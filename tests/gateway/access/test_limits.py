"""Limits of one worker: never more than allowed, and everything given back.

The rule for rpm and tpm: in any window of w seconds at most limit * (1 + w/60) pass.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.errors import LimitExceeded, QuotaExhausted
from gateway.access.key import MINUTE_NS, Key
from gateway.access.limits import Limits
from gateway.access.period import Period
from gateway.access.refusal import duration
from gateway.access.usage import Spent

NOW = 10**15
DAY = 20_000  # 2024-10-04
SECOND = 10**9


@pytest.fixture(scope="module")
def table():
    limits = Limits()
    limits.share()
    yield limits
    limits.close()


ROWS = itertools.count(1)


def key_with(**limits):
    """A key in a row that no test has used."""
    return Key(id="abcdefgh", row=next(ROWS), name="Ada", **limits)


def admitted(limits, key, estimate=0, now=NOW, day=DAY):
    try:
        limits.admit(key, estimate, now, day)
    except LimitExceeded:
        return False
    return True


def refusal(limits, key, estimate=0, now=NOW, day=DAY):
    with pytest.raises(LimitExceeded) as caught:
        limits.admit(key, estimate, now, day)
    return caught.value


def header(limits, key, name, now=NOW):
    lines = dict(
        line.split(": ") for line in limits.headers(key, now).decode().split("\r\n") if line
    )
    return lines[f"x-ratelimit-{name}"]


def within(times, amounts, limit):
    """Whether every window obeys the rule."""
    return all(
        sum(amounts[first : last + 1]) * MINUTE_NS
        <= limit * (MINUTE_NS + times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


GAPS = st.lists(st.integers(0, 20 * SECOND), min_size=1, max_size=60)


@given(rpm=st.integers(1, 20), gaps=GAPS)
def test_no_window_holds_more_requests_than_the_rule_allows(table, rpm, gaps):
    key, now, passed = key_with(rpm=rpm), NOW, []
    for gap in gaps:
        now += gap
        try:
            table.admit(key, 0, now, DAY)
        except LimitExceeded as error:
            # Comes back at the first moment it may, as the greediest client does.
            now += error.wait_ns
            table.admit(key, 0, now, DAY)
        passed.append(now)
    assert within(passed, [1] * len(passed), rpm)


@given(
    tpm=st.integers(1, 1000),
    asks=st.lists(st.tuples(st.integers(0, 10 * SECOND), st.integers(0, 500)), max_size=50),
)
def test_no_window_holds_more_tokens_than_the_rule_allows(table, tpm, asks):
    key, now, times, amounts = key_with(tpm=tpm), NOW, [], []
    for gap, tokens in asks:
        now += gap
        if admitted(table, key, tokens, now):
            times.append(now)
            amounts.append(tokens)
    assert within(times, amounts, tpm)


@given(rpm=st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_a_whole_minute_may_pass_at_once_and_one_more_may_not(table, rpm):
    key = key_with(rpm=rpm)
    assert all(admitted(table, key) for _ in range(rpm))
    error = refusal(table, key)
    assert (error.status, error.code, error.kind) == (429, "rate_limit_exceeded", "requests")
    # Who obeys retry-after passes; who comes a nanosecond early does not.
    assert not admitted(table, key, now=NOW + error.wait_ns - 1)
    assert admitted(table, key, now=NOW + error.wait_ns)
    assert int(error.headers()["retry-after-ms"]) * 1_000_000 >= error.wait_ns


def test_a_key_without_limits_passes_always_and_gets_no_headers(table):
    key = key_with()
    assert not key.limited
    assert all(admitted(table, key, 10**9) for _ in range(1000))
    table.settle(key, 10**9, 10**9, 10**9, DAY)
    assert table.headers(key, NOW) == b""


def test_a_key_limited_only_at_once_gets_no_headers(table):
    assert table.headers(key_with(concurrency=1), NOW) == b""


LIMITS = {
    "rpm": st.integers(1, 5),
    "tpm": st.integers(1, 50),
    "concurrency": st.integers(1, 3),
    "daily_tokens": st.integers(1, 100),
    "budget_micro": st.integers(0, 100),
}


@given(
    limits=st.fixed_dictionaries({}, optional=LIMITS),
    before=st.lists(st.integers(0, 30), max_size=4),
    estimate=st.integers(0, 60),
)
def test_a_refused_request_takes_nothing(table, limits, before, estimate):
    key = key_with(**limits)
    for tokens in before:
        admitted(table, key, tokens)
    cells = slice(key.cell, key.cell + 16)
    earlier = table._cells[cells].tolist()
    if not admitted(table, key, estimate):
        later = table._cells[cells].tolist()
        # The numbers of day and period may have been set; what they count may not change.
        assert [later[n] for n in (0, 1, 3, 5, 8)] == [earlier[n] for n in (0, 1, 3, 5, 8)]


@given(
    limits=st.fixed_dictionaries({}, optional=LIMITS | {"tpm": st.integers(60, 99)}),
    estimate=st.integers(1, 50),
)
def test_a_request_that_used_nothing_gives_everything_back_but_its_turn(table, limits, estimate):
    key = key_with(**limits)
    if not admitted(table, key, 0):
        return
    table.settle(key, 0, 0, 0, DAY)
    before = table._cells[key.cell + 1 : key.cell + 16].tolist()
    if admitted(table, key, estimate):
        table.settle(key, estimate, 0, 0, DAY)
        after = table._cells[key.cell + 1 : key.cell + 16].tolist()
        assert after == before


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 30 * SECOND), st.integers(0, 200), st.integers(0, 400)),
        max_size=30,
    )
)
def test_what_remains_is_never_negative_nor_above_the_limit(table, steps):
    key, now = key_with(rpm=5, tpm=200), NOW
    for gap, estimate, tokens in steps:
        now += gap
        if admitted(table, key, estimate, now):
            table.settle(key, estimate, tokens, 0, DAY)
        assert 0 <= int(header(table, key, "remaining-requests", now)) <= 5
        assert 0 <= int(header(table, key, "remaining-tokens", now)) <= 200


def test_the_headers_say_limit_rest_and_reset(table):
    key = key_with(rpm=60, tpm=6000)
    table.admit(key, 1500, NOW, DAY)
    assert table.headers(key, NOW) == (
        b"x-ratelimit-limit-requests: 60\r\n"
        b"x-ratelimit-remaining-requests: 59\r\n"
        b"x-ratelimit-reset-requests: 1s\r\n"
        b"x-ratelimit-limit-tokens: 6000\r\n"
        b"x-ratelimit-remaining-tokens: 4500\r\n"
        b"x-ratelimit-reset-tokens: 15s\r\n"
    )


def test_tokens_beyond_the_estimate_are_a_debt_for_the_next(table):
    key = key_with(tpm=60)
    table.admit(key, 1, NOW, DAY)
    table.settle(key, 1, 120, 0, DAY)
    error = refusal(table, key, 1)
    assert error.kind == "tokens"
    assert error.wait_ns == 61 * SECOND
    assert error.headers()["retry-after"] == "61"
    assert error.headers()["x-should-retry"] == "true"


def test_a_request_larger_than_a_minutes_tokens_is_told_that_waiting_is_in_vain(table):
    error = refusal(table, key_with(tpm=60), 61)
    assert "too large" in error.message
    assert not error.should_retry
    assert error.headers() == {"x-should-retry": "false"}


def test_a_debt_without_end_fits_its_cell(table):
    key = key_with(tpm=1)
    table.admit(key, 1, NOW, DAY)
    for _ in range(1000):
        table.settle(key, 1, 10**9, 0, DAY)
    assert not admitted(table, key, 1)


@given(concurrency=st.integers(1, 10), begins=st.lists(st.booleans(), max_size=60))
def test_never_more_at_once_than_allowed_and_every_end_makes_room(table, concurrency, begins):
    key, running = key_with(concurrency=concurrency), 0
    for begin in begins:
        if begin:
            assert admitted(table, key) == (running < concurrency)
            running = min(running + 1, concurrency)
        elif running:
            table.settle(key, 0, 0, 0, DAY)
            running -= 1


def test_a_settle_too_many_makes_no_room(table):
    key = key_with(concurrency=1)
    for _ in range(3):
        table.settle(key, 0, 0, 0, DAY)
    assert admitted(table, key)
    error = refusal(table, key)
    assert "concurrency" in error.message
    assert error.retry_after_s == 1


def test_what_turned_out_later_counts_as_well_and_ends_nothing(table):
    key = key_with(daily_tokens=100, concurrency=1, budget_micro=1000, tpm=6000)
    assert admitted(table, key, 10)
    table.settle(key, 10, 10, 0, DAY)
    assert admitted(table, key, 10)
    table.settle(key, 0, 70, 900, DAY, ended=False)
    assert table._cells[key.cell + 3] == 90
    assert header(table, key, "remaining-tokens") == str(6000 - 90)
    assert not admitted(table, key, 5)  # the other request still runs
    table.settle(key, 10, 10, 0, DAY)
    assert not admitted(table, key, 11)
    assert admitted(table, key, 10)
    table.settle(key, 10, 0, 0, DAY)
    table.settle(key, 0, -70, -900, DAY, ended=False)
    assert admitted(table, key, 80)


def test_the_tokens_of_a_day_end_with_it(table):
    key = key_with(daily_tokens=100)
    table.admit(key, 90, NOW, DAY)
    error = refusal(table, key, 11)
    assert isinstance(error, QuotaExhausted)
    assert (error.status, error.code, error.should_retry) == (429, "insufficient_quota", False)
    for part in ("daily_tokens", "limit 100", "used 90", "2024-10-05T00:00:00Z"):
        assert part in error.message
    assert "retry-after" not in error.headers()
    assert admitted(table, key, 100, day=DAY + 1)


def test_a_request_over_midnight_counts_on_the_new_day_in_full(table):
    key = key_with(daily_tokens=100)
    table.admit(key, 50, NOW, DAY)
    table.admit(key, 10, NOW, DAY + 1)
    table.settle(key, 50, 60, 0, DAY)
    assert admitted(table, key, 30, day=DAY + 1)
    assert not admitted(table, key, 1, day=DAY + 1)


def test_a_clock_that_goes_back_a_day_doubles_no_allowance(table):
    key = key_with(daily_tokens=100)
    table.admit(key, 100, NOW, DAY + 1)
    assert not admitted(table, key, 1, day=DAY)
    assert not admitted(table, key, 1, day=DAY + 1)


def test_a_clock_that_was_years_ahead_locks_nobody_out(table):
    key = key_with(daily_tokens=100)
    table.admit(key, 100, NOW, DAY + 9000)
    assert admitted(table, key, 100, day=DAY)


@pytest.mark.parametrize(
    ("period", "same", "other", "end"),
    [
        (Period.DAY, DAY, DAY + 1, "It resets at 2024-10-05T00:00:00Z."),
        (Period.MONTH, DAY + 27, DAY + 28, "It resets at 2024-11-01T00:00:00Z."),
        (Period.TOTAL, DAY + 9000, None, "It does not reset; ask your administrator."),
    ],
)
def test_a_budget_lasts_for_its_period(table, period, same, other, end):
    key = key_with(budget_micro=2_000_000, budget_period=period)
    table.admit(key, 0, NOW, DAY)
    table.settle(key, 0, 5, 1_999_999, DAY)
    assert admitted(table, key, day=same)
    table.settle(key, 0, 5, 1, DAY)
    error = refusal(table, key, day=DAY)
    assert error.code == "insufficient_quota"
    assert "limit 2.00, used 2.00" in error.message
    assert error.message.endswith(end)
    assert not admitted(table, key, day=same)
    assert other is None or admitted(table, key, day=other)


def test_a_budget_of_nothing_refuses_the_first_request(table):
    assert not admitted(table, key_with(budget_micro=0))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (20_000_000, "20ms"),
        (1_500_000_000, "1.5s"),
        (60 * SECOND, "1m0s"),
        (362_250_000_000, "6m2.25s"),
    ],
)
def test_a_time_is_written_as_openai_writes_it(nanoseconds, text):
    assert duration(nanoseconds) == text


def test_quotas_begin_with_what_the_record_of_usage_says():
    limits = Limits()
    key = key_with(daily_tokens=100, budget_micro=50)
    limits.prime(key, DAY, Spent(tokens=80, cost_micro=49), NOW)
    assert not admitted(limits, key, 21)
    assert admitted(limits, key, 20)
    limits.settle(key, 20, 20, 1, DAY)
    assert "budget" in refusal(limits, key).message
    limits.close()


def test_an_earlier_boots_clock_holds_nobody_back_after_a_restart():
    limits = Limits()
    key = key_with(rpm=1, tpm=10)
    limits.admit(key, 10, NOW, DAY)
    early = 5 * SECOND
    assert not admitted(limits, key, 1, now=early)
    limits.prime(key, DAY, Spent(), early)
    assert admitted(limits, key, 1, now=early)
    limits.close()
