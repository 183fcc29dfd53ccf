"""RotateSecret and CancelRotateSecret: the contract of a rotation function."""

from __future__ import annotations

import json
import urllib.error
from datetime import UTC, datetime, timedelta
from typing import Any

from support import (
    ACCOUNT,
    REGION,
    SANDBOX_DIR,
    assume,
    calls,
    client,
    control,
    make_function,
    make_role,
    policy,
    role_arn,
    state,
    unique,
    wait_for,
)
from test_secretsmanager import SecretTest, token

# Writes every event to a file, and does each step as AWS's templates do, or as its environment says.
HANDLER = """
import json, os
import botocore.exceptions, botocore.session
secrets = botocore.session.get_session().create_client("secretsmanager")

def handle(event):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(json.dumps(event) + "\\n")
    secret, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    failures = os.environ["EVENTS"] + "-fail-" + step
    if os.path.exists(failures):
        if open(failures).read() != "always":
            os.remove(failures)
        raise ValueError(step + " was told to fail")
    if step == "createSecret":
        try:
            secrets.get_secret_value(SecretId=secret, VersionId=token, VersionStage="AWSPENDING")
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            secrets.put_secret_value(SecretId=secret, ClientRequestToken=token, SecretString="new " + token,
                VersionStages=["AWSPENDING", "DEPLOYING"], RotationToken=event["RotationToken"])
    if step == "finishSecret" and not os.environ.get("FORGETS"):
        versions = secrets.describe_secret(SecretId=secret)["VersionIdsToStages"]
        current = next(id for id, stages in versions.items() if "AWSCURRENT" in stages)
        secrets.update_secret_version_stage(SecretId=secret, VersionStage="AWSCURRENT",
            MoveToVersionId=token, RemoveFromVersionId=current)
"""
STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


class RotationTest(SecretTest):
    """A secret, and a function that Secrets Manager may invoke for it."""

    function_environment: dict[str, str] = {}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.events_file = SANDBOX_DIR / "tmp" / unique("events")
        role = make_role({"Service": "lambda.amazonaws.com"}, policy("secretsmanager:*", "*"))
        variables = {"EVENTS": str(cls.events_file), **cls.function_environment}
        cls.function = make_function(HANDLER, role, Environment={"Variables": variables})
        client("lambda").add_permission(
            FunctionName=cls.function,
            StatementId="secretsmanager",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
            SourceAccount=ACCOUNT,
            SourceArn=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:secret-*",
        )

    def setUp(self) -> None:
        super().setUp()
        self.events_file.unlink(missing_ok=True)
        control("rotation", {"attempts": 2, "retry_token": "same", "retry_seconds": 0.1})

    def rotate(self, **arguments: Any) -> str:
        arguments = {"RotationRules": {"AutomaticallyAfterDays": 30}, **arguments}
        return self.secrets.rotate_secret(SecretId=self.name, RotationLambdaARN=self.function, **arguments)["VersionId"]

    def make_fail(self, step: str, *, always: bool = False) -> None:
        file = self.events_file.with_name(f"{self.events_file.name}-fail-{step}")
        file.write_text("always" if always else "once")
        self.addCleanup(file.unlink, missing_ok=True)

    def events(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.events_file.read_text().splitlines()]

    def steps(self) -> list[str]:
        return [event["Step"] for event in self.events()]

    def ended(self, status: str) -> dict[str, Any]:
        """Waits for the end of the secret's last rotation, and checks its status."""

        def last() -> dict[str, Any] | None:
            found = [rotation for rotation in state()["rotations"] if rotation["secret"] == self.arn]
            return found[-1] if found and found[-1]["status"] != "running" else None

        rotation = wait_for("the rotation's end", last)
        self.assertEqual(rotation["status"], status, rotation)
        return rotation

    def describe(self) -> dict[str, Any]:
        return self.secrets.describe_secret(SecretId=self.name)


