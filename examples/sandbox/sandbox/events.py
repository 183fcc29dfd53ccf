"""EventBridge rules, where ministack differs from AWS: tags of an existing rule, and rules with targets.

No rule fires by itself: POST /_sandbox/upkeep fires one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import eventbridge, lambda_svc

from . import account, invocation
from .api import AwsError, Call

PRINCIPAL = "events.amazonaws.com"

# A rate of 1 has its unit in the singular, any other in the plural.
_RATE = re.compile(r"rate\((1 (minute|hour|day)|(?!0|1 )[0-9]+ (minutes|hours|days))\)")


def install() -> None:
    """From now on, PutRule behaves like AWS's, and rules fire only on request."""
    eventbridge._put_rule = _replacing(eventbridge._put_rule)
    eventbridge.start_scheduler = lambda: None


def _replacing(put_rule: Callable) -> Callable:
    """Replaces an existing rule, but not its tags: a field that the call omits is as in a new rule."""

    def put(request: dict[str, Any]) -> Any:
        request = {"State": "ENABLED", "Description": "", "RoleArn": "", **request}
        if _key(request.get("Name")) in eventbridge._rules:
            request.pop("Tags", None)
        return put_rule(request)

    return put


def _key(name: str | None) -> str:
    return eventbridge._rule_key(name or "", "default")


def fire(request: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/upkeep: fires a rule and waits for the functions that it invokes.

    `rule`: its name; optional if there is only one rule. Returns `invocations`: for each target the `function`, its
    `result`, its `error` or null, and the number of `attempts`.
    """
    with request_scope(account.ACCOUNT_ID, account.REGION):
        names = [rule["Name"] for rule in eventbridge._rules.values()]
        name = request.get("rule") or (names[0] if len(names) == 1 else None)
        rule = eventbridge._rules.get(_key(name))
        if rule is None:
            raise AwsError("ValidationException", f"no such rule; there are: {', '.join(names) or 'none'}")
        if rule["State"] != "ENABLED":
            raise AwsError("ValidationException", f"rule {name} is disabled")
        targets = eventbridge._targets.get(_key(name), [])
        return {"invocations": [_invoke(rule["Arn"], target) for target in targets]}


def _invoke(rule_arn: str, target: dict[str, Any]) -> dict[str, Any]:
    function_arn = target["Arn"]
    if not invocation.may_invoke(PRINCIPAL, rule_arn, function_arn, account.ACCOUNT_ID, account.REGION):
        error = f"EventBridge may not invoke {function_arn}"
        return {"function": function_arn, "result": None, "error": error, "attempts": 0}
    event = json.loads(target["Input"]) if "Input" in target else {"resources": [rule_arn]}
    # EventBridge invokes asynchronously: Lambda retries twice, one and two minutes later, unless the function's
    # event invoke config says otherwise. Here the retries follow at once.
    for attempt in range(1, _retries(function_arn) + 2):
        result, error = invocation.invoke(PRINCIPAL, function_arn, event)
        if error is None:
            break
    return {"function": function_arn, "result": result, "error": error.message if error else None, "attempts": attempt}


def _retries(function_arn: str) -> int:
    function = lambda_svc._functions[function_arn.rpartition(":")[2]]
    config = lambda_svc._event_invoke_config(function, None) or {}
    return config.get("MaximumRetryAttempts", 2)


def _put_rule(call: Call) -> None:
    schedule = call.params.get("ScheduleExpression", "")
    if schedule.startswith("rate(") and not _RATE.fullmatch(schedule):
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.")


def _delete_rule(call: Call) -> None:
    if eventbridge._targets.get(_key(call.params.get("Name"))):
        raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")


def _check_rule(call: Call) -> None:
    name = call.params.get("Rule")
    if _key(name) not in eventbridge._rules:
        raise AwsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")


OVERRIDES = {
    "events:PutRule": _put_rule,
    "events:DeleteRule": _delete_rule,
    "events:RemoveTargets": _check_rule,
    "events:ListTargetsByRule": _check_rule,
}

CONTROLS = {"upkeep": fire}
