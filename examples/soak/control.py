"""The sandbox's own endpoints, which only the sandbox's command may use."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any


def ask_sandbox(name: str, change: dict[str, Any] | None = None) -> dict[str, Any]:
    """POST /_sandbox/NAME, or without a change GET."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_sandbox/{name}"
    body = None if change is None else json.dumps(change).encode()
    request = urllib.request.Request(url, body, {"X-Sandbox-Token": os.environ["SANDBOX_TOKEN"]})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
