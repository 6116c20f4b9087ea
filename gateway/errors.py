"""What clients are told when something is wrong. Owns the error tree and its headers; how an error
looks in each API is in ``gateway.reply.dialects``.

GatewayError            (those of keys and limits: access.errors; of routing: routing.errors)
├── BadRequest            400
├── Unauthorized          401
├── ModelNotFound         404
├── MethodNotAllowed      405
├── RequestTimedOut       408
├── BodyTooLarge          413
├── HeadTooLarge          431
├── QueueFull             429  too many wait already
├── QueueTimedOut         503  no slot came free in time
├── NoReplica             503
├── NotWorking            503
├── ShuttingDown          503
├── UpstreamFailed        502
├── UpstreamSilent        504
├── UpstreamRefused       the replica's own status
└── Internal              500
"""

import math
from typing import Final

OWN_FAULT: Final = "server_error"
CALLER_FAULT: Final = "invalid_request_error"
LIMIT: Final = "rate_limit_error"

_SHOWN_CHARACTERS: Final = 100


class GatewayError(Exception):
    """An answer other than the one asked for. ``message`` is for the client's eyes."""

    status = 500
    kind = OWN_FAULT
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if param is not None:
            self.param = param

    def headers(self) -> dict[str, str]:
        """Headers beside content-type and content-length. The official SDKs retry what
        ``x-should-retry`` says, after ``retry-after-ms``.
        """
        if self.retry_after_s is None:
            return {"x-should-retry": "false"}
        return {
            "x-should-retry": "true",
            "retry-after": str(max(1, math.ceil(self.retry_after_s))),
            "retry-after-ms": str(max(1, math.ceil(self.retry_after_s * 1000))),
        }


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
        return super().headers() | {"www-authenticate": "Bearer"}


class ModelNotFound(GatewayError):
    """The model is none of the experts or aliases, or not one this key may use."""

    status = 404
    kind = CALLER_FAULT
    code = "model_not_found"
    param = "model"

    def __init__(self, model: str) -> None:
        shown = model[:_SHOWN_CHARACTERS]
        super().__init__(f"The model `{shown}` does not exist or you do not have access to it.")


class MethodNotAllowed(GatewayError):
    """The path exists and takes another method."""

    status = 405
    kind = CALLER_FAULT
    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path takes {allowed} only.")
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return super().headers() | {"allow": self.allowed}


class RequestTimedOut(GatewayError):
    """The client took too long to send its request."""

    status = 408
    kind = CALLER_FAULT
    code = "request_timeout"


class BodyTooLarge(GatewayError):
    """The body exceeds the limit; it was not read to its end."""

    status = 413
    kind = CALLER_FAULT
    code = "request_too_large"


class HeadTooLarge(GatewayError):
    """The request's headers exceed the limit."""

    status = 431
    kind = CALLER_FAULT
    code = "headers_too_large"


class QueueFull(GatewayError):
    """As many requests wait for this expert as may."""

    status = 429
    kind = LIMIT
    code = "queue_full"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueTimedOut(QueueFull):
    """The request waited and no slot came free."""

    status = 503
    kind = OWN_FAULT
    code = "queue_timeout"


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
    retry_after_s = 1


class UpstreamSilent(GatewayError):
    """A replica took the request and said nothing for too long."""

    status = 504
    code = "upstream_timeout"


class UpstreamRefused(GatewayError):
    """A replica answered with an error of its own, which is passed on in this tree's words."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.kind = CALLER_FAULT if status < 500 else OWN_FAULT
        self.code = code
        if status in (408, 409, 429, 502, 503, 504):
            self.kind = LIMIT if status == 429 else self.kind
            self.retry_after_s = 1


class Internal(GatewayError):
    """A fault of the gateway that nobody foresaw; the log has it."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("The gateway failed on this request.")
