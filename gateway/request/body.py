"""Reads what the gateway must know of a request body. Owns no HTTP; changes nothing.

A body is checked to be valid JSON as a whole, because llama-server answers 500 to one that is
not, but only a handful of its fields become Python objects: what a prompt says stays bytes.
"""

from typing import Any, Final

import msgspec

from gateway.errors import BadRequest
from gateway.request.endpoints import Endpoint
from gateway.request.form import form_field

_EMPTY: Final = msgspec.Raw(b"")


class Body(msgspec.Struct, gc=False):
    """The fields that steer. ``msgspec.Raw`` is JSON text as it stands in the body."""

    model: str | None = None
    stream: bool | None = None
    messages: msgspec.Raw = _EMPTY
    system: msgspec.Raw = _EMPTY
    input: msgspec.Raw = _EMPTY
    prompt: msgspec.Raw = _EMPTY
    tools: msgspec.Raw = _EMPTY
    tool_choice: msgspec.Raw = _EMPTY
    parallel_tool_calls: bool | None = None
    stream_options: msgspec.Raw = _EMPTY
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None

    def answer_tokens(self) -> int:
        """The most tokens the answer may have, as far as the client says; else 0."""
        for limit in (self.max_completion_tokens, self.max_tokens, self.max_output_tokens):
            if type(limit) is int and 0 < limit < 1 << 31:
                return limit
        return 0


_decode: Final = msgspec.json.Decoder(Body).decode
_decode_form_values: Final = {"true": True, "false": False}


def read_body(content: bytes, endpoint: Endpoint, content_type: bytes) -> Body:
    """The steering fields of a request.

    Raises:
        BadRequest: it is no JSON object in UTF-8 (or no form, where one is due), or a field that
            steers has the wrong type.
    """
    if endpoint.form:
        return _read_form(content, content_type)
    try:
        if not content.isascii():
            str(content, "utf-8")
        return _decode(content)
    except msgspec.ValidationError as error:
        field = _field(str(error))
        if field is None:
            raise BadRequest("The request body must be a JSON object.") from None
        raise BadRequest(f"`{field}` has the wrong type.", param=field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("We could not parse the JSON body of your request.") from None


def _read_form(content: bytes, content_type: bytes) -> Body:
    model = form_field(content, content_type, "model")
    stream = form_field(content, content_type, "stream")
    return Body(model=model, stream=_decode_form_values.get(stream or ""))


def _field(complaint: str) -> str | None:
    # msgspec ends its complaints with " - at `$.field`" for a field and without one for the whole.
    _, found, rest = complaint.partition("`$.")
    return rest.split("`")[0] if found else None
