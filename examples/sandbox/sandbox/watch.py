"""The promise that a rotation makes, checked after every AWS call and after every script that ran on a host.

1. What a host holds logs in to SES: its key exists, is Active, SES knows it, and the password is that key's.
2. The key that AWSCURRENT names is Active. A placeholder names none.
3. No user has more than two keys.

A breach is a violation, recorded with the call after which it was seen. A change by an operator is recorded too, but is
no violation: a user (the administrator, not a role) deactivated or deleted the key, or put AWSCURRENT where it is.
"""

from __future__ import annotations

import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import iam as ministack_iam
from ministack.services import secretsmanager as ministack_secrets

from . import host, secretsmanager, smtp
from .account import ACCOUNT_ID, REGION
from .api import AwsError, Call, Control
from .iam import ACCESS_KEYS_PER_USER

CREDENTIAL_FILE = Path("etc/mail/smtp-credentials")
"""The file of rotate_smtp_file.sh, below a host's folder: AccessKeyId=… and SMTPPassword=…, a line each."""


@dataclass(frozen=True)
class Breach:
    """A breach of one of the three."""

    subject: str
    """What the breach is about: one that lasts is recorded once."""
    sentence: str
    key: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Found:
    """A breach, as GET /_sandbox/state shows it."""

    call: int
    """The number of the last call before the breach was seen."""
    after: str
    sentence: str


_lock = threading.RLock()
_last_call = 0
_violations: list[Found] = []
_operators_doings: list[Found] = []
_standing: set[Breach] = set()
_under_way: list[Call] = []
_operators_own: set[str] = set()
"""Access keys and versions of secrets whose state an operator caused."""
_taken_by_roles: set[str] = set()
"""Access keys that a role deactivated or deleted: no operator caused that, even if one put AWSCURRENT on them."""
_keys_known_to_ses: set[str] = set()
_left_out: set[str] = set()


def before_call(call: Call) -> None:
    """Records a call that is about to take effect: another call's check can come before this call's own."""
    with _lock:
        _under_way.append(call)


def after_call(number: int, call: Call, *, succeeded: bool) -> None:
    """Checks after an AWS call."""
    global _last_call
    with _lock:
        _last_call = number
        _under_way.remove(call)
        if succeeded:
            for subject in _set(call):
                (_operators_own.add if _is_operators(call) else _operators_own.discard)(subject)
            if (key := _taken(call)) is not None:
                (_taken_by_roles.discard if _is_operators(call) else _taken_by_roles.add)(key)
        _look(f"{call.service}:{call.action} by {call.caller}")


def after_script(instance_id: str) -> None:
    """Checks after a script has ended on an instance."""
    with _lock:
        _look(f"a script on {instance_id}")


def begin_anew() -> None:
    """A snapshot was restored: recorded breaches stay, and a breach found from now on is new."""
    with _lock:
        _standing.clear()
        _operators_own.clear()
        _taken_by_roles.clear()


def _is_operators(call: Call) -> bool:
    return call.caller.startswith("arn:aws:iam:") and ":user/" in call.caller


def _set(call: Call) -> set[str]:
    """The access key whose state the call changes, and the versions on which the call may put AWSCURRENT."""
    match f"{call.service}:{call.action}":
        case "iam:DeleteAccessKey" | "iam:UpdateAccessKey":
            names = ["AccessKeyId"]
        case "secretsmanager:CreateSecret" | "secretsmanager:PutSecretValue" | "secretsmanager:UpdateSecret":
            names = ["ClientRequestToken"]
        case "secretsmanager:UpdateSecretVersionStage" if call.params.get("VersionStage") == secretsmanager.CURRENT:
            names = ["MoveToVersionId"]
        case _:
            names = []
    return {call.params[name] for name in names if name in call.params}


def _taken(call: Call) -> str | None:
    """The access key that the call deactivates or deletes."""
    match f"{call.service}:{call.action}":
        case "iam:DeleteAccessKey":
            return call.params.get("AccessKeyId")
        case "iam:UpdateAccessKey" if call.params.get("Status") == "Inactive":
            return call.params.get("AccessKeyId")
        case _:
            return None


