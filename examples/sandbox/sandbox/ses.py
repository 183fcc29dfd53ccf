"""The account's standing with SES, which a test can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ministack.services import ses_v2

from .api import Call


@dataclass
class _Standing:
    sending: bool = True
    """Whether SES sends for this account; AWS pauses an account whose mails bounce or are complained about."""


_standing = _Standing()


def configure(body: dict[str, Any]) -> dict[str, Any]:
    """Changes the standing."""
    _standing.sending = bool(body["sending"])
    return {}


def _get_account(_: Call) -> dict[str, Any]:
    details = ses_v2._account_details.get("account") or {}
    return {
        "DedicatedIpAutoWarmupEnabled": False,
        "EnforcementStatus": "HEALTHY" if _standing.sending else "SHUTDOWN",
        "ProductionAccessEnabled": details.get("ProductionAccessEnabled", True),
        "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 0.0},
        "SendingEnabled": _standing.sending,
    }


OVERRIDES = {"ses:GetAccount": _get_account}
CONTROLS = {"ses": configure}
