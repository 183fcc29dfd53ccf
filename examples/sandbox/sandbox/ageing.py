"""Lets time pass: moves every date that the account remembers into the past.

These are the dates that rotations wait for: when keys were made and used, every date of secrets and versions, and
since when SES knows a key. Sessions and running work stay unchanged.
"""

from __future__ import annotations

from typing import Any

from ministack.services import iam as ministack_iam
from ministack.services import secretsmanager as ministack_secrets

from . import iam, secretsmanager, smtp
from .api import AwsError, Control


def let_pass(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/time: {"pass": seconds}."""
    seconds = change.get("pass")
    if change.keys() != {"pass"} or not isinstance(seconds, int | float) or seconds <= 0:
        raise AwsError("ValidationException", f'not {{"pass": seconds}}: {change}')
    for key in ministack_iam._access_keys._data.values():
        key["CreateDate"] = iam.earlier(key["CreateDate"], seconds)
    iam.age(seconds)
    with secretsmanager.lock:
        for secret in ministack_secrets._secrets._data.values():
            for dated in (secret, *secret["Versions"].values()):
                _move_dates(dated, seconds)
    smtp.age(seconds)
    return {}


def _move_dates(dated: dict[str, Any], seconds: float) -> None:
    for name, value in dated.items():
        if name.endswith("Date") and isinstance(value, int | float):
            dated[name] = value - seconds


CONTROLS: dict[str, Control] = {"time": let_pass}
