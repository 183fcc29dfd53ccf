"""What the tests of the host scripts need of the local AWS: a secret in the middle of a rotation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from control import ask_sandbox

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}]}'


@dataclass(frozen=True)
class Credential:
    """An access key with the SMTP password that is derived from it."""

    key: str
    password: str

    def json(self) -> str:
        """The value of the secret."""
        return json.dumps({"AccessKeyId": self.key, "SMTPPassword": self.password})


@dataclass(frozen=True)
class RotatingSecret:
    """A secret whose rotation has told hosts: `pending` is AWSPENDING and DEPLOYING, `current` is still AWSCURRENT."""

    arn: str
    current: Credential
    current_version: str
    pending: Credential
    pending_version: str


def aws(*arguments: str) -> dict:
    """The answer of the AWS CLI."""
    out = subprocess.run(["aws", *arguments, "--output", "json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out or "{}")


def new_rotating_secret(name: str) -> RotatingSecret:
    """Makes a user with two keys that work at once, and the secret."""
    tell_endpoint(key_propagation_seconds=0)
    aws("iam", "create-user", "--user-name", name)
    aws("iam", "put-user-policy", "--user-name", name, "--policy-name", "send", "--policy-document", POLICY)
    current, pending = _new_credential(name), _new_credential(name)
    made = aws("secretsmanager", "create-secret", "--name", name, "--secret-string", current.json())
    labels = ("--version-stages", "AWSPENDING", "DEPLOYING")
    put = aws("secretsmanager", "put-secret-value", "--secret-id", name, "--secret-string", pending.json(), *labels)
    return RotatingSecret(made["ARN"], current, made["VersionId"], pending, put["VersionId"])


@contextmanager
def deploying_on(secret: RotatingSecret, version: str | None) -> Iterator[None]:
    """DEPLOYING is on another version than the pending one, or on none."""
    labelled = ("--secret-id", secret.arn, "--version-stage", "DEPLOYING")
    move = ("secretsmanager", "update-secret-version-stage", *labelled)
    to = ("--move-to-version-id", version) if version else ()
    aws(*move, "--remove-from-version-id", secret.pending_version, *to)
    try:
        yield
    finally:
        away = ("--remove-from-version-id", version) if version else ()
        aws(*move, "--move-to-version-id", secret.pending_version, *away)


def _new_credential(user: str) -> Credential:
    key = aws("iam", "create-access-key", "--user-name", user)["AccessKey"]
    signature = ("AWS4" + key["SecretAccessKey"]).encode()
    for part in ("11111111", "eu-west-1", "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return Credential(key["AccessKeyId"], base64.b64encode(b"\x04" + signature).decode())


def tell_endpoint(**change: object) -> None:
    """Changes how the SMTP endpoint behaves."""
    ask_sandbox("smtp", change)


def fail_reads(call: int, times: int, **error: object) -> None:
    """Makes so many reads of a secret fail, from this one on."""
    fault = {"action": "secretsmanager:GetSecretValue", "call": call, "times": times, "kind": "fail", **error}
    ask_sandbox("faults", {"rules": [fault]})
