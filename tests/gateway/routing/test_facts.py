"""Facts: four dialects give the same facts, and nothing a client sends makes reading fail."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.facts import read_facts
from tests.gateway.routing.fakes import chat, facts_of

QUESTION = "Why is the sky blue?"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
DIALECTS = {
    "chat": {"messages": [{"role": "user", "content": QUESTION}]},
    "chat parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]},
    "completion": {"prompt": QUESTION},
    "completion list": {"prompt": [QUESTION]},
    "response": {"input": QUESTION},
    "response items": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
    },
    "anthropic": {
        "max_tokens": 512,
        "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
    },
    "rerank": {"query": QUESTION},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_tells_the_same(dialect):
    facts = facts_of(DIALECTS[dialect])
    expected = facts_of(chat(QUESTION))
    assert facts.first_user_text == facts.last_user_text == QUESTION
    assert facts.summary() == expected.summary()


@pytest.mark.parametrize(
    "document",
    [
        {"messages": [{"role": "system", "content": "Be brief."}, *chat("Hi")["messages"]]},
        {"messages": [{"role": "developer", "content": "Be brief."}, *chat("Hi")["messages"]]},
        {"system": "Be brief.", **chat("Hi")},
        {"system": [{"type": "text", "text": "Be brief."}], **chat("Hi")},
        {"instructions": "Be brief.", "input": "Hi"},
    ],
)
def test_system_text_is_no_user_text(document):
    facts = facts_of(document)
    assert facts.system_text == "Be brief."
    assert facts.first_user_text == "Hi"
    assert facts.messages == 1


@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        {"type": "input_image", "image_url": "https://x/y.png"},
        {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]},
    ],
)
def test_an_image_is_seen_in_every_dialect_and_turn(part):
    assert not facts_of(chat("Hi", "Hello", "Look")).has_images
    first = {"messages": [{"role": "user", "content": ["Look", part]}, *chat("And?")["messages"]]}
    assert facts_of(first).has_images


def test_a_recording_is_seen():
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert facts_of({"messages": [{"role": "user", "content": [part]}]}).has_audio


ASKED = [{"role": "user", "content": "Go"}]
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "42"}


@pytest.mark.parametrize(
    ("messages", "loop"),
    [
        (ASKED, False),
        ([*ASKED, CALLED], True),
        ([*ASKED, CALLED, ANSWERED], True),
        ([*ASKED, CALLED, ANSWERED, {"role": "assistant", "content": "Done"}], False),
        ([*ASKED, CALLED, ANSWERED, *ASKED], False),
        ([*ASKED, CALLED, *ASKED], True),
        ([*ASKED, {"role": "assistant", "function_call": {"name": "f"}}], True),
        ([*ASKED, {"role": "function", "name": "f", "content": "42"}], True),
        ([{"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}], True),
        ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}], True),
    ],
)
def test_a_tool_loop_lasts_from_the_call_to_the_next_plain_turn(messages, loop):
    assert facts_of({"messages": messages}).tool_loop is loop


@pytest.mark.parametrize(
    ("last", "loop"),
    [
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, True),
        ({"type": "function_call_output", "call_id": "c", "output": "42"}, True),
        ({"type": "message", "role": "user", "content": "Thanks"}, False),
    ],
)
def test_response_items_have_tool_loops_too(last, loop):
    assert facts_of({"input": [{"role": "user", "content": "Go"}, last]}).tool_loop is loop


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"text": {"format": {"type": "json_schema"}}},
        {"json_schema": {"type": "object"}},
    ],
)
def test_a_wish_for_json_is_seen(fields):
    assert facts_of(chat("Hi") | fields).wants_json
    assert not facts_of(chat("Hi") | {"response_format": {"type": "text"}}).wants_json


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "enabled"),
        ({"thinking": {"type": "disabled"}}, ""),
        ({}, ""),
    ],
)
def test_a_wish_for_thought_is_seen(fields, effort):
    assert facts_of(chat("Hi") | fields).reasoning == effort


def test_tools_are_counted_and_take_room():
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 3500}}]
    without, with_tools = facts_of(chat("Hi")), facts_of(chat("Hi", tools=tools))
    assert with_tools.tools == 1
    assert with_tools.estimated_tokens - without.estimated_tokens > 900
    assert with_tools.opening_tokens - without.opening_tokens > 900


def test_the_need_covers_the_answer_within_reason():
    need = {n: facts_of(chat("Hi", max_tokens=n)).estimated_tokens for n in (10, 1000, 10**9)}
    assert need[1000] - need[10] == 990
    assert need[10**9] < 3000


def test_a_tokenised_prompt_counts_its_tokens():
    assert facts_of({"prompt": list(range(4000))}).estimated_tokens >= 4000


def test_what_a_conversation_is_about_is_read_from_its_beginning():
    opening = facts_of(chat("Wie wird das Wetter in den Bergen?"))
    later = facts_of(
        chat("Wie wird das Wetter in den Bergen?", "Gut.", "```\ncode()\n``` why is it?")
    )
    assert later.last_user_text != opening.last_user_text
    for name in ("language", "has_code", "opening_tokens", "first_user_text"):
        assert getattr(later, name) == getattr(opening, name)


def test_the_summary_and_the_repr_show_no_text_and_no_header():
    facts = facts_of(chat("secret words"), headers={"authorization": "Bearer sk-1"})
    assert "secret" not in json.dumps(facts.summary()) + repr(facts)
    assert "sk-1" not in json.dumps(facts.summary()) + repr(facts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
_NAMES = (
    "role content type text id tool_calls tool_call_id tool_use_id call_id output arguments "
    "function_call image_url thinking"
)
_KINDS = "user system tool assistant text image_url tool_use tool_result function_call reasoning"
_FIELDS = (
    "messages input prompt query documents system instructions tools functions max_tokens "
    "response_format text reasoning reasoning_effort thinking json_schema output_config"
)
VALUES = JSON | st.sampled_from(_KINDS.split())
PARTS = st.dictionaries(
    st.sampled_from(_NAMES.split()), VALUES | st.lists(VALUES, max_size=3), max_size=6
)
MESSAGES = st.dictionaries(
    st.sampled_from(_NAMES.split()), VALUES | st.lists(PARTS, max_size=3), max_size=6
)
BODIES = st.dictionaries(
    st.sampled_from(_FIELDS.split()), JSON | st.lists(MESSAGES | JSON, max_size=4)
)


@given(BODIES | JSON)
def test_no_shape_is_too_strange(document):
    facts = read_facts(document, endpoint="/v1/chat/completions")
    assert facts.estimated_tokens > 0
    assert facts.opening_tokens <= facts.estimated_tokens
    assert (facts.first_user_text == "") is (facts.last_user_text == "")
    json.dumps(facts.summary())


def test_depth_is_no_danger():
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    facts = facts_of({"tools": deep, "messages": [{"role": "user", "content": deep}]})
    assert facts.first_user_text == ""
