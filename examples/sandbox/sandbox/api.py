"""The types that the sandbox's modules share."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One AWS call whose signature was checked."""

    service: str
    """As in IAM action prefixes: "ssm", "secretsmanager", "iam", "lambda"."""
    action: str
    """As in IAM actions: "SendCommand"."""
    caller: str
    """ARN of the caller; for a role "arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION"."""
    account: str
    region: str
    params: dict[str, Any]
    """The decoded request: the JSON body, the query protocol's form as a flat dict, or the REST body."""
    access_key_id: str = ""
    """The access key id of the caller."""
    is_cbor: bool = False
    """Whether the caller speaks Smithy's RPC v2, whose bodies are CBOR: some SDKs do with CloudWatch."""

    @property
    def is_query(self) -> bool:
        """Whether the caller speaks the query protocol, whose values are text: Terraform with CloudWatch."""
        return "Action" in self.params


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call that is being answered, for code that ministack's own functions do not pass it to."""


class AwsError(Exception):
    """An error, which the caller gets in the wire format of the service."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


Override = Callable[[Call], dict[str, Any] | None]
"""Answers a call instead of ministack: returns the JSON answer, or None if ministack is to answer. Raises AwsError.

An override runs after the signature check and authorisation, in a worker thread: guard module state with a lock.
A module with overrides has them in `OVERRIDES: dict[str, Override]`, by "service:Action".
"""

Control = Callable[[dict[str, Any]], dict[str, Any]]
"""Answers POST /_sandbox/NAME. A module with controls has them in `CONTROLS: dict[str, Control]`, by NAME.

A module with facts for GET /_sandbox/state has `state() -> dict[str, Any]`; the sandbox merges the results.
"""
