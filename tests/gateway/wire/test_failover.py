"""What a client sees when upstreams refuse, stall and die."""

import asyncio
import contextlib
import json
import socket
import time

import pytest

from tests.gateway.fakes import (
    ANSWER,
    EVENTS,
    answers,
    hangs_up,
    head,
    says_nothing,
    streams,
    writes,
)

BEFORE_THE_FIRST_BYTE = {
    "hangs up": hangs_up,
    "still loads": answers(503, b'{"error":{"message":"Loading model"}}'),
    "bad gateway": answers(502, b"<html>"),
    "a head and no more": writes(head(200, "application/json", "content-length: 5000")),
}


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE.values(), ids=BEFORE_THE_FIRST_BYTE.keys())
async def test_a_fault_before_the_first_byte_moves_the_request_to_another_replica(
    serve, upstream, catalogue, fault
):
    broken, sound = await upstream(fault), await upstream()
    catalogue.register("general", broken, sound)
    gateway = await serve()
    for _ in range(2):  # whichever of the two is asked first
        answer = await gateway.chat()
        assert (answer.status_code, answer.content) == (200, ANSWER)
    assert broken.received
    assert await gateway.metric('hearth_gateway_retries_total{expert="general"}') is not None


async def test_a_replica_that_refuses_connections_is_skipped_and_then_forgotten(
    serve, upstream, catalogue
):
    dead, sound = await upstream(), await upstream()
    catalogue.register("general", dead, sound)
    gateway = await serve(probe_interval_s=60)
    await dead.stop()
    for _ in range(4):
        assert (await gateway.chat()).status_code == 200
    assert await gateway.replicas() == 1
    assert len(sound.received) == 4


async def test_a_replica_that_does_not_answer_the_connection_is_given_up_in_time(
    serve, upstream, catalogue
):
    lost, sound = await upstream(), await upstream()
    catalogue.register("general", lost, sound)
    gateway = await serve(timeouts={"connect_s": 0.3}, probe_interval_s=60)
    await lost.stop()
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.1", lost.port))
        full.listen(0)  # nobody accepts: once this is full, the kernel drops what comes
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        began = time.monotonic()
        for _ in range(2):  # whichever of the two is asked first
            assert (await gateway.chat()).status_code == 200
        assert time.monotonic() - began < 2
    assert len(sound.received) == 2
    assert await gateway.replicas() == 1


async def test_when_every_replica_fails_the_client_gets_an_error_it_may_retry(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream(hangs_up), await upstream(hangs_up))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_failed"
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("model", ["general", "coder"])
async def test_without_a_live_replica_the_answer_is_503_with_retry_after(
    serve, upstream, catalogue, model
):
    loading = await upstream(answers(503, b"{}"))
    catalogue.register("general", loading)
    gateway = await serve()
    answer = await gateway.chat(model=model)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "expert_unavailable"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_stays_silent_ends_in_504(serve, upstream, catalogue, stream):
    catalogue.register("general", await upstream(says_nothing))
    gateway = await serve(request_timeout_s=0.3)
    answer = await gateway.chat(stream=stream)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"


async def test_a_stream_that_dies_ends_with_whole_events_and_an_error_event(
    serve, upstream, catalogue
):
    pieces = [EVENTS[0], EVENTS[1] + b'data: {"ha']
    catalogue.register("general", await upstream(streams(*pieces, end=b"")))
    gateway = await serve()
    answer = await gateway.chat(stream=True)
    assert answer.status_code == 200
    whole = EVENTS[0] + EVENTS[1]
    assert answer.content.startswith(whole)
    last = answer.content[len(whole) :]
    assert last.startswith(b"data: ")
    assert last.endswith(b"\n\n")
    assert json.loads(last[6:])["error"]["code"] == "upstream_failed"
    assert b"[DONE]" not in answer.content
    assert (
        await gateway.metric('hearth_gateway_errors_total{expert="general",code="upstream_failed"}')
        == "1"
    )


async def test_a_stream_that_falls_silent_ends_with_an_error_event(serve, upstream, catalogue):
    never = asyncio.Event()
    catalogue.register("general", await upstream(streams(*EVENTS, pause=never)))
    gateway = await serve(request_timeout_s=0.3)
    answer = await gateway.chat(stream=True)
    assert answer.content.startswith(EVENTS[0])
    assert json.loads(answer.content[len(EVENTS[0]) + 6 :])["error"]["code"] == "upstream_timeout"


REFUSALS = {
    "context": (
        400,
        {"message": "too long", "type": "exceed_context_size_error", "code": 400, "n_ctx": 512},
        (400, "too long", "invalid_request_error", "context_length_exceeded"),
    ),
    "bad field": (
        400,
        {"message": "no messages", "type": "invalid_request_error", "code": 400},
        (400, "no messages", "invalid_request_error", None),
    ),
    "unsupported": (
        501,
        {"message": "no embeddings", "type": "not_supported_error", "code": 501},
        (501, "no embeddings", "server_error", "unsupported"),
    ),
    "fault": (
        500,
        {"message": "boom", "type": "server_error", "code": 500},
        (500, "boom", "server_error", None),
    ),
    "text": (500, "bare string", (500, "bare string", "server_error", None)),
    "wrong key": (
        401,
        {"message": "Invalid API Key", "type": "authentication_error", "code": 401},
        (502, "The expert refused the gateway's own key.", "server_error", "upstream_failed"),
    ),
}


@pytest.mark.parametrize(("status", "error", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstreams_own_error_is_passed_on_in_the_one_shape(
    serve, upstream, catalogue, status, error, expected, stream
):
    expert = await upstream(answers(status, json.dumps({"error": error}).encode()))
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.chat(stream=stream)
    status, message, kind, code = expected
    assert answer.status_code == status
    assert answer.json() == {
        "error": {"message": message, "type": kind, "param": None, "code": code}
    }
    assert len(expert.received) == 1


async def test_an_unreadable_error_of_an_upstream_is_not_shown(serve, upstream, catalogue):
    catalogue.register("general", await upstream(answers(500, b"<html>stack trace</html>")))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.json()["error"]["message"] == "The expert answered HTTP 500."