class Rotation(RotationTest):
    def test_the_four_steps_run_in_order_and_the_new_version_becomes_current(self) -> None:
        before = self.describe()
        version = self.rotate(ClientRequestToken=token())
        self.ended("complete")
        self.assertEqual(self.steps(), STEPS)
        # AWSPENDING stays on the current version: the rotation counts as complete.
        self.assertEqual(
            self.labels(), {version: {"AWSCURRENT", "AWSPENDING", "DEPLOYING"}, self.first: {"AWSPREVIOUS"}}
        )
        after = self.describe()
        self.assertTrue(after["RotationEnabled"])
        self.assertEqual(after["RotationLambdaARN"], self.function)
        self.assertEqual(after["RotationRules"], {"AutomaticallyAfterDays": 30})
        self.assertNotIn("LastRotatedDate", before)
        self.assertLess(abs(datetime.now(UTC) - after["LastRotatedDate"]), timedelta(seconds=10))
        self.assertGreater(after["LastChangedDate"], before["LastChangedDate"])
        self.assertEqual((after["NextRotationDate"] - after["LastRotatedDate"]).days, 30)

    def test_the_event_has_all_its_fields(self) -> None:
        version = self.rotate()
        self.ended("complete")
        for event in self.events():
            self.assertEqual(set(event), {"Step", "SecretId", "ClientRequestToken", "RotationToken"})
            self.assertEqual((event["SecretId"], event["ClientRequestToken"]), (self.arn, version))
            self.assertIn(event["RotationToken"], state()["rotation_tokens"])
            self.assertNotIn(event["RotationToken"], json.dumps(state()["rotations"]))

    def test_a_rotation_token_does_not_outlive_its_rotation(self) -> None:
        self.rotate()
        self.ended("complete")
        with self.assert_error("InvalidParameterException"):
            self.put("more", "AWSPENDING", RotationToken=self.events()[0]["RotationToken"])

    def test_the_opened_version_is_empty_until_the_function_fills_it(self) -> None:
        self.make_fail("createSecret", always=True)
        version = self.rotate()
        self.ended("failed")
        self.assertEqual(self.labels()[version], {"AWSPENDING"})
        for arguments in ({"VersionStage": "AWSPENDING"}, {"VersionId": version}):
            with self.subTest(arguments), self.assert_error("ResourceNotFoundException"):
                self.secrets.get_secret_value(SecretId=self.name, **arguments)
        listed = self.secrets.list_secret_version_ids(SecretId=self.name)["Versions"]
        self.assertNotIn(version, {version["VersionId"] for version in listed})
        self.put("filled", "AWSPENDING", version=version)
        self.assertEqual(self.value("AWSPENDING"), "filled")

    def test_a_second_rotation_moves_awspending_on(self) -> None:
        first = self.rotate()
        self.ended("complete")
        second = self.rotate()
        wait_for("the second rotation", lambda: "AWSCURRENT" in self.labels().get(second, set()))
        self.ended("complete")
        self.assertEqual(self.labels(), {second: {"AWSCURRENT", "AWSPENDING", "DEPLOYING"}, first: {"AWSPREVIOUS"}})

    def test_secrets_managers_invocations_are_written_down(self) -> None:
        self.rotate()
        self.ended("complete")
        invocations = [line for line in calls() if line["resource"] == self.function]
        self.assertEqual({line["caller"] for line in invocations[-4:]}, {"secretsmanager.amazonaws.com"})


