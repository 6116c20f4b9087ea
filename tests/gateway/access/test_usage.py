"""Usage in SQLite: the same rows twice are the same usage once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.database import Database
from gateway.access.period import Period
from gateway.access.usage import Counters, Filter, Spent, UsageRow, UsageTable

ALL = Filter(0, 10**6)
NUMBERS = st.integers(0, 10**12)
ROWS = st.lists(
    st.builds(
        UsageRow,
        key=st.sampled_from(["ada", "bob"]),
        model=st.sampled_from(["coder", "general"]),
        day=st.integers(19_990, 20_000),
        counters=st.builds(Counters, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    ),
    unique_by=lambda row: row[:3],
    max_size=12,
)


def table():
    return UsageTable(Database(None))


def sums(rows):
    return Counters(
        *(sum(column) for column in zip(Counters(), *(row[3] for row in rows), strict=True))
    )


@given(rows=ROWS, other=ROWS)
def test_every_view_of_a_report_has_the_same_sum(rows, other):
    usage = table()
    usage.write([("one", rows), ("two", other)])
    report = usage.report(ALL)
    assert report.total == sums([*rows, *other])
    for view in (report.by_key, report.by_model, report.by_day):
        assert sums([(0, 0, 0, counters) for counters in view.values()]) == report.total


@given(rows=ROWS, earlier=ROWS)
def test_written_or_absorbed_once_or_often_usage_is_the_same(rows, earlier):
    usage = table()
    usage.absorb("earlier", earlier)
    usage.write([("one", rows)])
    usage.write([("one", rows)])
    before = usage.report(ALL)
    usage.absorb("one", rows)
    # The process was killed between the commit and the end of the file: it comes once more.
    usage.absorb("one", rows)
    assert usage.report(ALL) == before
    assert before.total == sums([*earlier, *rows])


def test_a_forgotten_mark_makes_room_and_loses_no_usage():
    usage = table()
    usage.absorb("one", [UsageRow("ada", "coder", 1, Counters(1))])
    usage.forget(["one"])
    assert usage.report(ALL).total.requests == 1


@pytest.mark.parametrize(
    ("wanted", "requests"),
    [
        (Filter(0, 99), 15),
        (Filter(0, 99, key="ada"), 11),
        (Filter(0, 99, model="coder"), 5),
        (Filter(0, 99, key="ada", model="coder"), 1),
        (Filter(10, 10), 3),
        (Filter(11, 99), 12),
        (Filter(0, 9), 0),
        (Filter(0, 99, key="nobody"), 0),
    ],
)
def test_a_report_holds_what_fits_and_both_its_days(wanted, requests):
    usage = table()
    usage.write(
        [
            (
                "one",
                [
                    UsageRow("ada", "coder", 10, Counters(1)),
                    UsageRow("ada", "general", 10, Counters(2)),
                    UsageRow("ada", "general", 11, Counters(8)),
                    UsageRow("bob", "coder", 12, Counters(4)),
                ],
            )
        ]
    )
    assert usage.report(wanted).total.requests == requests


@pytest.mark.parametrize(("period", "cost"), [("day", 4), ("month", 6), ("total", 7)])
def test_a_quota_counts_the_day_for_tokens_and_its_period_for_cost(period, cost):
    usage = table()
    usage.write(
        [
            (
                "one",
                [
                    UsageRow("ada", "coder", day, Counters(1, 10, 9, 5, cost_micro))
                    for day, cost_micro in ((19_996, 1), (19_997, 2), (20_000, 4))
                ],
            )
        ]
    )
    assert usage.spent({"ada": Period(period), "bob": Period.DAY}, 20_000) == {
        "ada": Spent(15, cost),
        "bob": Spent(0, 0),
    }
