"""The bytes of one answer, cut anywhere."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.reply.chunks import LAST_CHUNK, ChunkReader, chunk
from gateway.reply.rewrite import Rewrite
from gateway.reply.usage import Usage
from gateway.request.endpoints import Dialect
from gateway.wire.answer import Answer
from gateway.wire.heads import ResponseHead

OWN = b"x-own: 1\r\n\r\n"
SSE = ResponseHead(
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
)
CHUNKED = ResponseHead(
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked"
)
CUTS = st.lists(st.integers(0, 400), max_size=12)
ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n"])
WAYS = st.tuples(st.sampled_from([None, "one_call", "without_usage"]), st.booleans())


def events(end: bytes) -> bytes:
    parts = [
        b": ping",
        b'event: message_start\ndata: {"message":{"usage":{"input_tokens":9,"output_tokens":1}}}',
        b'data: {"choices":[{"delta":{"content":"a\\n\\nb"}}],"usage":null}',
        'data: {"choices":[{"delta":{"content":"€ data:"}}]}'.encode(),
        b'data: {"usage":{"output_tokens":7}}',
        b"data: [DONE]",
    ]
    return b"".join(part + end for part in parts)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


def answer_of(way: tuple[str | None, bool], head: ResponseHead = SSE) -> Answer:
    kind, http10 = way
    rewrite = None if kind is None else Rewrite(**{kind: True})
    return Answer(head, OWN, rewrite=rewrite, http10=http10)


def body_of(sent: bytes, *, http10: bool) -> bytes:
    start, _, rest = sent.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 OK\r\n")
    assert start.endswith(b"x-own: 1")
    if http10:
        return rest
    reader = ChunkReader()
    assert reader.feed(rest) == rest
    assert reader.done
    return b"".join(reader.payloads)


@given(CUTS, ENDS, WAYS, st.booleans())
def test_a_stream_passes_byte_for_byte_and_its_usage_is_read_however_it_is_cut(
    cuts, end, way, together
):
    text = events(end)
    answer, sent = answer_of(way), b""
    payloads = pieces(text, cuts)
    for group in [payloads] if together else [[payload] for payload in payloads]:
        sent += answer.take(b"".join(map(chunk, group)), group, False)
    sent += answer.take(LAST_CHUNK, [], True)
    assert body_of(sent, http10=way[1]) == text
    assert answer.usage == Usage(prompt=9, cached=0, completion=7)
    assert answer.events == text.count(b"data:")


@given(CUTS, ENDS, WAYS, st.integers(0, 400))
def test_a_stream_that_breaks_leaves_every_whole_event_and_one_error(cuts, end, way, broken):
    text = events(end)[:broken]
    answer, sent = answer_of(way), b""
    for payload in pieces(text, cuts):
        sent += answer.take(chunk(payload), [payload], False)
    sent += answer.broken(UpstreamFailed("it broke"), Dialect.OPENAI) or b""
    body = body_of(sent, http10=way[1])
    whole = text[: text.rfind(end) + len(end)] if end in text else b""
    assert body.startswith(whole)
    error = body[len(whole) :]
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "upstream_failed"
    assert error.endswith(b"\n\n")


@given(CUTS, st.booleans(), st.integers(0, 3000))
def test_a_chunked_answer_passes_byte_for_byte_and_its_usage_is_read(cuts, http10, pad):
    document = {"usage": {"prompt_tokens": 4, "completion_tokens": 2}, "pad": "x" * pad}
    text = json.dumps(document).encode()
    answer, sent = answer_of((None, http10), CHUNKED), b""
    for payload in pieces(text, cuts):
        sent += answer.take(chunk(payload), [payload], False)
    sent += answer.take(LAST_CHUNK, [], True)
    assert body_of(sent, http10=http10) == text
    assert answer.usage == Usage(prompt=4, completion=2)


def test_of_a_long_answer_no_more_is_held_than_its_ends():
    answer, piece = answer_of((None, False), CHUNKED), b"x" * 50_000
    first = b'{"usage": {"prompt_tokens": 4, "completion_tokens": 2}, "pad": "'
    answer.take(chunk(first), [first], False)
    for _ in range(400):
        answer.take(chunk(piece), [piece], False)
    assert sum(map(len, answer._pieces)) < 500_000
    answer.take(chunk(b'"}') + LAST_CHUNK, [b'"}'], True)
    assert answer.usage == Usage(prompt=4, completion=2)


def test_the_head_of_a_stream_goes_out_before_its_first_event():
    assert answer_of((None, False)).take(b"", [], False).endswith(OWN)


def test_the_head_of_an_answer_waits_for_its_first_byte():
    assert answer_of((None, False), CHUNKED).take(b"", [], False) == b""


@pytest.mark.parametrize(
    "head",
    [
        CHUNKED,
        ResponseHead(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500"),
    ],
)
def test_an_answer_that_cannot_hold_an_error_is_cut(head):
    answer = answer_of((None, False), head)
    answer.take(b"x", [b"x"], False)
    assert answer.broken(UpstreamFailed("it broke"), Dialect.OPENAI) is None


def test_an_endless_event_is_passed_on_in_pieces():
    answer, piece = answer_of((None, False)), b"x" * 100_000
    sent = sum(len(answer.take(chunk(piece), [piece], False)) for _ in range(30))
    assert sent > 1_500_000
