"""Anthropic's official SDK, unchanged, against the gateway in front of llama-server."""

import anthropic
import pytest

from tests.contract.clients import HELLO, anthropic_of
from tests.contract.conftest import CONTEXT, LARGEST_BODY
from tests.contract.processes import KEY

pytestmark = pytest.mark.live

WEATHER = {
    "name": "weather",
    "description": "Gets the weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
COLD = {"temperature": 0}
TOOLS = [WEATHER, {**WEATHER, "name": "time", "description": "Gets the time"}]


def test_a_message_is_answered(messenger):
    answer = messenger.messages.create(model="endless", max_tokens=12, messages=HELLO)
    assert answer.type == "message"
    assert answer.role == "assistant"
    assert answer.content[0].text
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 12
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) > 0


def test_a_system_text_and_parts_are_read(messenger):
    short = messenger.messages.count_tokens(model="general", messages=HELLO)
    longer = messenger.messages.count_tokens(
        model="general",
        system="Be brief, please.",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello you"}]}],
    )
    assert longer.input_tokens > short.input_tokens > 0


def test_a_stream_of_a_message_is_assembled_by_the_sdk(messenger):
    with messenger.messages.stream(model="endless", max_tokens=20, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text
    assert text
    assert final.usage.output_tokens == 20
    assert final.stop_reason == "max_tokens"


async def test_the_asynchronous_client_streams_as_well(gateway):
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        kinds = [
            event.type
            async for event in await client.messages.create(
                model="endless", max_tokens=5, messages=HELLO, stream=True
            )
        ]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert "content_block_delta" in kinds


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}])
def test_a_tool_is_called(messenger, choice):
    answer = messenger.messages.create(
        model="tools", max_tokens=4000, messages=HELLO, tools=TOOLS, tool_choice=choice
    )
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert calls
    assert all(call.name in ("weather", "time") and set(call.input) == {"city"} for call in calls)
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("name", ["weather", "time"])
def test_the_named_tool_is_called_and_no_other(messenger, name):
    for _ in range(3):
        answer = messenger.messages.create(
            model="tools",
            max_tokens=4000,
            messages=HELLO,
            tools=TOOLS,
            tool_choice={"type": "tool", "name": name},
        )
        calls = [block.name for block in answer.content if block.type == "tool_use"]
        assert set(calls) == {name}


def test_a_streamed_tool_call_is_assembled_by_the_sdk(messenger):
    with messenger.messages.stream(
        model="tools", max_tokens=4000, messages=HELLO, tools=TOOLS, tool_choice={"type": "any"}
    ) as stream:
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert calls
    assert set(calls[0].input) == {"city"}


def test_with_parallel_use_forbidden_there_is_one_call(messenger):
    counts = set()
    for _ in range(8):
        answer = messenger.messages.create(
            model="tools",
            max_tokens=4000,
            messages=HELLO,
            tools=TOOLS,
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        )
        counts.add(len([block for block in answer.content if block.type == "tool_use"]))
    assert counts == {1}


def test_the_result_of_a_tool_is_understood(messenger):
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "grey"}
    answer = messenger.messages.create(
        model="general",
        max_tokens=5,
        tools=TOOLS,
        messages=[
            *HELLO,
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
    )
    assert answer.usage.output_tokens > 0


def test_stop_sequences_end_a_message(messenger):
    whole = messenger.messages.create(
        model="endless", max_tokens=20, messages=HELLO, extra_body=COLD
    )
    text = whole.content[0].text
    stopped = messenger.messages.create(
        model="endless", max_tokens=20, messages=HELLO, extra_body=COLD, stop_sequences=[text[3:5]]
    )
    assert stopped.content[0].text == text[: text.index(text[3:5])]
    assert stopped.stop_reason in ("stop_sequence", "end_turn")  # llama-server says the latter


def test_a_wrong_key_is_an_authentication_error(gateway):
    with (
        anthropic_of(gateway, "sk-wrong") as messenger,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        messenger.messages.create(model="general", max_tokens=1, messages=HELLO)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_an_unknown_model_is_a_not_found_error(messenger):
    with pytest.raises(anthropic.NotFoundError) as caught:
        messenger.messages.create(model="messenger-99", max_tokens=1, messages=HELLO)
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_a_bad_message_is_a_bad_request_error(messenger):
    for messages in (
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": "z" * 2 * CONTEXT}],
    ):
        with pytest.raises(anthropic.BadRequestError) as caught:
            messenger.messages.create(model="general", max_tokens=1, messages=messages)
        assert caught.value.body["error"]["type"] == "invalid_request_error"


def test_a_large_body_is_an_error_of_its_own(messenger):
    with pytest.raises(anthropic.RequestTooLargeError):
        messenger.messages.create(
            model="general",
            max_tokens=1,
            messages=[{"role": "user", "content": "z" * LARGEST_BODY}],
        )


def test_a_limit_is_a_rate_limit_error(gateway):
    _, key = gateway.new_key("limited", rpm=1)
    with anthropic_of(gateway, key) as messenger:
        messenger.messages.create(model="general", max_tokens=1, messages=HELLO)
        with pytest.raises(anthropic.RateLimitError) as caught:
            messenger.messages.create(model="general", max_tokens=1, messages=HELLO)
    assert caught.value.body["error"]["type"] == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


def test_an_absent_expert_is_an_overloaded_error(messenger):
    with pytest.raises(anthropic.APIStatusError) as caught:
        messenger.messages.create(model="absent", max_tokens=1, messages=HELLO)
    assert caught.value.status_code == 503
    assert caught.value.body["error"]["type"] == "overloaded_error"
