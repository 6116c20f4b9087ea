"""Reads one text field of a multipart form, as uploads of audio are sent. Owns no HTTP."""

from typing import Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from gateway.errors import BadRequest

_LONGEST_VALUE: Final = 256


class _Field:
    """Collects the value of the part with one name; everything else passes unread."""

    def __init__(self, name: str) -> None:
        self._wanted = name.encode()
        self._header = self._header_value = b""
        self._inside = False
        self.value: bytes | None = None

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._name,
            "on_header_value": self._text,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
        }

    def _begin(self) -> None:
        self._header = self._header_value = b""
        self._inside = False

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _text(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            options = parse_options_header(self._header_value)[1]
            self._inside = options.get(b"name") == self._wanted and b"filename" not in options
            if self._inside and self.value is None:
                self.value = b""
        self._header = self._header_value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside and self.value is not None:
            self.value += data[start : min(end, start + _LONGEST_VALUE)]


def form_field(content: bytes, content_type: bytes, name: str) -> str | None:
    """The text of a field, or None when the form lacks it.

    Raises:
        BadRequest: this is no multipart form.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest("The request body must be multipart/form-data.")
    field = _Field(name)
    try:
        parser = MultipartParser(boundary, field.callbacks())  # type: ignore[arg-type]
        parser.write(content)
        parser.finalize()
    except FormParserError:
        raise BadRequest("We could not parse the form of your request.") from None
    return None if field.value is None else field.value.decode("utf-8", "replace")
