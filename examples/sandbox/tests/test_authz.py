"""Authorisation at resource level: every action of both roles, on the deployment's resources and on others."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from support import ACCOUNT, REGION, SandboxTest, assume, client, make_function, make_role, policy, role_arn, unique

INSTANCE, OTHER_INSTANCE = "i-0123456789abcdef0", "i-0123456789abcdef1"
DENIALS = ("AccessDenied", "AccessDeniedException", "AuthorizationError")


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class AuthorisationTest(SandboxTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.role = make_role({"AWS": ACCOUNT})
        cls.session = assume(cls.role)

    def allow(self, action: str, resource: str | list[str], condition: dict[str, Any] | None = None) -> None:
        """Allows the session this and nothing else."""
        document = policy(action, resource, condition)
        client("iam").put_role_policy(RoleName=self.role, PolicyName="policy", PolicyDocument=document)

    def denial(self, service: str, operation: str, **arguments: Any) -> str | None:
        """The text of the session's denial, or None if the call was allowed, even if it failed then."""
        try:
            getattr(client(service, **self.session), operation)(**arguments)
        except ClientError as problem:
            error = problem.response["Error"]
            return error["Message"] if error["Code"] in DENIALS else None
        return None

    def assert_allowed(self, service: str, operation: str, **arguments: Any) -> None:
        self.assertIsNone(self.denial(service, operation, **arguments))

    def assert_denied(self, resource: str, service: str, operation: str, **arguments: Any) -> None:
        denial = self.denial(service, operation, **arguments)
        self.assertIsNotNone(denial, "it was allowed")
        self.assertIn(f"assumed-role/{self.role}/test is not authorized to perform: ", denial)
        self.assertIn(f" on resource: {resource} because no identity-based policy allows", denial)


class Secrets(AuthorisationTest):
    def setUp(self) -> None:
        self.secrets = client("secretsmanager")
        self.name, self.other_name = unique("path/secret"), unique("path/other")
        made = self.secrets.create_secret(Name=self.name, SecretString="one", Tags=[{"Key": "team", "Value": "mail"}])
        self.arn, self.version = made["ARN"], made["VersionId"]
        self.other = self.secrets.create_secret(Name=self.other_name, SecretString="one")["ARN"]
        # As the deployer writes it, which knows the name but not the six characters.
        self.pattern = arn("secretsmanager", f"secret:{self.name}-??????")

    OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
        "GetSecretValue": ("get_secret_value", {}),
        "DescribeSecret": ("describe_secret", {}),
        "PutSecretValue": ("put_secret_value", {"SecretString": "two"}),
        "UpdateSecretVersionStage": ("update_secret_version_stage", {"VersionStage": "X"}),
        "ListSecretVersionIds": ("list_secret_version_ids", {}),
    }

    def arguments(self, action: str) -> dict[str, Any]:
        more = {"MoveToVersionId": self.version} if action == "UpdateSecretVersionStage" else {}
        return self.OPERATIONS[action][1] | more

    def test_each_action_is_allowed_on_the_named_secret_only(self) -> None:
        for action, (operation, _) in self.OPERATIONS.items():
            self.allow(f"secretsmanager:{action}", self.pattern)
            arguments = self.arguments(action)
            for secret_id in (self.name, self.arn):
                with self.subTest(action, secret_id=secret_id):
                    self.assert_allowed("secretsmanager", operation, SecretId=secret_id, **arguments)
            for secret_id in (self.other_name, self.other):
                with self.subTest(action, secret_id=secret_id):
                    self.assert_denied(self.other, "secretsmanager", operation, SecretId=secret_id, **arguments)

    def test_each_condition_key_decides(self) -> None:
        function = arn("lambda", f"function:{unique('f')}")
        describe, get = ("describe_secret", {}), ("get_secret_value", {"VersionStage": "AWSCURRENT"})
        for key, value, (operation, arguments), action in (
            ("secretsmanager:SecretId", self.arn, describe, "DescribeSecret"),
            ("aws:ResourceTag/team", "mail", describe, "DescribeSecret"),
            ("secretsmanager:ResourceTag/team", "mail", describe, "DescribeSecret"),
            ("secretsmanager:VersionStage", "AWSCURRENT", get, "GetSecretValue"),
        ):
            for right, expected in ((value, True), (f"{function}x", False)):
                self.allow(f"secretsmanager:{action}", "*", {"StringEquals": {key: right}})
                with self.subTest(key, expected=expected):
                    denial = self.denial("secretsmanager", operation, SecretId=self.arn, **arguments)
                    self.assertEqual(denial is None, expected)

    def test_a_stage_that_the_request_does_not_name_meets_no_condition(self) -> None:
        condition = {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}
        self.allow("secretsmanager:GetSecretValue", "*", condition)
        self.assert_denied(self.arn, "secretsmanager", "get_secret_value", SecretId=self.arn)

    def test_the_rotation_function_of_the_secret_is_a_condition_key(self) -> None:
        function = make_function("def handle(event): pass")
        permission = {"Action": "lambda:InvokeFunction", "Principal": "secretsmanager.amazonaws.com"}
        client("lambda").add_permission(FunctionName=function, StatementId="s", **permission)
        for expected, value in ((True, function), (False, f"{function}x")):
            key = "secretsmanager:resource/AllowRotationLambdaArn"
            self.allow("secretsmanager:DescribeSecret", "*", {"StringEquals": {key: value}})
            with self.subTest(value):
                self.assert_denied(self.arn, "secretsmanager", "describe_secret", SecretId=self.arn)
                self.secrets.rotate_secret(SecretId=self.arn, RotationLambdaARN=function, RotateImmediately=False)
                denial = self.denial("secretsmanager", "describe_secret", SecretId=self.arn)
                self.assertEqual(denial is None, expected)
            self.arn = self.other


