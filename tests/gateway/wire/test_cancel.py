"""A client that goes away, or does not read, is no burden to the expert for long."""

import asyncio
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from tests.gateway.fakes import (
    EVENTS,
    Gateway,
    answers,
    assert_idle,
    chunk,
    head,
    says_nothing,
    streams,
    until,
)
from tests.gateway.raw import Raw, post

ASK = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": %s}'
PIECE = b"data: " + b"x" * 60_000 + b"\n\n"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_expert_sees_a_client_leave_before_the_answer(serve, upstream, catalogue, stream):
    expert = await upstream(says_nothing)
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % (b"true" if stream else b"false")), pause_s=0.1)
    assert len(expert.received) == 1
    await raw.close()
    async with asyncio.timeout(1):
        await expert.gone.wait()
    await assert_idle(gateway)
    assert await gateway.metric('hearth_gateway_cancelled_total{expert="general"}') == "1"


async def test_the_expert_sees_a_client_leave_its_stream(serve, upstream, catalogue):
    expert = await upstream(streams(*EVENTS, pause=asyncio.Event()))
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"true"))
    await raw.reader.readuntil(b"\n\n")
    await raw.close()
    async with asyncio.timeout(1):
        await expert.gone.wait()
    await assert_idle(gateway)


async def test_a_client_that_leaves_the_queue_is_never_sent_to_the_expert(
    serve, upstream, catalogue
):
    go = asyncio.Event()
    expert = await upstream(until(go, answers()))
    expert.props = {"total_slots": 1}
    catalogue.register("general", expert)
    gateway = await serve()
    held = asyncio.create_task(gateway.chat())
    await gateway.until(lambda: waiting(gateway, 0, expert))
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"false"))
    await gateway.until(lambda: waiting(gateway, 1))
    await raw.close()
    await gateway.until(lambda: waiting(gateway, 0))
    go.set()
    assert (await held).status_code == 200
    assert (await gateway.chat()).status_code == 200
    assert len(expert.received) == 2
    await assert_idle(gateway)


async def waiting(gateway: Gateway, count: int, expert=None) -> bool:
    return gateway.core.waiting.length("general") == count and (
        expert is None or len(expert.received) == 1
    )


async def test_the_usage_of_a_stream_its_client_left_is_counted_and_called_aborted(
    serve, upstream, catalogue, tmp_path
):
    expert = await upstream(streams(EVENTS[0] + EVENTS[1], EVENTS[2], pause=asyncio.Event()))
    catalogue.register("general", expert)
    gateway = await serve(data_dir=str(tmp_path))
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"true"))
    await raw.reader.readuntil(b'{"n": 1}\n\n')
    await raw.close()

    async def counted() -> bool:
        return (await gateway.usage())["requests"] == 1

    await gateway.until(counted)
    usage = await gateway.usage()
    assert usage["aborted"] == 1
    assert usage["prompt_tokens"] == len(ASK % b"true") // 4
    assert usage["completion_tokens"] >= 1


async def test_a_client_that_leaves_before_any_byte_costs_its_prompt_and_counts_as_aborted(
    serve, upstream, catalogue, tmp_path
):
    expert = await upstream(says_nothing)
    catalogue.register("general", expert)
    gateway = await serve(data_dir=str(tmp_path))
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"false"), pause_s=0.1)
    await raw.close()
    await asyncio.wait_for(expert.gone.wait(), 2)
    await assert_idle(gateway)
    usage = await gateway.usage()
    assert (usage["requests"], usage["aborted"], usage["completion_tokens"]) == (1, 1, 0)


