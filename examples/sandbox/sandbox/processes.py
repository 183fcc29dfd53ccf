"""The processes of functions: which one made a call, and how to kill it, cut it off, or give it less time."""

from __future__ import annotations

import queue
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import ProvidedWorker

from . import sessions
from .api import AwsError

ROLE_SESSION_SECONDS = 12 * 3600
QUIET_SECONDS = 0.02
LONGEST_DRAIN_SECONDS = 5.0

_lock = threading.Lock()
_ports: dict[str, int] = {}
"""Access key id of a process → the port of its Runtime API, by which ministack identifies its processes."""
_cut_off: dict[str, str] = {}
"""Access key id of a process → the invocation in which the process gets no more answers."""


@dataclass
class Deadline:
    """The time that replaces the function's timeout."""

    seconds: int
    step: str | None = None
    """The step of a rotation whose invocations it limits; None for all."""
    times: int | None = None
    """How many invocations it limits; None for all."""

    def __post_init__(self) -> None:
        if not isinstance(self.seconds, int) or self.seconds < 1:
            raise AwsError("ValidationException", f"a deadline is a whole number of seconds, not {self.seconds!r}")

    def applies(self, event: Any) -> bool:
        """Whether this limits the invocation. If so, counts it."""
        asked_for = event.get("Step") if isinstance(event, dict) else None
        if self.times == 0 or self.step not in (None, asked_for):
            return False
        if self.times is not None:
            self.times -= 1
        return True


_deadline: Deadline | None = None


def install() -> None:
    """From now on, invocations have the time that `set_deadline` sets, and their output is whole."""
    ProvidedWorker.invoke = _within_deadline(ProvidedWorker.invoke)
    ProvidedWorker._drain_stderr_bounded = _drain


def set_deadline(deadline: Deadline | None) -> None:
    """Replaces the timeout of functions; None restores it."""
    global _deadline
    _deadline = deadline


def _within_deadline(invoke: Callable) -> Callable:
    def invoke_within(worker: ProvidedWorker, event: Any, *arguments: Any, **options: Any) -> Any:
        config = worker.config
        if _deadline is not None and _deadline.applies(event):
            worker.config = {**config, "Timeout": _deadline.seconds}
        try:
            return invoke(worker, event, *arguments, **options)
        finally:
            worker.config = config

    return invoke_within


def _drain(worker: ProvidedWorker, **_: float) -> str:
    """What the process wrote before it answered. ministack waits 5 ms for the next line. On a busy machine the pipe may
    need longer: then the last line of a step would go to the next invocation, or be lost."""
    lines = []
    quiet_since = time.monotonic()
    until = quiet_since + LONGEST_DRAIN_SECONDS
    while (now := time.monotonic()) < until:
        try:
            lines.append(worker._stderr_queue.get(timeout=QUIET_SECONDS / 4))
            quiet_since = time.monotonic()
        except queue.Empty:
            if now - quiet_since >= QUIET_SECONDS and not _is_waiting_to_be_read(worker):
                break
    return "\n".join(lines)


def _is_waiting_to_be_read(worker: ProvidedWorker) -> bool:
    process, reader = worker._proc, worker._log_thread
    if process is None or reader is None or not reader.is_alive():
        return False
    try:
        return bool(select.select([process.stdout], [], [], 0)[0])
    except ValueError:
        return False  # the pipe is closed


def credentials(config: dict[str, Any], port: int) -> dict[str, str]:
    """New temporary credentials of the function's role, for the process whose Runtime API listens on `port`."""
    name, role = config["FunctionName"], config["Role"].rsplit("/", 1)[-1]
    account = config["FunctionArn"].split(":")[4]
    # Nothing reads the session's user id, so the role's name stands for the role's id.
    given = sessions.assume(account, role, role, name, ROLE_SESSION_SECONDS)
    with _lock:
        _ports[given["AWS_ACCESS_KEY_ID"]] = port
    return given


def is_one(access_key_id: str) -> bool:
    """Whether the credentials belong to a function's process."""
    return access_key_id in _ports


def kill(access_key_id: str) -> None:
    """Kills the process that has these credentials. Its invocation ends as on Lambda: Runtime.ExitError."""
    worker = _worker(access_key_id)
    if worker and worker._proc:
        worker._proc.kill()


def cut_off(access_key_id: str) -> None:
    """From now on, until the end of its current invocation, the process gets no answer."""
    if (worker := _worker(access_key_id)) and (invocation := worker._current_request_id):
        with _lock:
            _cut_off[access_key_id] = invocation


def is_cut_off(access_key_id: str) -> bool:
    """Whether the process gets no answer."""
    with _lock:
        invocation = _cut_off.get(access_key_id)
    if invocation is None:
        return False
    worker = _worker(access_key_id)
    if worker and worker._current_request_id == invocation:
        return True
    with _lock:
        _cut_off.pop(access_key_id, None)
    return False


def _worker(access_key_id: str) -> ProvidedWorker | None:
    port = _ports.get(access_key_id)
    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    for worker in workers:
        server = getattr(worker, "_server", None)
        if server is not None and server.server_address[1] == port:
            return worker
    return None
