"""How errors look to each API's clients."""

import json

import pytest

from gateway.errors import BadRequest, GatewayError, NoReplica, QueueFull, Unauthorized
from gateway.reply.dialects import error_body, error_event
from gateway.request.endpoints import Dialect

ERRORS = [BadRequest("no", param="x"), Unauthorized("no"), NoReplica("no")]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_body_holds_message_type_param_and_code(dialect, error):
    document = json.loads(error_body(error, dialect))
    assert document["error"].keys() == {"message", "type", "param", "code"}
    assert document["error"]["message"] == "no"
    assert document["error"]["code"] == error.code


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_anthropics_clients_get_anthropics_types(status, kind):
    error = GatewayError("no")
    error.status = status
    document = json.loads(error_body(error, Dialect.ANTHROPIC))
    assert (document["type"], document["error"]["type"]) == ("error", kind)


@pytest.mark.parametrize(
    ("dialect", "start"),
    [
        (Dialect.OPENAI, "data: "),
        (Dialect.RESPONSES, "event: error\ndata: "),
        (Dialect.ANTHROPIC, "event: error\ndata: "),
    ],
)
def test_an_event_is_one_event_of_the_stream_it_ends(dialect, start):
    text = error_event(NoReplica("line\none"), dialect).decode()
    assert text.startswith(start)
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    document = json.loads(text.removeprefix(start))
    if dialect is Dialect.RESPONSES:
        assert (document["type"], document["code"]) == ("error", "expert_unavailable")
    else:
        assert document["error"]["code"] == "expert_unavailable"


@pytest.mark.parametrize(("seconds", "whole"), [(0.2, "1"), (1.2, "2"), (0.0, "1")])
def test_the_sdks_are_told_when_to_try_again(seconds, whole):
    headers = QueueFull("no", retry_after_s=seconds).headers()
    assert headers["x-should-retry"] == "true"
    assert headers["retry-after"] == whole
    assert int(headers["retry-after-ms"]) == max(1, round(seconds * 1000))


def test_what_will_never_pass_is_not_to_be_tried_again():
    assert BadRequest("no").headers() == {"x-should-retry": "false"}
