"""Secrets Manager's versions and labels."""

from __future__ import annotations

import uuid
from typing import Any

from support import ACCOUNT, REGION, SandboxTest, client, unique


def token() -> str:
    return str(uuid.uuid4())


class SecretTest(SandboxTest):
    """A secret with the value "one" under the version id `self.first`."""

    def setUp(self) -> None:
        self.secrets = client("secretsmanager")
        self.name, self.first = unique("secret"), token()
        self.arn = self.secrets.create_secret(
            Name=self.name, SecretString="one", ClientRequestToken=self.first, Tags=[{"Key": "a", "Value": "1"}]
        )["ARN"]

    def put(self, value: str, *labels: str, version: str | None = None, **more: Any) -> str:
        if labels:
            more["VersionStages"] = list(labels)
        return self.secrets.put_secret_value(
            SecretId=self.name, SecretString=value, ClientRequestToken=version or token(), **more
        )["VersionId"]

    def move(self, label: str, to: str | None = None, from_: str | None = None) -> None:
        arguments = {"MoveToVersionId": to, "RemoveFromVersionId": from_}
        given = {name: value for name, value in arguments.items() if value}
        self.secrets.update_secret_version_stage(SecretId=self.name, VersionStage=label, **given)

    def labels(self) -> dict[str, set[str]]:
        described = self.secrets.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        return {id_: set(stages) for id_, stages in described.items()}

    def value(self, label: str = "AWSCURRENT") -> str:
        return self.secrets.get_secret_value(SecretId=self.name, VersionStage=label)["SecretString"]


class Creation(SecretTest):
    def test_the_arn_ends_in_six_random_characters(self) -> None:
        prefix = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{self.name}-"
        self.assertTrue(self.arn.startswith(prefix))
        self.assertRegex(self.arn.removeprefix(prefix), "^[0-9A-Za-z]{6}$")

    def test_the_same_call_again_is_a_success_and_another_is_not(self) -> None:
        again = self.secrets.create_secret(Name=self.name, SecretString="one", ClientRequestToken=self.first)
        self.assertEqual((again["ARN"], again["VersionId"]), (self.arn, self.first))
        with self.assert_error("ResourceExistsException"):
            self.secrets.create_secret(Name=self.name, SecretString="two", ClientRequestToken=self.first)

    def test_a_value_has_at_most_64_kib(self) -> None:
        self.put("x" * 65_536)
        for call in (self.put, lambda value: self.secrets.update_secret(SecretId=self.name, SecretString=value)):
            with self.assert_error("ValidationException"):
                call("x" * 65_537)

    def test_a_secret_without_a_value_has_no_version_until_its_first(self) -> None:
        self.name = unique("secret")
        self.assertNotIn("VersionId", self.secrets.create_secret(Name=self.name))
        self.assertEqual(self.labels(), {})
        with self.assert_error("ResourceNotFoundException"):
            self.value()
        version = self.put("one", "MINE")
        self.assertEqual(self.labels(), {version: {"MINE", "AWSCURRENT"}})

    def test_the_name_is_not_free_while_the_secret_is_scheduled_for_deletion(self) -> None:
        self.secrets.delete_secret(SecretId=self.name, RecoveryWindowInDays=7)
        with self.assert_error("InvalidRequestException", "already scheduled for deletion"):
            self.secrets.create_secret(Name=self.name, SecretString="one")
        with self.assert_error("InvalidRequestException", "marked for deletion"):
            self.value()
        with self.assert_error("InvalidRequestException", "marked for deletion"):
            self.put("two")
        self.assertIn("DeletedDate", self.secrets.describe_secret(SecretId=self.name))
        self.secrets.restore_secret(SecretId=self.name)
        self.assertEqual(self.value(), "one")
        self.assertNotIn("DeletedDate", self.secrets.describe_secret(SecretId=self.name))

    def test_a_recovery_window_has_7_to_30_days(self) -> None:
        for days in (6, 31):
            with self.subTest(days), self.assert_error("InvalidParameterException"):
                self.secrets.delete_secret(SecretId=self.name, RecoveryWindowInDays=days)


