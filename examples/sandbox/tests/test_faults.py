"""Injected faults: which call they hit, and whether the call took effect."""

from __future__ import annotations

import json
import os
import threading
import time
import unittest
from typing import Any

import botocore.exceptions
from support import (
    ACCOUNT,
    SandboxTest,
    assume,
    calls,
    client,
    control,
    make_function,
    make_role,
    policy,
    state,
    unique,
    wait_for,
)

from sandbox.api import AwsError, Call
from sandbox.faults import Faults


def call(action: str = "CreateUser", caller: str = "arn:aws:iam::1:user/a") -> Call:
    return Call("iam", action, caller, "1", "eu-west-1", {})


class Rules(unittest.TestCase):
    def kinds(self, rules: list[dict[str, Any]], seen: list[Call]) -> list[str | None]:
        faults = Faults(rules)
        hits = [faults.of(call) for call in seen]
        return [rule.kind if rule else None for rule in hits]

    def test_the_kth_call_of_an_action_is_hit(self) -> None:
        seen = [call(), call("GetUser"), call(), call()]
        rules = [{"kind": "fail", "action": "iam:CreateUser", "call": 2}]
        self.assertEqual(self.kinds(rules, seen), [None, None, "fail", None])

    def test_the_kth_call_of_any_action_is_hit(self) -> None:
        self.assertEqual(
            self.kinds([{"kind": "fail", "call": 2}], [call(), call("GetUser"), call()]), [None, "fail", None]
        )

    def test_several_calls_in_a_row_are_hit(self) -> None:
        rules = [{"kind": "throttle", "call": 2, "times": 2}]
        self.assertEqual(self.kinds(rules, [call()] * 4), [None, "throttle", "throttle", None])

    def test_only_a_callers_calls_count(self) -> None:
        seen = [call(), call(caller="arn:aws:sts::1:assumed-role/rotation/f")]
        self.assertEqual(self.kinds([{"kind": "fail", "caller": "rotation"}], seen), [None, "fail"])

    def test_of_two_rules_that_hit_the_first_decides_and_both_count(self) -> None:
        rules = [{"kind": "fail"}, {"kind": "throttle"}, {"kind": "delay", "call": 2}]
        self.assertEqual(self.kinds(rules, [call(), call()]), ["fail", "delay"])

    def test_what_is_no_rule_is_refused(self) -> None:
        for rules in (
            [{"kind": "explode"}],
            [{"kind": "kill", "when": "later"}],
            [{"kind": "fail", "when": 1}],
            [{"kind": "stale"}],
            [{}],
        ):
            with self.subTest(rules), self.assertRaises((AwsError, TypeError)):
                Faults(rules)
            with self.subTest(rules), self.assertRaises(AwsError):
                Faults([]).replace({"rules": rules})


class Injection(SandboxTest):
    def setUp(self) -> None:
        self.addCleanup(control, "faults", {"rules": []})
        self.user = unique("user")
        self.iam = client("iam")

    def inject(self, **rule: Any) -> None:
        control("faults", {"rules": [rule]})

    def user_exists(self) -> bool:
        return any(user["UserName"] == self.user for user in self.iam.list_users()["Users"])

    def test_a_failed_call_has_no_effect(self) -> None:
        self.inject(kind="fail", action="iam:CreateUser")
        with self.assert_error("ServiceFailure"):
            self.iam.create_user(UserName=self.user)
        self.assertEqual((calls()[-1]["fault"], calls()[-1]["status"]), ("fail", 500))
        self.assertFalse(self.user_exists())

    def test_a_held_call_takes_effect_when_the_rules_are_replaced(self) -> None:
        self.inject(kind="hold", action="iam:CreateUser")
        creating = threading.Thread(target=self.iam.create_user, kwargs={"UserName": self.user})
        creating.start()
        wait_for("the held call", lambda: state()["held_calls"] == ["iam:CreateUser"])
        self.assertFalse(self.user_exists())
        control("faults", {"rules": []})
        creating.join()
        self.assertTrue(self.user_exists())
        self.assertEqual(state()["held_calls"], [])

    def test_a_silenced_call_takes_effect_or_not_and_is_listed_until_the_rules_are_replaced(self) -> None:
        for when, exists in (("before", False), ("after", True)):
            self.inject(kind="silence", action="iam:CreateUser", when=when)
            problems: list[Exception] = []
            creating = threading.Thread(target=self.create_user, args=(problems,))
            creating.start()
            wait_for("the silenced call", lambda: state()["held_calls"] == ["iam:CreateUser"])
            self.assertEqual(self.user_exists(), exists)
            control("faults", {"rules": []})
            creating.join()
            self.assertEqual(len(problems), 1)
            self.assertEqual((self.user_exists(), state()["held_calls"]), (exists, []))

    def create_user(self, problems: list[Exception]) -> None:
        try:
            self.iam.create_user(UserName=self.user)
        except botocore.exceptions.BotoCoreError as problem:
            problems.append(problem)

    def test_a_stale_list_of_keys_is_that_before_the_last_change(self) -> None:
        self.iam.create_user(UserName=self.user)

        def listed() -> list[tuple[str, str]]:
            keys = self.iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]
            return [(key["AccessKeyId"], key["Status"]) for key in keys]

        self.inject(kind="stale", action="iam:ListAccessKeys", times=9)
        key = self.iam.create_access_key(UserName=self.user)["AccessKey"]["AccessKeyId"]
        self.assertEqual(listed(), [])
        self.iam.update_access_key(UserName=self.user, AccessKeyId=key, Status="Inactive")
        self.assertEqual(listed(), [(key, "Active")])
        self.iam.delete_access_key(UserName=self.user, AccessKeyId=key)
        self.assertEqual(listed(), [(key, "Inactive")])
        control("faults", {"rules": []})
        self.assertEqual(listed(), [])

    def test_a_failed_call_can_be_given_its_error(self) -> None:
        self.inject(kind="fail", action="lambda:GetFunction", code="CodeOfMine", status=418, message="teapot")
        with self.assert_error("CodeOfMine", "teapot"):
            client("lambda").get_function(FunctionName="any")
        self.assertEqual(calls()[-1]["status"], 418)

    def test_a_call_whose_reply_is_lost_took_effect(self) -> None:
        self.inject(kind="lose_reply", action="iam:CreateUser")
        with self.assertRaises(botocore.exceptions.ConnectionClosedError):
            self.iam.create_user(UserName=self.user)
        self.assertEqual((calls()[-1]["fault"], calls()[-1]["status"]), ("lose_reply", 200))
        self.assertTrue(self.user_exists())

    def test_throttling_has_each_services_own_shape_and_no_effect(self) -> None:
        for service, operation, arguments, code in (
            ("iam", "create_user", {"UserName": self.user}, "Throttling"),
            ("secretsmanager", "list_secrets", {}, "ThrottlingException"),
            ("ssm", "list_documents", {}, "ThrottlingException"),
            ("lambda", "list_functions", {}, "TooManyRequestsException"),
            ("sesv2", "list_email_identities", {}, "TooManyRequestsException"),
        ):
            self.inject(kind="throttle")
            with self.subTest(service), self.assert_error(code, "Rate exceeded"):
                getattr(client(service), operation)(**arguments)
        self.assertFalse(self.user_exists())

    def test_a_delayed_call_takes_its_time_and_succeeds(self) -> None:
        self.inject(kind="delay", action="iam:CreateUser", seconds=0.5)
        before = time.monotonic()
        self.iam.create_user(UserName=self.user)
        self.assertGreaterEqual(time.monotonic() - before, 0.5)

    def test_others_are_served_during_a_delay_and_after_a_lost_reply(self) -> None:
        role = make_role({"AWS": ACCOUNT}, policy("iam:ListUsers", "*"))
        session = client("iam", **assume(role))
        self.inject(kind="lose_reply", caller=role)
        self.iam.list_users()
        with self.assertRaises(botocore.exceptions.ConnectionClosedError):
            session.list_users()
        session.list_users()


