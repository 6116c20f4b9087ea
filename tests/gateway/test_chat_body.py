"""What is read from a body, and the one thing that is mended."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat_body import read_body
from gateway.errors import BadRequest

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b", "b")]


def body(**fields) -> bytes:
    return json.dumps({"messages": []} | fields).encode()


@pytest.mark.parametrize("choice", ["auto", "none", "required", None])
def test_every_other_tool_choice_passes_untouched(choice):
    content = body(tools=TOOLS, tool_choice=choice)
    assert read_body(content).content == content


def test_a_named_choice_keeps_every_tool_of_that_name_and_all_other_fields():
    choice = {"type": "function", "function": {"name": "b"}}
    content = body(tools=TOOLS, tool_choice=choice, n=1, text="\u20ac")
    mended = json.loads(read_body(content).content)
    assert mended == {
        "messages": [],
        "tools": TOOLS[1:],
        "tool_choice": "required",
        "n": 1,
        "text": "\u20ac",
    }


@pytest.mark.parametrize(
    ("tools", "function"),
    [
        (TOOLS, {"name": "c"}),
        (TOOLS, {}),
        (TOOLS, None),
        ([], {"name": "a"}),
        (None, {"name": "a"}),
        (["a", {"function": "a"}], {"name": "a"}),
    ],
)
def test_a_choice_that_names_no_tool_is_refused(tools, function):
    choice = {"type": "function", "function": function}
    with pytest.raises(BadRequest) as caught:
        read_body(body(tools=tools, tool_choice=choice))
    assert caught.value.param == "tool_choice"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["model", "tools", "tool_choice", "stream", "type", "function", "name"])


@given(st.dictionaries(FIELDS, VALUES | st.dictionaries(FIELDS, VALUES)))
def test_any_object_is_read_or_refused_and_nothing_else(document):
    try:
        read = read_body(json.dumps(document).encode())
    except BadRequest:
        return
    assert read.model == document.get("model")
