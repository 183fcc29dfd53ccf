"""RotateSecret and CancelRotateSecret, by Secrets Manager's real contract.

AWS does not publish how often a failed rotation is retried, or whether it keeps its token. So both are settings.
"""

from __future__ import annotations

import contextvars
import copy
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import request_scope

from . import authz, invocation, lag, schedule
from .api import AwsError, Call
from .secretsmanager import (
    CURRENT,
    PENDING,
    Secret,
    add_version,
    attach,
    detach,
    find,
    holder,
    lock,
    now,
    open_rotation,
)

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
PRINCIPAL = "secretsmanager.amazonaws.com"

logger = logging.getLogger("sandbox.rotation")


@dataclass
class Settings:
    """How Secrets Manager retries failed rotations."""

    attempts: int = 2
    retry_token: str = "same"
    """"same", or "new": each attempt has its own token and its own empty version."""
    retry_seconds: float = 1.0
    hold_before: str = ""
    """A step before which every rotation waits until this setting changes."""


@dataclass
class Rotation:
    """One rotation with all its attempts, as GET /_sandbox/state shows it."""

    secret: str
    token: str
    account: str
    region: str
    steps: tuple[str, ...]
    rotation_token: str = ""
    status: str = "running"
    history: list[dict[str, Any]] = field(default_factory=list)


settings = Settings()
_rotations: list[Rotation] = []
_issued_tokens: set[str] = set()
_stopping = threading.Event()
_settings_changed = threading.Condition()


def configure(new: Settings) -> None:
    """Sets how Secrets Manager retries rotations."""
    global settings
    settings = new


