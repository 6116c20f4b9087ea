"""The text Prometheus reads, read as strictly as it does."""

import re
from collections.abc import Mapping

import pytest

from gateway.access.usage import Counters
from gateway.fleet.replicas import Endpoint, Fleet
from gateway.telemetry.exposition import exposition
from gateway.telemetry.figures import Figures
from gateway.telemetry.metrics import Metrics
from gateway.wire.upstream import Pool
from tests.gateway.fakes import EVENTS, answers, hangs_up, streams

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\+Inf|-?[0-9]+(?:\.[0-9]+)?)")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples by name and labels. Every family has one help, one type, and all its samples behind
    them; no sample comes twice.
    """
    assert text.endswith("\n")
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    seen: set[str] = set()
    family = kind = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, family, described = line.split(" ", 3)
            assert described
            assert family not in seen
            seen.add(family)
            kind = ""
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in SUFFIXES
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1] in [family + suffix for suffix in SUFFIXES[kind]], line
            labels = found[2] or ""
            pairs = LABEL.findall(labels)
            assert sum(len(f'{k}="{v}"') + 1 for k, v in pairs) in (len(labels) + 1, 0), line
            key = found[1], frozenset(pairs)
            assert key not in samples, line
            samples[key] = float(found[3])
    return samples


def value(text: str, name: str, **labels: str) -> float | None:
    return parse(text).get((f"hearth_gateway_{name}", frozenset(labels.items())))


def fleet() -> Fleet:
    made = Fleet(lambda endpoint: Pool(*endpoint.address))
    made.update("general", [Endpoint(id="a", expert="general", url="http://h:1")])
    return made


def counted(metrics: Metrics) -> Metrics:
    counters = metrics.of("general")
    counters.statuses = {200: 3, 502: 1}
    counters.errors = {"upstream_failed": 1}
    counters.retries, counters.failovers, counters.cancelled = 1, 2, 3
    counters.prompt, counters.cached, counters.completion = 10, 5, 7
    for seconds in (0.005, 0.06, 400.0):
        counters.duration.add(seconds)
    metrics.refused["invalid_api_key"] += 2
    return metrics


def text_of(metrics: Metrics, by_key: Mapping[str, Counters] | None = None) -> str:
    made = fleet()
    keys = [(key, "general", counters) for key, counters in (by_key or {}).items()]
    figures = Figures(
        experts=metrics.experts,
        refused=metrics.refused,
        keys=keys,
        waiting={"general": 4, "coder": 4},
        in_flight={replica.endpoint.id: 3 for replica in made.all()},
        slots={replica.endpoint.id: 8 for replica in made.all()},
    )
    return exposition(figures, made, ["general", "coder"])


def test_what_is_counted_parses_and_says_what_was_counted():
    text = text_of(counted(Metrics()), {"k1": Counters(2, 10, 5, 7, 0, 0)})
    assert value(text, "requests_total", expert="general", status="200") == 3
    assert value(text, "errors_total", expert="general", code="upstream_failed") == 1
    assert value(text, "refused_total", code="invalid_api_key") == 2
    assert value(text, "retries_total", expert="general") == 1
    assert value(text, "failovers_total", expert="general") == 2
    assert value(text, "cancelled_total", expert="general") == 3
    assert value(text, "cached_tokens_total", expert="general") == 5
    assert value(text, "waiting", expert="coder") == 4
    assert value(text, "key_requests_total", expert="general", key="k1") == 2
    assert value(text, "key_prompt_tokens_total", expert="general", key="k1") == 10
    assert value(text, "key_completion_tokens_total", expert="general", key="k1") == 7


def test_buckets_are_cumulative_and_end_with_the_count():
    text = text_of(counted(Metrics()))
    for edge, count in [("0.005", 1), ("0.01", 1), ("0.1", 2), ("300.0", 2), ("+Inf", 3)]:
        assert value(text, "duration_seconds_bucket", expert="general", le=edge) == count
    assert value(text, "duration_seconds_count", expert="general") == 3
    assert value(text, "duration_seconds_sum", expert="general") == pytest.approx(400.065)


def test_an_expert_without_replicas_is_listed_with_none():
    text = text_of(Metrics())
    assert value(text, "replicas", expert="coder") == 0
    assert value(text, "in_flight", expert="coder") == 0


def test_names_that_need_it_are_escaped():
    metrics = Metrics()
    metrics.of('a"b\\c\n').retries = 1
    text = text_of(metrics)
    assert value(text, "retries_total", expert=r"a\"b\\c\n") == 1


async def test_a_gateway_that_has_seen_everything_still_parses(serve, upstream, catalogue):
    expert = await upstream(streams(*EVENTS))
    catalogue.register("general", expert)
    gateway = await serve()
    await gateway.chat(stream=True)
    expert.behaviour = hangs_up
    await gateway.chat()
    await gateway.chat(model="none")
    await gateway.chat_with("sk-wrong")
    text = (await gateway.client.get("/metrics")).text
    assert value(text, "requests_total", expert="general", status="200") == 1
    assert value(text, "refused_total", code="invalid_api_key") == 1
    assert value(text, "key_requests_total", expert="general", key="sk-hearth-cl") == 1


async def test_the_figures_as_json_hold_the_tokens_of_every_key(serve, upstream, catalogue):
    body = b'{"usage": {"prompt_tokens": 4, "completion_tokens": 3}}'
    catalogue.register("general", await upstream(answers(body=body)))
    gateway = await serve()
    await gateway.chat()
    await gateway.chat()
    status = (await gateway.client.get("/status.json")).json()
    assert status["keys"] == [
        {"id": "sk-hearth-cl", "requests": 2, "prompt_tokens": 8, "completion_tokens": 6}
    ]
    general = status["experts"][0]
    assert (general["name"], general["requests"], general["errors"]) == ("general", 2, 0)
    assert (general["prompt_tokens"], general["completion_tokens"]) == (8, 6)
