"""A client that goes, or a gateway that ends, frees the expert at once."""

import asyncio

import httpx
import pytest

from gateway.errors import ShuttingDown
from gateway.metrics import Metrics
from gateway.relay import Relay, RelayedAnswer
from gateway.replicas import Endpoint, Fleet
from tests.gateway.fakes import (
    EVENTS,
    answers,
    assert_idle,
    says_nothing,
    streams,
)


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
async def test_a_request_cut_off_by_the_end_of_the_gateway_is_told_so(upstream, started):
    never = asyncio.Event()
    expert = await upstream(streams(*EVENTS, pause=never) if started else says_nothing)
    fleet = Fleet()
    endpoint = {"address": "127.0.0.1", "port": expert.port, "preferred": None}
    fleet.update("general", [Endpoint(id="a", expert="general", **endpoint)])
    fleet.of("general")[0].answered("big")
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    async with httpx.AsyncClient() as client:
        relay = Relay(fleet=fleet, client=client, metrics=Metrics(), timeout_s=60)
        answer = RelayedAnswer(relay, expert="general", path="/v1/completions", body=b"{}")
        task = asyncio.create_task(answer({"type": "http"}, asyncio.Event().wait, send))
        async with asyncio.timeout(2):
            while len(sent) < 2 if started else not expert.received:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError if started else ShuttingDown):
            await task
        async with asyncio.timeout(2):
            await expert.gone.wait()
    assert fleet.of("general")[0].in_flight == 0
    if started:
        assert b"gateway_restarting" in sent[-1]["body"]
        assert not sent[-1].get("more_body")
