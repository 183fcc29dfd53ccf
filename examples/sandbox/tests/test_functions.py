"""Lambda: running a function, its log, its states, its role and its policy."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import urllib.error
import urllib.request
from typing import Any

from support import (
    ACCOUNT,
    REGION,
    SANDBOX_DIR,
    SandboxTest,
    client,
    code_of,
    control,
    make_function,
    make_role,
    policy,
    role_arn,
    unique,
    wait_for,
)

ECHO = "def handle(event): return event"


def invoke(arn: str, event: Any = None) -> tuple[Any, str | None]:
    """The function's result, and its FunctionError."""
    answer = client("lambda").invoke(FunctionName=arn, Payload=json.dumps(event))
    return json.load(answer["Payload"]), answer.get("FunctionError")


def settled(name: str) -> dict[str, Any]:
    """The function's configuration after its last update."""

    def successful() -> dict[str, Any] | None:
        configuration = client("lambda").get_function_configuration(FunctionName=name)
        return configuration if configuration["LastUpdateStatus"] == "Successful" else None

    return wait_for("the end of the update", successful)


class Running(SandboxTest):
    def test_a_function_answers(self) -> None:
        self.assertEqual(invoke(make_function(ECHO), {"a": [1, "é"]}), ({"a": [1, "é"]}, None))

    def test_a_functions_error_is_its_own(self) -> None:
        arn = make_function("def handle(event): raise KeyError('nothing there')")
        answer, error = invoke(arn)
        self.assertEqual((answer["errorType"], error), ("KeyError", "Unhandled"))

    def test_its_environment_is_lambdas_and_not_the_sandboxes(self) -> None:
        arn = make_function(
            "import os\ndef handle(event): return dict(os.environ)",
            Environment={"Variables": {"MINE": "1", "SMTP_ENDPOINT": "smtps://elsewhere:465"}},
        )
        environment, _ = invoke(arn)
        name = arn.rpartition(":")[2]
        expected = {
            "MINE": "1",
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "SMTP_ENDPOINT": os.environ["SANDBOX_SMTP_ENDPOINT"],
            "SSL_CERT_FILE": os.environ["SANDBOX_CA_FILE"],
        }
        self.assertEqual(environment, environment | expected)
        self.assertTrue(environment["AWS_ACCESS_KEY_ID"].startswith("ASIA"))
        self.assertFalse({"HOME", "AUTH", "SANDBOX_DIR"} & environment.keys())

    def test_it_runs_under_its_own_role(self) -> None:
        role = make_role({"Service": "lambda.amazonaws.com"})
        source = """
            import botocore.session
            def handle(event):
                return botocore.session.get_session().create_client("sts").get_caller_identity()["Arn"]
            """
        arn = make_function(source, role)
        expected = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{arn.rpartition(':')[2]}"
        self.assertEqual(invoke(arn), (expected, None))

    def test_it_does_not_start_under_a_role_that_was_made_anew_until_it_had_another_one(self) -> None:
        role, other = (make_role({"Service": "lambda.amazonaws.com"}) for _ in range(2))
        arn = make_function(ECHO, role, Environment={"Variables": {"A": "1"}})
        self.assertEqual(invoke(arn, 1), (1, None))
        iam, functions = client("iam"), client("lambda")
        trusts = json.dumps(iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"])
        iam.delete_role(RoleName=role)
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trusts)
        functions.update_function_configuration(FunctionName=arn, Role=role_arn(role), MemorySize=256)
        settled(arn)
        with self.assert_error("KMSAccessDeniedException", "unable to decrypt the environment"):
            invoke(arn)
        for name in (other, role):
            functions.update_function_configuration(FunctionName=arn, Role=role_arn(name))
            settled(arn)
        self.assertEqual(invoke(arn, 1), (1, None))

    def test_it_is_killed_at_its_timeout(self) -> None:
        source = """
            import os, time
            def handle(event):
                open(event, "w").write(str(os.getpid()))
                time.sleep(60)
            """
        pid_file = SANDBOX_DIR / "tmp" / unique("pid")
        answer, error = invoke(make_function(source, Timeout=1), str(pid_file))
        self.assertEqual(error, "Unhandled")
        self.assertRegex(answer["errorMessage"], "Task timed out after 1.00 seconds$")
        self.assertEqual(answer["errorType"], "Sandbox.Timedout")
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)

    def test_its_deadline_can_be_made_shorter_than_its_timeout(self) -> None:
        self.addCleanup(control, "functions", {})
        arn = make_function("import time\ndef handle(event): time.sleep(event)", Timeout=60)
        control("functions", {"deadline_seconds": 1})
        answer, _ = invoke(arn, 30)
        self.assertRegex(answer["errorMessage"], "Task timed out after 1.00 seconds$")
        control("functions", {})
        self.assertEqual(invoke(arn, 1.5), (None, None))

    def test_a_shorter_deadline_can_be_that_of_one_step_and_of_so_many_invocations(self) -> None:
        self.addCleanup(control, "functions", {})
        arn = make_function("import time\ndef handle(event): time.sleep(event.get('sleep', 2))", Timeout=60)
        control("functions", {"deadline_seconds": 1, "deadline_step": "setSecret", "deadline_times": 1})
        for event, error in (
            ({"Step": "testSecret"}, None),
            ({"Step": "setSecret"}, "Sandbox.Timedout"),
            ({"Step": "setSecret"}, None),
        ):
            answer, _ = invoke(arn, event)
            self.assertEqual(answer and answer["errorType"], error)

    def test_a_test_can_give_every_function_variables(self) -> None:
        self.addCleanup(control, "functions", {})
        source = "import os\ndef handle(event): return os.environ['SMTP_ENDPOINT']"
        arn = make_function(source)
        self.assertEqual(invoke(arn), (os.environ["SANDBOX_SMTP_ENDPOINT"], None))
        control("functions", {"environment": {"SMTP_ENDPOINT": "smtps://of-the-test:465"}})
        self.assertEqual(invoke(arn), ("smtps://of-the-test:465", None))
        control("functions", {})
        self.assertEqual(invoke(arn), (os.environ["SANDBOX_SMTP_ENDPOINT"], None))

    def test_it_may_run_several_times_at_once(self) -> None:
        source = """
            import os, time
            def handle(event):
                open(event["mine"], "w").close()
                deadline = time.time() + 8
                while not os.path.exists(event["other"]):
                    if time.time() > deadline: raise TimeoutError
                    time.sleep(0.01)
            """
        arn, one, two = make_function(source), *(str(SANDBOX_DIR / "tmp" / unique("meet")) for _ in "12")
        client("lambda").invoke(
            FunctionName=arn, InvocationType="Event", Payload=json.dumps({"mine": one, "other": two})
        )
        self.assertEqual(invoke(arn, {"mine": two, "other": one}), (None, None))

    def test_a_bootstrap_that_exits_is_an_error(self) -> None:
        answer, error = invoke(make_function("import os\ndef handle(event): os._exit(3)"))
        self.assertEqual((answer["errorType"], error), ("Runtime.ExitError", "Unhandled"))