class Description(SecretTest):
    def test_what_was_never_set_is_left_out(self) -> None:
        described = self.secrets.describe_secret(SecretId=self.name)
        for name in ("Description", "KmsKeyId", "RotationEnabled", "RotationRules", "LastRotatedDate", "DeletedDate"):
            self.assertNotIn(name, described)
        self.assertEqual(described["Tags"], [{"Key": "a", "Value": "1"}])
        self.assertEqual(described["VersionIdsToStages"], {self.first: ["AWSCURRENT"]})

    def test_updates_and_tags_show(self) -> None:
        self.secrets.update_secret(SecretId=self.name, Description="d", KmsKeyId="alias/mail")
        self.secrets.tag_resource(SecretId=self.arn, Tags=[{"Key": "b", "Value": "2"}])
        self.secrets.untag_resource(SecretId=self.arn, TagKeys=["a"])
        described = self.secrets.describe_secret(SecretId=self.arn)
        self.assertEqual((described["Description"], described["KmsKeyId"]), ("d", "alias/mail"))
        self.assertEqual(described["Tags"], [{"Key": "b", "Value": "2"}])

    def test_a_change_shows_in_last_changed_date(self) -> None:
        before = self.secrets.describe_secret(SecretId=self.name)["LastChangedDate"]
        self.put("two")
        self.assertGreater(self.secrets.describe_secret(SecretId=self.name)["LastChangedDate"], before)


class Keys(SecretTest):
    def keys(self) -> dict[str, list[str]]:
        versions = self.secrets.list_secret_version_ids(SecretId=self.name)["Versions"]
        return {version["VersionId"]: version["KmsKeyIds"] for version in versions}

    def test_a_change_of_the_key_encrypts_only_versions_with_awss_own_labels_again(self) -> None:
        ours = self.put("two", "DEPLOYING")
        self.secrets.update_secret(SecretId=self.name, KmsKeyId="alias/mail")
        self.assertEqual(self.keys(), {self.first: ["alias/mail"], ours: ["DefaultEncryptionKey"]})
        newer = self.put("three", "TOLD")
        self.assertEqual(self.keys()[newer], ["alias/mail"])


class Values(SecretTest):
    def test_a_new_value_is_current_and_the_old_one_previous(self) -> None:
        second = self.put("two")
        third = self.put("three")
        self.assertEqual(self.labels(), {third: {"AWSCURRENT"}, second: {"AWSPREVIOUS"}})
        self.assertEqual((self.value(), self.value("AWSPREVIOUS")), ("three", "two"))

    def test_a_version_without_labels_keeps_its_value(self) -> None:
        self.put("two"), self.put("three")
        kept = self.secrets.get_secret_value(SecretId=self.name, VersionId=self.first)
        self.assertEqual((kept["SecretString"], kept["VersionStages"]), ("one", []))
        listed = {v["VersionId"] for v in self.secrets.list_secret_version_ids(SecretId=self.name)["Versions"]}
        self.assertNotIn(self.first, listed)
        every = self.secrets.list_secret_version_ids(SecretId=self.name, IncludeDeprecated=True)["Versions"]
        self.assertIn(self.first, {version["VersionId"] for version in every})

    def test_the_same_value_under_the_same_token_changes_nothing(self) -> None:
        version = self.put("two", "AWSPENDING", "MINE")
        before = self.secrets.describe_secret(SecretId=self.name)
        self.assertEqual(self.put("two", "OTHER", version=version), version)
        after = self.secrets.describe_secret(SecretId=self.name)
        for name in ("VersionIdsToStages", "LastChangedDate"):
            self.assertEqual(after[name], before[name])

    def test_another_value_under_the_same_token_is_refused(self) -> None:
        version = self.put("two")
        with self.assert_error("ResourceExistsException", version):
            self.put("three", version=version)
        self.assertEqual(self.value(), "two")

    def test_labels_leave_their_old_versions(self) -> None:
        second = self.put("two", "AWSPENDING", "MINE")
        third = self.put("three", "AWSPENDING", "MINE")
        self.assertEqual(self.labels(), {self.first: {"AWSCURRENT"}, third: {"AWSPENDING", "MINE"}})
        self.assertEqual(self.secrets.get_secret_value(SecretId=self.name, VersionId=second)["VersionStages"], [])

    def test_a_stage_that_is_not_the_versions_is_refused(self) -> None:
        version = self.put("two", "MINE")
        with self.assert_error("InvalidRequestException", "not associated"):
            self.secrets.get_secret_value(SecretId=self.name, VersionId=version, VersionStage="AWSCURRENT")

    def test_what_is_not_there_is_not_found(self) -> None:
        with self.assert_error("ResourceNotFoundException"):
            self.value("MINE")
        with self.assert_error("ResourceNotFoundException"):
            self.secrets.get_secret_value(SecretId=self.name, VersionId=token())
        with self.assert_error("ResourceNotFoundException"):
            self.secrets.get_secret_value(SecretId=unique("secret"))

    def test_a_secret_has_at_most_twenty_labels(self) -> None:
        self.put("two", *(f"LABEL{number}" for number in range(19)))
        with self.assert_error("LimitExceededException"):
            self.put("three", "ONE_MORE")

    def test_a_rotation_token_that_was_not_issued_is_refused(self) -> None:
        with self.assert_error("InvalidParameterException", "rotation token"):
            self.put("two", "AWSPENDING", RotationToken=token())

    def test_a_new_value_put_by_hand_drops_an_open_awspending(self) -> None:
        self.put("two", "AWSPENDING", "DEPLOYING")
        third = self.put("three")
        self.assertNotIn("AWSPENDING", set().union(*self.labels().values()))
        self.assertEqual(self.labels()[third], {"AWSCURRENT"})
        fourth = self.put("four", "AWSPENDING")
        fifth = self.secrets.update_secret(SecretId=self.name, SecretString="five")["VersionId"]
        self.assertNotIn(fourth, self.labels())
        self.assertEqual(self.labels()[fifth], {"AWSCURRENT"})


