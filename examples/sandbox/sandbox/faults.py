"""Faults: chosen calls fail, lose their reply, are throttled, delayed or held, see an old state, or end their process.

A rule is a JSON object, from SANDBOX_FAULTS or POST /_sandbox/faults (which takes `{"rules": […]}` and replaces all):

    {"action": "iam:CreateAccessKey",   or "*" for any; one HTTP request is one call, so an SDK's retry counts
     "caller": "mail-prod-rotation",    optional: only calls whose caller's ARN contains this
     "call": 2,                         the first call that the rule hits, from 1 (the default)
     "times": 3,                        how many in a row from there; default 1
     "kind": "fail",                    no effect; the error has "code", "status" and "message", if given
             "throttle",                no effect; the service's own throttling error
             "lose_reply",              takes effect, then the connection closes without an answer
             "delay",                   waits "seconds", then takes effect
             "hold",                    waits until the rules are replaced, then takes effect
             "stale",                   only iam:ListAccessKeys: the answer from before the last change of a key
             "kill",                    takes effect, then the process that made the call is killed
             "hang",                    takes effect; that invocation gets no answer to this or a later call
             "silence",                 takes effect, and is not answered; the connection closes once the rules are replaced
     "when": "before",                  only kill, hang and silence: the call has no effect; default "after"
     "seconds": 1.5}

A rule of kind kill or hang counts only the calls of functions' processes.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from . import processes
from .api import AwsError, Call

HOLDING_POLL_SECONDS = 0.02

OF_PROCESSES = ("kill", "hang")
WITHOUT_ANSWER = ("lose_reply", "silence", *OF_PROCESSES)
KINDS = ("fail", "throttle", "lose_reply", "delay", "hold", "silence", "stale", *OF_PROCESSES)
LISTS_KEYS = "iam:ListAccessKeys"

_INTERNAL_ERRORS = {
    "iam": ("ServiceFailure", 500),
    "lambda": ("ServiceException", 500),
    "secretsmanager": ("InternalServiceError", 500),
    "ssm": ("InternalServerError", 500),
    "logs": ("ServiceUnavailableException", 500),
    "kms": ("KMSInternalException", 500),
}
_THROTTLING_ERRORS = {
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "lambda": ("TooManyRequestsException", 429),
    "ses": ("TooManyRequestsException", 429),
}


@dataclass
class Rule:
    """One rule, and how many calls it has counted."""

    kind: str
    action: str = "*"
    caller: str = ""
    call: int = 1
    times: int = 1
    when: str = "after"
    seconds: float = 0.0
    code: str = ""
    status: int = 500
    message: str = "An internal error occurred (fault injection)."
    seen: int = 0
    is_replaced: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise AwsError("ValidationException", f"a fault's kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.when not in ("before", "after"):
            raise AwsError("ValidationException", f"a fault's when is before or after, not {self.when!r}")
        if self.kind == "stale" and self.action != LISTS_KEYS:
            raise AwsError("ValidationException", f"only {LISTS_KEYS} can be stale, not {self.action}")

    @property
    def takes_effect(self) -> bool:
        """Whether the call that the rule hits still takes effect."""
        return self.kind in ("lose_reply", "delay", "hold", "stale") or (
            self.kind in ("silence", *OF_PROCESSES) and self.when == "after"
        )

    def hits(self, call: Call) -> bool:
        """Counts the call if the rule is about such calls. Returns whether the rule hits it."""
        if self.action not in ("*", f"{call.service}:{call.action}") or self.caller not in call.caller:
            return False
        if self.kind in OF_PROCESSES and not processes.is_one(call.access_key_id):
            return False
        self.seen += 1
        return self.call <= self.seen < self.call + self.times


class Faults:
    """The rules in force."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._lock = threading.Lock()
        self._rules = [Rule(**rule) for rule in rules]
        self._held: list[Call] = []

    def replace(self, request: dict[str, Any]) -> dict[str, Any]:
        """POST /_sandbox/faults: replaces the rules. Their counts start at zero."""
        try:
            rules = [Rule(**rule) for rule in request["rules"]]
        except (KeyError, TypeError) as problem:
            raise AwsError("ValidationException", f"not fault rules: {problem}") from problem
        with self._lock:
            seen = [rule.seen for rule in self._rules]
            for rule in self._rules:
                rule.is_replaced = True
            self._rules = rules
        return {"replaced": len(seen), "seen": seen}

    def of(self, call: Call) -> Rule | None:
        """The fault of this call. Every rule counts the call; the first rule that hits decides."""
        with self._lock:
            hits = [rule for rule in self._rules if rule.hits(call)]
        return hits[0] if hits else None

    async def hold(self, rule: Rule, call: Call) -> None:
        """Waits until the rules are replaced."""
        with self._lock:
            self._held.append(call)
        while not rule.is_replaced:
            await asyncio.sleep(HOLDING_POLL_SECONDS)
        with self._lock:
            self._held.remove(call)

    def state(self) -> dict[str, Any]:
        """The held calls, for GET /_sandbox/state."""
        with self._lock:
            return {"held_calls": [f"{call.service}:{call.action}" for call in self._held]}


def error_of(rule: Rule, call: Call) -> AwsError:
    """The error that the caller of a failed or throttled call gets."""
    if rule.kind == "throttle":
        code, status = _THROTTLING_ERRORS.get(call.service, ("ThrottlingException", 400))
        return AwsError(code, "Rate exceeded", status)
    if rule.code:
        return AwsError(rule.code, rule.message, rule.status)
    code, status = _INTERNAL_ERRORS.get(call.service, ("InternalFailure", 500))
    return AwsError(code, rule.message, status)
