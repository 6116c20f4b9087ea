"""What is read from a body, and what is mended in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.reply.rewrite import Rewrite
from gateway.request.body import read_body
from gateway.request.endpoints import ENDPOINTS
from gateway.request.mend import adapt, mend, replaced

CHAT = ENDPOINTS[b"/v1/chat/completions"]
RESPONSES = ENDPOINTS[b"/v1/responses"]
MESSAGES = ENDPOINTS[b"/v1/messages"]
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b", "b")]
FLAT = [{"type": "function", "name": name} for name in ("a", "b")]
ANTHROPIC = [{"name": name, "input_schema": {}} for name in ("a", "b")]


def mended(fields: dict, endpoint=CHAT) -> tuple[bytes, Rewrite | None]:
    content = json.dumps({"messages": []} | fields).encode()
    return mend(content, read_body(content, endpoint, b""), endpoint)


@pytest.mark.parametrize("choice", ["auto", "none", "required", None])
def test_every_other_tool_choice_passes_untouched(choice):
    content = json.dumps({"tools": TOOLS, "tool_choice": choice}).encode()
    assert mend(content, read_body(content, CHAT, b""), CHAT) == (content, None)


@pytest.mark.parametrize("kind", ["auto", "any", "none"])
def test_an_anthropic_choice_that_names_no_tool_passes_untouched(kind):
    content = json.dumps({"tools": ANTHROPIC, "tool_choice": {"type": kind}}).encode()
    assert mend(content, read_body(content, MESSAGES, b""), MESSAGES)[0] == content


@pytest.mark.parametrize(
    ("endpoint", "tools", "choice", "expected"),
    [
        (CHAT, TOOLS, {"type": "function", "function": {"name": "b"}}, ("required", TOOLS[1:])),
        (RESPONSES, FLAT, {"type": "function", "name": "b"}, ("required", FLAT[1:])),
        (
            MESSAGES,
            ANTHROPIC,
            {"type": "tool", "name": "b", "disable_parallel_tool_use": True},
            ({"type": "any", "name": "b", "disable_parallel_tool_use": True}, ANTHROPIC[1:]),
        ),
    ],
)
def test_a_named_choice_keeps_every_tool_of_that_name_and_all_other_fields(
    endpoint, tools, choice, expected
):
    content, _ = mended({"tools": tools, "tool_choice": choice, "n": 1, "x": "€"}, endpoint)
    document = json.loads(content)
    assert (document.pop("tool_choice"), document.pop("tools")) == expected
    assert document == {"messages": [], "n": 1, "x": "€"}


@pytest.mark.parametrize(
    ("tools", "function"),
    [
        (TOOLS, {"name": "c"}),
        (TOOLS, {}),
        ([], {"name": "a"}),
        (None, {"name": "a"}),
        (["a", {"function": "a"}], {"name": "a"}),
    ],
)
def test_a_choice_that_names_no_tool_is_refused(tools, function):
    with pytest.raises(BadRequest) as caught:
        mended({"tools": tools, "tool_choice": {"type": "function", "function": function}})
    assert caught.value.param == "tool_choice"


def test_one_call_at_a_time_asks_for_a_rewrite_only_where_there_are_tools():
    assert mended({"parallel_tool_calls": False})[1] is None
    assert mended({"parallel_tool_calls": True, "tools": TOOLS})[1] is None
    rewrite = mended({"parallel_tool_calls": False, "tools": TOOLS})[1]
    assert rewrite is not None
    assert rewrite.one_call


def adapted(fields: dict, endpoint=CHAT, rewrite=None, model=None, counts=False):
    content = json.dumps(fields).encode()
    body = read_body(content, endpoint, b"")
    return content, *adapt(content, body, endpoint, rewrite, model=model, counts=counts)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        (
            {"stream": True, "stream_options": {"include_usage": False, "x": 1}},
            {"include_usage": True, "x": 1},
        ),
    ],
)
def test_a_server_that_does_not_count_is_asked_for_the_usage_of_a_stream(fields, options):
    _, content, rewrite = adapted(fields)
    assert json.loads(content)["stream_options"] == options
    assert rewrite is not None


@pytest.mark.parametrize(
    ("fields", "endpoint", "counts"),
    [
        ({"stream": True}, CHAT, True),
        ({"stream": False}, CHAT, False),
        ({}, CHAT, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, CHAT, False),
        ({"stream": True}, MESSAGES, False),
        ({"stream": True}, RESPONSES, False),
        ({"stream": True}, ENDPOINTS[b"/v1/embeddings"], False),
    ],
)
def test_otherwise_nothing_is_asked_and_nothing_changed(fields, endpoint, counts):
    before, content, rewrite = adapted(fields, endpoint, counts=counts)
    assert content == before
    assert rewrite is None


def test_a_second_attempt_makes_the_same_rewrite_as_the_first():
    _, _, first = adapted({"stream": True})
    _, _, second = adapted({"stream": True}, rewrite=first)
    assert second is not None
    assert not second.one_call
    _, _, third = adapted({"stream": True}, rewrite=Rewrite(one_call=True))
    assert third is not None
    assert third.one_call


def test_a_server_hears_the_model_by_its_own_name():
    _, content, _ = adapted({"model": "general", "x": 1.50}, model="org/model", counts=True)
    assert json.loads(content) == {"model": "org/model", "x": 1.5}
    assert b"1.5" in content


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["model", "tools", "tool_choice", "stream", "type", "function", "name"])


@given(st.dictionaries(FIELDS, VALUES | st.dictionaries(FIELDS, VALUES)))
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, MESSAGES])
def test_any_object_is_read_and_mended_or_refused_and_nothing_else(endpoint, document):
    content = json.dumps(document).encode()
    try:
        body = read_body(content, endpoint, b"")
        sent, _ = mend(content, body, endpoint)
    except BadRequest:
        return
    assert body.model == document.get("model")
    assert json.loads(sent).keys() == document.keys()


@given(st.dictionaries(st.text(max_size=5), VALUES), st.text(max_size=5), VALUES)
def test_replacing_a_field_leaves_the_text_of_all_others(document, field, value):
    content = json.dumps(document).encode()
    assert json.loads(replaced(content, {field: value})) == document | {field: value}


def test_numbers_and_spacing_inside_the_other_fields_keep_their_text():
    content = b'{"a": [1.50,  2e3, 123456789012345678901234567890], "b": 1}'
    assert b"[1.50,  2e3, 123456789012345678901234567890]" in replaced(content, {"b": 2})