async def test_a_limit_learns_what_the_prompt_of_a_request_that_was_left_really_cost(
    serve, upstream, catalogue, tmp_path
):
    expert = await upstream(says_nothing)
    expert.props, expert.prompt_tokens = {"total_slots": 2}, 500
    catalogue.register("general", expert)
    gateway = await serve(data_dir=str(tmp_path))
    key_id, key = await gateway.new_key(daily_tokens=600)
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"false", key=key), pause_s=0.1)
    await raw.close()

    async def counted() -> bool:
        return (await gateway.usage(key=key_id))["prompt_tokens"] == 500

    await gateway.until(counted)
    answer = await gateway.chat_with(key, max_tokens=150)
    assert answer.status_code == 429
    assert "used 500" in answer.json()["error"]["message"]


def slow_reader(gateway: Gateway) -> socket.socket:
    """A connection whose buffers hold little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", gateway.port))
    client.setblocking(False)
    return client


async def test_a_client_that_does_not_read_stops_the_expert_and_is_cut_in_time(
    serve, upstream, catalogue
):
    sent = 0

    async def floods(_, writer) -> None:
        nonlocal sent
        writer.write(head(200, "text/event-stream", "transfer-encoding: chunked"))
        for _ in range(4000):
            writer.write(chunk(PIECE))
            await writer.drain()
            sent += len(PIECE)

    expert = await upstream(floods)
    catalogue.register("general", expert)
    gateway = await serve(timeouts={"stalled_client_s": 1.5})
    client = slow_reader(gateway)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, post(ASK % b"true"))
    await asyncio.sleep(0.6)
    stopped, memory = sent, resident()
    await asyncio.sleep(0.4)
    assert sent == stopped
    assert 0 < stopped < 20_000_000
    assert resident() - memory < 5_000_000
    began = time.monotonic()
    await asyncio.wait_for(expert.gone.wait(), 5)
    assert time.monotonic() - began < 3
    await assert_idle(gateway)
    client.close()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_client_that_reads_slowly_gets_every_byte(serve, upstream, catalogue):
    pieces = [b"data: %d " % number + b"y" * 30_000 + b"\n\n" for number in range(100)]
    catalogue.register("general", await upstream(streams(*pieces)))
    gateway = await serve(timeouts={"stalled_client_s": 2})
    raw = await Raw.open(gateway, limit=4096)
    await raw.send(post(ASK % b"true"))
    start = await raw.reader.readuntil(b"\r\n\r\n")
    assert b"chunked" in start
    body = b""
    while size := int((await raw.reader.readuntil(b"\r\n")).strip(), 16):
        body += (await raw.reader.readexactly(size + 2))[:-2]
        if len(body) % 7 == 0:
            await asyncio.sleep(0.01)
    assert body == b"".join(pieces)
    await assert_idle(gateway)


async def test_many_clients_that_leave_at_random_moments_leave_nothing_behind(
    serve, upstream, catalogue
):
    expert = await upstream(streams(*EVENTS))
    catalogue.register("general", expert)
    gateway = await serve()
    files = len(os.listdir("/proc/self/fd"))

    async def come_and_go(number: int) -> None:
        raw = await Raw.open(gateway)
        await raw.send(post(ASK % (b"true" if number % 2 else b"false")))
        await asyncio.sleep(number % 10 / 1000)
        await raw.close()

    await asyncio.gather(*(come_and_go(number) for number in range(100)))
    await assert_idle(gateway)
    assert (await gateway.chat()).status_code == 200

    async def closed() -> bool:
        return len(os.listdir("/proc/self/fd")) < files + 20

    await gateway.until(closed)


async def test_a_llama_server_counts_the_prompt_of_a_request_that_was_broken_off(
    serve, upstream, catalogue, tmp_path
):
    expert = await upstream(says_nothing)
    expert.props, expert.prompt_tokens = {"total_slots": 4}, 123
    catalogue.register("general", expert)
    gateway = await serve(data_dir=str(tmp_path))
    raw = await Raw.open(gateway)
    await raw.send(post(ASK % b"false"), pause_s=0.1)
    await raw.close()

    async def counted() -> bool:
        return (await gateway.usage())["prompt_tokens"] == 123

    await gateway.until(counted)
    usage = await gateway.usage()
    assert (usage["requests"], usage["aborted"]) == (1, 1)