class Log(SandboxTest):
    SOURCE = "def handle(event):\n    print('said', event, flush=True)\n    if event == 'fail': raise ValueError"

    def logged(self, arn: str) -> list[str]:
        group = f"/aws/lambda/{arn.rpartition(':')[2]}"
        return [event["message"] for event in client("logs").filter_log_events(logGroupName=group)["events"]]

    def make(self, *actions: str, suffix: str = ":*", source: str = SOURCE, **options: Any) -> str:
        """A function with a log group, whose role allows these actions on that group."""
        role = make_role({"Service": "lambda.amazonaws.com"})
        arn = make_function(source, role, **options)
        group = f"/aws/lambda/{arn.rpartition(':')[2]}"
        client("logs").create_log_group(logGroupName=group)
        document = policy(
            ["sts:GetCallerIdentity", *actions], f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}{suffix}"
        )
        client("iam").put_role_policy(RoleName=role, PolicyName="logs", PolicyDocument=document)
        return arn

    def test_output_is_logged_between_lambdas_own_lines(self) -> None:
        arn = self.make("logs:CreateLogStream", "logs:PutLogEvents")
        invoke(arn, "this")
        start, said, end, report = self.logged(arn)
        self.assertTrue(start.startswith("START RequestId: "), start)
        self.assertEqual(said, "said this")
        self.assertTrue(end.startswith("END RequestId: "), end)
        self.assertIn("Duration: ", report)
        self.assertIn("said this", (SANDBOX_DIR / "logs" / f"{arn.rpartition(':')[2]}.log").read_text())

    def test_json_logs_have_lambdas_lines_as_json(self) -> None:
        logging = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"}
        arn = self.make("logs:CreateLogStream", "logs:PutLogEvents", LoggingConfig=logging)
        invoke(arn, "fail")
        start, said, report = self.logged(arn)
        self.assertEqual(json.loads(start)["type"], "platform.start")
        self.assertEqual(said, "said fail")
        self.assertEqual(json.loads(report)["record"]["status"], "error")

    def test_a_timeout_is_logged(self) -> None:
        sleeper = "import time\ndef handle(event): time.sleep(60)"
        arn = self.make("logs:CreateLogStream", "logs:PutLogEvents", source=sleeper, Timeout=1)
        invoke(arn)
        self.assertRegex("\n".join(self.logged(arn)), "(?m)Task timed out after 1.00 seconds$")

    def test_without_the_permission_there_is_no_log(self) -> None:
        both = ("logs:CreateLogStream", "logs:PutLogEvents")
        for actions, suffix in (((), ":*"), (both[:1], ":*"), (both[1:], ":*"), (both, "")):
            with self.subTest(actions=actions, suffix=suffix):
                arn = self.make(*actions, suffix=suffix)
                invoke(arn, "this")
                self.assertEqual(self.logged(arn), [])

    def test_a_missing_group_is_made_only_by_a_role_that_may(self) -> None:
        for actions, expected in ((["logs:*"], True), (["logs:CreateLogStream", "logs:PutLogEvents"], False)):
            role = make_role({"Service": "lambda.amazonaws.com"}, policy(actions, "*"))
            arn = make_function(self.SOURCE, role)
            invoke(arn, "this")
            groups = client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{arn.rpartition(':')[2]}")
            with self.subTest(actions):
                self.assertEqual(bool(groups["logGroups"]), expected)


