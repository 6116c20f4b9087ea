"""The fault table: what a client sees for everything an expert can do wrong.

``python -m pytest tests/gateway/wire/test_faults.py -k table -s`` prints it.
"""

import asyncio
import json
from dataclasses import dataclass

import pytest

from tests.gateway.fakes import (
    ANSWER,
    EVENTS,
    Behaviour,
    Gateway,
    answers,
    assert_idle,
    chunk,
    hangs_up,
    head,
    says_nothing,
    streams,
    writes,
)
from tests.gateway.raw import Answer, Raw, post

SILENCE_S = 0.5
JSON = head(200, "application/json", "content-length: 500")
SSE = head(200, "text/event-stream", "transfer-encoding: chunked")
WHOLE = b"".join(EVENTS)
TWO = EVENTS[0] + EVENTS[1]


def error(status: int, message: str = "no", kind: str = "some_error") -> Behaviour:
    detail = {"message": message, "type": kind, "code": status}
    return answers(status, json.dumps({"error": detail}).encode())


async def late(request, writer) -> None:
    await asyncio.sleep(SILENCE_S * 0.6)
    writer.write(JSON.replace(b"500", b"%d" % len(ANSWER)))
    await writer.drain()
    await asyncio.sleep(SILENCE_S * 0.6)
    writer.write(ANSWER)
    await writer.drain()


@dataclass(frozen=True)
class Fault:
    """``alone``, ``beside`` and ``before`` are what a client sees when the faulty replica is the
    only one, has a sound one beside it, or its expert has a fallback.
    """

    name: str
    behaviour: Behaviour
    alone: str
    beside: str = "200 whole"
    before: str = "200 whole"
    stream: bool = False


CUT = "200 cut"
TOLD = "200 2 events, then upstream_failed"
FAULTS = [
    Fault("resets before the first byte", hangs_up, "502 upstream_failed"),
    Fault("resets within the head", writes(SSE[:30]), "502 upstream_failed"),
    Fault("resets after the head", writes(JSON), "502 upstream_failed"),
    Fault("resets within the body", writes(JSON, b'{"half":'), CUT, CUT, CUT),
    Fault("sends garbage", writes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "502 upstream_failed"),
    Fault("sends an endless head", writes(b"x" * 70_000), "502 upstream_failed"),
    Fault("gives two lengths", writes(JSON.replace(b"\r\n\r\n", b"\r\ncontent-length: 1\r\n\r\n")),
          "502 upstream_failed"),
    Fault("sends more than its length", writes(JSON + b"x" * 501), "502 upstream_failed"),
    Fault("sends less than its length", writes(JSON + b"x" * 499), CUT, CUT, CUT),
    Fault("breaks its first chunk", writes(SSE + b"zz\r\n"), "502 upstream_failed", stream=True),
    Fault("is silent from the start", says_nothing, *["504 upstream_timeout"] * 3),
    Fault("is silent after its head", writes(JSON, hold=True), *["504 upstream_timeout"] * 3),
    Fault("is silent within the body", writes(JSON, b"{", hold=True), CUT, CUT, CUT),
    Fault("is slow and never silent", late, "200 whole"),
    Fault("refuses its key with 401", error(401), *["502 upstream_failed"] * 3),
    Fault("refuses its key with 403", error(403), *["502 upstream_failed"] * 3),
    Fault("knows no such path", error(404), *["404 -"] * 3),
    Fault("finds the prompt too long", error(400, kind="exceed_context_size_error"),
          *["400 context_length_exceeded"] * 3),
    Fault("is full: 429", error(429), "429 -"),
    Fault("fails: 500", error(500), *["500 -"] * 3),
    Fault("blames a bad template: 500", error(500, "template failed"), *["400 -"] * 3),
    Fault("loads: 503", error(503, kind="unavailable_error"), "503 expert_unavailable"),
    Fault("has a proxy that lost it: 502", answers(502, b"<html>"), "502 -"),
    Fault("has a proxy that gave up: 504", answers(504, b""), "504 -"),
    Fault("resets before the first byte of a stream", hangs_up, "502 upstream_failed", stream=True),
    Fault("resets behind whole events", streams(TWO, end=b""), TOLD, TOLD, TOLD, True),
    Fault("dies inside an event", streams(TWO + b'data: {"ha', end=b""), TOLD, TOLD, TOLD, True),
    Fault("dies inside a chunk", writes(SSE + chunk(TWO) + b"20\r\ndata: {"), TOLD, TOLD, TOLD,
          True),
    Fault("breaks a later chunk", writes(SSE + chunk(TWO), b"zz\r\n"), TOLD, TOLD, TOLD, True),
    Fault("is silent within a stream", writes(SSE + chunk(TWO), hold=True),
          *["200 2 events, then upstream_timeout"] * 3, stream=True),
    Fault("is silent inside an event", writes(SSE + chunk(TWO + b"data"), hold=True),
          *["200 2 events, then upstream_timeout"] * 3, stream=True),
    Fault("ends a stream with its connection",
          writes(head(200, "text/event-stream") + WHOLE), "200 whole", stream=True),
]  # fmt: skip


def seen(answer: Answer, *, stream: bool) -> str:
    """What a client saw, in one line."""
    if answer.status != 200:
        return f"{answer.status} {answer.json()['error']['code'] or '-'}"
    if not answer.whole:
        return CUT
    if not stream or answer.body == WHOLE:
        return "200 whole" if answer.body in (ANSWER, WHOLE) else f"200 {answer.body!r}"
    *events, last = answer.body.removesuffix(b"\n\n").split(b"\n\n")
    assert b"\n\n".join([*events, b""]) == WHOLE[: sum(len(event) + 2 for event in events)]
    code = json.loads(last.removeprefix(b"data: "))["error"]["code"]
    return f"200 {len(events)} events, then {code}"


