"""Retirement as in the daily upkeep, but every few seconds, so that it meets every moment of a rotation."""

from __future__ import annotations

import json
import threading
from typing import Any

import botocore.session

FUNCTION = "mail-prod-rotation"
EVERY_SECONDS = 2


class Retirement:
    """Asks the function to retire keys, from its own thread."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        """The access keys that the function deleted."""
        self.kept = 0
        """How often the function answered that a key must stay."""
        self.failures: list[str] = []
        """The errors and refusals, in the function's words."""
        self._lambda = botocore.session.get_session().create_client("lambda")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._retire_until_stopped, name="retirement")

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Stops after the current question."""
        self._stop.set()
        self._thread.join()

    def _retire_until_stopped(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            answer = self._lambda.invoke(FunctionName=FUNCTION, Payload=json.dumps({"event": "retire"}))
            payload = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                self.failures.append(f"{payload['errorType']}: {payload['errorMessage']}")
            else:
                self._count(payload)

    def _count(self, answer: dict[str, Any]) -> None:
        if "refused" in answer:
            refusal = answer["refused"]
            self.failures.append(f"{refusal['kind']}: {refusal['found']}")
        else:
            self.deleted += answer["done"]["deleted"]
            self.kept += bool(answer["done"]["kept"])
