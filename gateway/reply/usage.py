"""Reads what an answer cost, in every form the APIs write it. Pure.

``"usage": {`` cannot stand in an answer by accident: inside a JSON string its quotes are escaped.
"""

from typing import Final

import msgspec

_KEY: Final = b'"usage":'
_TIMINGS: Final = b'"timings":'
_WHOLE: Final = 4096  # up to this, reading all of an answer is faster than searching in it


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int = 0


class _Written(msgspec.Struct, gc=False):
    """OpenAI's names, Anthropic's and those of the Responses API in one."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: _Written | None = None


class _Timings(msgspec.Struct, gc=False):
    """llama-server's own count, in the last event of every stream and in every answer."""

    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0


class Usage(msgspec.Struct, gc=False):
    """Tokens of one request. ``cached`` is part of ``prompt``."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


_decode_written: Final = msgspec.json.Decoder(_Written).decode


class _Counted(msgspec.Struct, gc=False):
    input_tokens: int


_decode_counted: Final = msgspec.json.Decoder(_Counted).decode
_decode_answer: Final = msgspec.json.Decoder(_Answer).decode
_decode_timings: Final = msgspec.json.Decoder(_Timings).decode


def read_usage(text: bytes) -> Usage | None:
    """The last usage in a piece of JSON or of an event stream, or None."""
    place = text.rfind(_KEY)
    if place >= 0:
        found = _object(text, place + len(_KEY))
        if found is not None:
            try:
                return _usage(_decode_written(found))
            except msgspec.DecodeError:
                pass
    place = text.rfind(_TIMINGS)
    if place >= 0:
        found = _object(text, place + len(_TIMINGS))
        if found is not None:
            try:
                timings = _decode_timings(found)
            except msgspec.DecodeError:
                return None
            return Usage(
                prompt=timings.prompt_n + timings.cache_n,
                cached=timings.cache_n,
                completion=timings.predicted_n,
            )
    return None


def read_whole(text: bytes) -> Usage | None:
    """The usage of a JSON answer that is there as a whole."""
    if len(text) > _WHOLE:
        return read_usage(text)
    try:
        written = _decode_answer(text).usage
    except msgspec.DecodeError:
        return None
    return None if written is None else _usage(written)


def read_count(text: bytes) -> int:
    """The tokens of a prompt, from an answer to the question for them.

    Raises:
        msgspec.DecodeError: it is no such answer.
    """
    return _decode_counted(text).input_tokens


def merge(known: Usage | None, later: Usage | None) -> Usage | None:
    """What two reports of one stream say together: the Messages API tells the prompt at the start
    and the answer at the end.
    """
    if known is None or later is None:
        return later or known
    return Usage(
        prompt=max(known.prompt, later.prompt),
        cached=max(known.cached, later.cached),
        completion=max(known.completion, later.completion),
    )


def _usage(written: _Written) -> Usage:
    prompt = written.prompt_tokens
    completion = written.completion_tokens or written.output_tokens or 0
    cached = 0
    details = written.prompt_tokens_details or written.input_tokens_details
    if details is not None:
        cached = details.cached_tokens
    if prompt is None:
        prompt = written.input_tokens or 0
        if written.cache_read_input_tokens is not None:
            # The Messages API counts what came from the cache beside the input, not in it.
            cached = written.cache_read_input_tokens
            prompt += cached
    if prompt == 0 and completion == 0 and written.total_tokens:
        prompt = written.total_tokens
    return Usage(prompt=prompt, cached=cached, completion=completion)


def _object(text: bytes, place: int) -> bytes | None:
    """The JSON object that starts behind a key; it holds no strings with braces."""
    start = text.find(b"{", place, place + 3)
    if start < 0:
        return None
    end = start
    while True:
        end = text.find(b"}", end)
        if end < 0:
            return None
        end += 1
        if text.count(b"{", start, end) == text.count(b"}", start, end):
            return text[start:end]
