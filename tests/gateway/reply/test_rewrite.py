"""Promises the gateway keeps for its experts, whatever the cuts of a stream."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reply.rewrite import Rewrite

CALLS = [{"index": n, "id": str(n), "function": {"name": "f"}} for n in range(3)]


def event(document: object, end: str = "\n\n") -> bytes:
    return f"data: {json.dumps(document)}{end}".encode()


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 1}}
STREAM = [
    delta(role="assistant", content="grüße"),
    delta(tool_calls=CALLS[:1]),
    delta(tool_calls=CALLS[1:2]),
    delta(tool_calls=[CALLS[0], CALLS[2]]),
    delta(tool_calls=[{"function": {"arguments": "no index"}}]),
    USAGE,
]


def through(rewrite: Rewrite, text: bytes, cuts: list[int]) -> bytes:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    out = b""
    for a, b in itertools.pairwise(places):
        out += rewrite.events(text[a:b], False)
    return out + rewrite.events(b"", True)


def documents(text: bytes, end: bytes) -> list[object]:
    events = [one for one in text.split(end) if one]
    return [json.loads(one.removeprefix(b"data: ")) for one in events if b"[DONE]" not in one]


@given(st.lists(st.integers(0, 700), max_size=10), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_of_a_streams_calls_only_the_first_is_left_however_it_is_cut(cuts, end):
    text = b"".join(event(one, end) for one in STREAM) + f"data: [DONE]{end}".encode()
    out = through(Rewrite(one_call=True), text, cuts)
    left = documents(out, end.encode())
    assert left == [
        STREAM[0],
        STREAM[1],
        {"choices": [{"index": 0, "delta": {}}]},
        delta(tool_calls=[CALLS[0]]),
        STREAM[4],
        USAGE,
    ]
    assert out.endswith(f"data: [DONE]{end}".encode())


@given(st.lists(st.integers(0, 700), max_size=10), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_a_usage_nobody_asked_for_is_taken_out_and_all_else_passes_byte_for_byte(cuts, end):
    before = b": ping" + end.encode() + b"".join(event(one, end) for one in STREAM[:-1])
    done = f"data: [DONE]{end}".encode()
    out = through(Rewrite(without_usage=True), before + event(USAGE, end) + done, cuts)
    assert out == before + done


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_what_is_no_event_stream_passes_byte_for_byte(text, cuts):
    assert through(Rewrite(one_call=True, without_usage=True), text, cuts) == text


def test_the_events_of_a_piece_are_not_held_back():
    rewrite = Rewrite(without_usage=True)
    assert rewrite.events(b"data: 1\n\ndata: 2", False) == b"data: 1\n\n"
    assert rewrite.events(b"\r\n\r\n", False) == b"data: 2\r\n\r\n"


@pytest.mark.parametrize("count", [0, 1])
def test_an_answer_with_one_call_at_most_passes_byte_for_byte(count):
    message = {"content": "é", "tool_calls": CALLS[:count]}
    text = json.dumps({"choices": [{"message": message}]}, indent=3).encode()
    assert Rewrite(one_call=True).whole(text) == text


def test_of_an_answers_calls_only_the_first_is_left():
    text = json.dumps({"choices": [{"message": {"tool_calls": CALLS}}], "x": "é"}).encode()
    assert json.loads(Rewrite(one_call=True).whole(text)) == {
        "choices": [{"message": {"tool_calls": CALLS[:1]}}],
        "x": "é",
    }


@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "message", "tool_calls", "index"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_mended_or_passed_and_is_never_an_error(document):
    text = json.dumps(document).encode()
    json.loads(Rewrite(one_call=True).whole(text))
    Rewrite(one_call=True, without_usage=True).events(event(document), True)


def typed(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


def test_of_a_messages_tools_only_the_first_block_is_left_in_a_stream():
    first = [
        typed("content_block_start", index=0, content_block={"type": "text"}),
        typed("content_block_start", index=1, content_block={"type": "tool_use", "name": "a"}),
        typed("content_block_delta", index=1, delta={"partial_json": "{}"}),
    ]
    second = [
        typed("content_block_start", index=2, content_block={"type": "tool_use", "name": "b"}),
        typed("content_block_delta", index=2, delta={"partial_json": "{}"}),
        typed("content_block_stop", index=2),
    ]
    last = [typed("content_block_stop", index=1), typed("message_stop")]
    out = through(Rewrite(one_call=True), b"".join([*first, *second, *last]), [5, 80, 200])
    assert out == b"".join([*first, *last])


def test_of_a_responses_calls_only_the_first_is_left_in_its_events_and_its_end():
    call = {"type": "function_call"}
    first = [
        typed("response.output_item.added", output_index=0, item=call),
        typed("response.output_item.done", output_index=0, item=call),
    ]
    second = [
        typed("response.output_item.added", output_index=1, item=call),
        typed("response.function_call_arguments.delta", output_index=1, delta="{}"),
    ]
    end = typed("response.completed", response={"output": [call, call, {"type": "message"}]})
    out = through(Rewrite(one_call=True), b"".join([*first, *second, end]), [7, 99])
    assert out.startswith(b"".join(first))
    left = json.loads(out.removeprefix(b"".join(first)).split(b"data: ")[1])
    assert left["response"]["output"] == [call, {"type": "message"}]


def test_of_a_whole_message_only_the_first_tool_is_left():
    text = {"type": "text", "text": "x"}
    tools = [{"type": "tool_use", "id": str(n)} for n in range(2)]
    whole = Rewrite(one_call=True).whole(json.dumps({"content": [text, *tools]}).encode())
    assert json.loads(whole) == {"content": [text, tools[0]]}
