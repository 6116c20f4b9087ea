"""What can be wrong with a key, its limits or the place where both are kept.

GatewayError
├── Unauthorized
│   └── KeyExpired          the key was valid until a moment ago
├── EndpointForbidden       the key may not use this path
├── AdminOnly               a client key where the admin credential belongs
├── LimitExceeded           too many requests or tokens for now
│   └── QuotaExhausted      nothing left until the period ends; a retry is in vain
├── KeyNotFound, KeyOfSettings, KeyRevoked, TooManyKeys, UnknownScope
├── NoKeyStore              the gateway runs without a data folder
└── StorageUnavailable      disk full, read-only, damaged
"""

from collections.abc import Collection
from typing import Final

from gateway.errors import CALLER_FAULT, BadRequest, GatewayError, Unauthorized

_SECOND_NS: Final = 1_000_000_000


class KeyExpired(Unauthorized):
    """A known key after its end."""

    code = "api_key_expired"

    def __init__(self) -> None:
        super().__init__("This API key has expired. Ask your administrator for a new one.")


class EndpointForbidden(GatewayError):
    """The key is known and its scope leaves this endpoint out."""

    status = 403
    kind = CALLER_FAULT
    code = "endpoint_not_allowed"

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"This API key may not use {endpoint}.")


class AdminOnly(GatewayError):
    """A client key was presented to /admin."""

    status = 403
    kind = CALLER_FAULT
    code = "admin_only"

    def __init__(self) -> None:
        super().__init__("A client key cannot manage keys; /admin takes the admin credential only.")


class LimitExceeded(GatewayError):
    """A limit of the key that time restores. ``kind`` is `requests` or `tokens`, as OpenAI says;
    without ``wait_ns`` a retry is in vain.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, kind: str, wait_ns: int | None) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait_ns = wait_ns
        if wait_ns is not None:
            self.retry_after_s = wait_ns / _SECOND_NS

    @property
    def should_retry(self) -> bool:
        """Whether the same request will pass later."""
        return self.wait_ns is not None


class QuotaExhausted(LimitExceeded):
    """The tokens of the day or the budget are used up."""

    code = "insufficient_quota"

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="insufficient_quota", wait_ns=None)


class KeyOfSettings(GatewayError):
    """The key stands in the settings, where nobody here can change it."""

    status = 409
    kind = CALLER_FAULT
    code = "key_of_settings"

    def __init__(self) -> None:
        super().__init__("This key stands in the gateway's settings: change it there.")


class KeyNotFound(GatewayError):
    """No key has this id."""

    status = 404
    kind = CALLER_FAULT
    code = "key_not_found"

    def __init__(self) -> None:
        super().__init__("There is no key with this id.")


class KeyRevoked(GatewayError):
    """A revoked key stays in the list and can no longer change."""

    status = 409
    kind = CALLER_FAULT
    code = "key_revoked"

    def __init__(self) -> None:
        super().__init__("This key is revoked, which is final. Create a new one.")


class TooManyKeys(GatewayError):
    """The table of limits has no row left."""

    status = 409
    kind = CALLER_FAULT
    code = "too_many_keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} keys already, revoked ones included; no more fit.")


class UnknownScope(BadRequest):
    """A scope names something the gateway does not have."""

    code = "unknown_scope"

    def __init__(self, field: str, wrong: Collection[str], known: Collection[str]) -> None:
        super().__init__(
            f"{field}: unknown: {', '.join(sorted(wrong))}; known: {', '.join(sorted(known))}.",
            param=field,
        )


class NoKeyStore(GatewayError):
    """Keys come from files only."""

    status = 409
    kind = CALLER_FAULT
    code = "no_key_store"

    def __init__(self) -> None:
        super().__init__(
            "This gateway keeps no keys: its settings name no data_dir. "
            "Set data_dir to a folder it may write, and restart it."
        )


class StorageUnavailable(GatewayError):
    """Keys and usage cannot be read or written now; known keys stay in force."""

    status = 503
    code = "storage_unavailable"
    retry_after_s = 5
