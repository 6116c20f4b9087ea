"""A stream that dies is an error to the official SDK, and never an answer that seems complete."""

import openai
import pytest

from tests.gateway.fakes import KEY, streams

CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
)


async def test_a_stream_that_dies_raises_after_the_pieces_that_came(serve, upstream, catalogue):
    catalogue.register("general", await upstream(streams(CHUNK, CHUNK[:40], end=b"")))
    gateway = await serve()
    pieces = []
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
        stream = await client.chat.completions.create(
            model="general", messages=[{"role": "user", "content": "Hi"}], stream=True
        )

        async def collect() -> None:
            async for chunk in stream:
                pieces.append(chunk.choices[0].delta.content)

        with pytest.raises(openai.APIError, match="failed in the middle"):
            await collect()
    assert pieces == ["Hi"]