class FailedRotation(RotationTest):
    def test_it_stops_at_the_first_error_and_the_whole_rotation_is_retried(self) -> None:
        self.make_fail("setSecret")
        version = self.rotate()
        rotation = self.ended("complete")
        self.assertEqual(self.steps(), ["createSecret", "setSecret", *STEPS])
        self.assertEqual({event["ClientRequestToken"] for event in self.events()}, {version})
        self.assertEqual(rotation["history"][1]["error"], "setSecret was told to fail")
        self.assertEqual([step["error_type"] for step in rotation["history"][:3]], [None, "ValueError", None])

    def test_it_can_be_retried_with_a_new_token(self) -> None:
        control("rotation", {"retry_token": "new"})
        self.make_fail("testSecret")
        version = self.rotate()
        self.ended("complete")
        tokens = [event["ClientRequestToken"] for event in self.events()]
        self.assertEqual(tokens[:3], [version] * 3)
        self.assertEqual(len(set(tokens[3:])), 1)
        self.assertNotEqual(tokens[3], version)
        self.assertEqual(
            self.labels(), {tokens[3]: {"AWSCURRENT", "AWSPENDING", "DEPLOYING"}, self.first: {"AWSPREVIOUS"}}
        )
        self.assertEqual(self.secrets.get_secret_value(SecretId=self.name, VersionId=version)["VersionStages"], [])

    def test_it_is_retried_a_bounded_number_of_times_and_stays_open(self) -> None:
        control("rotation", {"attempts": 3})
        self.make_fail("testSecret", always=True)
        version = self.rotate()
        self.ended("failed")
        self.assertEqual(self.steps(), ["createSecret", "setSecret", "testSecret"] * 3)
        self.assertEqual(self.labels()[version], {"AWSPENDING", "DEPLOYING"})
        self.assertNotIn("LastRotatedDate", self.describe())

    def test_one_that_was_left_open_is_tried_again_when_asked(self) -> None:
        self.make_fail("testSecret", always=True)
        version = self.rotate()
        self.ended("failed")
        control("retry", {})
        self.ended("failed")
        self.assertEqual(self.steps(), ["createSecret", "setSecret", "testSecret"] * 4)
        (self.events_file.parent / f"{self.events_file.name}-fail-testSecret").unlink()
        control("rotation", {"retry_token": "new"})
        control("retry", {})
        rotation = self.ended("complete")
        self.assertEqual([entry["attempt"] for entry in rotation["history"]][-5:], [4, 5, 5, 5, 5])
        self.assertNotIn("AWSCURRENT", self.labels().get(version, set()))

    def test_one_that_somebody_ended_is_not_tried_again(self) -> None:
        control("rotation", {"attempts": 1})
        self.make_fail("testSecret", always=True)
        version = self.rotate()
        self.ended("failed")
        self.move("AWSPENDING", from_=version)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            control("retry", {})
        self.assertIn(b"somebody ended the rotation", refused.exception.read())
        self.assertEqual(self.steps(), ["createSecret", "setSecret", "testSecret"])

    def test_it_waits_before_the_step_that_is_held(self) -> None:
        self.addCleanup(control, "rotation", {"hold_before": ""})
        control("rotation", {"hold_before": "testSecret"})
        version = self.rotate()
        wait_for("the held rotation", lambda: state()["rotations"][-1]["status"] == "held")
        self.assertEqual(self.steps(), ["createSecret", "setSecret"])
        self.assertIn("AWSPENDING", self.labels()[version])
        control("rotation", {"hold_before": "finishSecret"})
        wait_for("the test", lambda: len(self.steps()) == 3)
        control("rotation", {"hold_before": ""})
        self.ended("complete")

    def test_while_one_is_open_no_other_begins_until_awspending_is_cleared(self) -> None:
        self.make_fail("testSecret", always=True)
        version = self.rotate()
        self.ended("failed")
        with self.assert_error("InvalidRequestException", "A previous rotation isn't complete. That rotation will be"):
            self.rotate()
        self.move("AWSPENDING", from_=version)
        (self.events_file.parent / f"{self.events_file.name}-fail-testSecret").unlink()
        second = self.rotate()
        self.ended("complete")
        self.assertIn("AWSCURRENT", self.labels()[second])

    def test_the_same_token_again_is_a_success_that_starts_nothing(self) -> None:
        control("rotation", {"attempts": 1})
        self.make_fail("setSecret", always=True)
        version = self.rotate(ClientRequestToken=token())
        self.ended("failed")
        self.assertEqual(self.rotate(ClientRequestToken=version), version)
        self.assertEqual(self.steps(), ["createSecret", "setSecret"])

    def test_a_value_put_by_hand_abandons_it(self) -> None:
        control("rotation", {"retry_seconds": 1})
        self.make_fail("setSecret", always=True)
        self.rotate()
        wait_for("the first attempt's end", lambda: self.events_file.exists() and len(self.steps()) == 2)
        by_hand = self.put("by hand")
        self.ended("abandoned")
        self.assertEqual(self.steps(), ["createSecret", "setSecret"])
        self.assertEqual(self.labels()[by_hand], {"AWSCURRENT"})

    def test_cancelling_turns_rotation_off_and_leaves_awspending(self) -> None:
        control("rotation", {"retry_seconds": 1})
        self.make_fail("setSecret", always=True)
        version = self.rotate()
        wait_for("the first attempt's end", lambda: self.events_file.exists() and len(self.steps()) == 2)
        self.assertEqual(self.secrets.cancel_rotate_secret(SecretId=self.name)["VersionId"], version)
        self.ended("abandoned")
        self.assertEqual(self.steps(), ["createSecret", "setSecret"])
        described = self.describe()
        self.assertFalse(described["RotationEnabled"])
        self.assertNotIn("NextRotationDate", described)
        self.assertIn("AWSPENDING", self.labels()[version])


