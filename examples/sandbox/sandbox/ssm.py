"""Systems Manager's Run Command: a command from SendCommand until every instance has finished."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import documents, host, parameters, watch
from .api import AwsError, Call, Override
from .documents import REFERENCE, Document, Version
from .host import Host

INVISIBLE_SECONDS = 0.2
"""How long GetCommandInvocation answers InvocationDoesNotExist after SendCommand."""
PENDING_SECONDS = 0.4
"""How long after SendCommand Pending becomes InProgress."""

DEFAULT_DELIVERY_TIMEOUT_SECONDS = 3600
STDOUT_LIMIT = 24_000
STDERR_LIMIT = 8_000
PLUGIN_OUTPUT_LIMIT = 2_500
MAX_INSTANCES = 50
MAX_COMMENT = 100

# The agent silently replaces execution timeouts outside this range by the default (amazon-ssm-agent,
# pluginutil.ValidateExecutionTimeout).
MIN_EXECUTION_SECONDS = 5
MAX_EXECUTION_SECONDS = 172_800
DEFAULT_EXECUTION_SECONDS = 3600

KILLED = 137
"""The response code if the agent killed the script."""
NOT_STARTED = -1

ENV_VAR_AGENT = (3, 3, 2746, 0)
"""The first agent that knows interpolationType ENV_VAR."""


@dataclass
class Step:
    """One step of a command on one instance."""

    name: str
    code: int = NOT_STARTED
    stdout: str = ""
    stderr: str = ""
    started: float | None = None
    finished: float | None = None


@dataclass
class Invocation:
    """A command on one instance."""

    instance_id: str
    status: str = "Pending"
    details: str = "Pending"
    steps: list[Step] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def finished(self) -> bool:
        """Whether the invocation is in its last state."""
        return self.status in ("Success", "Cancelled", "TimedOut", "Failed")


@dataclass
class Command:
    """A command that SendCommand started."""

    command_id: str
    account: str
    region: str
    document: Document
    version: Version
    comment: str
    values: dict[str, str | list[str]]
    given: dict[str, list[str]]
    delivery_seconds: int
    invocations: dict[str, Invocation]
    requested: float = field(default_factory=time.time)

    @property
    def visible(self) -> bool:
        """Whether the other calls know the command yet."""
        return time.time() >= self.requested + INVISIBLE_SECONDS


_lock = threading.RLock()
_commands: dict[str, Command] = {}


# SendCommand


def _send_command(call: Call) -> dict[str, Any]:
    params = call.params
    document = documents.find(call, params.get("DocumentName", ""))
    version = documents.select_version(document, params.get("DocumentVersion"))
    _check_hash(version, params)
    if len(params.get("Comment", "")) > MAX_COMMENT:
        raise AwsError("ValidationException", f"Comment: member must have length less than or equal to {MAX_COMMENT}.")
    delivery_seconds = params.get("TimeoutSeconds", DEFAULT_DELIVERY_TIMEOUT_SECONDS)
    if not 30 <= delivery_seconds <= 2_592_000:
        raise AwsError("ValidationException", "TimeoutSeconds: member must be between 30 and 2592000.")
    given = params.get("Parameters", {})
    command = Command(
        command_id=str(uuid.uuid4()),
        account=call.account,
        region=call.region,
        document=document,
        version=version,
        comment=params.get("Comment", ""),
        values=_check_parameters(version.body.get("parameters", {}), given),
        given=given,
        delivery_seconds=delivery_seconds,
        invocations={instance_id: Invocation(instance_id) for instance_id in _instance_ids(params)},
    )
    with _lock:
        _commands[command.command_id] = command
        for invocation in command.invocations.values():
            invocation.thread = threading.Thread(
                target=_carry_out, args=(command, invocation), name=f"run-command-{invocation.instance_id}", daemon=True
            )
            invocation.thread.start()
        return {"Command": _command_answer(command)}


def _check_hash(version: Version, params: dict[str, Any]) -> None:
    wanted = params.get("DocumentHash")
    if wanted is None:
        return
    type_ = params.get("DocumentHashType", "Sha256")
    actual = version.hash if type_ == "Sha256" else hashlib.sha1(version.content.encode()).hexdigest()
    if wanted != actual:
        raise AwsError("InvalidDocument", f"document hash {wanted} does not match {type_}.")


def _instance_ids(params: dict[str, Any]) -> list[str]:
    ids = list(params.get("InstanceIds", []))
    for target in params.get("Targets", []):
        if target.get("Key") != "InstanceIds":
            raise AwsError("ValidationException", "The sandbox knows targets by InstanceIds only.")
        ids += target.get("Values", [])
    if not ids:
        raise AwsError("ValidationException", "InstanceIds or Targets must be given.")
    if len(ids) > MAX_INSTANCES:
        raise AwsError("ValidationException", f"InstanceIds: at most {MAX_INSTANCES}.")
    if len(set(ids)) < len(ids):
        raise AwsError("DuplicateInstanceId", "An instance id is given twice.")
    if unknown := [instance_id for instance_id in ids if host.find(instance_id) is None]:
        raise AwsError("InvalidInstanceId", f"Instances {unknown} not in a valid state for account.")
    return ids


def _check_parameters(declared: dict[str, Any], given: dict[str, list[str]]) -> dict[str, str | list[str]]:
    """The value of every parameter of the document. Raises InvalidParameters."""
    if unknown := given.keys() - declared.keys():
        raise AwsError("InvalidParameters", f"The document has no parameter {', '.join(sorted(unknown))}.")
    values: dict[str, str | list[str]] = {}
    for name, parameter in declared.items():
        if name not in given and "default" not in parameter:
            raise AwsError("InvalidParameters", f"Parameter {name} is required.")
        if name not in given:
            values[name] = parameter["default"]
            continue
        items = given[name]
        for item in items:
            _check_value(name, parameter, item)
        if parameter["type"] == "StringList":
            values[name] = items
        elif len(items) == 1:
            values[name] = items[0]
        else:
            raise AwsError("InvalidParameters", f"Parameter {name} takes one value, not {len(items)}.")
    return values


def _check_value(name: str, parameter: dict[str, Any], value: str) -> None:
    pattern = parameter.get("allowedPattern")
    # A search, not a full match: a pattern without anchors does not protect, and a test should see that.
    if pattern is not None and not re.search(pattern, value):
        raise AwsError("InvalidParameters", f"Parameter {name}: the value does not match {pattern}.")
    if value not in parameter.get("allowedValues", [value]):
        raise AwsError("InvalidParameters", f"Parameter {name}: the value is not among the allowed ones.")
    if not parameter.get("minChars", 0) <= len(value) <= parameter.get("maxChars", len(value)):
        raise AwsError("InvalidParameters", f"Parameter {name}: the value is too short or too long.")


# On the instance


def _carry_out(command: Command, invocation: Invocation) -> None:
    instance = host.find(invocation.instance_id)
    assert instance is not None  # checked by SendCommand
    scale = float(os.environ.get("SANDBOX_DELIVERY_TIMEOUT_SCALE", "1"))
    deadline = time.monotonic() + command.delivery_seconds * scale
    invocation.cancelled.wait(PENDING_SECONDS)
    _move(invocation, "InProgress")
    if not host.wait_online(instance, deadline, invocation.cancelled):
        if invocation.cancelled.is_set():
            _move(invocation, "Cancelled")
        else:
            _move(invocation, "TimedOut", "Delivery Timed Out")
        return
    failed = False
    for body in command.version.body["mainSteps"]:
        stopped, code = _run_step(command, invocation, instance, body)
        if stopped == "cancelled":
            return _move(invocation, "Cancelled")
        if stopped == "timeout":
            return _move(invocation, "TimedOut", "Execution Timed Out")
        failed = failed or code != 0
    _move(invocation, "Failed" if failed else "Success")


def _move(invocation: Invocation, status: str, details: str | None = None) -> None:
    with _lock:
        invocation.status = status
        invocation.details = details or status


def _run_step(command: Command, invocation: Invocation, instance: Host, body: dict[str, Any]) -> tuple[str | None, int]:
    script, variables = render(command.version.body, body, command.values, instance.agent_version)
    variables |= {
        "AWS_SSM_INSTANCE_ID": invocation.instance_id,
        "AWS_SSM_REGION_NAME": command.region,
        "SSM_COMMAND_ID": command.command_id,
    }
    step = Step(body["name"], started=time.time())
    with _lock:
        invocation.steps.append(step)
    timeout = _execution_seconds(body, command.values)
    result = host.run(instance, script, variables, timeout, invocation.cancelled)
    watch.after_script(invocation.instance_id)
    with _lock:
        step.finished = time.time()
        step.code = KILLED if result.stopped else result.code
        step.stdout, step.stderr = result.stdout, result.stderr
    return result.stopped, step.code


def render(
    body: dict[str, Any], step: dict[str, Any], values: dict[str, str | list[str]], agent_version: str
) -> tuple[str, dict[str, str]]:
    """The script of a step and its environment variables.

    The value's text replaces `{{ name }}`, even if the shell then runs it as code. A parameter of interpolationType
    ENV_VAR is not put into the script: its value is in the variable SSM_name. Agents before 3.3.2746 do not know
    ENV_VAR; for them, the documented fallback is
    `if [ -z "${SSM_name+x}" ]; then export SSM_name="{{name}}"; fi` in the script.
    """
    variables = {}
    texts = dict(values)
    if tuple(int(part) for part in agent_version.split(".")) >= ENV_VAR_AGENT:
        for name, parameter in body.get("parameters", {}).items():
            if parameter.get("interpolationType") == "ENV_VAR":
                variables[f"SSM_{name}"] = str(texts.pop(name))
    lines = [line for command in step["inputs"]["runCommand"] for line in _render_line(command, texts)]
    return "\n".join(lines) + "\n", variables


def _render_line(line: str, texts: dict[str, str | list[str]]) -> list[str]:
    whole = REFERENCE.fullmatch(line.strip())
    if whole and isinstance(texts.get(whole[1]), list):
        return list(texts[whole[1]])

    def text(reference: re.Match[str]) -> str:
        value = texts.get(reference[1], reference[0])
        return " ".join(value) if isinstance(value, list) else value

    return [REFERENCE.sub(text, line)]


def _execution_seconds(step: dict[str, Any], values: dict[str, str | list[str]]) -> int:
    text = str(step["inputs"].get("timeoutSeconds", ""))
    if reference := REFERENCE.fullmatch(text):
        text = str(values[reference[1]])
    seconds = int(text) if text.isascii() and text.isdigit() else DEFAULT_EXECUTION_SECONDS
    in_range = MIN_EXECUTION_SECONDS <= seconds <= MAX_EXECUTION_SECONDS
    return seconds if in_range else DEFAULT_EXECUTION_SECONDS


# Looking


def _get_command_invocation(call: Call) -> dict[str, Any]:
    params = call.params
    with _lock:
        command = _find(call, params.get("CommandId", ""))
        invocation = command and command.visible and command.invocations.get(params.get("InstanceId", ""))
        if not command or not invocation:
            raise AwsError("InvocationDoesNotExist", "An error occurred: the invocation does not exist.")
        answer = {
            "CommandId": command.command_id,
            "InstanceId": invocation.instance_id,
            "Comment": command.comment,
            "DocumentName": command.document.name,
            "DocumentVersion": str(command.version.number),
            "Status": invocation.status,
            "StatusDetails": invocation.details,
        }
        return answer | _outcome(command, invocation, params.get("PluginName"))


def _outcome(command: Command, invocation: Invocation, wanted: str | None) -> dict[str, Any]:
    """The result of one step, or, without a name, all output and the first response code that is not 0."""
    names = [step["name"] for step in command.version.body["mainSteps"]]
    if wanted is not None and wanted not in names:
        raise AwsError("InvalidPluginName", f"The command has no step {wanted}.")
    steps = [step for step in invocation.steps if wanted in (None, step.name)]
    done = [step for step in steps if step.finished]
    # Until it has finished, the output is empty (GetCommandInvocation).
    shown = steps if invocation.finished else []
    codes = [step.code for step in done]
    started = steps[0].started if steps else None
    ended = done[-1].finished if invocation.finished and done else None
    return {
        "PluginName": wanted or names[0],
        "ResponseCode": next((code for code in codes if code), 0) if invocation.finished and codes else NOT_STARTED,
        "ExecutionStartDateTime": _iso(started),
        "ExecutionEndDateTime": _iso(ended),
        "ExecutionElapsedTime": f"PT{ended - started:.3f}S" if started and ended else "",
        "StandardOutputContent": "".join(step.stdout for step in shown)[:STDOUT_LIMIT],
        "StandardErrorContent": "".join(step.stderr for step in shown)[:STDERR_LIMIT],
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
    }


def _iso(moment: float | None) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if moment else ""


def _list_command_invocations(call: Call) -> dict[str, Any]:
    with _lock:
        found = [
            _invocation_answer(command, invocation, bool(call.params.get("Details")))
            for command in _select(call)
            for invocation in command.invocations.values()
            if call.params.get("InstanceId") in (None, invocation.instance_id)
        ]
        return {"CommandInvocations": found}


def _invocation_answer(command: Command, invocation: Invocation, details: bool) -> dict[str, Any]:
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "InstanceName": "",
        "Comment": command.comment,
        "DocumentName": command.document.name,
        "DocumentVersion": str(command.version.number),
        "RequestedDateTime": command.requested,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [_plugin_answer(invocation, step) for step in invocation.steps] if details else [],
    }


def _plugin_answer(invocation: Invocation, step: Step) -> dict[str, Any]:
    answer: dict[str, Any] = {"Name": step.name, "ResponseStartDateTime": step.started}
    if step.finished is None:
        return answer | {"Status": "InProgress", "StatusDetails": "InProgress", "ResponseCode": NOT_STARTED}
    killed = invocation.status in ("TimedOut", "Cancelled") and step is invocation.steps[-1]
    status = invocation.status if killed else ("Failed" if step.code else "Success")
    return answer | {
        "Status": status,
        "StatusDetails": invocation.details if killed else status,
        "ResponseCode": step.code,
        "ResponseFinishDateTime": step.finished,
        "Output": (step.stdout + step.stderr)[:PLUGIN_OUTPUT_LIMIT],
    }


def _list_commands(call: Call) -> dict[str, Any]:
    with _lock:
        instance_id = call.params.get("InstanceId")
        commands = [command for command in _select(call) if instance_id is None or instance_id in command.invocations]
        return {"Commands": [_command_answer(command) for command in commands]}


def _select(call: Call) -> list[Command]:
    """The caller's commands that match the request's CommandId and Filters, newest first."""
    filters = {item["key"]: item["value"] for item in call.params.get("Filters", [])}
    if unknown := filters.keys() - {"DocumentName", "Status"}:
        raise AwsError("InvalidFilterKey", f"The sandbox does not know the filter {', '.join(sorted(unknown))}.")
    return [
        command
        for command in reversed(_commands.values())
        if (command.account, command.region) == (call.account, call.region)
        and command.visible
        and call.params.get("CommandId") in (None, command.command_id)
        and filters.get("DocumentName") in (None, command.document.name)
        and filters.get("Status") in (None, _overall(command)[0])
    ]


def _command_answer(command: Command) -> dict[str, Any]:
    status, details = _overall(command)
    invocations = command.invocations.values()
    return {
        "CommandId": command.command_id,
        "DocumentName": command.document.name,
        "DocumentVersion": str(command.version.number),
        "Comment": command.comment,
        "ExpiresAfter": command.requested + command.delivery_seconds,
        "Parameters": command.given,
        "InstanceIds": list(command.invocations),
        "RequestedDateTime": command.requested,
        "Status": status,
        "StatusDetails": details,
        "TargetCount": len(invocations),
        "CompletedCount": sum(invocation.finished for invocation in invocations),
        "ErrorCount": sum(
            invocation.status == "Failed" or invocation.details == "Execution Timed Out" for invocation in invocations
        ),
        "DeliveryTimedOutCount": sum(invocation.details == "Delivery Timed Out" for invocation in invocations),
        "TimeoutSeconds": command.delivery_seconds,
    }


def _overall(command: Command) -> tuple[str, str]:
    """A command's status and details: once all its invocations have finished, those of the worst."""
    states = {(invocation.status, invocation.details) for invocation in command.invocations.values()}
    if states == {("Pending", "Pending")}:
        return "Pending", "Pending"
    if not all(invocation.finished for invocation in command.invocations.values()):
        return "InProgress", "InProgress"
    order = [
        ("Cancelled", "Cancelled"),
        ("Failed", "Failed"),
        ("TimedOut", "Execution Timed Out"),
        ("TimedOut", "Delivery Timed Out"),
    ]
    return next((state for state in order if state in states), ("Success", "Success"))


