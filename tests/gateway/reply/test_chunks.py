"""Chunked answers, cut anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reply.chunks import LAST_CHUNK, BadChunks, ChunkReader, chunk

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
CUTS = st.lists(st.integers(0, 400), max_size=8)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(PAYLOADS, CUTS)
def test_any_cut_gives_the_same_payloads_and_the_same_bytes(payloads, cuts):
    text = b"".join(map(chunk, payloads)) + LAST_CHUNK
    reader, read, raw = ChunkReader(), [], b""
    for piece in pieces(text, cuts):
        raw += reader.feed(piece)
        read += reader.payloads
        assert (raw == text) is reader.done
    assert reader.done
    assert (read, raw, reader.held) == (payloads, text, b"")


@given(PAYLOADS, CUTS)
def test_what_is_passed_on_before_the_end_is_always_whole_chunks(payloads, cuts):
    text = b"".join(map(chunk, payloads))
    reader, raw = ChunkReader(), b""
    for piece in pieces(text, cuts):
        raw += reader.feed(piece)
        again = ChunkReader()
        assert again.feed(raw) == raw
        assert again.held == b""


@pytest.mark.parametrize(
    "text",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabcxx",
        b"0\r\n\r\nmore",
        b"1" * 2000,
    ],
)
def test_what_is_no_chunk_is_refused(text):
    with pytest.raises(BadChunks):
        ChunkReader().feed(text)


def test_extensions_and_trailers_are_understood():
    reader = ChunkReader()
    text = b"3;name=value\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n"
    assert reader.feed(text) == text
    assert (reader.payloads, reader.done) == ([b"abc"], True)
