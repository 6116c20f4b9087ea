"""What the gateway reads of a body, and what it refuses to pass on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.request.body import read_body
from gateway.request.endpoints import ENDPOINTS

CHAT = ENDPOINTS[b"/v1/chat/completions"]
AUDIO = ENDPOINTS[b"/v1/audio/transcriptions"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b'"text"',
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": 1}}',
        b'{"a": NaN}',
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b'{"messages":' + b"[" * 50_000,
    ],
)
def test_what_is_no_json_object_in_utf_8_is_refused(content):
    with pytest.raises(BadRequest) as caught:
        read_body(content, CHAT, b"")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("field", "value"), [("model", 7), ("stream", "yes"), ("parallel_tool_calls", 1)]
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(field, value):
    with pytest.raises(BadRequest) as caught:
        read_body(json.dumps({field: value}).encode(), CHAT, b"")
    assert caught.value.param == field
    assert str(value) not in caught.value.message


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 0),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"max_tokens": -1}, 0),
        ({"max_tokens": None}, 0),
        ({"max_tokens": "many"}, 0),
        ({"max_tokens": True}, 0),
        ({"max_tokens": 1 << 40}, 0),
    ],
)
def test_the_longest_answer_is_what_the_client_says_if_it_makes_sense(fields, tokens):
    assert read_body(json.dumps(fields).encode(), CHAT, b"").answer_tokens() == tokens


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_the_text_of_messages_is_kept_as_it_stands(document):
    document.pop("model", None)
    text = json.dumps(document)
    content = f'{{"messages": {text} , "model": "general"}}'.encode()
    body = read_body(content, CHAT, b"")
    assert bytes(body.messages) == text.encode()
    assert body.model == "general"


def test_a_form_is_read_for_its_model_and_whether_to_stream():
    content = (
        b'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
        b'--B\r\ncontent-disposition: form-data; name="stream"\r\n\r\ntrue\r\n--B--\r\n'
    )
    body = read_body(content, AUDIO, b"multipart/form-data; boundary=B")
    assert (body.model, body.stream) == ("whisper", True)
