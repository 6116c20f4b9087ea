"""Figures of several workers, as one."""

from gateway.access.usage import Counters
from gateway.telemetry.figures import Figures, total
from gateway.telemetry.metrics import ExpertCounters


def figures(requests: int, *, day: int = 7) -> Figures:
    counters = ExpertCounters()
    counters.statuses[200] = requests
    counters.prompt = 10 * requests
    counters.output_seconds = requests / 4
    for _ in range(requests):
        counters.duration.add(0.02)
    return Figures(
        day=day,
        experts={"general": counters},
        refused={"invalid_api_key": 1},
        keys=[("k", "general", Counters(requests, 10 * requests, 0, 0, 0, 0))],
        waiting={"general": 1},
        in_flight={"a": requests},
        slots={"a": 2},
    )


def test_the_sum_of_one_is_that_one():
    own = figures(1)
    assert total(own, []) is own


def test_everything_is_added_and_nobodys_figures_change():
    own, other = figures(2), figures(3)
    both = total(own, [other])
    general = both.experts["general"]
    assert general.statuses == {200: 5}
    assert (general.prompt, general.output_seconds) == (50, 1.25)
    assert sum(general.duration.counts) == 5
    assert round(general.duration.total, 6) == 0.1
    assert both.refused == {"invalid_api_key": 2}
    assert both.keys == [("k", "general", Counters(5, 50, 0, 0, 0, 0))]
    assert (both.waiting, both.in_flight, both.slots) == ({"general": 2}, {"a": 5}, {"a": 4})
    assert own == figures(2)
    assert other == figures(3)


def test_what_keys_used_on_another_day_is_no_part_of_today():
    assert total(figures(2), [figures(3, day=6)]).keys == figures(2).keys


def test_of_a_worker_that_is_gone_only_the_counters_remain():
    left = figures(3).counted()
    assert left.experts == figures(3).experts
    assert (left.waiting, left.in_flight, left.slots) == ({}, {}, {})
