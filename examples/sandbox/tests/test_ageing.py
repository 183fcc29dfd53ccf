"""Time that passes at once: dates become older."""

from __future__ import annotations

import urllib.error
from datetime import UTC, datetime, timedelta

from support import SandboxTest, client, control, unique

DAY = 86_400


class Ageing(SandboxTest):
    def test_keys_their_last_use_and_secrets_become_older(self) -> None:
        iam, secrets, user = client("iam"), client("secretsmanager"), unique("user")
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        client("sts", **credentials).get_caller_identity()
        name = secrets.create_secret(Name=unique("secret"), SecretString="{}")["Name"]

        control("time", {"pass": DAY})

        used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]["LastUsedDate"]
        [made] = [it["CreateDate"] for it in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]]
        [version] = secrets.list_secret_version_ids(SecretId=name)["Versions"]
        described = secrets.describe_secret(SecretId=name)
        yesterday = datetime.now(UTC) - timedelta(days=1)
        for date in (used, made, version["CreatedDate"], described["CreatedDate"], described["LastChangedDate"]):
            self.assertLess(abs(date - yesterday), timedelta(minutes=2))

    def test_a_date_at_the_end_of_a_label_becomes_older(self) -> None:
        secrets = client("secretsmanager")
        secret = secrets.create_secret(Name=unique("secret"), SecretString="{}")
        secrets.update_secret_version_stage(
            SecretId=secret["ARN"], VersionStage="INACTIVE/AKIA/2026-01-02T00:00:00Z", MoveToVersionId=secret["VersionId"]
        )

        control("time", {"pass": DAY})

        [labels] = secrets.describe_secret(SecretId=secret["ARN"])["VersionIdsToStages"].values()
        self.assertEqual(sorted(labels), ["AWSCURRENT", "INACTIVE/AKIA/2026-01-01T00:00:00Z"])

    def test_what_is_no_time_is_refused(self) -> None:
        for change in ({}, {"pass": 0}, {"pass": "1d"}, {"pass": 1, "until": 2}, {"pass": 1, "for": "keys"}):
            with self.subTest(change), self.assertRaises(urllib.error.HTTPError):
                control("time", change)