class Labels(SecretTest):
    def setUp(self) -> None:
        super().setUp()
        self.second = self.put("two", "AWSPENDING", "MINE")

    def test_moving_awscurrent_leaves_awsprevious_behind_and_nothing_else_moves(self) -> None:
        self.move("AWSCURRENT", to=self.second, from_=self.first)
        self.assertEqual(
            self.labels(), {self.first: {"AWSPREVIOUS"}, self.second: {"AWSCURRENT", "AWSPENDING", "MINE"}}
        )

    def test_moving_awscurrent_back_moves_awsprevious_too(self) -> None:
        self.move("AWSCURRENT", to=self.second, from_=self.first)
        self.move("AWSCURRENT", to=self.first, from_=self.second)
        self.assertEqual(
            self.labels(), {self.first: {"AWSCURRENT"}, self.second: {"AWSPREVIOUS", "AWSPENDING", "MINE"}}
        )

    def test_a_label_that_is_elsewhere_is_not_moved(self) -> None:
        third = self.put("three", "OTHER")
        before = self.labels()
        with self.assert_error("InvalidParameterException", "must be set to the version"):
            self.move("AWSCURRENT", to=self.second, from_=third)
        with self.assert_error("InvalidParameterException", self.first):
            self.move("AWSCURRENT", to=self.second)
        with self.assert_error("InvalidParameterException"):
            self.move("MINE", from_=self.first)
        with self.assert_error("InvalidParameterException"):
            self.move("AWSCURRENT", from_=self.first)
        self.assertEqual(self.labels(), before)

    def test_an_unknown_version_is_not_found(self) -> None:
        with self.assert_error("ResourceNotFoundException"):
            self.move("AWSCURRENT", to=token(), from_=self.first)

    def test_a_label_is_taken_off_and_put_on(self) -> None:
        self.move("AWSPENDING", from_=self.second)
        self.assertEqual(self.labels()[self.second], {"MINE"})
        self.move("NEW", to=self.second)
        self.move("NEW", to=self.first, from_=self.second)
        self.assertEqual(self.labels()[self.first], {"AWSCURRENT", "NEW"})


class Replicas(SecretTest):
    def test_a_secret_with_a_replica_names_it_and_is_not_deleted(self) -> None:
        self.secrets.replicate_secret_to_regions(SecretId=self.name, AddReplicaRegions=[{"Region": "eu-central-1"}])
        [replica] = self.secrets.describe_secret(SecretId=self.name)["ReplicationStatus"]
        self.assertEqual(replica["Region"], "eu-central-1")
        with self.assert_error("InvalidRequestException", "replica"):
            self.secrets.delete_secret(SecretId=self.name)
        self.secrets.remove_regions_from_replication(SecretId=self.name, RemoveReplicaRegions=["eu-central-1"])
        self.secrets.delete_secret(SecretId=self.name)


class Key(SecretTest):
    def test_a_key_that_is_disabled_encrypts_and_decrypts_nothing(self) -> None:
        kms = client("kms")
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        self.secrets.update_secret(SecretId=self.name, KmsKeyId=key)
        self.put("two")
        kms.disable_key(KeyId=key)
        with self.assert_error("DecryptionFailure"):
            self.value()
        with self.assert_error("EncryptionFailure"):
            self.put("three")
        kms.enable_key(KeyId=key)
        self.assertEqual(self.value(), "two")
