"""The text Prometheus reads."""

import re

from gateway.metrics import Metrics
from gateway.replicas import Endpoint, Fleet

LINE = re.compile(r'hearth_gateway_\w+\{(\w+="[^"]*",?)+\} [0-9.]+')


def test_every_line_is_help_type_or_a_sample():
    metrics = Metrics()
    metrics.request("general", 200)
    metrics.error("general", "upstream_failed")
    metrics.retry("general")
    metrics.cancelled("general")
    metrics.duration.observe("general", 0.3)
    fleet = Fleet()
    fleet.update(
        "general", [Endpoint(id="a", expert="general", address="h", port=1, preferred=None)]
    )
    text = metrics.text(["general"], fleet)
    assert text.endswith("\n")
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line), line


def test_buckets_are_cumulative_and_end_with_the_count():
    metrics = Metrics()
    for seconds in (0.05, 0.06, 400.0):
        metrics.duration.observe("general", seconds)
    text = metrics.text([], Fleet())
    name = 'hearth_gateway_duration_seconds_bucket{expert="general",le="%s"}'
    for edge, count in [("0.05", 1), ("0.1", 2), ("300.0", 2), ("+Inf", 3)]:
        assert f"{name % edge} {count}\n" in text
    assert 'hearth_gateway_duration_seconds_sum{expert="general"} 400.110000' in text


def test_an_expert_without_replicas_is_listed_with_none():
    text = Metrics().text(["general"], Fleet())
    assert 'hearth_gateway_replicas{expert="general"} 0' in text
