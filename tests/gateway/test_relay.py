"""What a client sees while upstreams answer, fail, stall and die."""

import asyncio
import json
import logging
import time

import httpx
import pytest

from tests.gateway.fakes import (
    ANSWER,
    EVENTS,
    KEY,
    UPSTREAM_KEY,
    answers,
    chunk,
    hangs_up,
    head,
    says_nothing,
    streams,
)


async def test_a_body_passes_byte_for_byte_both_ways(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    body = b'{ "model":"general",\n "messages":[{"role":"user","content":"\xe2\x82\xac \\u00e9"}] }'
    answer = await gateway.client.post("/v1/chat/completions", content=body)
    assert expert.received[0].body == body
    assert answer.content == ANSWER
    assert answer.headers["content-type"] == "application/json"


async def test_a_stream_passes_byte_for_byte(serve, upstream, catalogue):
    expert = await upstream(streams(*EVENTS))
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.chat(stream=True)
    assert answer.content == b"".join(EVENTS)
    assert answer.headers["content-type"] == "text/event-stream"


async def test_an_event_cut_into_pieces_by_the_network_passes_byte_for_byte(
    serve, upstream, catalogue
):
    whole = b"".join(EVENTS)
    expert = await upstream(streams(*(whole[n : n + 7] for n in range(0, len(whole), 7))))
    catalogue.register("general", expert)
    gateway = await serve()
    assert (await gateway.chat(stream=True)).content == whole


async def test_an_event_reaches_the_client_before_the_next_one_exists(serve, upstream, catalogue):
    more = asyncio.Event()
    catalogue.register("general", await upstream(streams(*EVENTS, pause=more)))
    gateway = await serve()
    question = {"messages": [], "stream": True}
    async with gateway.client.stream("POST", "/v1/chat/completions", json=question) as answer:
        pieces = answer.aiter_raw()
        async with asyncio.timeout(2):
            assert await anext(pieces) == EVENTS[0]
        more.set()
        assert b"".join([piece async for piece in pieces]) == b"".join(EVENTS[1:])


async def test_the_experts_get_their_own_key_and_no_header_of_the_client(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    await gateway.client.post(
        "/v1/chat/completions", json={}, headers={"x-conversation-id": "1", "cookie": "a=b"}
    )
    seen = expert.received[0].headers
    assert seen["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert not {"x-conversation-id", "cookie", "x-api-key"} & seen.keys()


async def test_the_answer_says_which_expert_and_which_model_gave_it(serve, upstream, catalogue):
    catalogue.register("general", await upstream(rung="big"), preferred="big")
    gateway = await serve()
    answer = await gateway.chat(model="gpt-4o-mini")
    assert answer.headers["x-hearth-expert"] == "general"
    assert answer.headers["x-hearth-model"] == "big"
    assert "x-hearth-degraded" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_a_lesser_model_says_so(serve, upstream, catalogue, stream):
    behaviour = streams(*EVENTS) if stream else answers()
    catalogue.register("general", await upstream(behaviour, rung="selftest"), preferred="big")
    gateway = await serve()
    answer = await gateway.chat(stream=stream)
    assert answer.headers["x-hearth-degraded"] == "selftest"
    assert await gateway.metric('hearth_gateway_degraded{expert="general"}') == "1"


async def test_a_replica_with_the_first_choice_of_model_goes_first(serve, upstream, catalogue):
    lesser, better = await upstream(rung="selftest"), await upstream(rung="big")
    catalogue.register("general", lesser, better)
    gateway = await serve()
    for _ in range(4):
        assert (await gateway.chat()).headers["x-hearth-model"] == "big"


async def test_equal_replicas_take_turns(serve, upstream, catalogue):
    first, second = await upstream(), await upstream()
    catalogue.register("general", first, second)
    gateway = await serve()
    for _ in range(6):
        await gateway.chat()
    assert (len(first.received), len(second.received)) == (3, 3)


async def test_a_busy_replica_yields_to_an_idle_one(serve, upstream, catalogue):
    first, second = await upstream(), await upstream()
    catalogue.register("general", first, second)
    gateway = await serve()
    await gateway.chat()
    await gateway.chat()
    busy, idle = first, second
    busy.behaviour = says_nothing
    held = asyncio.create_task(gateway.chat())

    async def taken() -> bool:
        return len(busy.received) == 2

    await gateway.until(taken)
    for _ in range(3):
        assert (await gateway.chat()).status_code == 200
    assert len(idle.received) == 4
    held.cancel()


async def cut_short(_, writer):
    writer.write(head(200, "application/json", "content-length: 5000") + b'{"half":')
    await writer.drain()


async def cut_before_an_event(_, writer):
    writer.write(head(200, "text/event-stream", "transfer-encoding: chunked"))
    writer.write(chunk(b'data: {"ha'))
    await writer.drain()


BEFORE_THE_FIRST_BYTE = {
    "hangs up": hangs_up,
    "still loads": answers(503, b'{"error":{"message":"Loading model"}}'),
    "bad gateway": answers(502, b"<html>"),
    "half a body": cut_short,
    "half an event": cut_before_an_event,
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


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(hangs_up, 502, "upstream_failed"), (cut_short, 502, "upstream_failed")],
)
async def test_when_every_replica_fails_the_client_gets_an_error_it_may_retry(
    serve, upstream, catalogue, fault, status, code
):
    catalogue.register("general", await upstream(fault), await upstream(fault))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["type"] == "server_error"


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


async def test_a_client_that_leaves_a_stream_ends_the_upstream_request_at_once(
    serve, upstream, catalogue
):
    never = asyncio.Event()
    expert = await upstream(streams(*EVENTS, pause=never))
    catalogue.register("general", expert)
    gateway = await serve()
    question = {"messages": [], "stream": True}
    async with gateway.client.stream("POST", "/v1/chat/completions", json=question) as answer:
        await anext(answer.aiter_raw())
    async with asyncio.timeout(2):
        await expert.gone.wait()
    await assert_idle(gateway)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_answer_ends_the_upstream_request_at_once(
    serve, upstream, catalogue, stream
):
    expert = await upstream(says_nothing)
    catalogue.register("general", expert)
    gateway = await serve()
    with pytest.raises(httpx.ReadTimeout):
        await gateway.client.post(
            "/v1/chat/completions", json={"stream": stream}, timeout=httpx.Timeout(5, read=0.2)
        )
    async with asyncio.timeout(2):
        await expert.gone.wait()
    await assert_idle(gateway)
    assert await gateway.metric('hearth_gateway_cancelled_total{expert="general"}') == "1"


async def test_a_client_that_leaves_is_no_reason_to_distrust_the_replica(
    serve, upstream, catalogue
):
    expert = await upstream(says_nothing)
    catalogue.register("general", expert)
    gateway = await serve(probe_interval_s=60)
    with pytest.raises(httpx.ReadTimeout):
        await gateway.client.post(
            "/v1/chat/completions", json={}, timeout=httpx.Timeout(5, read=0.1)
        )
    expert.behaviour = answers()
    assert (await gateway.chat()).status_code == 200


async def test_hundred_requests_at_once_are_all_answered_and_none_stays_counted(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream(), await upstream(streams(*EVENTS)))
    gateway = await serve()
    results = await asyncio.gather(*(gateway.chat() for _ in range(100)))
    assert [answer.status_code for answer in results] == [200] * 100
    await assert_idle(gateway)


async def test_prompts_and_keys_never_reach_the_log(serve, upstream, catalogue, caplog):
    caplog.set_level(logging.DEBUG, logger="gateway")
    secret = "the zebrafinch sings"
    catalogue.register("general", await upstream(hangs_up))
    gateway = await serve()
    await gateway.chat(messages=[{"role": "user", "content": secret}])
    await gateway.client.get(f"/v1/models?key={KEY}", headers={"authorization": f"Bearer x{KEY}"})
    assert "status=502" in caplog.text
    assert "status=401" in caplog.text
    for word in (secret, KEY, UPSTREAM_KEY):
        assert word not in caplog.text


async def assert_idle(gateway) -> None:
    async def idle() -> bool:
        return await gateway.metric('hearth_gateway_in_flight{expert="general"}') == "0"

    await gateway.until(idle)


async def test_the_first_event_is_not_held_back_by_a_slow_client_elsewhere(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream(streams(*EVENTS)))
    gateway = await serve()
    question = {"messages": [], "stream": True}
    async with gateway.client.stream("POST", "/v1/chat/completions", json=question):
        began = time.monotonic()
        assert (await gateway.chat(stream=True)).status_code == 200
        assert time.monotonic() - began < 2