class CustomerManagedKey(AuthorisationTest):
    """Secrets Manager uses a secret's key with the caller's permissions."""

    def setUp(self) -> None:
        self.arn = client("secretsmanager").create_secret(
            Name=unique("secret"), SecretString="one", KmsKeyId="alias/mail"
        )["ARN"]
        self.key = client("kms").describe_key(KeyId="alias/mail")["KeyMetadata"]["Arn"]

    def may(self, key_action: str | list[str], resource: str, condition: dict[str, str] | None = None) -> None:
        statements = [json.loads(policy("secretsmanager:*", "*"))["Statement"][0]]
        conditions = {"StringEquals": condition} if condition else None
        statements += json.loads(policy(key_action, resource, conditions))["Statement"]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        client("iam").put_role_policy(RoleName=self.role, PolicyName="policy", PolicyDocument=document)

    def read(self) -> str | None:
        return self.denial("secretsmanager", "get_secret_value", SecretId=self.arn)

    def write(self) -> str | None:
        return self.denial("secretsmanager", "put_secret_value", SecretId=self.arn, SecretString=unique("two"))

    def test_reading_needs_decrypt_on_the_key(self) -> None:
        for action, resource, expected in (
            ("kms:Decrypt", self.key, None),
            ("kms:Decrypt", arn("kms", "key/another"), "Access to KMS is not allowed"),
            ("kms:GenerateDataKey", self.key, "Access to KMS is not allowed"),
        ):
            self.may(action, resource)
            with self.subTest(action, resource=resource):
                self.assertEqual(self.read(), expected)

    def test_writing_needs_a_data_key_and_decrypt(self) -> None:
        for actions, expected in (
            (["kms:GenerateDataKey", "kms:Decrypt"], None),
            (["kms:GenerateDataKey"], "Access to KMS is not allowed"),
            (["kms:Decrypt"], "Access to KMS is not allowed"),
        ):
            self.may(actions, self.key)
            with self.subTest(actions):
                self.assertEqual(self.write(), expected)

    def test_the_use_of_the_key_has_its_condition_keys(self) -> None:
        actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        for key, value in (
            ("kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"),
            ("kms:EncryptionContext:SecretARN", self.arn),
        ):
            self.may(actions, self.key, {key: value})
            with self.subTest(key):
                self.assertEqual((self.read(), self.write()), (None, None))
            self.may(actions, self.key, {key: "another"})
            with self.subTest(key):
                self.assertEqual((self.read(), self.write()), ("Access to KMS is not allowed",) * 2)

    def test_a_secret_under_the_default_key_needs_no_permission_on_it(self) -> None:
        self.arn = client("secretsmanager").create_secret(Name=unique("secret"), SecretString="one")["ARN"]
        self.may("kms:Nothing", "*")
        self.assertEqual((self.read(), self.write()), (None, None))

    def test_a_direct_use_of_the_key_is_not_by_way_of_secrets_manager(self) -> None:
        sealed = client("kms").encrypt(KeyId="alias/mail", Plaintext=b"x", EncryptionContext={"a": "b"})
        decrypt = {"CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": {"a": "b"}}
        for condition, expected in (
            (None, True),
            ({"kms:EncryptionContext:a": "b"}, True),
            ({"kms:EncryptionContext:a": "c"}, False),
            ({"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}, False),
        ):
            for action, operation, arguments in (
                ("kms:Decrypt", "decrypt", decrypt),
                (
                    "kms:GenerateDataKey",
                    "generate_data_key",
                    {"KeyId": "alias/mail", "KeySpec": "AES_256", "EncryptionContext": {"a": "b"}},
                ),
            ):
                self.may(action, self.key, condition)
                with self.subTest(action, condition=condition):
                    self.assertEqual(self.denial("kms", operation, **arguments) is None, expected)


class Users(AuthorisationTest):
    def setUp(self) -> None:
        iam = client("iam")
        self.user, self.other = unique("user"), unique("user")
        iam.create_user(UserName=self.user, Path="/mail/smtp/", Tags=[{"Key": "team", "Value": "mail"}])
        iam.create_user(UserName=self.other)
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/mail/smtp/{self.user}"
        self.other_arn = f"arn:aws:iam::{ACCOUNT}:user/{self.other}"
        self.key = iam.create_access_key(UserName=self.user)["AccessKey"]["AccessKeyId"]
        self.other_key = iam.create_access_key(UserName=self.other)["AccessKey"]["AccessKeyId"]

    def test_each_action_is_allowed_on_the_user_with_a_path_only(self) -> None:
        for action, operation, needs_key, more in (
            ("GetUser", "get_user", False, {}),
            ("ListUserTags", "list_user_tags", False, {}),
            ("ListAccessKeys", "list_access_keys", False, {}),
            ("CreateAccessKey", "create_access_key", False, {}),
            ("UpdateAccessKey", "update_access_key", True, {"Status": "Inactive"}),
            ("DeleteAccessKey", "delete_access_key", True, {}),
        ):
            self.allow(f"iam:{action}", self.arn)
            own, others = ({"AccessKeyId": key} if needs_key else {} for key in (self.key, self.other_key))
            with self.subTest(action):
                self.assert_allowed("iam", operation, UserName=self.user, **own, **more)
                self.assert_denied(self.other_arn, "iam", operation, UserName=self.other, **others, **more)
                self.allow(f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:user/{self.user}")
                self.assert_denied(self.arn, "iam", operation, UserName=self.user, **own, **more)

    def test_a_keys_last_use_is_its_users(self) -> None:
        self.allow("iam:GetAccessKeyLastUsed", self.arn)
        self.assert_allowed("iam", "get_access_key_last_used", AccessKeyId=self.key)
        self.assert_denied(self.other_arn, "iam", "get_access_key_last_used", AccessKeyId=self.other_key)
        self.assert_denied("*", "iam", "get_access_key_last_used", AccessKeyId="AKIAIOSFODNN7EXAMPLE")

    def test_a_users_tags_are_condition_keys(self) -> None:
        for key in ("aws:ResourceTag/team", "iam:ResourceTag/team"):
            self.allow("iam:GetUser", "*", {"StringEquals": {key: "mail"}})
            with self.subTest(key):
                self.assert_allowed("iam", "get_user", UserName=self.user)
                self.assert_denied(self.other_arn, "iam", "get_user", UserName=self.other)


class Roles(AuthorisationTest):
    def test_a_role_is_authorised_on_its_arn_with_the_path(self) -> None:
        name = unique("role")
        client("iam").create_role(RoleName=name, Path="/a/", AssumeRolePolicyDocument=policy("sts:AssumeRole", "*"))
        self.allow("iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/a/{name}")
        self.assert_allowed("iam", "get_role", RoleName=name)
        self.assert_denied(role_arn(self.role), "iam", "get_role", RoleName=self.role)


class Commands(AuthorisationTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.document, cls.other = unique("document"), unique("document")
        content = {
            "schemaVersion": "2.2",
            "mainSteps": [{"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": ["true"]}}],
        }
        for name in (cls.document, cls.other):
            client("ssm").create_document(Name=name, DocumentType="Command", Content=json.dumps(content))

    def send(self, document: str = "", instances: tuple[str, ...] = (INSTANCE,), **arguments: Any) -> str | None:
        name = document or self.document
        return self.denial("ssm", "send_command", DocumentName=name, InstanceIds=list(instances), **arguments)

    def allow_send(self, *resources: str) -> None:
        self.allow("ssm:SendCommand", list(resources))

    def test_a_command_needs_the_document_and_every_instance(self) -> None:
        document, instance = arn("ssm", f"document/{self.document}"), arn("ec2", f"instance/{INSTANCE}")
        self.allow_send(document, instance)
        self.assertIsNone(self.send())
        self.assertIn(arn("ssm", f"document/{self.other}"), self.send(self.other) or "")
        other_instance = arn("ec2", f"instance/{OTHER_INSTANCE}")
        for instances in ((OTHER_INSTANCE,), (INSTANCE, OTHER_INSTANCE)):
            with self.subTest(instances):
                self.assertIn(other_instance, self.send(instances=instances) or "")
        self.allow_send(document)
        self.assertIn(instance, self.send() or "")
        self.allow_send(instance)
        self.assertIn(document, self.send() or "")

    def test_awss_own_documents_have_no_account_in_their_arn(self) -> None:
        instance, parameters = arn("ec2", f"instance/{INSTANCE}"), {"commands": ["true"]}
        self.allow_send(instance, f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript")
        self.assertIsNone(self.send("AWS-RunShellScript", Parameters=parameters))
        self.allow_send(instance, arn("ssm", "document/AWS-RunShellScript"))
        self.assertIsNotNone(self.send("AWS-RunShellScript", Parameters=parameters))

    def test_an_instances_tags_are_condition_keys(self) -> None:
        for key in ("ssm:resourceTag/Name", "aws:ResourceTag/Name"):
            for value, expected in (("mail-0", True), ("mail-1", False)):
                statements = [
                    *json.loads(policy("ssm:SendCommand", arn("ssm", "document/*")))["Statement"],
                    *json.loads(policy("ssm:SendCommand", "*", {"StringEquals": {key: value}}))["Statement"],
                ]
                document = json.dumps({"Version": "2012-10-17", "Statement": statements})
                client("iam").put_role_policy(RoleName=self.role, PolicyName="policy", PolicyDocument=document)
                with self.subTest(key, value=value):
                    self.assertEqual(self.send() is None, expected)

    def test_looking_at_commands_and_instances_can_only_be_allowed_on_everything(self) -> None:
        for action, operation, arguments in (
            ("GetCommandInvocation", "get_command_invocation", {"CommandId": "0" * 36, "InstanceId": INSTANCE}),
            ("ListCommandInvocations", "list_command_invocations", {}),
            ("DescribeInstanceInformation", "describe_instance_information", {}),
        ):
            self.allow(f"ssm:{action}", "*")
            with self.subTest(action):
                self.assert_allowed("ssm", operation, **arguments)
                self.allow(f"ssm:{action}", [arn("ec2", "instance/*"), arn("ssm", "*")])
                self.assert_denied("*", "ssm", operation, **arguments)

    def test_documents_are_authorised_on_their_arn(self) -> None:
        self.allow("ssm:DescribeDocument", arn("ssm", f"document/{self.document}"))
        self.assert_allowed("ssm", "describe_document", Name=self.document)
        self.assert_denied(arn("ssm", f"document/{self.other}"), "ssm", "describe_document", Name=self.other)


class Logs(AuthorisationTest):
    def test_streams_and_events_need_the_streams_below_the_group(self) -> None:
        group, other, stream = unique("/aws/lambda/g"), unique("/aws/lambda/g"), unique("stream")
        for name in (group, other):
            client("logs").create_log_group(logGroupName=name)
            client("logs").create_log_stream(logGroupName=name, logStreamName="there")
        put = {"logStreamName": "there", "logEvents": [{"timestamp": 1, "message": "m"}]}
        for action, operation, arguments in (
            ("CreateLogStream", "create_log_stream", {"logStreamName": stream}),
            ("PutLogEvents", "put_log_events", put),
        ):
            self.allow(f"logs:{action}", arn("logs", f"log-group:{group}:*"))
            with self.subTest(action):
                self.assert_allowed("logs", operation, logGroupName=group, **arguments)
                denied = arn("logs", f"log-group:{other}:log-stream:{arguments['logStreamName']}")
                self.assert_denied(denied, "logs", operation, logGroupName=other, **arguments)
                self.allow(f"logs:{action}", arn("logs", f"log-group:{group}"))
                self.assertIsNotNone(self.denial("logs", operation, logGroupName=group, **arguments))


class Functions(AuthorisationTest):
    def test_a_function_is_authorised_on_its_arn_by_name_and_by_arn(self) -> None:
        name = unique("function")
        ours, other = (arn("lambda", f"function:{each}") for each in (name, f"{name}-other"))
        self.allow("lambda:GetFunction", ours)
        for reference in (name, ours):
            with self.subTest(reference):
                self.assert_allowed("lambda", "get_function", FunctionName=reference)
        self.assert_denied(other, "lambda", "get_function", FunctionName=f"{name}-other")
