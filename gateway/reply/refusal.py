"""Understands a replica's own error and says it in the gateway's words. Pure."""

import json
from typing import Final

from gateway.errors import GatewayError, NoReplica, UpstreamFailed, UpstreamRefused

_CODES: Final = {
    "exceed_context_size_error": "context_length_exceeded",
    "not_supported_error": "unsupported",
    "unavailable_error": "expert_unavailable",
}
# llama-server answers 500 to what is plainly the request's fault: a value of the wrong type, a
# template that refuses the messages, an input that is too long for the batch.
_CALLERS: Final = (
    "[json.exception.",
    "Failed to parse",
    "is too large to process",
    "is required",
    "elements must be",
    "vector::",
    "template",
)
_LONGEST_MESSAGE: Final = 2000  # some errors repeat the whole request


def refusal(status: int, answer: bytes) -> GatewayError:
    """The error for a client when a replica answered with one."""
    detail = _detail(answer)
    message = str(detail.get("message") or f"The expert answered HTTP {status}.")
    if status in (401, 403):
        # A refused upstream key is this system's fault, and no caller's key could mend it.
        return UpstreamFailed("The expert refused the gateway's own key.")
    # An answer too long to be kept as a whole is no JSON any more, and still shows its cause.
    shown = message if detail else answer[:_LONGEST_MESSAGE].decode("utf-8", "replace")
    if status == 500 and any(mark in shown for mark in _CALLERS):
        status = 400
        message = message if detail else "The expert cannot use this request."
    known = _CODES.get(str(detail.get("type") or ""))
    code = detail.get("code")
    if known is None and isinstance(code, str):
        known = code
    if known is None and status == 503:
        known = NoReplica.code
    param = detail.get("param")
    return UpstreamRefused(
        status,
        message[:_LONGEST_MESSAGE],
        code=known,
        param=param if isinstance(param, str) else None,
    )


def _detail(answer: bytes) -> dict[str, object]:
    try:
        detail = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return detail if isinstance(detail, dict) else {"message": detail}
