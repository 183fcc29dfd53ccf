"""Lambda, where ministack differs from AWS: the function's environment, log, states, role and policy."""

from __future__ import annotations

import copy
import json
import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import cloudwatch_logs, lambda_svc
from ministack.services import iam as iam_service

from . import authz, processes
from .api import AwsError, Call

DEFAULT_SETTLING_SECONDS = 0.1

_environment_of_all: dict[str, str] = {}
_environment_of_test: dict[str, str] = {}
_settling_seconds = DEFAULT_SETTLING_SECONDS
_log_folder: Path
_MINISTACKS_SIGNATURE = "ministack-local-presigned"
# Only who may call GetFunction has the signature of the links in its answers.
_signature = secrets.token_hex(16)


def install(environment: dict[str, str], log_folder: Path) -> None:
    """`environment` goes to every function, and overrides the variables deployed with it."""
    global _environment_of_all, _log_folder
    _environment_of_all, _log_folder = environment, log_folder
    processes.install()
    lambda_svc._provided_worker_env = _environment
    lambda_svc._execute_function_provided_warm = _with_lambdas_words(lambda_svc._execute_function_provided_warm)
    lambda_svc._emit_lambda_logs = _emit_log
    lambda_svc._schedule_state_transition = _active_while_updating(lambda_svc._schedule_state_transition)
    lambda_svc.json_response = _without_empty_members(lambda_svc.json_response)
    lambda_svc.serve_function_code = _of_versions(lambda_svc.serve_function_code)


def stop() -> None:
    """Ends every function's process."""
    lambda_runtime.reset()


def configure(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/functions. A setting that is not named returns to its default.

    `settling_seconds`: how long a function is Pending or its update InProgress. `deadline_seconds`: replaces the
    functions' timeout, for invocations for the step `deadline_step` of a rotation or for all, and for the next
    `deadline_times` or for all. `environment`: variables of every function, which override all others; changing it ends
    the functions' processes.
    """
    global _settling_seconds, _environment_of_test
    deadline = None
    if change.get("deadline_seconds") is not None:
        limits = change.get("deadline_step"), change.get("deadline_times")
        deadline = processes.Deadline(change["deadline_seconds"], *limits)
    processes.set_deadline(deadline)
    _settling_seconds = float(change.get("settling_seconds", DEFAULT_SETTLING_SECONDS))
    if (environment := dict(change.get("environment", {}))) != _environment_of_test:
        _environment_of_test = environment
        lambda_runtime.reset()  # running processes have the old environment
    return {}


def _environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
    """The environment of a `provided` function's process: Lambda's variables, none of this process's."""
    region = config["FunctionArn"].split(":")[3]
    log = config["LoggingConfig"]
    return {
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_VERSION": config["Version"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": log.get("LogFormat", "Text"),
        "AWS_LAMBDA_LOG_GROUP_NAME": _log_group(config),
        "AWS_LAMBDA_LOG_STREAM_NAME": _log_stream(config),
        "LAMBDA_TASK_ROOT": code_dir,
        "_HANDLER": config["Handler"],
        **({"AWS_LAMBDA_LOG_LEVEL": log["ApplicationLogLevel"]} if "ApplicationLogLevel" in log else {}),
        **processes.credentials(config, port),
        **lambda_svc._runtime_env_vars(config),
        **_environment_of_all,
        **_environment_of_test,
    }


def _with_lambdas_words(execute: Callable) -> Callable:
    """Reports a timeout and an exit in Lambda's words, in the answer and in the log."""

    def execute_and_reword(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        result = execute(func, event, request_id)
        body = result.get("body")
        if not result.get("error") or not isinstance(body, dict):
            return result
        error_type, message = body.get("errorType"), body.get("errorMessage")
        if error_type not in ("Sandbox.Timedout", "Runtime.ExitError"):
            return result
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if error_type == "Sandbox.Timedout":
            said = f"{now} {request_id} {message}"
        else:
            message = "Runtime exited without providing a reason"
            said = f"RequestId: {request_id} Error: {message}\n{error_type}"
        body = {**body, "errorMessage": f"RequestId: {request_id} Error: {message}"}
        return {**result, "body": body, "log": "\n".join(filter(None, [result.get("log"), said]))}

    return execute_and_reword


def _log_group(config: dict[str, Any]) -> str:
    return config["LoggingConfig"].get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"


def _log_stream(config: dict[str, Any]) -> str:
    """One stream per day and state of the function; Lambda has one per execution environment."""
    environment = uuid.uuid5(uuid.NAMESPACE_URL, f"{config['FunctionArn']} {config['RevisionId']}").hex
    return f"{datetime.now(UTC):%Y/%m/%d}/[{config['Version']}]{environment}"


def _emit_log(
    func: dict[str, Any], request_id: str, log_text: str, error: bool, duration_ms: int, *, log_source: Any = None
) -> None:
    """Writes one invocation's output and Lambda's own lines to a file, and to CloudWatch if the role allows it."""
    config = func.get("config") or func
    if config["LoggingConfig"].get("LogFormat") == "JSON":
        lines = _as_json(config, request_id, log_text, error, duration_ms)
    else:
        lines = _as_text(config, request_id, log_text, duration_ms)
    with (_log_folder / f"{config['FunctionName']}.log").open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    _put_log_events(config, lines)


def _as_text(config: dict[str, Any], request_id: str, log_text: str, duration_ms: int) -> list[str]:
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms}.00 ms\tBilled Duration: {duration_ms} ms\t"
        f"Memory Size: {config['MemorySize']} MB\tMax Memory Used: {config['MemorySize']} MB\t"
    )
    start = f"START RequestId: {request_id} Version: {config['Version']}"
    return [start, *log_text.splitlines(), f"END RequestId: {request_id}", report]


