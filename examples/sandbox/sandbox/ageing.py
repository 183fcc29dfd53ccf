"""Lets time pass: moves every date that the account remembers into the past.

These are the dates that rotations wait for: when keys were made and used, every date of secrets and versions, a date
at the end of a label, since when SES knows a key, and the age of parameters. Sessions and running work stay unchanged.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from ministack.services import iam as ministack_iam
from ministack.services import secretsmanager as ministack_secrets
from ministack.services import ssm as ministack_ssm

from . import iam, secretsmanager, smtp
from .api import AwsError, Control


def let_pass(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/time: {"pass": seconds}, and {"pass": seconds, "for": "parameters"} for these alone."""
    seconds, only = change.get("pass"), change.get("for")
    if (
        not change.keys() <= {"pass", "for"}
        or not isinstance(seconds, int | float)
        or seconds <= 0
        or only not in (None, "parameters")
    ):
        raise AwsError("ValidationException", f'not {{"pass": seconds}}: {change}')
    for parameter in ministack_ssm._parameters._data.values():
        _move_dates(parameter, seconds)
    if only:
        return {}
    for key in ministack_iam._access_keys._data.values():
        key["CreateDate"] = iam.earlier(key["CreateDate"], seconds)
    iam.age(seconds)
    with secretsmanager.lock:
        for secret in ministack_secrets._secrets._data.values():
            for dated in (secret, *secret["Versions"].values()):
                _move_dates(dated, seconds)
            for version in secret["Versions"].values():
                version["Stages"] = [_label(label, seconds) for label in version["Stages"]]
    smtp.age(seconds)
    return {}


def _move_dates(dated: dict[str, Any], seconds: float) -> None:
    for name, value in dated.items():
        if name.endswith("Date") and isinstance(value, int | float):
            dated[name] = value - seconds


def _label(label: str, seconds: float) -> str:
    """A label that ends in a date, such as INACTIVE/AKIA…/2026-01-31T12:00:00Z, moved into the past."""
    found = re.fullmatch(r"(.*/)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", label)
    if found is None:
        return label
    date = datetime.datetime.fromisoformat(found[2]) - datetime.timedelta(seconds=seconds)
    return f"{found[1]}{date.isoformat(timespec='seconds')}Z"


CONTROLS: dict[str, Control] = {"time": let_pass}