class ForgetfulFunction(RotationTest):
    function_environment = {"FORGETS": "1"}

    def test_a_rotation_whose_last_step_moved_nothing_is_not_complete(self) -> None:
        version = self.rotate()
        self.ended("failed")
        self.assertEqual(self.steps(), STEPS * 2)
        self.assertEqual(self.labels(), {self.first: {"AWSCURRENT"}, version: {"AWSPENDING", "DEPLOYING"}})
        self.assertNotIn("LastRotatedDate", self.describe())


class Later(RotationTest):
    """RotateImmediately=false."""

    def test_only_the_test_runs_against_the_existing_value(self) -> None:
        version = self.rotate(RotateImmediately=False)
        self.ended("tested")
        self.assertEqual(self.steps(), ["testSecret"])
        self.assertEqual(self.events()[0]["ClientRequestToken"], version)
        self.assertEqual(self.labels(), {self.first: {"AWSCURRENT"}})
        self.assertEqual(self.value(), "one")
        described = self.describe()
        self.assertTrue(described["RotationEnabled"])
        self.assertIn("NextRotationDate", described)
        self.assertNotIn("LastRotatedDate", described)

    def test_a_schedule_shows_days_as_well_after_a_rotation(self) -> None:
        rules = {"ScheduleExpression": "rate(10 days)", "Duration": "4h"}
        self.rotate(RotateImmediately=False, RotationRules=rules)
        self.ended("tested")
        self.assertEqual(self.describe()["RotationRules"], rules)
        version = self.secrets.rotate_secret(SecretId=self.name)["VersionId"]
        wait_for("the rotation", lambda: "AWSCURRENT" in self.labels().get(version, set()))
        self.ended("complete")
        self.assertEqual(self.describe()["RotationRules"]["ScheduleExpression"], "rate(10 days)")
        self.assertIn("AutomaticallyAfterDays", self.describe()["RotationRules"])


class Refusals(RotationTest):
    def refuse(self, code: str, text: str = "", **arguments: Any) -> None:
        with self.assert_error(code, text):
            self.rotate(**arguments)
        self.assertNotIn("RotationEnabled", self.describe())
        self.assertEqual(self.labels(), {self.first: {"AWSCURRENT"}})

    def test_invalid_rules(self) -> None:
        rules = {"AutomaticallyAfterDays": 30, "ScheduleExpression": "rate(30 days)"}
        self.refuse("InvalidParameterException", RotationRules=rules)

    def test_no_function(self) -> None:
        with self.assert_error("InvalidRequestException", "No Lambda rotation function ARN"):
            self.secrets.rotate_secret(SecretId=self.name)

    def test_a_function_that_is_not_there(self) -> None:
        self.function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{unique('none')}"
        self.refuse("AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function.")

    def permit(self, **arguments: str) -> None:
        """Replaces the function by one with this permission."""
        self.function = make_function("def handle(event): pass")
        client("lambda").add_permission(
            FunctionName=self.function,
            StatementId="s",
            **{"Action": "lambda:InvokeFunction", "Principal": "secretsmanager.amazonaws.com", **arguments},
        )

    def test_a_function_that_secrets_manager_may_not_invoke_for_this_secret(self) -> None:
        for arguments in (
            {"SourceAccount": "210987654321"},
            {"SourceArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:other-*"},
            {"Principal": "events.amazonaws.com"},
        ):
            with self.subTest(arguments):
                self.permit(**arguments)
                self.refuse("AccessDeniedException", "grants access to the principal secretsmanager.amazonaws.com.")

    def test_the_source_arn_may_have_wildcards(self) -> None:
        self.permit(
            SourceArn=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{self.name}-??????", SourceAccount=ACCOUNT
        )
        self.rotate()
        self.ended("failed")  # the function moves no label, but it was invoked

    def test_a_caller_who_may_not_invoke_the_function(self) -> None:
        documents = {
            "secretsmanager:RotateSecret": "AccessDeniedException",
            "lambda:InvokeFunction": "AccessDeniedException",
        }
        for action, code in documents.items():
            role = make_role({"AWS": ACCOUNT}, policy(action, "*"))
            self.secrets = client("secretsmanager", **assume(role))
            with self.subTest(action), self.assert_error(code, "is not authorized to perform"):
                self.rotate()
        role = make_role({"AWS": ACCOUNT}, policy(list(documents), "*"))
        self.secrets = client("secretsmanager", **assume(role))
        self.rotate()
        self.ended("complete")
        self.assertTrue(role_arn(role))
