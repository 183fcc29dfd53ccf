"""SimulatePrincipalPolicy: every resource and the given condition keys, where ministack takes the first resource and no key."""

from __future__ import annotations

import re
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement, evaluate
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
            missing = _missing_keys([*policies, *(stmts for layer in boundary for stmts in layer)], context)
            if boundary:
                allows = evaluate(asked, *boundary).decision == "Allow"
                result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allows}
            if "ResourceArns.member.1" in call.params:
                # Then the missing keys stand with the resource (API reference, EvaluationResult).
                result["ResourceSpecificResults"] = [
                    {"EvalResourceName": resource, "EvalResourceDecision": result["EvalDecision"], "MissingContextValues": missing}
                ]
            else:
                result["MissingContextValues"] = missing
            results.append(result)
    if not results:
        raise AwsError("ValidationError", "1 validation error detected: Value at 'actionNames' failed to satisfy constraint")
    return {"EvaluationResults": results, "IsTruncated": False}


_OF_THE_SOURCE = ("aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:username", "aws:userid")
"""Keys that follow from whose policies are simulated."""


def _missing_keys(policies: list[list[ParsedStatement]], context: dict[str, Any]) -> list[str]:
    """The condition keys that the policies name and the request does not give, whatever action they are for."""
    conditions = [stmt.conditions or {} for stmts in policies for stmt in stmts]
    named = {key for condition in conditions for keys in condition.values() for key in keys}
    return sorted(key for key in named if key.lower() not in context and key.lower() not in _OF_THE_SOURCE)


def _members(call: Call, name: str) -> list[str]:
    """A list of the query protocol."""
    found = []
    while (value := call.params.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def _context(call: Call) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    while key := call.params.get(f"ContextEntries.member.{len(entries) + 1}.ContextKeyName"):
        entry = f"ContextEntries.member.{len(entries) + 1}"
        values = _members(call, f"{entry}.ContextKeyValues")
        is_list = call.params.get(f"{entry}.ContextKeyType", "").endswith("List")
        if not is_list and len(values) != 1:
            raise AwsError("InvalidInput", f"Invalid number of context values for {key}")
        entries[key.lower()] = values if is_list else values[0]
    return entries


OVERRIDES = {"iam:SimulatePrincipalPolicy": _simulate}
