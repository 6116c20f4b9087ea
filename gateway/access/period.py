"""Days, months and for ever, as numbers that fit one cell. Pure; owns no clock."""

import datetime
from enum import StrEnum
from typing import Final

DAY_S: Final = 86400

_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
# Far apart, so that the number of one kind is never taken for that of another.
_MONTHS_FROM: Final = 1_000_000
_TOTAL: Final = 2_000_000


class Period(StrEnum):
    """How often a budget begins anew."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


PERIODS: Final = tuple(Period)


def utc_day(wall_s: float) -> int:
    """Days since 1970, UTC."""
    return int(wall_s // DAY_S)


def date_of(day: int) -> datetime.date:
    """The calendar's name of a day."""
    return datetime.date.fromordinal(_EPOCH + day)


def day_of(date: datetime.date) -> int:
    """The day of a date."""
    return date.toordinal() - _EPOCH


def numbers(day: int) -> tuple[int, int, int]:
    """Which day, month and total a day belongs to, in the order of ``PERIODS``."""
    date = date_of(day)
    return day, _MONTHS_FROM + date.year * 12 + date.month - 1, _TOTAL


def first_day(period: Period, day: int) -> int:
    """Where the period that contains the day begins."""
    if period is Period.DAY:
        return day
    return day_of(date_of(day).replace(day=1)) if period is Period.MONTH else 0


def end_of(period: Period, day: int) -> str | None:
    """When the period that contains the day ends, for a message; None: never."""
    if period is Period.TOTAL:
        return None
    if period is Period.DAY:
        following = date_of(day + 1)
    else:
        following = (date_of(day).replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    return f"{following.isoformat()}T00:00:00Z"
