"""`calls.jsonl`: one line per AWS call, in the order of the answers. No line has a parameter's value."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path


class CallLog:
    """Appends lines; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self._number = 0

    def record(
        self,
        *,
        caller: str,
        service: str,
        action: str,
        resource: str,
        status: int,
        error: str | None,
        fault: str | None,
        also: list[str] | None = None,
    ) -> int:
        """Writes the line of one call to the file, before it returns. Returns the call's number."""
        with self._lock:
            self._number += 1
            line = {
                "number": self._number,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "caller": caller,
                "service": service,
                "action": action,
                "resource": None if resource == "*" else resource,
                "status": status,
                "error": error,
                "fault": fault,
                "also": also or [],
            }
            self._file.write(json.dumps(line) + "\n")
            return self._number
