"""What /admin takes and answers, as documents. Owns the fields' names, their ranges and the way
back from stored values; no answer holds more of a key than its id.
"""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gateway.access.key import Key, KeyRecord, Priority, Terms
from gateway.access.period import Period, date_of
from gateway.access.usage import Counters, Report
from gateway.errors import BadRequest

MICRO: Final = 1_000_000

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Names = Annotated[list[Name], Field(min_length=1, max_length=1000)]
Label = Annotated[str, StringConstraints(max_length=500)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=40)]

DocumentType = TypeVar("DocumentType", bound=BaseModel)


# Later ends could not be told in a list: in some zone of the world they lie beyond the last date.
_LAST: Final = 253_402_214_400.0  # 9999-12-31


class _Fields(BaseModel):
    """What can be said about a key; an absent or null limit is none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    models: Names | None = Field(default=None, description="Models it may ask for; null: all.")
    endpoints: Names | None = Field(default=None, description="Endpoints it may use; null: all.")
    rpm: int | None = Field(default=None, gt=0, le=10**7, description="Requests per minute.")
    tpm: int | None = Field(default=None, gt=0, le=10**9, description="Tokens per minute.")
    concurrency: int | None = Field(default=None, gt=0, le=10**6, description="Requests at once.")
    daily_tokens: int | None = Field(
        default=None, gt=0, le=10**15, description="Tokens per UTC day."
    )
    budget: float | None = Field(
        default=None, ge=0, le=10**9, description="Cost per period, in the unit of the prices."
    )
    budget_period: Literal["day", "month", "total"] = Field(
        default="month", description="When the budget begins anew."
    )
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Who is served first when requests wait."
    )
    expires_in_s: float | None = Field(
        default=None, gt=0, le=10**10, description="Seconds from now until it ends."
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="When it ends, e.g. 2030-01-01T00:00:00Z; null: never."
    )
    metadata: dict[Text, Label] = Field(
        default={}, max_length=16, description="Notes for people and scripts."
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_in_s is not None and self.expires_at is not None:
            msg = "give expires_in_s or expires_at, not both"
            raise ValueError(msg)
        if self.expires_at is not None and self.expires_at.timestamp() > _LAST:
            msg = "expires_at lies beyond the last date; null means never"
            raise ValueError(msg)
        return self

    def terms(self, now: float) -> dict[str, Any]:
        """The given fields, as those of ``Terms``."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        terms: dict[str, Any] = {}
        for name, value in given.items():
            if name in ("models", "endpoints"):
                terms[name] = None if value is None else tuple(dict.fromkeys(value))
            elif name == "budget":
                terms["budget_micro"] = None if value is None else round(value * MICRO)
            elif name == "budget_period":
                terms[name] = Period(value)
            elif name == "priority":
                terms[name] = Priority[value.upper()]
            elif name not in ("expires_in_s", "expires_at"):
                terms[name] = value
        if "expires_in_s" in given or "expires_at" in given:
            terms["expires_at"] = self._end(now)
        return terms

    def _end(self, now: float) -> float | None:
        if self.expires_in_s is not None:
            return now + self.expires_in_s
        return None if self.expires_at is None else self.expires_at.timestamp()


class KeyRequest(_Fields):
    """A key to make."""

    name: Name = Field(description="Whose it is, or what for.")


class KeyChanges(_Fields):
    """Fields to change; those left out stay, and null removes a limit."""

    name: Name = Field(default="-", description="Whose it is, or what for.")


class Rotation(BaseModel):
    """How a key gets another text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_s: float = Field(
        default=86400, ge=0, le=10**8, description="Seconds the present text stays valid."
    )


class UsageQuery(BaseModel):
    """Which usage; both dates are included."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(default=None, description="Id of a key; default: all.")
    model: str | None = Field(default=None, description="Name of a model; default: all.")
    start: datetime.date | None = Field(
        default=None, alias="from", description="First day; default: 29 days before the last."
    )
    end: datetime.date | None = Field(
        default=None, alias="to", description="Last day; default: today."
    )


def read_json(kind: type[DocumentType], content: bytes) -> DocumentType:
    """A document from a request's body; an empty body is an empty document.

    Raises:
        BadRequest: it does not fit; the message names the fields and no values.
    """
    try:
        return kind.model_validate_json(content or b"{}")
    except ValidationError as error:
        raise _refusal(error) from None


def read_query(kind: type[DocumentType], parameters: Mapping[str, str]) -> DocumentType:
    """The same from the parameters of a URL."""
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        raise _refusal(error) from None


def key_answer(record: KeyRecord) -> dict[str, Any]:
    """A key for an administrator's eyes."""
    terms = record.terms
    return {
        "object": "key",
        "id": record.id,
        "name": terms.name,
        "models": terms.models,
        "endpoints": terms.endpoints,
        "rpm": terms.rpm,
        "tpm": terms.tpm,
        "concurrency": terms.concurrency,
        "daily_tokens": terms.daily_tokens,
        "budget": None if terms.budget_micro is None else terms.budget_micro / MICRO,
        "budget_period": str(terms.budget_period),
        "priority": terms.priority.name.lower(),
        "created_at": instant(record.created_at),
        "expires_at": instant(terms.expires_at),
        "revoked_at": instant(record.revoked_at),
        "secrets": [
            {"created_at": instant(secret.created_at), "expires_at": instant(secret.expires_at)}
            for secret in record.secrets
        ],
        "metadata": terms.metadata,
        "source": "store",
    }


def settings_key_answer(key: Key) -> dict[str, Any]:
    """A key that stands in the settings, in the same form: it has no limits and no dates."""
    record = KeyRecord(
        id=key.id,
        row=key.row,
        created_at=0.0,
        revoked_at=None,
        terms=Terms(name=key.name),
        secrets=(),
    )
    return key_answer(record) | {"created_at": None, "source": "settings"}


def usage_answer(report: Report, first_day: int, last_day: int) -> dict[str, Any]:
    """Usage as one document."""
    return {
        "object": "usage",
        "from": date_of(first_day).isoformat(),
        "to": date_of(last_day).isoformat(),
        "total": _sums(report.total),
        "by_key": [{"key": key} | _sums(sums) for key, sums in report.by_key.items()],
        "by_model": [{"model": model} | _sums(sums) for model, sums in report.by_model.items()],
        "by_day": [
            {"day": date_of(day).isoformat()} | _sums(sums) for day, sums in report.by_day.items()
        ],
    }


def instant(wall_s: float | None) -> str | None:
    """A moment as ISO 8601 in UTC."""
    if wall_s is None:
        return None
    moment = datetime.datetime.fromtimestamp(wall_s, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _sums(counters: Counters) -> dict[str, Any]:
    sums: dict[str, Any] = counters._asdict()
    sums["cost"] = sums.pop("cost_micro") / MICRO
    return sums


def _refusal(error: ValidationError) -> BadRequest:
    faults = [
        (".".join(map(str, fault["loc"])), fault["msg"])
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    message = "; ".join(f"{field}: {text}" if field else text for field, text in faults)
    return BadRequest(message, param=next((field for field, _ in faults if field), None))