async def ask(gateway: Gateway, *, stream: bool) -> Answer:
    raw = await Raw.open(gateway)
    await raw.send(post(b'{"messages": [], "stream": %s}' % (b"true" if stream else b"false")))
    answer = await raw.answer()
    await raw.close()
    return answer


async def meet(fault: Fault, around: str, serve, upstream, catalogue) -> str:
    """Runs one fault and returns what the client saw, once everything counts zero again."""
    faulty = await upstream(fault.behaviour)
    sound = await upstream(streams(*EVENTS) if fault.stream else answers())
    experts: dict[str, object] = {"general": {}, "coder": {}}
    if around == "before":
        experts["general"] = {"fallbacks": ["coder"]}
        catalogue.register("coder", sound)
    catalogue.register("general", *([faulty, sound] if around == "beside" else [faulty]))
    gateway = await serve(
        experts=experts, request_timeout_s=SILENCE_S, probe_interval_s=60, data_dir=None
    )
    if around == "beside":
        # The one used longest ago is asked first: the faulty one.
        for replica in gateway.core.fleet.of("general"):
            replica.chosen = 0 if replica.endpoint.id.endswith(str(faulty.port)) else 1
    answer = await ask(gateway, stream=fault.stream)
    assert faulty.received
    assert answer.headers["x-request-id"]
    await assert_idle(gateway)
    return seen(answer, stream=fault.stream)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_a_fault_of_the_only_replica_is_seen_as_the_table_says(
    serve, upstream, catalogue, fault
):
    assert await meet(fault, "alone", serve, upstream, catalogue) == fault.alone


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_another_replica_answers_when_nothing_was_sent_yet(serve, upstream, catalogue, fault):
    assert await meet(fault, "beside", serve, upstream, catalogue) == fault.beside


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_a_fallback_answers_when_nothing_was_sent_yet(serve, upstream, catalogue, fault):
    assert await meet(fault, "before", serve, upstream, catalogue) == fault.before


def test_the_table_can_be_printed():
    rows = [("an expert that", "alone", "second replica", "fallback")]
    rows += [(fault.name, fault.alone, fault.beside, fault.before) for fault in FAULTS]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = [" | ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    print("\n".join(["", *lines]))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("around", ["alone", "beside", "before"])
async def test_an_expert_that_refuses_connections_is_left_for_another_or_called_unavailable(
    serve, upstream, catalogue, around
):
    dead, sound = await upstream(), await upstream()
    catalogue.register("general", *([dead, sound] if around == "beside" else [dead]))
    catalogue.register("coder", *([sound] if around == "before" else []))
    fallbacks = ["coder"] if around == "before" else []
    gateway = await serve(
        probe_interval_s=60, experts={"general": {"fallbacks": fallbacks}, "coder": {}}
    )
    await dead.stop()
    answer = await ask(gateway, stream=False)
    expected = "503 expert_unavailable" if around == "alone" else "200 whole"
    assert seen(answer, stream=False) == expected
    if around == "alone":
        assert int(answer.headers["retry-after"]) > 0
    await assert_idle(gateway)


async def test_a_request_waits_for_an_expert_that_restarts_even_when_it_is_the_first_to_notice(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve(probe_interval_s=60, admission={"restart_wait_s": 5})
    await expert.stop()
    asking = asyncio.create_task(gateway.chat())
    await asyncio.sleep(0.3)
    assert not asking.done()
    await expert.start()
    assert (await asking).status_code == 200
    await assert_idle(gateway)


async def test_a_connection_the_expert_closed_meanwhile_is_replaced_and_the_client_sees_nothing(
    serve, upstream, catalogue
):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve()
    assert (await gateway.chat()).status_code == 200

    async def closes_when_reused(request, writer):
        if not request.reused:
            return await answers(keep=True)(request, writer)
        return False

    expert.behaviour = closes_when_reused
    for _ in range(3):
        assert (await gateway.chat()).status_code == 200
    assert [one.reused for one in expert.received] == [False, True, False, True, False, True, False]
    assert await gateway.metric('hearth_gateway_retries_total{expert="general"}') in (None, "0")
    await assert_idle(gateway)


async def test_idle_connections_closed_by_the_expert_are_forgotten(serve, upstream, catalogue):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve()
    for _ in range(3):
        assert (await gateway.chat()).status_code == 200
        await expert.hang_up()
        await asyncio.sleep(0.05)
    assert [one.reused for one in expert.received] == [False] * 3


async def test_a_replica_that_fails_again_and_again_is_left_alone_until_it_recovers(
    serve, upstream, catalogue
):
    expert = await upstream(hangs_up)
    catalogue.register("general", expert)
    gateway = await serve(admission={"restart_wait_s": 0})

    async def opened() -> bool:
        await gateway.chat()
        return await gateway.metric('hearth_gateway_breakers_open{expert="general"}') == "1"

    await gateway.until(opened)
    asked = len(expert.received)
    for _ in range(5):
        assert (await gateway.chat()).status_code in (502, 503)
    assert len(expert.received) <= asked + 1
    expert.behaviour = answers()

    async def recovers() -> bool:
        return (await gateway.chat()).status_code == 200

    await gateway.until(recovers)
    assert await gateway.metric('hearth_gateway_breakers_open{expert="general"}') == "0"
