"""Everything in the account, without what differs from run to run: ids that AWS makes up, dates, secrets, and counts of changes.

Two runs that end in the same state have the same dump.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ministack.services import secretsmanager as ministack_secrets

from . import documents, rotation, secretsmanager, stores
from .api import Control

_NO_STATE = (
    "cloudwatch.alarm_history",
    "cloudwatch.metrics",
    "events.event_buses",
    "events.events_log",
    "logs.log_records",
    "logs.queries",
    "ssm.commands",
    "ssm.parameter_history",
)
"""Stores of what happened, and not of what is there; and that of the default bus, which ministack makes on first use."""

_VARIES = re.compile(
    r".*(Date|Time|_at|Timestamp)|created|modified|creationTime|(Revision|Role|User|Policy|Group|Instance|Generated)Id|SecretAccessKey"
    r"|streams|storedBytes|_RotationTokens|LastModified(User)?|Version(s|Id)?|policy_revision"
)
"""Names of members that are left out. Of versions, only the labelled ones of a secret are kept."""

_IDS = (
    (re.compile(r"AKIA[A-Z2-7]{16}"), "KEY"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:?00)"), "DATE"),
    (re.compile(r"(?<=:secret:)([^:*?\s\"]+)-[A-Za-z0-9]{6}(?![A-Za-z0-9?])"), r"\1-SUFFIX"),
)

_OPEN_FIELDS = ("username", "iam_user_arn")
"""Fields of a secret's value that are no secret."""


def control(_: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/dump: returns `stores`, and `running`: whether a rotation runs, so that the state is not final."""
    with secretsmanager.lock:
        account = {
            name: _entries(store._data, _plain) for name, store in stores.all_by_name() if name not in _NO_STATE
        }
        account["secretsmanager.secrets"] = _entries(ministack_secrets._secrets._data, _secret)
        account["ssm.documents"] = _entries(documents._documents, _document)
        return {"stores": {name: store for name, store in account.items() if store}, "running": rotation.is_running()}


def _entries(store: dict[Any, Any], plain: Callable[[Any], Any]) -> list[Any]:
    """Pairs of a name and a resource. Names may be equal once their ids are left out."""
    return _in_order([_key(key), plain(value)] for key, value in store.items())


def _in_order(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def _key(key: Any) -> str:
    return _text(" ".join(map(str, key)) if isinstance(key, tuple) else str(key))


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {_key(name): _plain(item) for name, item in value.items() if not _VARIES.fullmatch(str(name))}
        case list() | tuple() | set():
            return _in_order(_plain(item) for item in value)
        case bytes():
            return hashlib.sha256(value).hexdigest()
        case str():
            return _text(value)
        case bool() | int() | float() | None:
            return value
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """A text without ids. JSON in it, such as a policy's, is the same in any order of its keys."""
    if text.startswith("{"):
        try:
            text = json.dumps(json.loads(text), sort_keys=True)
        except ValueError:
            pass
    for pattern, name in _IDS:
        text = pattern.sub(name, text)
    return text


def _secret(secret: dict[str, Any]) -> Any:
    labelled = [version for version in secret["Versions"].values() if version["Stages"]]
    versions = _in_order({"labels": _plain(version["Stages"]), "value": _value(version)} for version in labelled)
    return _plain(secret) | {"versions": versions}


def _value(version: dict[str, Any]) -> Any:
    """The names of a value's fields, and whether they hold something."""
    try:
        fields = json.loads(version.get("SecretString") or "")
    except ValueError:
        return None
    return {name: value if name in _OPEN_FIELDS else bool(value) for name, value in fields.items()}


def _document(document: documents.Document) -> Any:
    default = document.versions[document.default - 1]
    fields = asdict(document) | {"versions": None, "default": json.loads(default.content)}
    return _plain(fields | {"latest": json.loads(document.latest.content)})


CONTROLS: dict[str, Control] = {"dump": control}
