"""How an error looks in each API: as a body, and as an event in a stream whose status is long
gone. Nothing else in the gateway writes an error by hand.
"""

import json
from typing import Any, Final

from gateway.errors import GatewayError
from gateway.request.endpoints import Dialect

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: GatewayError, dialect: Dialect = Dialect.OPENAI) -> bytes:
    """The JSON document. Every API's clients find type, message, code and param."""
    detail: dict[str, Any] = {
        "message": error.message,
        "type": error.kind,
        "param": error.param,
        "code": error.code,
    }
    if dialect is Dialect.ANTHROPIC:
        detail["type"] = _anthropic_type(error.status)
        return json.dumps({"type": "error", "error": detail}).encode()
    return json.dumps({"error": detail}).encode()


def error_event(error: GatewayError, dialect: Dialect = Dialect.OPENAI) -> bytes:
    """The event that ends a broken stream. The SDKs raise it as an API error."""
    if dialect is Dialect.ANTHROPIC:
        return b"event: error\ndata: " + error_body(error, dialect) + b"\n\n"
    if dialect is Dialect.RESPONSES:
        detail = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "error": {"type": error.kind, "code": error.code, "message": error.message},
        }
        return b"event: error\ndata: " + json.dumps(detail).encode() + b"\n\n"
    return b"data: " + error_body(error) + b"\n\n"


def _anthropic_type(status: int) -> str:
    fallback = "api_error" if status >= 500 else "invalid_request_error"
    return _ANTHROPIC_TYPES.get(status, fallback)
