"""Restores an earlier state of the account, for tests that start many times from the same state.

A snapshot holds what a rotation changes: access keys with their last uses, secrets, the rotations so far, and the files
below `etc` of every instance. Everything else stays unchanged.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.services import iam as ministack_iam
from ministack.services import secretsmanager as ministack_secrets

from . import host, iam, rotation, secretsmanager, ssm, watch
from .api import AwsError, Control
from .rotation import Rotation


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment."""

    keys: dict[Any, Any]
    last_uses: dict[str, dict[str, str]]
    secrets: dict[Any, Any]
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
            copy.deepcopy(ministack_iam._access_keys._data),
            iam.last_uses(),
            copy.deepcopy(ministack_secrets._secrets._data),
            rotation.past(),
            {file: file.read_bytes() for file in _files()},
        )


def _restore(snapshot: Snapshot) -> None:
    with secretsmanager.lock:
        rotation.past()  # raises if one runs
        rotation.restore_past(snapshot.rotations)
        ministack_iam._access_keys._data = copy.deepcopy(snapshot.keys)
        iam.restore_last_uses(snapshot.last_uses)
        ministack_secrets._secrets._data = copy.deepcopy(snapshot.secrets)
        for file in _files() - snapshot.files.keys():
            file.unlink()
        for file, content in snapshot.files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        watch.begin_anew()


def _files() -> set[Path]:
    return {file for each in host.all_hosts() for file in (each.folder / "etc").rglob("*") if file.is_file()}


CONTROLS: dict[str, Control] = {"snapshot": control}
