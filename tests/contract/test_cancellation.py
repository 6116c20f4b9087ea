"""A client that goes away frees the slot it had, and pays for what it got and no more."""

import asyncio
import json
import socket
import time

import httpx
import openai
import pytest

from tests.contract.clients import HELLO, async_openai_of, openai_of
from tests.contract.fake_expert import begin_events, chat_chunk, say_event
from tests.contract.processes import KEY, wait_until

live = pytest.mark.live
service = pytest.mark.service
LONG = {"model": "endless", "messages": HELLO, "max_tokens": 50_000}


def idle(gateway, llama) -> bool:
    free = wait_until(lambda: llama["endless"].busy_slots() == 0, within_s=5)
    return free and wait_until(lambda: gateway.metric("in_flight") == 0, within_s=1)


@live
def test_leaving_a_stream_frees_the_slot_at_once(gateway, llama, client):
    before = gateway.metric("cancelled_total", 'expert="endless"')
    stream = client.chat.completions.create(**LONG, stream=True)
    for place, _ in enumerate(stream):
        if place == 20:
            break
    assert llama["endless"].busy_slots() == 1
    began = time.monotonic()
    stream.close()
    assert wait_until(lambda: llama["endless"].busy_slots() == 0, within_s=2)
    assert time.monotonic() - began < 0.5
    assert idle(gateway, llama)
    assert gateway.metric("cancelled_total", 'expert="endless"') == before + 1


@live
async def test_cancelling_the_task_of_a_stream_frees_the_slot(gateway, llama):
    async with async_openai_of(gateway) as client:
        started = asyncio.Event()

        async def read() -> None:
            async for _ in await client.chat.completions.create(**LONG, stream=True):
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.to_thread(idle, gateway, llama)


@live
def test_leaving_a_whole_answer_frees_the_slot_soon(gateway, llama):
    give_up(gateway)
    assert freed_unwatched(llama)
    assert idle(gateway, llama)


@live
@pytest.mark.xfail(
    strict=True,
    reason="llama-server looks for the end of a connection only after a second without any result",
)
def test_leaving_a_whole_answer_frees_the_slot_beside_a_stream_as_well(gateway, llama, client):
    with client.chat.completions.create(**LONG, stream=True) as stream:
        pieces = iter(stream)
        next(pieces)
        give_up(gateway)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            next(pieces)
        busy = llama["endless"].busy_slots()
    assert freed_unwatched(llama)
    assert busy == 1


def give_up(gateway) -> None:
    """Asks for a long answer and does not wait for it."""
    with openai_of(gateway, timeout=0.5) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**LONG)


def freed_unwatched(llama) -> bool:
    """Whether the slots come free; each look at them puts off the server's own look at its
    connections, so there are few.
    """
    return wait_until(lambda: llama["endless"].busy_slots() == 0, within_s=7, step_s=1.6)


@live
def test_leaving_while_waiting_for_a_slot_leaves_the_queue(gateway, llama, client):
    busy = [client.chat.completions.create(**LONG, stream=True) for _ in range(2)]
    for stream in busy:
        next(iter(stream))
    with openai_of(gateway, timeout=0.4) as other, pytest.raises(openai.APITimeoutError):
        other.chat.completions.create(**LONG, stream=True)
    assert wait_until(lambda: gateway.metric("waiting") == 0, within_s=2)
    for stream in busy:
        stream.close()
    assert idle(gateway, llama)


@live
def test_many_clients_that_leave_leave_nothing_behind(gateway, llama):
    files = gateway.open_files()
    for _ in range(30):
        with httpx.stream(
            "POST",
            f"{gateway.url}/v1/chat/completions",
            json={**LONG, "stream": True},
            headers={"authorization": f"Bearer {KEY}"},
        ) as answer:
            next(answer.iter_raw())
    assert idle(gateway, llama)
    assert wait_until(lambda: gateway.open_files() <= files + 12, within_s=8)


@live
@pytest.mark.parametrize("wanted", [1, 5, 40, 300])
def test_a_stream_that_its_client_leaves_is_accounted_by_what_the_client_got(
    gateway, llama, client, wanted
):
    whole = client.chat.completions.create(**{**LONG, "max_tokens": 1})
    key_id, key = gateway.new_key("leaves")
    got = deltas_until_the_end(gateway, key, wanted)
    assert idle(gateway, llama)
    used = gateway.usage(key_id)
    assert (used["requests"], used["aborted"]) == (1, 1)
    assert got >= wanted
    assert used["completion_tokens"] == got
    read = whole.usage.prompt_tokens
    assert wait_until(lambda: gateway.usage(key_id)["prompt_tokens"] == read, within_s=5)


def deltas_until_the_end(gateway, key: str, wanted: int) -> int:
    """Reads so many deltas of a stream, says that it will send no more, reads what still comes and
    returns how many deltas came.
    """
    body = json.dumps({**LONG, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    heard, told = b"", False
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body)
        while data := connection.recv(4096):
            heard += data
            if not told and heard.count(b'"content":"') >= wanted:
                told = True
                connection.shutdown(socket.SHUT_WR)
    return heard.count(b'"content":"')


@service
@pytest.mark.parametrize("count", [1, 2, 17])
def test_of_a_slow_stream_exactly_what_was_delivered_is_accounted(fake_behind, count):
    async def slow(asked, writer):
        await begin_events(writer)
        await say_event(writer, chat_chunk({"role": "assistant", "content": None}))
        for place in range(10_000):
            await say_event(writer, chat_chunk({"content": f"w{place}"}))
            await asyncio.sleep(0.02)

    gateway, expert = fake_behind(slow)
    key_id, key = gateway.new_key("leaves")
    texts = []
    with openai_of(gateway, key) as client:
        stream = client.chat.completions.create(model="general", messages=HELLO, stream=True)
        for chunk in stream:
            texts.append(chunk.choices[0].delta.content)
            if len(texts) == count + 1:
                break
        stream.close()
    assert expert.gone.wait(5)
    assert wait_until(lambda: gateway.metric("in_flight") == 0, within_s=2)
    used = gateway.usage(key_id)
    assert used["completion_tokens"] == count
    assert used["aborted"] == 1


@service
def test_a_stream_that_breaks_upstream_is_accounted_by_what_was_delivered(fake_behind):
    async def breaks(asked, writer):
        await begin_events(writer)
        await say_event(writer, chat_chunk({"role": "assistant", "content": None}))
        for place in range(9):
            await say_event(writer, chat_chunk({"content": f"w{place}"}))
        writer.transport.abort()

    gateway, _ = fake_behind(breaks)
    key_id, key = gateway.new_key("unlucky")
    texts = []

    def read(client):
        for chunk in client.chat.completions.create(model="general", messages=HELLO, stream=True):
            texts.append(chunk.choices[0].delta.content)

    with openai_of(gateway, key) as client, pytest.raises(Exception, match="middle"):
        read(client)
    used = gateway.usage(key_id)
    assert used["completion_tokens"] == len([text for text in texts if text]) == 9
