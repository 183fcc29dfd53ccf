"""Restoring an earlier state."""

from __future__ import annotations

import urllib.error

from support import SANDBOX_DIR, SandboxTest, client, control, unique, wait_for

INSTANCE = "i-0123456789abcdef1"


class Snapshots(SandboxTest):
    def setUp(self) -> None:
        self.iam, self.secrets, self.user = client("iam"), client("secretsmanager"), unique("user")
        self.iam.create_user(UserName=self.user)
        self.secret = self.secrets.create_secret(Name=unique("secret"), SecretString="before")["Name"]
        self.kept = self.iam.create_access_key(UserName=self.user)["AccessKey"]["AccessKeyId"]
        self.etc = SANDBOX_DIR / f"host-{INSTANCE}" / "etc"
        (self.etc / "kept").write_text("before")
        self.addCleanup((self.etc / "kept").unlink, missing_ok=True)

    def test_keys_secrets_and_files_are_as_they_were(self) -> None:
        name = unique("snapshot")
        control("snapshot", {"save": name})
        for _ in range(2):
            self.iam.delete_access_key(UserName=self.user, AccessKeyId=self.kept)
            self.iam.create_access_key(UserName=self.user)
            self.secrets.put_secret_value(SecretId=self.secret, SecretString="after")
            (self.etc / "kept").unlink()
            (self.etc / "made").write_text("after")

            control("snapshot", {"restore": name})

            keys = [key["AccessKeyId"] for key in self.iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]]
            self.assertEqual(keys, [self.kept])
            self.assertEqual(self.secrets.get_secret_value(SecretId=self.secret)["SecretString"], "before")
            self.assertEqual([(self.etc / "kept").read_text(), (self.etc / "made").exists()], ["before", False])

    def test_every_resource_is_as_it_was(self) -> None:
        topics, name = client("sns"), unique("snapshot")
        topic = topics.create_topic(Name=unique("topic"))["TopicArn"]
        before = control("inventory", {})
        control("snapshot", {"save": name})
        self.iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument="{}")
        self.iam.tag_user(UserName=self.user, Tags=[{"Key": "team", "Value": "mail"}])
        topics.delete_topic(TopicArn=topic)
        client("logs").create_log_group(logGroupName=unique("group"))

        control("snapshot", {"restore": name})

        self.assertEqual(control("inventory", {}), before)

    def test_there_is_none_while_a_script_runs_or_of_an_unknown_name(self) -> None:
        with self.assertRaises(urllib.error.HTTPError):
            control("snapshot", {"restore": "never saved"})
        client("ssm").send_command(
            DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE], Parameters={"commands": ["sleep 1"]}
        )
        with self.assertRaises(urllib.error.HTTPError):
            control("snapshot", {"save": "early"})
        wait_for("the script's end", lambda: _is_saved("late"))


def _is_saved(name: str) -> bool:
    try:
        control("snapshot", {"save": name})
    except urllib.error.HTTPError:
        return False
    return True
