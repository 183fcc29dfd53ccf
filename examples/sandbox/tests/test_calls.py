"""calls.jsonl: a line per call, written before the caller has the answer, and without a secret."""

from __future__ import annotations

import json
import time
from typing import Any

from support import (
    ACCOUNT,
    REGION,
    SANDBOX_DIR,
    SandboxTest,
    assume,
    calls,
    client,
    make_function,
    make_role,
    policy,
    state,
    unique,
    wait_for,
)

ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:user/administrator"


def line_of(**expected: Any) -> dict[str, Any]:
    """The last line with these members."""
    found = [line for line in calls() if expected.items() <= line.items()]
    return found[-1] if found else {}


class CallLog(SandboxTest):
    def test_a_call_is_written_down_before_its_answer_arrives(self) -> None:
        name = unique("secret")
        before = time.time()
        arn = client("secretsmanager").create_secret(Name=name, SecretString="value")["ARN"]
        client("secretsmanager").describe_secret(SecretId=name)
        last = calls()[-1]
        self.assertEqual(last["action"], "DescribeSecret")
        self.assertEqual(last["service"], "secretsmanager")
        self.assertEqual(last["caller"], ADMINISTRATOR)
        self.assertEqual(last["resource"], arn)
        self.assertEqual((last["status"], last["error"], last["fault"]), (200, None, None))
        self.assertGreaterEqual(last["time"], time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before)))

    def test_lines_are_numbered_without_gaps(self) -> None:
        client("sts").get_caller_identity()
        numbers = [line["number"] for line in calls()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_every_protocol_names_its_action_and_resource(self) -> None:
        user, name = unique("user"), unique("function")
        client("iam").create_user(UserName=user, Path="/mail/")
        self.assertEqual(line_of(action="CreateUser")["resource"], f"arn:aws:iam::{ACCOUNT}:user/mail/{user}")
        with self.assert_error("ResourceNotFoundException"):
            client("lambda").get_function(FunctionName=name)
        line = line_of(service="lambda", action="GetFunction")
        self.assertEqual(line["resource"], f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
        self.assertEqual((line["status"], line["error"]), (404, "ResourceNotFoundException"))
        client("sesv2").get_email_identity(EmailIdentity="example.com")
        line = line_of(service="ses", action="GetEmailIdentity")
        self.assertEqual(line["resource"], f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com")

    def test_a_denied_call_is_written_down_with_its_error(self) -> None:
        role = make_role({"AWS": ACCOUNT})
        session = assume(role)
        with self.assert_error("AccessDenied"):
            client("iam", **session).list_users()
        line = line_of(action="ListUsers")
        self.assertEqual(line["error"], "AccessDenied")
        self.assertEqual(line["caller"], f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test")

    def test_an_unknown_key_is_written_down_as_such(self) -> None:
        stranger = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x"}
        with self.assert_error("UnrecognizedClientException"):
            client("secretsmanager", **stranger).list_secrets()
        self.assertEqual(line_of(action="ListSecrets")["caller"], "unknown access key AKIAIOSFODNN7EXAMPLE")

    def test_a_functions_own_calls_have_its_roles_session_as_caller(self) -> None:
        role = make_role({"Service": "lambda.amazonaws.com"}, policy("iam:ListUsers", "*"))
        arn = make_function(
            """
            import botocore.session
            def handle(event):
                session = botocore.session.get_session()
                return len(session.create_client("iam").list_users()["Users"])
            """,
            role,
        )
        answer = client("lambda").invoke(FunctionName=arn)
        self.assertGreaterEqual(json.load(answer["Payload"]), 1)
        session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{arn.rpartition(':')[2]}"
        self.assertEqual(line_of(caller=session)["action"], "ListUsers")

    def test_a_functions_failure_is_written_down(self) -> None:
        arn = make_function("def handle(event): raise ValueError('no')")
        client("lambda").invoke(FunctionName=arn)
        self.assertEqual(line_of(action="InvokeFunction", resource=arn)["error"], "FunctionError: Unhandled")

    def test_the_log_holds_no_secret(self) -> None:
        user, secret, value = unique("user"), unique("secret"), unique("hunter2")
        client("iam").create_user(UserName=user)
        client("iam").create_access_key(UserName=user)
        client("secretsmanager").create_secret(Name=secret, SecretString=value)
        client("secretsmanager").get_secret_value(SecretId=secret)
        wait_for("the line of the call", lambda: line_of(action="GetSecretValue"))
        log = (SANDBOX_DIR / "calls.jsonl").read_text()
        facts = state()
        for issued in [value, *facts["secret_access_keys"], *facts["smtp_passwords"], *facts["rotation_tokens"]]:
            self.assertNotIn(issued, log)
