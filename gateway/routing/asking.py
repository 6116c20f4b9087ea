"""How routing asks an expert something for itself, and what a failed question looks like."""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.errors import GatewayError

# Expert, path, JSON body -> the body of a successful answer. Raises GatewayError for any other.
Ask = Callable[[str, str, bytes], Awaitable[bytes]]

# TimeoutError is an OSError; answers that make no sense are ValueErrors.
FAILURES: Final = (GatewayError, OSError, ValueError)


def reason_of(error: Exception) -> str:
    """Why a question failed, for people."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return f"{error}" or type(error).__name__
