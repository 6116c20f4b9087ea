"""What is read of a head, and when the next one is recognised."""

import pytest

from gateway.request.endpoints import ENDPOINTS
from gateway.request.head import Repeat, RequestHead
from tests.gateway.raw import post

PATH = b"/v1/chat/completions"


def head_of(*lines: tuple[bytes, bytes]) -> RequestHead:
    head = RequestHead(ENDPOINTS[PATH])
    for name, value in lines:
        head.header(name, value)
    return head


@pytest.mark.parametrize(
    ("lines", "presented"),
    [
        ([(b"Authorization", b"Bearer sk-a")], b"Bearer sk-a"),
        ([(b"X-Api-Key", b"sk-b")], b"Bearer sk-b"),
        ([(b"authorization", b"Bearer sk-a"), (b"x-api-key", b"sk-b")], b"Bearer sk-a"),
        ([(b"x-api-key", b"sk-b"), (b"authorization", b"Bearer sk-a")], b"Bearer sk-a"),
        ([], None),
    ],
)
def test_a_key_is_read_from_either_header_and_the_standard_one_wins(lines, presented):
    assert head_of(*lines).presented == presented


@pytest.mark.parametrize("name", [b"x-session-id", b"X-LiteLLM-Session-Id"])
def test_a_session_is_read_by_either_name(name):
    assert head_of((name, b"s1")).session == b"s1"


@pytest.mark.parametrize("field", ["last", "http10", "expects"])
def test_a_head_that_speaks_of_one_request_only_is_not_repeated(field):
    head = head_of()
    setattr(head, field, True)
    assert Repeat.of(head, post(b"{}")) is None
    setattr(head, field, False)
    assert Repeat.of(head, post(b"{}")) is not None


def test_a_head_without_a_length_is_not_repeated():
    assert (
        Repeat.of(head_of(), post(b"0\r\n\r\n", "transfer-encoding: chunked", length=False)) is None
    )


def test_a_head_with_another_request_behind_it_is_not_repeated():
    assert Repeat.of(head_of(), post(b"{}") + post(b"{}", key="sk-other")) is None


@pytest.mark.parametrize(
    "changed",
    [
        post(b"{}", key="sk-other"),
        post(b"{}", path="/v1/completions"),
        post(b"{}", "x-more: 1"),
        post(b"{}").replace(b"length: 2", b"length: +2"),
        post(b"{}").replace(b"length: 2", b"length: 2 "),
        post(b"{}").replace(b"length: 2", b"length: "),
        post(b"{}").replace(b"length: 2", b"length: 99999999999"),
        post(b"{}").replace(b"POST", b"GET"),
        post(b"{}")[:60],
        b"",
    ],
)
def test_a_head_that_differs_in_anything_but_its_length_is_parsed(changed):
    repeat = Repeat.of(head_of(), post(b'{"a": 1}'))
    assert repeat is not None
    assert repeat.body_at(changed) == (-1, 0)
