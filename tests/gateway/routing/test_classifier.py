"""The classifier may only choose what it is offered, and may talk as it likes."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.classifier import NoAnswer, chosen, content, request_body
from tests.gateway.routing.fakes import completion

OFFERED = {"general": "Everything.", "coder": "Code.", "coder-small": "Little code."}


def test_the_request_leaves_no_other_answer():
    body = json.loads(request_body("small", "Sort a list", OFFERED))
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["expert"]["enum"] == list(OFFERED)
    assert (body["model"], body["temperature"], body["stream"]) == ("small", 0, False)
    assert body["max_tokens"] < 100
    assert "- coder: Code." in body["messages"][0]["content"]
    assert "Sort a list" in body["messages"][1]["content"]


def test_an_endless_prompt_is_cut():
    assert len(request_body("small", "x" * 1_000_000, OFFERED)) < 5000


@pytest.mark.parametrize(
    ("said", "expert"),
    [
        ('{"expert": "coder"}', "coder"),
        (' {"expert":"coder-small", "why": "x"}\n', "coder-small"),
        ("coder", "coder"),
        ("The best expert is Coder-Small, surely", "coder-small"),
        ('<think>general? {"expert": "general"}</think>{"expert": "coder"}', "coder"),
    ],
)
def test_a_name_is_found(said, expert):
    assert chosen(said, OFFERED) == expert


@pytest.mark.parametrize(
    "said",
    ["", "{}", '{"expert": "root"}', '{"expert": 3}', "coder or general", "<think>coder", "[1]"],
)
def test_no_name_or_a_foreign_one_is_no_answer(said):
    with pytest.raises(NoAnswer):
        chosen(said, OFFERED)


@given(st.text())
def test_whatever_it_says_only_an_offered_name_comes_out(said):
    with contextlib.suppress(NoAnswer):
        assert chosen(said, OFFERED) in OFFERED


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', completion(None), completion(3)],
)
def test_a_body_that_is_no_completion_is_no_answer(answer):
    with pytest.raises(NoAnswer):
        content(answer)


def test_a_completion_has_content():
    assert content(completion("coder")) == "coder"
