"""Shared by the tests that call a running sandbox. They run inside `with-sandbox`."""

from __future__ import annotations

import io
import json
import logging
import os
import textwrap
import time
import unittest
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session
from botocore.client import BaseClient
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PATIENCE_SECONDS = 15
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "")
SANDBOX_DIR = Path(os.environ.get("SANDBOX_DIR", "."))

os.environ.setdefault("LOG_LEVEL", "WARNING")  # for ministack, which some tests import
logging.getLogger("botocore").setLevel(logging.WARNING)

_NO_RETRIES = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=30)
_session = botocore.session.get_session()

_BOOTSTRAP = """\
#!{python}
import json, os, traceback, urllib.request
from handler import handle
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as request:
        id, event = request.headers["Lambda-Runtime-Aws-Request-Id"], json.load(request)
    try:
        kind, answer = "response", handle(event)
    except Exception as error:
        kind, answer = "error", {{"errorType": type(error).__name__, "errorMessage": str(error)}}
    urllib.request.urlopen(api + id + "/" + kind, json.dumps(answer).encode()).close()
"""


def unique(prefix: str) -> str:
    """A name that no other test uses: all tests share one sandbox."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def client(service: str, **credentials: str) -> BaseClient:
    """A client of the administrator, or of given credentials, that sends every request once."""
    return _session.create_client(service, region_name=REGION, config=_NO_RETRIES, **credentials)


def ask_sandbox(name: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
    """GET or, with a body, POST /_sandbox/NAME. Headers replace the command's own."""
    headers = {"X-Sandbox-Token": os.environ["SANDBOX_TOKEN"], **headers}
    with urllib.request.urlopen(urllib.request.Request(f"{ENDPOINT}/_sandbox/{name}", body, headers)) as answer:
        return json.load(answer)


def control(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/NAME."""
    return ask_sandbox(name, json.dumps(body).encode())


def state() -> dict[str, Any]:
    """GET /_sandbox/state."""
    return ask_sandbox("state")


def calls() -> list[dict[str, Any]]:
    """Every line of calls.jsonl."""
    return [json.loads(line) for line in (SANDBOX_DIR / "calls.jsonl").read_text().splitlines()]


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """Waits until the condition returns a true value, and returns it. Fails after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for: {what}")


def policy(action: str | list[str], resource: str | list[str], condition: dict[str, Any] | None = None) -> str:
    """A policy document with one allowing statement."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: dict[str, str]) -> str:
    """A role's trust policy."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def make_role(principal: dict[str, str], document: str | None = None) -> str:
    """Makes a role. Returns its name."""
    name = unique("role")
    client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))
    if document:
        client("iam").put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=document)
    return name


def role_arn(name: str) -> str:
    """The ARN of a role without a path."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def assume(role: str) -> dict[str, str]:
    """Credentials of a session of the role, as arguments of `client`."""
    session = client("sts").assume_role(RoleArn=role_arn(role), RoleSessionName="test")["Credentials"]
    return {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }


def code_of(source: str) -> bytes:
    """A deployment package whose `handle(event)` is Python source."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        package.writestr(bootstrap, _BOOTSTRAP.format(python=os.environ["SANDBOX_PYTHON"]))
        package.writestr("handler.py", textwrap.dedent(source))
    return file.getvalue()


def make_function(source: str, role: str | None = None, **options: Any) -> str:
    """Makes a function and waits until it is active. Returns its ARN."""
    functions = client("lambda")
    name = unique("function")
    functions.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=role_arn(role or make_role({"Service": "lambda.amazonaws.com"})),
        Code={"ZipFile": code_of(source)},
        **{"Timeout": 10, **options},
    )
    return wait_for("an active function", lambda: _active(functions.get_function_configuration(FunctionName=name)))


def _active(configuration: dict[str, Any]) -> str | None:
    return configuration["FunctionArn"] if configuration["State"] == "Active" else None


class SandboxTest(unittest.TestCase):
    """A test that calls the running sandbox."""

    @classmethod
    def setUpClass(cls) -> None:
        if not ENDPOINT:
            raise unittest.SkipTest("runs inside with-sandbox")

    @contextmanager
    def assert_error(self, code: str, text: str = "") -> Iterator[None]:
        """Checks that the call in the block fails with this code and a message that contains the text."""
        with self.assertRaises(ClientError) as caught:
            yield
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(text, error["Message"])
