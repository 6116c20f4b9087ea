"""A client that goes, or a gateway that ends, frees the expert at once."""

import asyncio

import httpx
import pytest

from tests.gateway.fakes import (
    EVENTS,
    answers,
    assert_idle,
    says_nothing,
    streams,
    until,
)
from tests.gateway.raw import Raw, post


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


@pytest.mark.parametrize("started", [False, True])
async def test_a_request_cut_off_by_the_end_of_the_gateway_is_told_so(
    serve, upstream, catalogue, started
):
    never = asyncio.Event()
    expert = await upstream(streams(*EVENTS, pause=never) if started else says_nothing)
    catalogue.register("general", expert)
    gateway = await serve(timeouts={"drain_s": 0.6})
    asking = asyncio.create_task(gateway.chat(stream=True))

    async def taken() -> bool:
        return bool(expert.received)

    await gateway.until(taken)
    gateway.server.should_exit = True
    async with asyncio.timeout(5):
        answer = await asking
        await expert.gone.wait()
    assert answer.status_code == (200 if started else 503)
    assert b"gateway_restarting" in answer.content
    if started:
        assert answer.content.startswith(EVENTS[0])
        assert b"[DONE]" not in answer.content


async def test_a_request_that_was_still_being_sent_when_the_end_began_is_told_to_go_elsewhere(
    serve, upstream, catalogue
):
    more = asyncio.Event()
    catalogue.register("general", await upstream(until(more, answers())))
    gateway = await serve()
    held = asyncio.create_task(gateway.chat())
    raw = await Raw.open(gateway)
    request = post(b'{"messages": []}')
    await raw.send(request[:-5])
    await asyncio.sleep(0.1)
    gateway.server.should_exit = True
    await asyncio.sleep(0.3)
    await raw.send(request[-5:])
    answer = await raw.answer()
    assert answer.status == 503
    assert answer.json()["error"]["code"] == "gateway_restarting"
    assert answer.headers["x-should-retry"] == "true"
    more.set()
    assert (await held).status_code == 200
