"""Tool calls and structured output with the official OpenAI SDK, also where llama-server alone does
less than the API says.
"""

import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.contract.clients import HELLO, async_openai_of, openai_of, tool
from tests.contract.fake_expert import begin_events, chat_answer, chat_chunk, say, say_event

live = pytest.mark.live
service = pytest.mark.service
TOOLS = [tool("time"), tool("weather")]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "warm": {"type": "boolean"}},
    "required": ["city", "warm"],
    "additionalProperties": False,
}


def named(name: str) -> dict:
    return {"type": "function", "function": {"name": name}}


class Forecast(BaseModel):
    city: str = Field(max_length=8)
    sky: Literal["clear", "grey"]
    degrees: int = Field(ge=0, le=9)


@live
@pytest.mark.parametrize("choice", ["auto", "required", named("weather"), named("time")])
def test_a_tool_is_called_with_valid_arguments(client, choice):
    for seed in range(5):
        answer = client.chat.completions.create(
            model="tools",
            messages=HELLO,
            tools=TOOLS,
            tool_choice=choice,
            max_tokens=4000,
            seed=seed,
        )
        message = answer.choices[0].message
        assert message.tool_calls, answer
        allowed = {choice["function"]["name"]} if isinstance(choice, dict) else {"time", "weather"}
        for call in message.tool_calls:
            assert call.function.name in allowed
            assert set(json.loads(call.function.arguments)) == {"city"}
        assert answer.choices[0].finish_reason == "tool_calls"


@live
def test_no_tool_is_called_where_none_may_be(client):
    answer = client.chat.completions.create(
        model="tools", messages=HELLO, tools=TOOLS, tool_choice="none", max_tokens=30
    )
    assert not answer.choices[0].message.tool_calls


@live
@pytest.mark.parametrize("choice", ["auto", "required", named("weather")])
def test_a_streamed_tool_call_is_assembled_by_the_sdk(client, choice):
    with client.chat.completions.stream(
        model="tools", messages=HELLO, tools=TOOLS, tool_choice=choice, max_tokens=4000, seed=3
    ) as stream:
        pieces = [event for event in stream if event.type.startswith("tool_calls.function")]
        answer = stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert len([one for one in pieces if one.type.endswith(".done")]) == len(calls) >= 1
    assert len([one for one in pieces if one.type.endswith(".delta")]) > 1
    assert set(json.loads(calls[0].function.arguments)) == {"city"}


@live
async def test_with_parallel_calls_forbidden_there_is_one(gateway):
    counts = []
    async with async_openai_of(gateway) as client:
        for seed in range(12):
            asked = {
                **{"model": "tools", "messages": HELLO, "tools": TOOLS, "seed": seed},
                **{"parallel_tool_calls": False, "max_tokens": 4000, "tool_choice": "required"},
            }
            answer = await client.chat.completions.create(**asked)
            counts.append(len(answer.choices[0].message.tool_calls))
            async with client.chat.completions.stream(**asked) as stream:
                final = await stream.get_final_completion()
            counts.append(len(final.choices[0].message.tool_calls))
    assert set(counts) == {1}


@live
def test_the_result_of_a_tool_is_understood(client):
    call = {"id": "a", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    answer = client.chat.completions.create(
        model="general",
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "noon"},
        ],
        tools=TOOLS,
        max_tokens=5,
    )
    assert answer.usage.completion_tokens > 0


@live
def test_a_choice_of_a_tool_that_is_not_offered_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="tools", messages=HELLO, tools=TOOLS, tool_choice=named("sun")
        )
    assert caught.value.param == "tool_choice"


@live
def test_an_answer_follows_the_schema_of_a_class(client):
    for seed in range(5):
        answer = client.chat.completions.parse(
            model="general", messages=HELLO, response_format=Forecast, max_tokens=4000, seed=seed
        )
        assert isinstance(answer.choices[0].message.parsed, Forecast)


@live
def test_an_answer_follows_a_schema_and_is_json_where_only_that_is_asked(client):
    schema = {"name": "weather", "strict": True, "schema": SCHEMA}
    answer = client.chat.completions.create(
        model="general",
        messages=HELLO,
        max_tokens=4000,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    assert set(json.loads(answer.choices[0].message.content)) == {"city", "warm"}
    free = client.chat.completions.create(
        model="general",
        messages=HELLO,
        max_tokens=4000,
        seed=2,
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(free.choices[0].message.content), dict)


@live
def test_a_streamed_answer_follows_the_schema_as_well(client):
    with client.chat.completions.stream(
        model="general", messages=HELLO, response_format=Forecast, max_tokens=4000, seed=4
    ) as stream:
        answer = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Forecast)


CALLS = [
    {"index": n, "id": f"c{n}", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    for n in range(3)
]


@service
@pytest.mark.parametrize("streaming", [False, True])
def test_surplus_calls_are_dropped_only_where_parallel_calls_are_forbidden(fake_behind, streaming):
    async def three(asked, writer):
        if not asked.document.get("stream"):
            await say(writer, 200, chat_answer("", CALLS))
            return
        await begin_events(writer)
        for call in CALLS:
            await say_event(writer, chat_chunk({"tool_calls": [call]}))
        await say_event(writer, chat_chunk({}, "tool_calls"))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    gateway, _ = fake_behind(three)
    for forbidden, expected in ((True, 1), (False, 3)):
        asked = {"model": "general", "messages": HELLO, "tools": TOOLS}
        if forbidden:
            asked["parallel_tool_calls"] = False
        with openai_of(gateway) as client:
            if streaming:
                with client.chat.completions.stream(**asked) as stream:
                    answer = stream.get_final_completion()
            else:
                answer = client.chat.completions.create(**asked)
        assert len(answer.choices[0].message.tool_calls) == expected


@service
def test_a_named_choice_becomes_one_offered_tool_that_must_be_called(fake_behind):
    async def answers(asked, writer):
        await say(writer, 200, chat_answer("x"))

    gateway, expert = fake_behind(answers)
    with openai_of(gateway) as client:
        client.chat.completions.create(
            model="general", messages=HELLO, tools=TOOLS, tool_choice=named("time"), seed=5
        )
    sent = expert.asked[-1].document
    assert sent["tool_choice"] == "required"
    assert sent["tools"] == [TOOLS[0]]
    assert (sent["messages"], sent["seed"]) == (HELLO, 5)
    assert not expert.violations