def _cancel_command(call: Call) -> dict[str, Any]:
    with _lock:
        command = _find(call, call.params.get("CommandId", ""))
        if command is None:
            raise AwsError("InvalidCommandId", "The specified command ID isn't valid.")
        wanted = call.params.get("InstanceIds") or list(command.invocations)
        if unknown := [instance_id for instance_id in wanted if instance_id not in command.invocations]:
            raise AwsError("InvalidInstanceId", f"The command does not run on {unknown}.")
        for instance_id in wanted:
            invocation = command.invocations[instance_id]
            if not invocation.finished:
                _move(invocation, "Cancelling")
                invocation.cancelled.set()
    return {}


def _find(call: Call, command_id: str) -> Command | None:
    command = _commands.get(command_id)
    own = command is not None and (command.account, command.region) == (call.account, call.region)
    return command if own else None


def _describe_instance_information(call: Call) -> dict[str, Any]:
    wanted: dict[str, list[str]] = {}
    for item in call.params.get("Filters", []):
        wanted[item["Key"]] = item["Values"]
    for item in call.params.get("InstanceInformationFilterList", []):
        wanted[item["key"]] = item["valueSet"]
    if unknown := wanted.keys() - {"InstanceIds", "PingStatus"}:
        raise AwsError("InvalidFilterKey", f"The sandbox does not know the filter {', '.join(sorted(unknown))}.")
    # An unknown id is no error: the list omits it.
    answers = [_instance_answer(instance) for instance in host.all_hosts()]
    return {
        "InstanceInformationList": [
            answer
            for answer in answers
            if answer["InstanceId"] in wanted.get("InstanceIds", [answer["InstanceId"]])
            and answer["PingStatus"] in wanted.get("PingStatus", [answer["PingStatus"]])
        ]
    }


