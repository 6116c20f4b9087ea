"""Heads of HTTP/1.1, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, NoReplica, Unauthorized
from gateway.request.endpoints import Dialect
from gateway.wire.heads import BadHead, error_response, response_head


def read(*lines: str, first: str = "HTTP/1.1 200 OK"):
    return response_head("\r\n".join([first, *lines]).encode())


@pytest.mark.parametrize(
    ("lines", "length", "chunked"),
    [
        (["Content-Length: 5"], 5, False),
        (["content-length: 5", "content-length: 5"], 5, False),
        (["Transfer-Encoding: Chunked"], -1, True),
        (["transfer-encoding: chunked", "content-length: 5"], -1, True),
        ([], -1, False),
    ],
)
def test_the_framing_is_what_the_head_says(lines, length, chunked):
    head = read(*lines)
    assert (head.length, head.chunked) == (length, chunked)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(status):
    assert read(first=f"HTTP/1.1 {status} X").length == 0


@pytest.mark.parametrize(
    ("first", "lines", "kept"),
    [
        ("HTTP/1.1 200 OK", [], True),
        ("HTTP/1.1 200 OK", ["Connection: Close"], False),
        ("HTTP/1.0 200 OK", [], False),
        ("HTTP/1.0 200 OK", ["connection: Keep-Alive"], True),
        ("HTTP/1.1 200", [], True),
    ],
)
def test_whether_the_connection_lasts(first, lines, kept):
    assert read(*lines, first=first).keep_alive is kept


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"SSH-2.0",
        b"HTTP/2 200",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
    ],
)
def test_what_is_no_head_is_refused(head):
    with pytest.raises(BadHead):
        response_head(head)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_no_line_end_is_made_up(head):
    try:
        read_head = response_head(b"HTTP/1.1 200 OK\r\n" + head)
    except BadHead:
        return
    assert read_head.kept.count(b"\r\n") <= head.count(b"\r\n") + 2


def test_proxies_are_told_not_to_gather_events():
    head = read("content-type: text/event-stream; charset=utf-8", "transfer-encoding: chunked")
    assert head.events
    assert b"x-accel-buffering: no\r\n" in head.start
    assert b"x-accel-buffering" not in read("content-type: application/json").start


def test_names_the_gateway_claims_are_not_taken_from_an_expert():
    head = read("X-Hearth-Expert: other", "x-kept: 1", "Server: x", "Content-Length: 0")
    assert head.kept == b"x-kept: 1\r\n"


@pytest.mark.parametrize("error", [BadRequest("no"), Unauthorized("no"), NoReplica("no")])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_an_error_is_a_whole_answer(error, keep_alive):
    text = error_response(error, Dialect.OPENAI, b"x-own: 1\r\n", keep_alive=keep_alive)
    start, _, body = text.partition(b"\r\n\r\n")
    lines = dict(line.split(b": ", 1) for line in start.split(b"\r\n")[1:])
    assert int(lines[b"content-length"]) == len(body)
    assert lines[b"x-own"] == b"1"
    assert (lines.get(b"connection") == b"close") is not keep_alive
    assert int(start.split(b" ")[1]) == error.status