class Configuration(SandboxTest):
    def setUp(self) -> None:
        self.functions = client("lambda")

    def create(self, role: str, name: str = "") -> dict[str, Any]:
        return self.functions.create_function(
            FunctionName=name or unique("function"),
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=role,
            Code={"ZipFile": code_of(ECHO)},
            Tags={"a": "1"},
        )

    def settle_slowly(self) -> None:
        control("functions", {"settling_seconds": 1})
        self.addCleanup(control, "functions", {})

    def test_a_new_function_is_pending_and_then_active(self) -> None:
        self.settle_slowly()
        made = self.create(role_arn(make_role({"Service": "lambda.amazonaws.com"})))
        self.assertEqual((made["State"], made["StateReasonCode"]), ("Pending", "Creating"))
        name = made["FunctionName"]
        with self.assert_error("ResourceConflictException", "currently in the following state: Pending"):
            self.functions.update_function_configuration(FunctionName=name, Timeout=9)
        active = settled(name)
        self.assertEqual(active["State"], "Active")
        for empty in ("StateReason", "StateReasonCode", "KMSKeyArn", "LastUpdateStatusReason"):
            self.assertNotIn(empty, active)
        with self.assert_error("ResourceConflictException", "already exist"):
            self.create(active["Role"], name)

    def test_a_role_that_lambda_cannot_assume_is_refused(self) -> None:
        elsewhere = make_role({"Service": "ec2.amazonaws.com"})
        conditional = unique("role")
        document = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
        client("iam").create_role(
            RoleName=conditional,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": document}),
        )
        for role in (unique("none"), elsewhere, conditional):
            with self.subTest(role), self.assert_error("InvalidParameterValueException", "cannot be assumed by Lambda"):
                self.create(role_arn(role))
        arn = make_function(ECHO)
        with self.assert_error("InvalidParameterValueException", "cannot be assumed by Lambda"):
            self.functions.update_function_configuration(FunctionName=arn, Role=role_arn(elsewhere))

    def test_what_a_function_reaches_needs_a_role_that_may(self) -> None:
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue"
        vpc = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        changes = (
            ({"VpcConfig": vpc}, "call CreateNetworkInterface on EC2"),
            ({"DeadLetterConfig": {"TargetArn": queue}}, "call SendMessage on SQS"),
            ({"TracingConfig": {"Mode": "Active"}}, "call PutTraceSegments on XRAY"),
        )
        for role_policy in (None, policy(["*"], "*")):
            role = make_role({"Service": "lambda.amazonaws.com"}, role_policy)
            arn = make_function(ECHO, role)
            for change, message in changes:
                with self.subTest(change, policy=role_policy):
                    if role_policy is None:
                        with self.assert_error("InvalidParameterValueException", message):
                            self.functions.update_function_configuration(FunctionName=arn, **change)
                    else:
                        self.functions.update_function_configuration(FunctionName=arn, **change)
                        settled(arn)

    def test_a_file_system_needs_a_vpc(self) -> None:
        system = {
            "Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0",
            "LocalMountPath": "/mnt/x",
        }
        with self.assert_error("InvalidParameterValueException", "must be configured to execute in a VPC"):
            self.functions.update_function_configuration(FunctionName=make_function(ECHO), FileSystemConfigs=[system])

    def test_unsigned_code_is_refused_where_signing_is_enforced(self) -> None:
        arn = make_function(ECHO)
        signing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"
        self.functions.put_function_code_signing_config(FunctionName=arn, CodeSigningConfigArn=signing)
        with self.assert_error("CodeVerificationFailedException"):
            self.functions.update_function_code(FunctionName=arn, ZipFile=code_of(ECHO))
        self.functions.delete_function_code_signing_config(FunctionName=arn)
        self.functions.update_function_code(FunctionName=arn, ZipFile=code_of(ECHO))

    def test_a_function_whose_reserved_concurrency_is_0_is_not_invoked(self) -> None:
        arn = make_function(ECHO)
        self.functions.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=0)
        with self.assert_error("TooManyRequestsException", "Rate Exceeded"):
            invoke(arn)

    def test_an_update_shows_in_last_update_status_and_lets_no_other_in(self) -> None:
        arn = make_function(ECHO)
        self.settle_slowly()
        updated = self.functions.update_function_configuration(FunctionName=arn, Timeout=9)
        self.assertEqual((updated["State"], updated["LastUpdateStatus"]), ("Active", "InProgress"))
        with self.assert_error("ResourceConflictException", "An update is in progress for resource: " + arn):
            self.functions.update_function_code(FunctionName=arn, ZipFile=code_of(ECHO))
        self.assertEqual(settled(arn)["Timeout"], 9)

    def test_the_revision_is_a_compare_and_swap(self) -> None:
        arn = make_function(ECHO)
        old = self.functions.get_function_configuration(FunctionName=arn)["RevisionId"]
        self.functions.update_function_configuration(FunctionName=arn, Timeout=9, RevisionId=old)
        new = settled(arn)["RevisionId"]
        self.assertNotEqual(new, old)
        with self.assert_error("PreconditionFailedException"):
            self.functions.update_function_configuration(FunctionName=arn, Timeout=8, RevisionId=old)
        with self.assert_error("PreconditionFailedException"):
            self.functions.update_function_code(FunctionName=arn, ZipFile=code_of(ECHO), RevisionId=old)

    def test_new_code_runs_and_its_digest_is_known(self) -> None:
        arn = make_function(ECHO)
        invoke(arn, 1)
        package = code_of("def handle(event): return 'new'")
        digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
        updated = self.functions.update_function_code(FunctionName=arn, ZipFile=package, Publish=True)
        self.assertEqual((updated["CodeSha256"], updated["Version"]), (digest, "1"))
        settled(arn)
        self.assertEqual(invoke(arn, 1), ("new", None))
        self.assertEqual(self.functions.get_function(FunctionName=arn)["Configuration"]["CodeSha256"], digest)

    def test_a_version_keeps_its_code_and_a_link_to_it(self) -> None:
        arn = make_function(ECHO)
        name, awslambda = arn.rsplit(":", 1)[1], client("lambda")
        settled(name)
        published = awslambda.publish_version(FunctionName=name, Description="before")
        other = make_function("def handle(event): return 2")
        zipped = urllib.request.urlopen(awslambda.get_function(FunctionName=other)["Code"]["Location"]).read()
        awslambda.update_function_code(FunctionName=name, ZipFile=zipped)
        settled(name)
        of_version = awslambda.get_function(FunctionName=name, Qualifier=published["Version"])
        link = of_version["Code"]["Location"]
        digest = base64.b64encode(hashlib.sha256(urllib.request.urlopen(link).read()).digest()).decode()
        self.assertEqual(digest, published["CodeSha256"])
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(link.partition("?")[0])
        self.assertNotEqual(digest, awslambda.get_function(FunctionName=name)["Configuration"]["CodeSha256"])

    def test_tags_are_set_and_removed(self) -> None:
        arn = self.create(role_arn(make_role({"Service": "lambda.amazonaws.com"})))["FunctionArn"]
        self.functions.tag_resource(Resource=arn, Tags={"b": "2"})
        self.assertEqual(self.functions.list_tags(Resource=arn)["Tags"], {"a": "1", "b": "2"})
        self.functions.untag_resource(Resource=arn, TagKeys=["a"])
        self.assertEqual(self.functions.get_function(FunctionName=arn)["Tags"], {"b": "2"})

    def test_a_deleted_function_is_not_found(self) -> None:
        arn = make_function(ECHO)
        self.functions.delete_function(FunctionName=arn)
        name = arn.rpartition(":")[2]
        for operation in (self.functions.get_function, self.functions.delete_function, self.functions.invoke):
            with self.subTest(operation), self.assert_error("ResourceNotFoundException", f"Function not found: {arn}"):
                operation(FunctionName=name)