def _as_json(config: dict[str, Any], request_id: str, log_text: str, error: bool, duration_ms: int) -> list[str]:
    metrics = {"durationMs": duration_ms, "billedDurationMs": duration_ms, "memorySizeMB": config["MemorySize"]}
    report = {"requestId": request_id, "metrics": metrics, "status": "error" if error else "success"}
    start = {"requestId": request_id, "version": config["Version"]}
    return [
        _platform_event("platform.start", start),
        *log_text.splitlines(),
        _platform_event("platform.report", report),
    ]


def _platform_event(kind: str, record: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "type": kind, "record": record})


def _put_log_events(config: dict[str, Any], lines: list[str]) -> None:
    """Silently skips what the function's role does not allow, as AWS does."""
    _, _, _, region, account, *_ = config["FunctionArn"].split(":")
    role = config["Role"].rsplit("/", 1)[-1]
    principal = f"arn:aws:sts::{account}:assumed-role/{role}/{config['FunctionName']}"
    group_name, stream_name = _log_group(config), _log_stream(config)
    check = authz.Check(authz.log_stream_arn(region, account, group_name, stream_name))

    def may(action: str) -> bool:
        return authz.may(principal, f"logs:{action}", check, account, region)

    if group_name not in cloudwatch_logs._log_groups and may("CreateLogGroup"):
        cloudwatch_logs._create_log_group({"logGroupName": group_name})
    group = cloudwatch_logs._log_groups.get(group_name)
    if group is None:
        return
    if stream_name not in group["streams"] and may("CreateLogStream"):
        cloudwatch_logs._create_log_stream({"logGroupName": group_name, "logStreamName": stream_name})
    stream = group["streams"].get(stream_name)
    if stream is not None and may("PutLogEvents"):
        now = int(datetime.now(UTC).timestamp() * 1000)
        events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines]
        cloudwatch_logs._append_log_events(stream, events)


def _active_while_updating(schedule_transition: Callable) -> Callable:
    """An update leaves State at Active and shows in LastUpdateStatus alone."""

    def schedule(name: str, _delay: float) -> None:
        config = lambda_svc._functions[name]["config"]
        if config["StateReasonCode"] == "Updating":
            config.update(State="Active", StateReason="", StateReasonCode="")
        schedule_transition(name, _settling_seconds)

    return schedule


_LEFT_OUT_WHEN_EMPTY = (
    "KMSKeyArn",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "StateReason",
    "StateReasonCode",
)


