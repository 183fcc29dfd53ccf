"""Restores an earlier state of the account, for tests that start many times from the same state.

A snapshot holds everything that a deployment or a rotation changes: the resources of the services in `stores.py`, last uses of
access keys, documents, the rotations so far, and the files below `etc` of every instance.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from . import documents, host, iam, rotation, secretsmanager, ssm, stores, watch
from .api import AwsError, Control
from .rotation import Rotation


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment."""

    stores: dict[str, dict[Any, Any]]
    documents: dict[Any, documents.Document]
    last_uses: dict[str, dict[str, str]]
    rotations: list[Rotation]
    files: dict[Path, bytes]


_snapshots: dict[str, Snapshot] = {}


def control(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/snapshot: {"save": name} or {"restore": name}; an error while a rotation or a script runs."""
    ssm.check_idle()
    match change:
        case {"save": str(name)}:
            _snapshots[name] = _take()
        case {"restore": str(name)} if name in _snapshots:
            _restore(_snapshots[name])
        case _:
            raise AwsError("ValidationException", f"no such snapshot: {change}")
    return {}


def _take() -> Snapshot:
    with secretsmanager.lock:
        return Snapshot(
            {name: copy.deepcopy(store._data) for name, store in stores.all_by_name()},
            copy.deepcopy(documents._documents),
            iam.last_uses(),
            rotation.past(),
            {file: file.read_bytes() for file in _files()},
        )


def _restore(snapshot: Snapshot) -> None:
    with secretsmanager.lock:
        rotation.past()  # raises if one runs
        rotation.restore_past(snapshot.rotations)
        functions = _revisions()
        for name, store in stores.all_by_name():
            store._data = copy.deepcopy(snapshot.stores.get(name, {}))
        if _revisions() != functions:
            lambda_runtime.reset()  # running processes are those of other functions
        documents._documents.clear()
        documents._documents.update(copy.deepcopy(snapshot.documents))
        iam.restore_last_uses(snapshot.last_uses)
        for file in _files() - snapshot.files.keys():
            file.unlink()
        for file, content in snapshot.files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        watch.begin_anew()


def _revisions() -> dict[Any, str]:
    return {key: function["config"]["RevisionId"] for key, function in lambda_svc._functions._data.items()}


def _files() -> set[Path]:
    return {file for each in host.all_hosts() for file in (each.folder / "etc").rglob("*") if file.is_file()}


CONTROLS: dict[str, Control] = {"snapshot": control}
