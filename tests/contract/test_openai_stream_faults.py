"""A stream that dies is an error to the official SDKs, and never an answer that seems complete."""

import asyncio

import openai
import pytest

from tests.contract.clients import HELLO, anthropic_of, openai_of
from tests.contract.fake_expert import begin_events, chat_chunk, say_event

pytestmark = pytest.mark.service
HALF = b'40\r\ndata: {"id":"c","object":"chat.completion.chunk"'


async def dies_between_events(asked, writer):
    await begin_events(writer)
    await say_event(writer, chat_chunk({"content": "Hi"}))
    writer.transport.close()


async def dies_within_an_event(asked, writer):
    await begin_events(writer)
    await say_event(writer, chat_chunk({"content": "Hi"}))
    writer.write(HALF)
    await writer.drain()
    writer.transport.close()


async def breaks_the_framing(asked, writer):
    await begin_events(writer)
    await say_event(writer, chat_chunk({"content": "Hi"}))
    await asyncio.sleep(0.1)  # else nothing of it is passed on, and the error is a status
    writer.write(b"zz\r\nnonsense\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    "behaviour", [dies_between_events, dies_within_an_event, breaks_the_framing]
)
def test_a_stream_that_dies_raises_after_the_pieces_that_came(fake_behind, behaviour):
    gateway, _ = fake_behind(behaviour)
    pieces = []
    with openai_of(gateway) as client:
        stream = client.chat.completions.create(model="general", messages=HELLO, stream=True)
        texts = (chunk.choices[0].delta.content for chunk in stream)
        with pytest.raises(openai.APIError, match="failed in the middle"):
            pieces.extend(texts)
    assert pieces == ["Hi"]


def test_a_response_that_dies_raises_as_well(fake_behind):
    async def dies(asked, writer):
        await begin_events(writer)
        created = {"type": "response.in_progress", "response": {"id": "r"}}
        await say_event(writer, created)
        writer.transport.close()

    gateway, _ = fake_behind(dies)
    with (
        openai_of(gateway) as client,
        pytest.raises(openai.APIError, match="failed in the middle"),
    ):
        list(client.responses.create(model="general", input="x", stream=True))


def test_a_message_that_dies_raises_as_well(fake_behind):
    async def dies(asked, writer):
        await begin_events(writer)
        data = b'event: ping\ndata: {"type": "ping"}\n\n'
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
        writer.transport.close()

    gateway, _ = fake_behind(dies)
    with (
        anthropic_of(gateway) as client,
        pytest.raises(Exception, match="failed in the middle"),
    ):
        list(client.messages.create(model="general", max_tokens=9, messages=HELLO, stream=True))


def test_an_expert_that_hangs_up_before_its_answer_is_asked_no_second_time_by_the_gateway(
    fake_behind,
):
    async def hangs_up(asked, writer):
        writer.transport.close()

    gateway, expert = fake_behind(hangs_up)
    with openai_of(gateway) as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="general", messages=HELLO)
    assert caught.value.status_code in (502, 503)
    assert expert.count == 1
