"""Rotation rules: which are valid, and by when the next rotation is due.

Sources: "Schedule expressions in Secrets Manager rotation", and RotationRulesType in Secrets Manager's reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from .api import AwsError

MINIMUM_HOURS = 4

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_DAYS_SEARCHED = 4 * 366 + 1  # cron(… 29 2 …) is due once in four years


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


@dataclass(frozen=True)
class Cron:
    """A checked `cron(0 HOURS DAY-OF-MONTH MONTH DAY-OF-WEEK *)`."""

    hours: frozenset[int]
    days: str
    months: frozenset[int]
    weekdays: str

    def is_on(self, day: datetime) -> bool:
        """Whether a rotation is due on this day."""
        if day.month not in self.months:
            return False
        if self.days != "?":
            return _day_of_month_matches(self.days, day)
        return _day_of_week_matches(self.weekdays, day)


def _numbers(text: str, low: int, high: int, names: list[str], field: str) -> frozenset[int]:
    """The values of one cron field: `*`, names, numbers, ranges, steps, and lists of them."""

    def number(item: str) -> int:
        value = names.index(item) + low if item in names else int(item) if item.isdigit() else -1
        if not low <= value <= high:
            raise _invalid(f"Invalid cron expression: {text!r} is no {field}.")
        return value

    values: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        elif "-" in span:
            start, _, end = span.partition("-")
            first, last = number(start), number(end)
        else:
            first = number(span)
            last = high if step else first
        values.update(range(first, last + 1, int(step) if step.isdigit() and int(step) else 1))
    return frozenset(values)


def _day_of_month_matches(days: str, day: datetime) -> bool:
    if days == "L":
        return (day + timedelta(days=1)).month != day.month
    return day.day in _numbers(days, 1, 31, [], "day of the month")


def _day_of_week_matches(weekdays: str, day: datetime) -> bool:
    weekday = day.isoweekday() % 7 + 1  # AWS: 1 is Sunday
    name, nth, week = weekdays.partition("#")
    if nth:
        return weekday in _numbers(name, 1, 7, _DAYS, "day of the week") and (day.day - 1) // 7 + 1 == int(week)
    if weekdays.endswith("L") and len(weekdays) > 1:
        is_last = (day + timedelta(days=7)).month != day.month
        return is_last and weekday in _numbers(weekdays[:-1], 1, 7, _DAYS, "day of the week")
    return weekday in _numbers(weekdays, 1, 7, _DAYS, "day of the week")


def _parse_cron(expression: str) -> Cron:
    fields = expression.removeprefix("cron(").removesuffix(")").split()
    if len(fields) != 6:
        raise _invalid("Invalid cron expression: it has six fields.")
    minute, hour, days, month, weekdays, year = fields
    if minute != "0" or year != "*":
        raise _invalid("Invalid cron expression: the minute must be 0 and the year *.")
    if (days == "?") == (weekdays == "?"):
        raise _invalid("Invalid cron expression: exactly one of day-of-month and day-of-week must be ?.")
    hours = _numbers(hour, 0, 23, [], "hour")
    ordered = sorted(hours)
    gaps = [(later - earlier) % 24 or 24 for earlier, later in zip(ordered, ordered[1:] + ordered[:1], strict=True)]
    if min(gaps) < MINIMUM_HOURS:
        raise _invalid(f"Rotation cannot be more frequent than every {MINIMUM_HOURS} hours.")
    cron = Cron(hours, days, _numbers(month, 1, 12, _MONTHS, "month"), weekdays)
    _day_of_month_matches(days if days != "?" else "1", datetime(2024, 1, 1))
    _day_of_week_matches(weekdays if weekdays != "?" else "1", datetime(2024, 1, 1))
    return cron


def _parse_rate(expression: str) -> timedelta:
    match = re.fullmatch(r"rate\((\d+) (hour|hours|day|days)\)", expression)
    if not match:
        raise _invalid(f"Invalid schedule expression: {expression}")
    period = timedelta(hours=int(match[1])) if match[2].startswith("hour") else timedelta(days=int(match[1]))
    if not timedelta(hours=MINIMUM_HOURS) <= period <= timedelta(days=999):
        raise _invalid(f"Rotation rate must be between {MINIMUM_HOURS} hours and 999 days.")
    return period


def check(rules: dict[str, Any]) -> None:
    """Raises InvalidParameterException for rules that Secrets Manager refuses."""
    days, expression, duration = (
        rules.get(name) for name in ("AutomaticallyAfterDays", "ScheduleExpression", "Duration")
    )
    if days is not None and expression is not None:
        raise _invalid("You can't specify both AutomaticallyAfterDays and ScheduleExpression.")
    if days is not None and not 1 <= days <= 1000:
        raise _invalid("AutomaticallyAfterDays must be between 1 and 1000.")
    longest = 24
    if expression is not None and expression.startswith("cron("):
        longest = 24 - max(_parse_cron(expression).hours)
    elif expression is not None:
        longest = min(24, int(_parse_rate(expression) / timedelta(hours=1)))
    if duration is not None:
        match = re.fullmatch(r"(\d{1,2})h", duration)
        if not match or not 1 <= int(match[1]) <= longest:
            raise _invalid(f"Invalid rotation window duration {duration}: at most {longest}h with this schedule.")


def next_rotation(rules: dict[str, Any], after: datetime) -> datetime | None:
    """The date that DescribeSecret calls NextRotationDate: the end of the next window.

    "The next rotation is scheduled to occur on or before this date" (DescribeSecret's reference).
    """
    expression = rules.get("ScheduleExpression")
    if expression is None:
        days = rules.get("AutomaticallyAfterDays")
        opens = None if days is None else _midnight(after + timedelta(days=days))
    elif expression.startswith("cron("):
        opens = _next_of_cron(_parse_cron(expression), after)
    else:
        due = after + _parse_rate(expression)
        # The window of a rate in days opens at midnight.
        opens = _midnight(due) if "day" in expression else due
    return None if opens is None else _end_of_window(rules, opens)


def _end_of_window(rules: dict[str, Any], opens: datetime) -> datetime:
    """Without a Duration, a window of a schedule in hours closes after one hour, and any other at the end of the UTC day.

    AWS does not say which of the two a cron() with several hours is: as in the deployer, the longer one is assumed.
    """
    if duration := rules.get("Duration"):
        return opens + timedelta(hours=int(duration.removesuffix("h")))
    if re.match(r"rate\(\d+ hour", rules.get("ScheduleExpression", "")):
        return opens + timedelta(hours=1)
    return _end_of_day(opens)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)


def _end_of_day(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(23, 59, 59), UTC)


def _next_of_cron(cron: Cron, after: datetime) -> datetime | None:
    """When the next window opens."""
    midnight = _midnight(after)
    for offset in range(_DAYS_SEARCHED):
        day = midnight + timedelta(days=offset)
        if cron.is_on(day):
            for hour in sorted(cron.hours):
                if (due := day + timedelta(hours=hour)) > after:
                    return due
    return None
