"""Days and periods as numbers."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.period import PERIODS, Period, date_of, day_of, end_of, first_day, numbers

DAYS = st.integers(0, 40_000)


@given(day=DAYS)
def test_a_period_has_one_number_from_its_first_day_to_its_end(day):
    for place, period in enumerate(PERIODS):
        first = first_day(period, day)
        assert first <= day
        assert numbers(first)[place] == numbers(day)[place]
        end = end_of(period, day)
        if end is not None:
            after = day_of(datetime.date.fromisoformat(end[:10]))
            assert after > day
            assert numbers(after)[place] == numbers(day)[place] + 1
            assert numbers(after - 1)[place] == numbers(day)[place]


@given(day=DAYS)
def test_days_months_and_for_ever_never_share_a_number(day):
    assert len(set(numbers(day))) == 3
    assert numbers(day)[0] < 1_000_000 <= numbers(day)[1] < 2_000_000 <= numbers(day)[2]


@pytest.mark.parametrize(
    ("period", "end"),
    [
        (Period.DAY, "2025-01-01T00:00:00Z"),
        (Period.MONTH, "2025-01-01T00:00:00Z"),
        (Period.TOTAL, None),
    ],
)
def test_a_period_that_ends_with_the_year_ends_on_new_year(period, end):
    assert end_of(period, day_of(datetime.date(2024, 12, 31))) == end


def test_a_day_and_its_date_are_the_same():
    assert date_of(0) == datetime.date(1970, 1, 1)
    assert day_of(date_of(20_000)) == 20_000