class Permissions(SandboxTest):
    def setUp(self) -> None:
        self.functions, self.arn = client("lambda"), make_function(ECHO)

    def add(self, sid: str, **more: str) -> None:
        self.functions.add_permission(
            FunctionName=self.arn,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
            **more,
        )

    def test_a_function_without_permissions_has_no_policy(self) -> None:
        with self.assert_error("ResourceNotFoundException", "The resource you requested does not exist."):
            self.functions.get_policy(FunctionName=self.arn)

    def test_a_statement_is_added_once_and_removed(self) -> None:
        source = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x-*"
        self.add("one", SourceArn=source, SourceAccount=ACCOUNT)
        [statement] = json.loads(self.functions.get_policy(FunctionName=self.arn)["Policy"])["Statement"]
        self.assertEqual(
            statement["Condition"],
            {"ArnLike": {"AWS:SourceArn": source}, "StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        )
        with self.assert_error("ResourceConflictException", "The statement id (one) provided already exists."):
            self.add("one")
        self.functions.remove_permission(FunctionName=self.arn, StatementId="one")
        with self.assert_error("ResourceNotFoundException"):
            self.functions.remove_permission(FunctionName=self.arn, StatementId="one")
        with self.assert_error("ResourceNotFoundException"):
            self.functions.get_policy(FunctionName=self.arn)

    def test_the_policys_revision_is_a_compare_and_swap(self) -> None:
        self.add("one")
        old = self.functions.get_policy(FunctionName=self.arn)["RevisionId"]
        self.add("two", RevisionId=old)
        for change in (lambda: self.add("three", RevisionId=old), lambda: self.remove("one", RevisionId=old)):
            with self.assert_error("PreconditionFailedException"):
                change()
        self.remove("one", RevisionId=self.functions.get_policy(FunctionName=self.arn)["RevisionId"])

    def remove(self, sid: str, **more: str) -> None:
        self.functions.remove_permission(FunctionName=self.arn, StatementId=sid, **more)
