"""One field of a form, among files."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.request.form import form_field

KIND = b"multipart/form-data; boundary=B0"


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b"--B0\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (said.encode(), content)
        for said, content in parts
    )
    return body + b"--B0--\r\n"


AUDIO = ('name="file"; filename="a.wav"', b"RIFF\r\n\r\nname=model")


def test_a_field_is_found_between_files():
    content = form(AUDIO, ('name="model"', b"whisper"), AUDIO)
    assert form_field(content, KIND, "model") == "whisper"
    assert form_field(content, KIND, "prompt") is None


def test_a_file_of_that_name_is_no_field():
    assert form_field(form(('name="model"; filename="x"', b"evil")), KIND, "model") is None


def test_a_field_without_text_is_empty_and_not_absent():
    assert form_field(form(('name="model"', b"")), KIND, "model") == ""


def test_an_endless_field_is_cut():
    found = form_field(form(('name="model"', b"x" * 10_000)), KIND, "model")
    assert found is not None
    assert len(found) == 256


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", b"application/json"),
        (b"", b"multipart/form-data"),
        (b"no form at all", KIND),
    ],
)
def test_what_is_no_form_is_refused(content, kind):
    with pytest.raises(BadRequest):
        form_field(content, kind, "model")


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_nothing_else(content, kind):
    for one in (KIND, kind):
        with contextlib.suppress(BadRequest):
            form_field(content, one, "model")
