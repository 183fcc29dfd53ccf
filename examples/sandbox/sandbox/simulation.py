"""SimulatePrincipalPolicy: every resource and the given condition keys, where ministack takes the first resource and no key."""

from __future__ import annotations

import re
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, evaluate
from ministack.services import iam as ministack_iam

from .api import AwsError, Call

_SOURCE = re.compile(r"arn:aws:iam::\d{12}:(user|role)/(?:.*/)?([^/]+)")
_DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny"}


def _simulate(call: Call) -> dict[str, Any]:
    source = _SOURCE.fullmatch(call.params.get("PolicySourceArn", ""))
    if source is None:
        # As for the ARN of a session (API reference of SimulatePrincipalPolicy: a user, a group or a role).
        arn = call.params.get("PolicySourceArn", "")
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    kind, name = source.groups()
    entities = ministack_iam._users if kind == "user" else ministack_iam._roles
    if name not in entities or entities[name]["Arn"] != source[0]:
        raise AwsError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)
    gather = iam_evaluator._gather_user_policies if kind == "user" else iam_evaluator._gather_role_policies
    policies = gather(name, call.account)
    boundary = iam_evaluator._permissions_boundary(entities, name, call.account)
    context = _context(call)
    results = []
    for action in _members(call, "ActionNames"):
        if not re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9]+", action):
            raise AwsError("InvalidInput", f"Invalid Action Name: {action}")
        for resource in _members(call, "ResourceArns") or ["*"]:
            if resource != "*" and not resource.startswith("arn:"):
                raise AwsError("InvalidInput", f"Invalid Resource Arn: {resource}")
            asked = EvalContext(
                principal_arn=source[0],
                principal_type="User" if kind == "user" else "AssumedRole",
                principal_account=call.account,
                action=action,
                resource_arn=resource,
                region=call.region,
                service_context=context,
            )
            decision = evaluate(asked, policies, *boundary).decision
            result = {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": _DECISIONS.get(decision, "implicitDeny"),
            }
            if boundary:
                allows = evaluate(asked, *boundary).decision == "Allow"
                result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allows}
            results.append(result)
    if not results:
        raise AwsError("ValidationError", "1 validation error detected: Value at 'actionNames' failed to satisfy constraint")
    return {"EvaluationResults": results, "IsTruncated": False}


def _members(call: Call, name: str) -> list[str]:
    """A list of the query protocol."""
    found = []
    while (value := call.params.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def _context(call: Call) -> dict[str, str]:
    entries: dict[str, str] = {}
    while key := call.params.get(f"ContextEntries.member.{len(entries) + 1}.ContextKeyName"):
        entries[key.lower()] = call.params[f"ContextEntries.member.{len(entries) + 1}.ContextKeyValues.member.1"]
    return entries


OVERRIDES = {"iam:SimulatePrincipalPolicy": _simulate}
