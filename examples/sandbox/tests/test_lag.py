"""Eventual consistency: what was changed is hidden for a while."""

from __future__ import annotations

import urllib.error

from botocore.exceptions import ClientError
from support import ACCOUNT, SandboxTest, assume, client, control, make_role, policy, unique, wait_for

SECONDS = 1.5


class Lags(SandboxTest):
    def setUp(self) -> None:
        self.iam, self.secrets = client("iam"), client("secretsmanager")
        self.addCleanup(control, "lag", {"seconds": 0})

    def tags_of(self, user: str) -> list[str] | None:
        try:
            return [tag["Value"] for tag in self.iam.get_user(UserName=user)["User"].get("Tags", [])]
        except self.iam.exceptions.NoSuchEntityException:
            return None

    def test_a_new_resource_and_a_changed_tag_show_later_and_a_call_that_changes_sees_them(self) -> None:
        user = unique("user")
        control("lag", {"seconds": SECONDS})
        self.iam.create_user(UserName=user, Tags=[{"Key": "team", "Value": "platform"}])
        self.assertIsNone(self.tags_of(user))
        with self.assertRaises(self.iam.exceptions.EntityAlreadyExistsException):
            self.iam.create_user(UserName=user)
        wait_for("the user", lambda: self.tags_of(user) == ["platform"])
        self.iam.tag_user(UserName=user, Tags=[{"Key": "team", "Value": "mail"}])
        self.assertEqual(self.tags_of(user), ["platform"])
        wait_for("the tag", lambda: self.tags_of(user) == ["mail"])
        self.iam.delete_user(UserName=user)
        self.assertEqual(self.tags_of(user), ["mail"])
        wait_for("the end", lambda: self.tags_of(user) is None)

    def test_a_new_policy_is_in_force_later(self) -> None:
        role, secret = make_role({"AWS": ACCOUNT}), self.secrets.create_secret(Name=unique("secret"), SecretString="s")["ARN"]
        reader = client("secretsmanager", **assume(role))
        control("lag", {"seconds": SECONDS})
        self.iam.put_role_policy(
            RoleName=role,
            PolicyName="p",
            PolicyDocument=policy("secretsmanager:GetSecretValue", secret),
        )

        def may_read() -> bool:
            try:
                return reader.get_secret_value(SecretId=secret)["SecretString"] == "s"
            except ClientError:
                return False

        self.assertFalse(may_read())
        wait_for("the policy", may_read)

    def test_what_is_no_time_is_refused(self) -> None:
        for change in ({}, {"seconds": -1}, {"seconds": "1s"}):
            with self.subTest(change), self.assertRaises(urllib.error.HTTPError):
                control("lag", change)
