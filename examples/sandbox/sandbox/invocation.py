"""How AWS's services invoke a function: only if the function's policy allows it, and in their own name."""

from __future__ import annotations

from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import lambda_svc

from . import functions
from .api import AwsError
from .calls import CallLog

_call_log: CallLog


def configure(call_log: CallLog) -> None:
    """Sets the log of invocations."""
    global _call_log
    _call_log = call_log


def may_invoke(principal: str, source_arn: str, function_arn: str, account: str, region: str) -> bool:
    """Whether the function exists and its policy lets the service invoke it on behalf of the source."""
    found = lambda_svc.function_policy_for_arn(function_arn)
    if found is None:
        return False
    context = EvalContext(
        principal_arn=principal,
        principal_type="Service",
        principal_account=account,
        action="lambda:InvokeFunction",
        resource_arn=function_arn,
        region=region,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": account},
    )
    return evaluate_resource_policy(found[0], context, service=principal).decision == "Allow"


def invoke(principal: str, function_arn: str, event: Any) -> tuple[Any, AwsError | None]:
    """Invokes the function and waits. Returns its result or its error."""
    name = function_arn.partition(":function:")[2].partition(":")[0]
    func = lambda_svc._functions[name]
    denied = functions.lost_grant(func)
    answer = {"error": True} if denied else lambda_svc._execute_function(func, event)
    failed = bool(answer.get("error") or answer.get("throttle"))
    _call_log.record(
        caller=principal,
        service="lambda",
        action="InvokeFunction",
        resource=function_arn,
        status=200,
        error=denied.code if denied else "FunctionError: Unhandled" if failed else None,
        fault=None,
    )
    if denied:
        return None, denied
    body = answer.get("body")
    if not failed:
        return body, None
    if not isinstance(body, dict):
        return None, AwsError("Unknown", str(body))
    return None, AwsError(str(body.get("errorType")), str(body.get("errorMessage")))
