"""A key: what an administrator decided about it, and the lean view of it that requests meet."""

import dataclasses
import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from contract.gateway_settings import ApiKey
from gateway.access.period import PERIODS, Period

MINUTE_NS: Final = 60_000_000_000
ROWS: Final = 65536  # of the table of limits
FILE_ROWS: Final = 1024  # of these, for keys from files
CELLS: Final = 16  # of 8 bytes, per row

_LINES: Final = (
    b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%b\r\n"
)


class Priority(IntEnum):
    """Who is served first when requests wait."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an administrator decides about a key; None: everything, for ever, without a limit."""

    name: str
    models: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    priority: Priority = Priority.NORMAL
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    daily_tokens: int | None = None
    budget_micro: int | None = None
    budget_period: Period = Period.MONTH
    expires_at: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SecretRecord:
    """One text that opens as this key; two while a rotation overlaps."""

    created_at: float
    expires_at: float | None


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """A key as the store keeps it."""

    row: int
    id: str
    created_at: float
    revoked_at: float | None
    terms: Terms
    secrets: tuple[SecretRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a request needs of a key. The steps are derived once, here, and not per request.
    ``limit_lines`` are the header lines about its limits, with places for what is left of each.
    """

    id: str
    row: int
    name: str
    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    priority: int = Priority.NORMAL
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    daily_tokens: int | None = None
    budget_micro: int | None = None
    budget_period: Period = Period.MONTH
    expires_at: float = math.inf
    limited: bool = field(init=False)
    cell: int = field(init=False)
    period: int = field(init=False)
    # Rounded up to whole nanoseconds: the rate is never above the limit, and below it by less
    # than 1 part in a million for a thousand a second.
    request_ns: int = field(init=False)
    token_ns: int = field(init=False)
    request_burst_ns: int = field(init=False)
    token_burst_ns: int = field(init=False)
    limit_lines: bytes = field(init=False)

    def __post_init__(self) -> None:
        limits = (self.rpm, self.tpm, self.concurrency, self.daily_tokens, self.budget_micro)
        put = object.__setattr__
        put(self, "limited", any(limit is not None for limit in limits))
        put(self, "cell", self.row * CELLS)
        put(self, "period", PERIODS.index(self.budget_period))
        put(self, "request_ns", -(-MINUTE_NS // self.rpm) if self.rpm else 0)
        put(self, "token_ns", -(-MINUTE_NS // self.tpm) if self.tpm else 0)
        put(self, "request_burst_ns", self.request_ns * (self.rpm or 0))
        put(self, "token_burst_ns", self.token_ns * (self.tpm or 0))
        rates = ((b"requests", self.rpm), (b"tokens", self.tpm))
        lines = (_LINES % (kind, rate, kind, kind) for kind, rate in rates if rate)
        put(self, "limit_lines", b"".join(lines))

    def until(self, expires_at: float) -> "Key":
        """The same key with another end."""
        return dataclasses.replace(self, expires_at=expires_at)


def key_of(record: KeyRecord) -> Key:
    """The lean view of a stored key."""
    terms = record.terms
    return Key(
        id=record.id,
        row=record.row,
        name=terms.name,
        models=None if terms.models is None else frozenset(terms.models),
        endpoints=None if terms.endpoints is None else frozenset(terms.endpoints),
        priority=int(terms.priority),
        rpm=terms.rpm,
        tpm=terms.tpm,
        concurrency=terms.concurrency,
        daily_tokens=terms.daily_tokens,
        budget_micro=terms.budget_micro,
        budget_period=terms.budget_period,
        expires_at=math.inf if terms.expires_at is None else terms.expires_at,
    )


def file_key(key: ApiKey, place: int) -> Key:
    """A key from a file: no limits, and a row counted from the top of the table, where the store's
    keys never come.

    Raises:
        ValueError: files hold more keys than rows are set aside.
    """
    if place >= FILE_ROWS:
        msg = f"the settings hold more than {FILE_ROWS} keys; create keys in data_dir instead"
        raise ValueError(msg)
    return Key(id=key.id, row=ROWS - 1 - place, name=key.id)
