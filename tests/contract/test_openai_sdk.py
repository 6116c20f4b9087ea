"""The official OpenAI SDK, unchanged, against the gateway."""

import asyncio
import json

import openai
import pytest

from expert_runner import selftest
from tests.gateway.fakes import KEY

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Gets the {name}",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    for name in ("time", "weather")
]


def asynchronous(gateway, key: str = KEY, **options) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, timeout=30, **options)


def synchronous(gateway, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, timeout=30)


async def test_models_are_listed_and_retrieved(gateway):
    async with asynchronous(gateway) as client:
        assert [model.id async for model in client.models.list()] == [
            "general",
            "coder",
            "gpt-4o-mini",
            "auto",
        ]
        assert (await client.models.retrieve("general")).owned_by == "hearth"


@pytest.mark.parametrize("model", ["general", "gpt-4o-mini", "auto"])
async def test_a_chat_is_answered(gateway, model):
    async with asynchronous(gateway) as client:
        answer = await client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == selftest.SENTENCE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_the_synchronous_client_works_as_well(gateway):
    def use() -> tuple[str, str]:
        with synchronous(gateway) as client:
            whole = client.chat.completions.create(model="general", messages=HELLO)
            stream = client.chat.completions.create(model="general", messages=HELLO, stream=True)
            pieces = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
            return whole.choices[0].message.content, pieces

    assert await asyncio.to_thread(use) == (selftest.SENTENCE, selftest.SENTENCE)


async def test_the_headers_tell_the_model_and_that_it_is_not_the_first_choice(gateway):
    async with asynchronous(gateway) as client:
        answer = await client.chat.completions.with_raw_response.create(
            model="general", messages=HELLO
        )
    assert answer.headers["x-hearth-expert"] == "general"
    assert answer.headers["x-hearth-model"] == "selftest"
    assert answer.headers["x-hearth-degraded"] == "selftest"
    assert answer.request_id == answer.headers["x-request-id"]


async def test_a_stream_has_many_pieces_one_end_and_the_usage_asked_for(gateway):
    async with asynchronous(gateway) as client:
        stream = await client.chat.completions.create(
            model="general", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(texts) == selftest.SENTENCE
    assert len(texts) > 10
    assert [c.choices[0].finish_reason for c in chunks if c.choices].count("stop") == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_a_forced_tool_is_called_with_valid_arguments(gateway, choice):
    async with asynchronous(gateway) as client:
        answer = await client.chat.completions.create(
            model="general", messages=HELLO, tools=TOOLS, tool_choice=choice, max_tokens=600
        )
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls"
    allowed = {"weather"} if isinstance(choice, dict) else {"time", "weather"}
    assert call.function.name in allowed
    assert set(json.loads(call.function.arguments)) == {"city"}


async def test_a_wrong_key_is_an_authentication_error(gateway):
    async with asynchronous(gateway, key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="general", messages=HELLO)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"


async def test_an_unknown_model_is_a_not_found_error(gateway):
    async with asynchronous(gateway) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-99", messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-99")
    assert caught.value.code == "model_not_found"


async def test_a_bad_request_is_a_bad_request_error_with_the_experts_words(gateway):
    async with asynchronous(gateway) as client:
        with pytest.raises(openai.BadRequestError, match="messages"):
            await client.chat.completions.create(model="general", messages="nonsense")


async def test_an_expert_without_a_replica_is_tried_again_by_the_sdk_and_then_an_error(gateway):
    async with asynchronous(gateway, max_retries=1) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="coder", messages=HELLO)
    assert caught.value.status_code == 503
    assert caught.value.code == "expert_unavailable"
    counted = 'hearth_gateway_requests_total{expert="coder",status="503"}'
    assert await gateway.metric(counted) == "2"
