"""Eventual consistency: for some seconds, what was changed is hidden from reads, and from services other than its own.

While it is on, the account's resources are copied before each call that changes something. A user's read gets the state of so many
seconds ago. Every other call sees its own service as it is, and the others as they were: so a new role cannot be assumed yet, a new
policy is not in force, and a new permission lets nobody invoke. The calls of functions read the current state of their own service.
Documents of Systems Manager do not lag.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

from . import stores
from .api import AwsError, Call, Control

_INVOKES = "InvokeFunction"
"""Its effects are those of the function: its log, for example."""

_READS = ("Get", "List", "Describe", "Filter", "Simulate")

_lock = threading.Lock()
_seconds = 0.0
_past: deque[tuple[float, dict[str, dict[Any, Any]]]] = deque()
"""Until when the account was in a state, and that state; oldest first."""

_seen: ContextVar[dict[int, dict[Any, Any]] | None] = ContextVar("seen", default=None)
"""Store → what the current call sees of it, if not its current state."""


def install() -> None:
    """From now on, stores can show a state from before."""
    for kind in (AccountScopedDict, AccountRegionScopedDict):
        kind._data = _showing(kind.__dict__["_data"])


def _showing(slot: Any) -> property:
    def read(store: Any) -> Any:
        seen = _seen.get()
        return slot.__get__(store) if seen is None else seen.get(id(store), slot.__get__(store))

    return property(read, slot.__set__)


def configure(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/lag: {"seconds": S}; 0 ends it."""
    global _seconds
    seconds = change.get("seconds")
    if change.keys() != {"seconds"} or not isinstance(seconds, int | float) or seconds < 0:
        raise AwsError("ValidationException", f'not {{"seconds": S}}: {change}')
    with _lock:
        _seconds = seconds
        _past.clear()
    return {}


@contextmanager
def seen_by(call: Call) -> Iterator[None]:
    """While the call is answered, it sees what it would see of AWS."""
    if _seconds == 0 or call.action == _INVOKES:
        yield
        return
    reads = call.action.startswith(_READS)
    if not reads:
        _remember()
    token = _seen.set(_state_seen_by(call, reads))
    try:
        yield
    finally:
        _seen.reset(token)


def see_everything() -> None:
    """The rest of this context sees the current state: work that outlives the call that began it."""
    _seen.set(None)


def _remember() -> None:
    with _lock:
        now = time.monotonic()
        _past.append((now, {name: copy.deepcopy(dict(store._data)) for name, store in stores.all_by_name()}))
        while _past[0][0] < now - _seconds:
            _past.popleft()


def _state_seen_by(call: Call, reads: bool) -> dict[int, dict[Any, Any]]:
    with _lock:
        then = time.monotonic() - _seconds
        state = next((state for until, state in _past if until >= then), {})
    own = None if reads and ":user/" in call.caller else f"{call.service}."
    is_old = {name for name in state if own is None or not name.startswith(own)}
    return {id(store): state[name] for name, store in stores.all_by_name() if name in is_old}


CONTROLS: dict[str, Control] = {"lag": configure}