def _without_empty_members(json_response: Callable) -> Callable:
    """Removes members that Lambda omits: empty, they would be unknown values of their enumerations."""

    def stripped(config: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if value or name not in _LEFT_OUT_WHEN_EMPTY}

    def respond(data: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        if "FunctionArn" in data:
            data = stripped(data)
        elif "Configuration" in data:
            data = {**data, "Configuration": stripped(data["Configuration"])}
        return json_response(data, *arguments, **options)

    return respond


def _of_versions(serve: Callable) -> Callable:
    """ministack's link to the code knows no versions: here the link to a version's code ends with `:VERSION`."""

    def serve_code(name: str, account_id: str | None = None, region: str | None = None) -> Any:
        name, _, version = name.partition(":")
        if not version:
            return serve(name, account_id=account_id, region=region)
        func = lambda_svc._functions.get_scoped(account_id, region, name) or {"versions": {}}
        found = func["versions"].get(version)
        if found is None:
            return 404, {"Content-Type": "text/plain"}, b"Version not found"
        return 200, {"Content-Type": "application/zip"}, found["code_zip"]

    return serve_code


def _check_role(call: Call) -> None:
    """Lambda must be able to assume the role. For a role that does not exist yet, Lambda has the same error."""
    role_arn = call.params.get("Role")
    if role_arn is None:
        return
    role = iam_service._roles.get(role_arn.rsplit("/", 1)[-1])
    context = EvalContext("lambda.amazonaws.com", "Service", call.account, "sts:AssumeRole", "*", call.region)
    trusts = (
        role is not None
        and role["Arn"] == role_arn
        and (
            evaluate_resource_policy(role["AssumeRolePolicyDocument"], context, service="lambda.amazonaws.com").decision
            == "Allow"
        )
    )
    if not trusts:
        raise AwsError(
            "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
        )


def lost_grant(func: dict[str, Any]) -> AwsError | None:
    """Lambda's grant lets one role decrypt the environment. A role that is made anew under its name has another id, and gets
    no grant until the function was given another role (AWS's knowledge center, "lambda-kmsaccessdeniedexception-errors")."""
    role_id = _role_id(func["config"]["Role"])
    granted = func.setdefault("RoleId", role_id)
    if granted == role_id or not lambda_svc._runtime_env_vars(func["config"]):
        return None
    return AwsError(
        "KMSAccessDeniedException",
        "Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the function's "
        "KMS key settings. KMS Exception: UnrecognizedClientException KMS Message: The security token included in the "
        "request is invalid.",
        502,
    )


def _role_id(role_arn: str) -> str | None:
    role = iam_service._roles.get(role_arn.rsplit("/", 1)[-1])
    return role["RoleId"] if role else None


def _invoke(call: Call) -> None:
    func = _function(call)
    if func is not None and (error := lost_grant(func)) is not None:
        raise error


_NEEDS_OF_THE_ROLE = (
    ("VpcConfig", lambda it: it.get("SubnetIds"), "ec2", ("CreateNetworkInterface", "DescribeNetworkInterfaces")),
    ("DeadLetterConfig", lambda it: ":sqs:" in it.get("TargetArn", ""), "sqs", ("SendMessage",)),
    ("DeadLetterConfig", lambda it: ":sns:" in it.get("TargetArn", ""), "sns", ("Publish",)),
    ("TracingConfig", lambda it: it.get("Mode") == "Active", "xray", ("PutTraceSegments",)),
)


def _check_what_the_role_may(call: Call) -> None:
    """For what a function reaches outside Lambda, its role needs permissions: CreateFunction and an update check them."""
    func = _function(call)
    role = call.params.get("Role") or (func["config"]["Role"] if func else "")
    principal = f"arn:aws:sts::{call.account}:assumed-role/{role.rsplit('/', 1)[-1]}/awslambda"
    for field, asks, service, actions in _NEEDS_OF_THE_ROLE:
        value = call.params.get(field) or {}
        if not asks(value):
            continue
        resource = authz.Check(value.get("TargetArn", "*"))
        for action in actions:
            if not authz.may(principal, f"{service}:{action}", resource, call.account, call.region):
                raise AwsError(
                    "InvalidParameterValueException",
                    f"The provided execution role does not have permissions to call {action} on {service.upper()}",
                )


def _check_file_systems(call: Call) -> None:
    """A file system is reached through a VPC."""
    func = _function(call)
    vpc = call.params.get("VpcConfig") or (func["config"]["VpcConfig"] if func else {})
    if call.params.get("FileSystemConfigs") and not vpc.get("SubnetIds"):
        raise AwsError(
            "InvalidParameterValueException",
            "Function must be configured to execute in a VPC to reference access point "
            + call.params["FileSystemConfigs"][0]["Arn"],
        )


def _update_code(call: Call) -> None:
    """Refuses code that nobody signed if a code-signing configuration is on the function; here each one enforces."""
    _check_settled(call)
    func = _function(call)
    if func is not None and func.get("code_signing_config_arn"):
        raise AwsError(
            "CodeVerificationFailedException",
            "The code signature failed one or more of the validation checks for signature mismatch or expiry, and the "
            "code signing policy is set to ENFORCE. Lambda blocks the deployment.",
        )


def _function(call: Call) -> dict[str, Any] | None:
    return lambda_svc._functions.get(lambda_svc._resolve_request_scoped_name(call.params["FunctionName"]))


def _check_settled(call: Call) -> None:
    """Refuses an update while another runs."""
    func = _function(call)
    if func is None:
        return
    config = func["config"]
    if config["State"] == "Pending":
        raise AwsError(
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
            409,
        )
    if config["LastUpdateStatus"] == "InProgress":
        raise AwsError(
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource: "
            + config["FunctionArn"],
            409,
        )


def _update_configuration(call: Call) -> None:
    _check_settled(call)
    _check_role(call)
    _check_what_the_role_may(call)
    _check_file_systems(call)
    func, role = _function(call), call.params.get("Role")
    if func is not None and role is not None and role != func["config"]["Role"]:
        func["RoleId"] = _role_id(role)


def _get_function(call: Call) -> dict[str, Any] | None:
    """The tags need lambda:ListTags; without it the answer says so, and is no error (API reference of GetFunction). The link to the
    code is its own permission."""
    func, qualifier = _function(call), call.params.get("Qualifier")
    if func is None:
        return None
    func.setdefault("RoleId", _role_id(func["config"]["Role"]))
    status, _, body = lambda_svc._get_function(func["config"]["FunctionName"], qualifier)
    if status != 200:
        return None
    answer = json.loads(body)
    version = f":{qualifier}" if qualifier in func["versions"] else ""
    path, _, query = answer["Code"]["Location"].partition("?")
    answer["Code"]["Location"] = f"{path}{version}?{query.replace(_MINISTACKS_SIGNATURE, _signature)}"
    check = authz.Check(func["config"]["FunctionArn"])
    if authz.may(call.caller, "lambda:ListTags", check, call.account, call.region):
        return answer
    answer.pop("Tags", None)
    message = (
        f"User: {call.caller} is not authorized to perform: lambda:ListTags on resource: {check.resource} because no"
        " identity-based policy allows the lambda:ListTags action"
    )
    return answer | {"TagsError": {"ErrorCode": "AccessDeniedException", "Message": message}}


def is_link_to_code(path: str, query: str) -> bool:
    """Whether GetFunction gave this link out."""
    return path.startswith("/_ministack/lambda-code/") and f"X-Amz-Signature={_signature}" in query.split("&")


def _policy_revision(func: dict[str, Any]) -> str:
    """The policy's RevisionId, which changes with every change of the policy."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(func["policy"], sort_keys=True)))


def _check_policy_revision(call: Call) -> None:
    func, revision = _function(call), call.params.get("RevisionId")
    if func is not None and revision is not None and revision != _policy_revision(func):
        raise AwsError(
            "PreconditionFailedException",
            "The RevisionId provided does not match the latest RevisionId for the Lambda function or alias. Call the "
            "GetFunction/GetAlias API to retrieve the latest Revision Id",
            412,
        )


def _get_policy(call: Call) -> dict[str, Any] | None:
    func = _function(call)
    if func is None or call.params.get("Qualifier"):
        return None
    if not func["policy"]["Statement"]:
        raise AwsError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
    return {"Policy": json.dumps(copy.deepcopy(func["policy"])), "RevisionId": _policy_revision(func)}


def _remove_permission(call: Call) -> None:
    _check_policy_revision(call)
    func = _function(call)
    sids = {statement.get("Sid") for statement in func["policy"]["Statement"]} if func else set()
    if func is not None and call.params["StatementId"] not in sids:
        raise AwsError(
            "ResourceNotFoundException",
            f"Statement {call.params['StatementId']} is not found in resource policy.",
            404,
        )


def _put_event_invoke_config(call: Call) -> dict[str, Any] | None:
    """An age that was not set is in no answer (acceptance tests of terraform-provider-aws)."""
    func, qualifier = _function(call), call.params.get("Qualifier")
    if func is None or "MaximumEventAgeInSeconds" in call.params:
        return None
    status, _, body = lambda_svc._put_event_invoke_config(func["config"]["FunctionName"], qualifier, call.params)
    if status != 200:
        return None
    lambda_svc._event_invoke_config(func, qualifier).pop("MaximumEventAgeInSeconds", None)
    return {name: value for name, value in json.loads(body).items() if name != "MaximumEventAgeInSeconds"}


OVERRIDES = {
    "lambda:CreateFunction": _check_role,
    "lambda:InvokeFunction": _invoke,
    "lambda:UpdateFunctionCode": _update_code,
    "lambda:UpdateFunctionConfiguration": _update_configuration,
    "lambda:PublishVersion": _check_settled,
    "lambda:AddPermission": _check_policy_revision,
    "lambda:RemovePermission": _remove_permission,
    "lambda:GetFunction": _get_function,
    "lambda:GetPolicy": _get_policy,
    "lambda:PutFunctionEventInvokeConfig": _put_event_invoke_config,
}

CONTROLS = {"functions": configure}
