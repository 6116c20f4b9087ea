"""What clients are told when something is wrong, in OpenAI's shape. Owns the error tree, the
bodies and the codes; nothing else in the gateway writes an error by hand.
"""

import json
from typing import Final

OWN_FAULT: Final = "server_error"
CALLER_FAULT: Final = "invalid_request_error"

_SHOWN_CHARACTERS: Final = 100


class GatewayError(Exception):
    """An answer other than the one asked for. ``message`` is for the client's eyes."""

    status = 500
    kind = OWN_FAULT
    code: str | None = None
    param: str | None = None
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if param is not None:
            self.param = param

    def body(self) -> bytes:
        """The JSON document."""
        return error_body(self.message, kind=self.kind, code=self.code, param=self.param)

    def headers(self) -> dict[str, str]:
        """Headers beside content-type and content-length."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}


class BadRequest(GatewayError):
    """The body is no valid request."""

    status = 400
    kind = CALLER_FAULT


class Unauthorized(GatewayError):
    """No key, or one that is not known."""

    status = 401
    kind = CALLER_FAULT
    code = "invalid_api_key"

    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"}


class ModelNotFound(GatewayError):
    """The model is none of the experts or aliases."""

    status = 404
    kind = CALLER_FAULT
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        shown = model[:_SHOWN_CHARACTERS]
        super().__init__(f"The model `{shown}` does not exist or you do not have access to it.")


class BodyTooLarge(GatewayError):
    """The body exceeds the limit; it was not read to its end."""

    status = 413
    kind = CALLER_FAULT
    code = "request_too_large"


class NoReplica(GatewayError):
    """The expert exists and nothing serves it at this moment."""

    status = 503
    code = "expert_unavailable"
    retry_after_s = 1


class NotWorking(GatewayError):
    """The gateway itself is broken and wants to be restarted."""

    status = 503
    code = "gateway_broken"


class ShuttingDown(GatewayError):
    """The gateway ends before the answer does."""

    status = 503
    code = "gateway_restarting"
    retry_after_s = 1


class UpstreamFailed(GatewayError):
    """Every replica that took the request lost it before its first byte."""

    status = 502
    code = "upstream_failed"


class UpstreamSilent(GatewayError):
    """A replica took the request and said nothing for too long."""

    status = 504
    code = "upstream_timeout"


class UpstreamRefused(GatewayError):
    """A replica answered with an error of its own, which is passed on in OpenAI's shape."""

    def __init__(self, status: int, answer: bytes) -> None:
        detail = _detail(answer)
        kind = str(detail.get("type") or "")
        super().__init__(str(detail.get("message") or f"The expert answered HTTP {status}."))
        self.status = status
        self.kind = CALLER_FAULT if status < 500 else OWN_FAULT
        self.code = _CODES.get(kind)


_CODES: Final = {
    "exceed_context_size_error": "context_length_exceeded",
    "not_supported_error": "unsupported",
    "unavailable_error": "expert_unavailable",
}


def error_body(
    message: str, *, kind: str, code: str | None = None, param: str | None = None
) -> bytes:
    """The one shape of every error."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def error_event(error: GatewayError) -> bytes:
    """An error as a server-sent event, for a stream whose status is long gone."""
    return b"data: " + error.body() + b"\n\n"


def _detail(answer: bytes) -> dict[str, object]:
    try:
        detail = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return detail if isinstance(detail, dict) else {"message": detail}