def _instance_answer(instance: Host) -> dict[str, Any]:
    return {
        "InstanceId": instance.instance_id,
        "PingStatus": "Online" if instance.online else "ConnectionLost",
        "LastPingDateTime": time.time() if instance.online else instance.last_ping,
        "AgentVersion": instance.agent_version,
        "IsLatestVersion": instance.agent_version == host.CURRENT_AGENT,
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "ResourceType": "EC2Instance",
        "ComputerName": f"{instance.instance_id}.internal",
    }


def check_idle() -> None:
    """Raises AwsError while a script runs."""
    with _lock:
        running = [it for command in _commands.values() for it in command.invocations.values() if not it.finished]
    if running:
        raise AwsError("ConflictException", f"a script is running on {running[0].instance_id}")


def stop() -> None:
    """Cancels every running command and waits until none runs."""
    with _lock:
        invocations = [invocation for command in _commands.values() for invocation in command.invocations.values()]
    for invocation in invocations:
        invocation.cancelled.set()
    for invocation in invocations:
        if invocation.thread:
            invocation.thread.join()


OVERRIDES: dict[str, Override] = documents.OVERRIDES | parameters.OVERRIDES | {
    "ssm:CancelCommand": _cancel_command,
    "ssm:DescribeInstanceInformation": _describe_instance_information,
    "ssm:GetCommandInvocation": _get_command_invocation,
    "ssm:ListCommandInvocations": _list_command_invocations,
    "ssm:ListCommands": _list_commands,
    "ssm:SendCommand": _send_command,
}
