"""What a key may do, as options of a command. Owns their names and how people write their values;
the gateway decides what is allowed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from ops.errors import OpsError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FIELDS: Final = {
    "name": "name",
    "model": "models",
    "endpoint": "endpoints",
    "rpm": "rpm",
    "tpm": "tpm",
    "concurrency": "concurrency",
    "daily_tokens": "daily_tokens",
    "budget": "budget",
    "budget_period": "budget_period",
    "priority": "priority",
}
_ALWAYS_SET: Final = ("name", "budget_period", "priority")
_REMOVABLE: Final = {
    option.replace("_", "-"): field
    for option, field in _FIELDS.items()
    if option not in _ALWAYS_SET
} | {"expires": "expires_at"}

Models = Annotated[
    list[str] | None, typer.Option("--model", "-m", help="May ask this one; default: all.")
]
Endpoints = Annotated[
    list[str] | None, typer.Option("--endpoint", help="May use this path; default: all.")
]
Rpm = Annotated[int | None, typer.Option("--rpm", help="Requests per minute.")]
Tpm = Annotated[int | None, typer.Option("--tpm", help="Tokens per minute.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Requests at once.")]
DailyTokens = Annotated[int | None, typer.Option("--daily-tokens", help="Tokens per day (UTC).")]
Budget = Annotated[
    float | None, typer.Option("--budget", help="Cost per period, in the unit of the prices.")
]
BudgetPeriod = Annotated[
    str | None, typer.Option("--budget-period", help="day, month (default) or total.")
]
Priority = Annotated[str | None, typer.Option("--priority", help="high, normal (default) or low.")]
ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", help="Ends after this time: 12h, 30d.")
]
Removed = Annotated[
    list[str] | None,
    typer.Option("--remove", help=f"Take this limit away: {', '.join(_REMOVABLE)}."),
]


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request to /admin, from a command's options: those that were named.

    Raises:
        OpsError: ``expires_in`` is no time.
    """
    fields = {field: options[option] for option, field in _FIELDS.items()}
    if options["expires_in"] is not None:
        fields["expires_in_s"] = seconds(options["expires_in"])
    return {name: value for name, value in fields.items() if value not in (None, [], ())}


def removed(limits: Sequence[str], fields: Collection[str]) -> Mapping[str, None]:
    """The fields that take these limits away; ``fields`` are those that are given a value.

    Raises:
        OpsError: a limit is unknown, or both given and taken.
    """
    found: dict[str, None] = {}
    for limit in limits:
        field = _REMOVABLE.get(limit)
        if field is None:
            msg = f"--remove {limit}: there is no such limit; there are {', '.join(_REMOVABLE)}"
            raise OpsError(msg)
        if field in fields or (field == "expires_at" and "expires_in_s" in fields):
            msg = f"--remove {limit}: it is also given a value; name one of the two"
            raise OpsError(msg)
        found[field] = None
    return found


def seconds(text: str) -> float:
    """A time as people write it: 90s, 15m, 12h, 30d.

    Raises:
        OpsError: it is none.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal():
        msg = f"{text!r} is no time; write a number and s, m, h or d, e.g. 30d"
        raise OpsError(msg)
    return int(number) * _UNITS[unit]
