"""What passes between a client and an expert, and which replica is asked."""

import asyncio
import logging
import time

import pytest

from tests.gateway.fakes import (
    ANSWER,
    EVENTS,
    KEY,
    UPSTREAM_KEY,
    answers,
    assert_idle,
    hangs_up,
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


def saying(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_equal_replicas_take_turns_with_different_conversations(serve, upstream, catalogue):
    first, second = await upstream(), await upstream()
    catalogue.register("general", first, second)
    gateway = await serve()
    for number in range(6):
        await gateway.chat(messages=saying(f"question {number}"))
    assert (len(first.received), len(second.received)) == (3, 3)


async def test_a_conversation_goes_on_where_its_beginning_was_read(serve, upstream, catalogue):
    replicas = [await upstream(), await upstream()]
    catalogue.register("general", *replicas)
    gateway = await serve()
    messages = saying("How do tides work?")
    for turn in range(5):
        await gateway.chat(messages=saying(f"something else {turn}"))
        await gateway.chat(messages=messages)
        messages = [*messages, {"role": "assistant", "content": "x"}, *saying(f"And {turn}?")]
    holders = [any(b"tides" in one.body for one in replica.received) for replica in replicas]
    assert sorted(holders) == [False, True]


async def test_a_busy_replica_yields_to_an_idle_one(serve, upstream, catalogue):
    busy, idle = await upstream(says_nothing), await upstream()
    catalogue.register("general", busy)
    gateway = await serve()
    held = asyncio.create_task(gateway.chat())

    async def taken() -> bool:
        return len(busy.received) == 1

    await gateway.until(taken)
    catalogue.register("general", busy, idle)

    async def both() -> bool:
        return await gateway.replicas() == 2

    await gateway.until(both)
    for number in range(3):
        answer = await gateway.chat(messages=saying(f"question {number}"))
        assert answer.status_code == 200
    assert len(idle.received) == 3
    held.cancel()


async def test_hundred_requests_at_once_are_all_answered_and_none_stays_counted(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream(), await upstream(streams(*EVENTS)))
    gateway = await serve()
    results = await asyncio.gather(*(gateway.chat() for _ in range(100)))
    assert [answer.status_code for answer in results] == [200] * 100
    await assert_idle(gateway)


async def test_prompts_and_keys_never_reach_the_log(serve, upstream, catalogue, caplog, capfd):
    caplog.set_level(logging.WARNING, logger="httpcore")
    caplog.set_level(logging.WARNING, logger="httpx")
    caplog.set_level(logging.DEBUG, logger="gateway")
    secret = "the zebrafinch sings"
    catalogue.register("general", await upstream(hangs_up))
    gateway = await serve()
    await gateway.chat(messages=[{"role": "user", "content": secret}])
    await gateway.client.get(f"/v1/models?key={KEY}", headers={"authorization": f"Bearer x{KEY}"})
    gateway.core.log.flush()
    lines = capfd.readouterr().out
    assert '"status":502' in lines
    assert "status=401" in caplog.text
    for word in (secret, KEY, UPSTREAM_KEY):
        assert word not in lines + caplog.text


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