# One call per user in the event, made by the function's own process.
CALLS = """
import os, botocore.config, botocore.session, botocore.exceptions
settings = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=1)
iam = botocore.session.get_session().create_client("iam", config=settings)

def handle(event):
    answers = []
    for user in event["users"]:
        try:
            iam.create_user(UserName=user)
            answers.append("made")
        except botocore.exceptions.ReadTimeoutError:
            answers.append("no answer")
    return {"pid": os.getpid(), "answers": answers}
"""


class Processes(SandboxTest):
    """Faults that kill the process of a function, or cut it off."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.role = make_role({"Service": "lambda.amazonaws.com"}, policy("iam:CreateUser", "*"))
        cls.function = make_function(CALLS, cls.role)

    def setUp(self) -> None:
        self.addCleanup(control, "faults", {"rules": []})
        self.addCleanup(control, "functions", {})

    def invoke(self, *users: str) -> dict[str, Any]:
        answer = client("lambda").invoke(FunctionName=self.function, Payload=json.dumps({"users": users}))
        return json.load(answer["Payload"])

    def users(self) -> set[str]:
        return {user["UserName"] for user in client("iam").list_users()["Users"]}

    def test_a_process_is_killed_before_or_after_its_call_and_the_next_invocation_has_a_new_one(self) -> None:
        for when in ("before", "after"):
            with self.subTest(when):
                first, second = unique("user"), unique("user")
                pid = self.invoke()["pid"]
                control("faults", {"rules": [{"kind": "kill", "when": when, "caller": self.role, "call": 2}]})
                ended = self.invoke(first, second, unique("user"))
                self.assertEqual(ended["errorType"], "Runtime.ExitError")
                self.assertEqual({first, second} & self.users(), {first, second} if when == "after" else {first})
                with self.assertRaises(ProcessLookupError):
                    os.kill(pid, 0)
                again = self.invoke(unique("user"))
                self.assertEqual((again["answers"], again["pid"] == pid), (["made"], False))

    def test_a_process_that_hangs_gets_no_answer_in_that_invocation_and_answers_in_the_next(self) -> None:
        for when in ("before", "after"):
            with self.subTest(when):
                first, second, third = unique("user"), unique("user"), unique("user")
                control("faults", {"rules": [{"kind": "hang", "when": when, "caller": self.role, "call": 2}]})
                self.assertEqual(self.invoke(first, second, third)["answers"], ["made", "no answer", "no answer"])
                made = {first, second} if when == "after" else {first}
                self.assertEqual({first, second, third} & self.users(), made)
                self.assertEqual([line["fault"] for line in calls() if line["caller"].find(self.role) >= 0][-1], "hang")
                self.assertEqual(self.invoke(unique("user"))["answers"], ["made"])

    def test_a_process_that_hangs_is_killed_at_the_deadline(self) -> None:
        control("functions", {"deadline_seconds": 2})
        control("faults", {"rules": [{"kind": "hang", "caller": self.role}]})
        ended = self.invoke(*(unique("user") for _ in range(5)))
        self.assertEqual(ended["errorType"], "Sandbox.Timedout")
        self.assertRegex(ended["errorMessage"], "Task timed out after 2.00 seconds$")

    def test_calls_of_others_are_not_counted(self) -> None:
        control("faults", {"rules": [{"kind": "kill"}]})
        client("iam").list_users()
        self.assertEqual(self.invoke(unique("user"))["errorType"], "Runtime.ExitError")