def _look(after: str) -> None:
    breaches = set(_breaches())
    under_way = [_set(call) for call in _under_way if _is_operators(call)]
    operators = _operators_own.union(*under_way)
    for breach in sorted(breaches - _standing, key=lambda breach: breach.subject):
        is_operators = {breach.key, breach.version} & operators and breach.key not in _taken_by_roles
        remembered = _operators_doings if is_operators else _violations
        remembered.append(Found(_last_call, after, breach.sentence))
    _standing.clear()
    _standing.update(breaches)


def _breaches() -> Iterator[Breach]:
    with request_scope(ACCOUNT_ID, REGION):
        keys = {key["AccessKeyId"]: dict(key) for key in ministack_iam._access_keys.values()}
        for instance in host.all_hosts():
            if instance.instance_id not in _left_out:
                yield from _breach_on_host(instance, keys)
        yield from _breaches_of_current(keys)
    for user, number in Counter(key["UserName"] for key in keys.values()).items():
        if number > ACCESS_KEYS_PER_USER:
            yield Breach(f"user {user}", f"the user {user} has {number} access keys")


def _breach_on_host(instance: host.Host, keys: dict[str, dict[str, Any]]) -> Iterator[Breach]:
    try:
        text = (instance.folder / CREDENTIAL_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    subject = f"host {instance.instance_id}"
    held = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    key_id, password = held.get("AccessKeyId", ""), held.get("SMTPPassword", "")
    if problem := _problem_of(keys.get(key_id)):
        yield Breach(subject, f"{instance.instance_id} holds the access key {key_id or '(none)'}, {problem}", key_id)
    elif not hmac.compare_digest(smtp.smtp_password(keys[key_id]["SecretAccessKey"], REGION), password):
        yield Breach(
            subject, f"{instance.instance_id} holds the access key {key_id} with a password that is not its own"
        )
    elif not _is_known_to_ses(key_id):
        yield Breach(subject, f"{instance.instance_id} holds the access key {key_id}, which SES does not accept yet")


def _is_known_to_ses(key_id: str) -> bool:
    """SES does not forget a key that it knew: a test that slows propagation means only later keys."""
    if key_id not in _keys_known_to_ses and smtp.is_usable(key_id):
        _keys_known_to_ses.add(key_id)
    return key_id in _keys_known_to_ses


def _breaches_of_current(keys: dict[str, dict[str, Any]]) -> Iterator[Breach]:
    with secretsmanager.lock:
        current = [
            (secret["Name"], version, secret["Versions"][version]["SecretString"])
            for secret in ministack_secrets._secrets.values()
            if not secret.get("DeletedDate") and (version := secretsmanager.holder(secret, secretsmanager.CURRENT))
        ]
    for name, version, text in current:
        key_id = _key_in(text)
        if key_id and (problem := _problem_of(keys.get(key_id))):
            sentence = f"AWSCURRENT of {name} names the access key {key_id}, {problem}"
            yield Breach(f"secret {name}", sentence, key_id, version)


def _key_in(text: str | None) -> str | None:
    """The access key that a secret's value names; none if the value is a placeholder or no SMTP credential."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    key_id = value.get("AccessKeyId") if isinstance(value, dict) else None
    return key_id if isinstance(key_id, str) and key_id else None


def _problem_of(key: dict[str, Any] | None) -> str | None:
    if key is None:
        return "which does not exist"
    return None if key["Status"] == "Active" else "which is Inactive"


def state() -> dict[str, Any]:
    """The recorded breaches, for GET /_sandbox/state."""
    with _lock:
        return {
            "violations": [asdict(found) for found in _violations],
            "operators_doings": [asdict(found) for found in _operators_doings],
        }


def configure(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/watch: `leave_out`: instances that nobody rotates for now; `forget`: true empties the lists."""
    if unknown := change.keys() - {"leave_out", "forget"}:
        raise AwsError("ValidationException", f"no such setting: {', '.join(sorted(unknown))}")
    with _lock:
        if "leave_out" in change:
            _left_out.clear()
            _left_out.update(change["leave_out"])
        if change.get("forget"):
            _violations.clear()
            _operators_doings.clear()
        return state()


CONTROLS: dict[str, Control] = {"watch": configure}
