"""What clients are told when an expert refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.reply.refusal import refusal


def said(status: int, message: str = "no", kind: str = "t", **more: object):
    detail = {"message": message, "type": kind, "code": status} | more
    return refusal(status, json.dumps({"error": detail}).encode())


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_upstream_key_is_nobodys_fault_but_the_systems(status):
    error = said(status)
    assert isinstance(error, UpstreamFailed)
    assert error.status == 502


@pytest.mark.parametrize(
    "message",
    [
        "[json.exception.type_error.302] type must be string",
        "Failed to parse messages",
        "input is too large to process",
        "the template failed",
    ],
)
def test_a_500_that_is_plainly_the_requests_fault_is_a_400(message):
    assert said(500, message).status == 400
    assert said(502, message).status == 502


@pytest.mark.parametrize(
    ("status", "kind", "code", "retry"),
    [
        (400, "exceed_context_size_error", "context_length_exceeded", False),
        (501, "not_supported_error", "unsupported", False),
        (503, "unavailable_error", "expert_unavailable", True),
        (503, "other", "expert_unavailable", True),
        (429, "other", None, True),
        (502, "other", None, True),
        (500, "other", None, False),
        (404, "other", None, False),
    ],
)
def test_code_and_whether_to_try_again(status, kind, code, retry):
    error = said(status, kind=kind)
    assert (error.status, error.code) == (status, code)
    assert error.headers()["x-should-retry"] == str(retry).lower()


def test_the_experts_own_code_and_field_are_kept():
    error = said(400, code="too_long", param="messages")
    assert (error.code, error.param) == ("too_long", "messages")


@given(st.binary(max_size=100) | st.just(b'{"error": []}') | st.just(b"[" * 50_000))
def test_an_unreadable_refusal_says_its_status_and_nothing_of_what_came(answer):
    assert refusal(418, answer).status == 418
    assert refusal(418, b"<html>secret").message == "The expert answered HTTP 418."
