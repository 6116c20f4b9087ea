"""Tokens, in every form the APIs write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reply.usage import Usage, merge, read_usage, read_whole

FORMS = {
    "chat": (
        {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 13,
                "prompt_tokens_details": {"cached_tokens": 5},
            }
        },
        Usage(prompt=9, cached=5, completion=4),
    ),
    "embeddings": ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, Usage(prompt=9)),
    "rerank": ({"usage": {"total_tokens": 9}}, Usage(prompt=9)),
    "responses": (
        {
            "usage": {
                "input_tokens": 9,
                "output_tokens": 4,
                "input_tokens_details": {"cached_tokens": 5},
            }
        },
        Usage(prompt=9, cached=5, completion=4),
    ),
    "messages": (
        {"usage": {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 4}},
        Usage(prompt=9, cached=5, completion=4),
    ),
    "none": ({"usage": None}, None),
    "other": ({"id": "x"}, None),
}


@pytest.mark.parametrize(("document", "usage"), FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("pad", [0, 10_000])
@pytest.mark.parametrize("read", [read_usage, read_whole])
def test_usage_is_read_in_every_form_of_every_size(document, usage, pad, read):
    text = json.dumps({"pad": "x" * pad} | document).encode()
    assert read(text) == usage


def test_the_counts_of_llama_server_itself_stand_in_where_there_is_no_usage():
    text = b'data: {"timings":{"cache_n":5,"prompt_n":4,"predicted_n":7,"prompt_ms":1.5}}\n\n'
    assert read_usage(text) == Usage(prompt=9, cached=5, completion=7)


@given(st.text(max_size=200))
def test_what_a_model_says_is_never_taken_for_usage(said):
    text = said + '"usage":{"prompt_tokens":99}"timings":{"prompt_n":99}'
    content = json.dumps({"choices": [{"message": {"content": text}}]}, ensure_ascii=False)
    assert read_usage(content.encode("utf-8", "surrogatepass")) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_not_and_are_never_an_error(text):
    read_usage(b'"usage":' + text)
    read_usage(b'"timings":' + text)
    read_whole(text)


def test_two_reports_of_one_stream_add_up_to_what_both_know():
    start, end = Usage(prompt=9, cached=5, completion=1), Usage(completion=7)
    assert merge(start, end) == Usage(prompt=9, cached=5, completion=7)
    assert merge(None, end) is end
    assert merge(start, None) is start
