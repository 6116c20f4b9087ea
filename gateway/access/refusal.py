"""What a client is told when a limit of its key has no room: which limit, its value, and when it
pays to come again. Pure; does not decide.
"""

from typing import Final

from gateway.access.errors import LimitExceeded, QuotaExhausted
from gateway.access.key import Key
from gateway.access.period import Period, end_of

MILLISECOND_NS: Final = 1_000_000

_CONCURRENCY_WAIT_NS: Final = 1_000_000_000
_RESET: Final = "It resets at {}."
_NO_RESET: Final = "It does not reset; ask your administrator."


def duration(nanoseconds: int) -> str:
    """A time as OpenAI writes it: `20ms`, `1.5s`, `6m0s`. Rounded up."""
    milliseconds = -(-nanoseconds // MILLISECOND_NS)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def too_many_requests(key: Key, ahead: int) -> LimitExceeded:
    """The bucket of requests is empty; ``ahead`` is where it would stand."""
    wait = ahead - key.request_burst_ns
    return LimitExceeded(
        f"Rate limit reached for key {key.id} on requests per minute (rpm): limit {key.rpm}. "
        f"Please try again in {duration(wait)}.",
        kind="requests",
        wait_ns=wait,
    )


def too_many_tokens(key: Key, estimate: int, ahead: int) -> LimitExceeded:
    """The bucket of tokens has too little, or is too small for this request at any time."""
    limit = key.tpm or 0
    if estimate > limit:
        return LimitExceeded(
            f"Request too large for key {key.id} on tokens per minute (tpm): limit {limit}, "
            f"requested {estimate}. Shorten the prompt or lower max_tokens.",
            kind="tokens",
            wait_ns=None,
        )
    wait = ahead - key.token_burst_ns
    return LimitExceeded(
        f"Rate limit reached for key {key.id} on tokens per minute (tpm): limit {limit}, "
        f"requested {estimate}. Please try again in {duration(wait)}.",
        kind="tokens",
        wait_ns=wait,
    )


def too_many_at_once(key: Key) -> LimitExceeded:
    """As many requests as the key may have are running."""
    return LimitExceeded(
        f"Rate limit reached for key {key.id} on requests at once (concurrency): "
        f"limit {key.concurrency}. Please try again when one has ended.",
        kind="requests",
        wait_ns=_CONCURRENCY_WAIT_NS,
    )


def day_used_up(key: Key, estimate: int, used: int, day: int) -> LimitExceeded:
    """What is left of the day is less than the estimate."""
    return QuotaExhausted(
        f"Quota exceeded for key {key.id} on tokens per day (daily_tokens): limit "
        f"{key.daily_tokens}, used {used}, requested {estimate}. "
        + _RESET.format(end_of(Period.DAY, day))
    )


def budget_used_up(key: Key, used: int, day: int) -> LimitExceeded:
    """Nothing is left of the budget."""
    end = end_of(key.budget_period, day)
    return QuotaExhausted(
        f"Quota exceeded for key {key.id} on its budget (budget_period {key.budget_period}): limit "
        f"{(key.budget_micro or 0) / 1e6:.2f}, used {used / 1e6:.2f}. "
        + (_NO_RESET if end is None else _RESET.format(end))
    )