def change_settings(request: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/rotation: changes some of the settings."""
    global settings
    with _settings_changed:
        try:
            settings = Settings(**{**asdict(settings), **request})
        except TypeError as problem:
            raise AwsError("ValidationException", str(problem)) from problem
        _settings_changed.notify_all()
    return asdict(settings)


def try_again(request: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/retry: tries the open rotation as often again, as in its next window.

    An open rotation has failed; or it completed and kept AWSPENDING, and AWSCURRENT was moved back since.
    """
    with lock:
        ended = (rotation for rotation in reversed(_rotations) if rotation.status in ("failed", "complete"))
        rotation = next(ended, None)
        if request or rotation is None:
            raise AwsError("ValidationException", "no rotation has failed, or more was asked than to try it again")
        with request_scope(rotation.account, rotation.region):
            if not _is_open(rotation):
                raise AwsError("ValidationException", "somebody ended the rotation, or it is not open")
            rotation.status = "running"
            _in_background(_run_again, rotation)
        return {"token": rotation.token}


def state() -> dict[str, Any]:
    """Every rotation token ever issued, and every rotation without its rotation token."""
    with lock:
        rotations = [
            {name: value for name, value in asdict(rotation).items() if name != "rotation_token"}
            for rotation in _rotations
        ]
        return {"rotation_tokens": sorted(_issued_tokens), "rotations": rotations}


def past() -> list[Rotation]:
    """A copy of every rotation so far. Raises AwsError while one runs."""
    with lock:
        if is_running():
            raise AwsError("ConflictException", "a rotation is running")
        return copy.deepcopy(_rotations)


def is_running() -> bool:
    """Whether a rotation, or a test of the configuration, runs."""
    with lock:
        return any(rotation.status == "running" for rotation in _rotations)


def restore_past(rotations: list[Rotation]) -> None:
    """Restores a copy."""
    with lock:
        _rotations[:] = copy.deepcopy(rotations)


def stop() -> None:
    """Starts no further attempt."""
    _stopping.set()
    with _settings_changed:
        _settings_changed.notify_all()


def _rotate_secret(call: Call) -> dict[str, Any]:
    rules = call.params.get("RotationRules")
    if rules is not None:
        schedule.check(rules)
    with lock:
        secret = find(call.params["SecretId"])
        function_arn = call.params.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
        if not function_arn:
            raise AwsError("InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
        _check_invocable(call, secret["ARN"], function_arn)
        token = call.params.get("ClientRequestToken") or str(uuid.uuid4())
        answer = {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token}
        if token in secret["Versions"]:
            return answer  # the caller repeats a call; its answer may have been lost
        if open_rotation(secret):
            raise AwsError(
                "InvalidRequestException",
                "A previous rotation isn't complete. That rotation will be reattempted.",
            )
        secret["RotationEnabled"] = True
        secret["RotationLambdaARN"] = function_arn
        secret["RotationRules"] = rules or secret.get("RotationRules") or {}
        secret["LastChangedDate"] = now()
        _plan_next(secret)
        _start(secret, token, call, immediately=call.params.get("RotateImmediately", True))
        return answer


def _check_invocable(call: Call, secret_arn: str, function_arn: str) -> None:
    caller_check = authz.Check(function_arn)
    if not authz.may(call.caller, "lambda:InvokeFunction", caller_check, call.account, call.region):
        raise AwsError(
            "AccessDeniedException",
            f"User: {call.caller} is not authorized to perform: lambda:InvokeFunction on resource: {function_arn} "
            "because no identity-based policy allows the lambda:InvokeFunction action",
        )
    if not invocation.may_invoke(PRINCIPAL, secret_arn, function_arn, call.account, call.region):
        raise AwsError(
            "AccessDeniedException",
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants "
            f"access to the principal {PRINCIPAL}.",
        )


def _plan_next(secret: Secret) -> None:
    due = schedule.next_rotation(secret["RotationRules"], datetime.now(UTC))
    secret["NextRotationDate"] = due.timestamp() if due else None


def _start(secret: Secret, token: str, call: Call, *, immediately: bool) -> None:
    """Opens AWSPENDING, and runs the steps on a thread. The caller holds the lock."""
    if immediately:
        add_version(secret, token, None, None)
        run = _run
    else:
        # Only testSecret runs, on a temporary version with the existing value.
        current = secret["Versions"].get(holder(secret, CURRENT)) or {"SecretString": None, "SecretBinary": None}
        add_version(secret, token, current["SecretString"], current["SecretBinary"])
        run = _run_test
    attach(secret, PENDING, token)
    steps = STEPS if immediately else ("testSecret",)
    rotation = Rotation(secret["ARN"], token, call.account, call.region, steps)
    _rotations.append(rotation)
    _in_background(run, rotation)


def _in_background(run: Callable[[Rotation], None], rotation: Rotation) -> None:
    def guarded() -> None:
        lag.see_everything()
        try:
            run(rotation)
        except Exception:
            logger.exception("the sandbox itself failed in the rotation of %s", rotation.secret)
            rotation.status = "broken"

    # The context has the account and the region, which ministack's stores use as scope.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(guarded,), name="rotation", daemon=True).start()


def _run(rotation: Rotation) -> None:
    _try(rotation, 1)


def _run_again(rotation: Rotation) -> None:
    _try(rotation, rotation.history[-1]["attempt"] + 1)


def _try(rotation: Rotation, first: int) -> None:
    for attempt in range(first, first + settings.attempts):
        if attempt > 1 and (_stopping.wait(settings.retry_seconds) or not _reopen(rotation)):
            break
        if _attempt(rotation, attempt) and _complete(rotation):
            return
    with lock:
        rotation.status = "failed" if _is_open(rotation) else "abandoned"
    logger.warning("rotation of %s %s", rotation.secret, rotation.status)


def _run_test(rotation: Rotation) -> None:
    passed = _attempt(rotation, 1)
    with lock:
        rotation.status = "tested" if passed else "failed"
        _close(rotation)
        secret = _secret(rotation)
        if secret and holder(secret, PENDING) == rotation.token:
            detach(secret, PENDING)
            del secret["Versions"][rotation.token]


def _attempt(rotation: Rotation, attempt: int) -> bool:
    """Runs the steps in order until one fails."""
    with lock:
        rotation.rotation_token = str(uuid.uuid4())
        _issued_tokens.add(rotation.rotation_token)
        if secret := _secret(rotation):
            secret["_RotationTokens"] = {rotation.rotation_token}
    for step in rotation.steps:
        _hold_before(rotation, step)
        failure = _invoke(rotation, step)
        result = {"error": failure and failure.message, "error_type": failure and failure.code}
        with lock:
            rotation.history.append({"attempt": attempt, "token": rotation.token, "step": step, **result})
        if failure is not None:
            logger.warning("rotation of %s: %s failed: %s", rotation.secret, step, failure.message)
            return False
    return True


def _hold_before(rotation: Rotation, step: str) -> None:
    def goes_on() -> bool:
        return settings.hold_before != step or _stopping.is_set()

    with _settings_changed:
        if goes_on():
            return
        rotation.status = "held"
        _settings_changed.wait_for(goes_on)
        rotation.status = "running"


def _invoke(rotation: Rotation, step: str) -> AwsError | None:
    """Invokes the function for one step. Returns the error, with the function's own name for it, or None."""
    with lock:
        secret = _secret(rotation)
        if secret is None or not secret["RotationEnabled"]:
            return AwsError("RotationCancelled", "the rotation was cancelled")
        function_arn = secret["RotationLambdaARN"]
    if not invocation.may_invoke(PRINCIPAL, rotation.secret, function_arn, rotation.account, rotation.region):
        return AwsError("InvokeDenied", f"Secrets Manager may not invoke {function_arn}")
    event = {
        "Step": step,
        "SecretId": rotation.secret,
        "ClientRequestToken": rotation.token,
        "RotationToken": rotation.rotation_token,
    }
    _, error = invocation.invoke(PRINCIPAL, function_arn, event)
    return error


def _secret(rotation: Rotation) -> Secret | None:
    try:
        return find(rotation.secret)
    except AwsError:
        return None


def _is_open(rotation: Rotation) -> bool:
    secret = _secret(rotation)
    return secret is not None and secret["RotationEnabled"] and open_rotation(secret) == rotation.token


def _reopen(rotation: Rotation) -> bool:
    """Prepares another attempt, unless somebody has ended the rotation."""
    with lock:
        if not _is_open(rotation):
            return False
        if settings.retry_token == "new":
            secret = find(rotation.secret)
            rotation.token = str(uuid.uuid4())
            add_version(secret, rotation.token, None, None)
            attach(secret, PENDING, rotation.token)
        return True


def _complete(rotation: Rotation) -> bool:
    """Ends a rotation whose steps all succeeded. It is complete only if AWSCURRENT is on the new version."""
    with lock:
        secret = _secret(rotation)
        if secret is None or holder(secret, CURRENT) != rotation.token:
            logger.warning("rotation of %s: every step succeeded, yet AWSCURRENT did not move", rotation.secret)
            return False
        secret["LastRotatedDate"] = secret["LastChangedDate"] = now()
        _plan_next(secret)
        if "ScheduleExpression" in secret["RotationRules"] and secret["NextRotationDate"]:
            # AWS calculates the days from the schedule after every rotation (RotationRulesType's reference), so that
            # DescribeSecret then returns both.
            days = round((secret["NextRotationDate"] - now()) / 86_400)
            secret["RotationRules"] = {**secret["RotationRules"], "AutomaticallyAfterDays": max(1, days)}
        rotation.status = "complete"
        _close(rotation)
        return True


def _close(rotation: Rotation) -> None:
    if secret := _secret(rotation):
        secret["_RotationTokens"] = set()


def _cancel_rotate_secret(call: Call) -> dict[str, Any]:
    """Turns rotation off. AWSPENDING stays where it is."""
    with lock:
        secret = find(call.params["SecretId"])
        secret["RotationEnabled"] = False
        secret["LastChangedDate"] = now()
        pending = holder(secret, PENDING)
        answer = {"ARN": secret["ARN"], "Name": secret["Name"]}
        return answer | ({"VersionId": pending} if pending else {})


OVERRIDES = {
    "secretsmanager:RotateSecret": _rotate_secret,
    "secretsmanager:CancelRotateSecret": _cancel_rotate_secret,
}

CONTROLS = {"rotation": change_settings, "retry": try_again}
