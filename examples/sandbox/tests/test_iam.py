"""IAM: access keys, and what blocks a user's deletion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support import SandboxTest, client, policy, trust, unique


class AccessKeys(SandboxTest):
    def setUp(self) -> None:
        self.iam = client("iam")
        self.user = unique("user")
        self.iam.create_user(UserName=self.user, Path="/mail/")

    def create(self) -> dict[str, str]:
        return self.iam.create_access_key(UserName=self.user)["AccessKey"]

    def test_the_third_key_is_refused_even_while_one_is_inactive(self) -> None:
        first, _ = self.create(), self.create()
        self.iam.update_access_key(UserName=self.user, AccessKeyId=first["AccessKeyId"], Status="Inactive")
        with self.assert_error("LimitExceeded", "AccessKeysPerUser: 2"):
            self.create()
        self.iam.delete_access_key(UserName=self.user, AccessKeyId=first["AccessKeyId"])
        self.create()

    def test_keys_are_listed_without_their_secrets(self) -> None:
        key = self.create()
        [listed] = self.iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]
        self.assertEqual((listed["AccessKeyId"], listed["Status"]), (key["AccessKeyId"], "Active"))
        self.assertNotIn("SecretAccessKey", listed)
        age = datetime.now(UTC) - listed["CreateDate"]
        self.assertLess(abs(age), timedelta(seconds=5))

    def test_a_user_who_is_not_there_has_no_keys_to_list(self) -> None:
        for operation in (self.iam.list_access_keys, self.iam.create_access_key):
            with self.subTest(operation), self.assert_error("NoSuchEntity"):
                operation(UserName=unique("nobody"))

    def test_a_key_is_deleted_or_changed_only_under_its_own_user(self) -> None:
        other, key = unique("user"), self.create()
        self.iam.create_user(UserName=other)
        with self.assert_error("NoSuchEntity"):
            self.iam.delete_access_key(UserName=other, AccessKeyId=key["AccessKeyId"])
        with self.assert_error("NoSuchEntity"):
            self.iam.update_access_key(UserName=other, AccessKeyId=key["AccessKeyId"], Status="Inactive")
        self.assertEqual(len(self.iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]), 1)

    def test_an_inactive_key_does_not_sign(self) -> None:
        key = self.create()
        own = client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        self.assertTrue(own.get_caller_identity()["Arn"].endswith(f":user/mail/{self.user}"))
        self.iam.update_access_key(UserName=self.user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
        with self.assert_error("InvalidClientTokenId"):
            own.get_caller_identity()

    def test_the_last_use_is_known_once_there_is_one(self) -> None:
        key = self.create()
        used = self.iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
        self.assertEqual(used["UserName"], self.user)
        self.assertNotIn("LastUsedDate", used["AccessKeyLastUsed"])
        own = client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        own.get_caller_identity()
        used = self.iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
        self.assertEqual(used["ServiceName"], "sts")
        self.assertLess(abs(datetime.now(UTC) - used["LastUsedDate"]), timedelta(seconds=5))


class Users(SandboxTest):
    def test_a_user_goes_only_after_keys_and_policies(self) -> None:
        iam, user = client("iam"), unique("user")
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=policy("ses:*", "*"))
        with self.assert_error("DeleteConflict"):
            iam.delete_user(UserName=user)
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        with self.assert_error("DeleteConflict", "policies"):
            iam.delete_user(UserName=user)
        iam.delete_user_policy(UserName=user, PolicyName="p")
        iam.delete_user(UserName=user)
        with self.assert_error("NoSuchEntity"):
            iam.get_user(UserName=user)

    def test_a_name_in_other_letters_cannot_be_made_and_is_not_found(self) -> None:
        iam, name = client("iam"), unique("name")
        iam.create_user(UserName=name)
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"Service": "lambda.amazonaws.com"}))
        with self.assert_error("EntityAlreadyExists"):
            iam.create_user(UserName=name.upper())
        with self.assert_error("EntityAlreadyExists"):
            iam.create_role(RoleName=name.upper(), AssumeRolePolicyDocument="{}")
        with self.assert_error("NoSuchEntity"):
            iam.get_user(UserName=name.upper())

    def test_a_user_with_another_credential_or_a_group_does_not_go(self) -> None:
        iam, user, group = client("iam"), unique("user"), unique("group")
        iam.create_user(UserName=user)
        key = iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody="ssh-rsa AAAA")["SSHPublicKey"]["SSHPublicKeyId"]
        body = "-----BEGIN CERTIFICATE-----"
        certificate = iam.upload_signing_certificate(UserName=user, CertificateBody=body)["Certificate"]["CertificateId"]
        made = iam.create_service_specific_credential(UserName=user, ServiceName="codecommit.amazonaws.com")
        credential = made["ServiceSpecificCredential"]["ServiceSpecificCredentialId"]
        device = iam.create_virtual_mfa_device(VirtualMFADeviceName=user)["VirtualMFADevice"]["SerialNumber"]
        code = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
        iam.enable_mfa_device(UserName=user, SerialNumber=device, **code)
        iam.create_login_profile(UserName=user, Password="none")
        iam.create_group(GroupName=group)
        iam.add_user_to_group(GroupName=group, UserName=user)
        self.assertEqual(iam.list_ssh_public_keys(UserName=user)["SSHPublicKeys"][0]["SSHPublicKeyId"], key)
        for remove in (
            lambda: iam.remove_user_from_group(GroupName=group, UserName=user),
            lambda: iam.delete_login_profile(UserName=user),
            lambda: iam.deactivate_mfa_device(UserName=user, SerialNumber=device),
            lambda: iam.delete_ssh_public_key(UserName=user, SSHPublicKeyId=key),
            lambda: iam.delete_signing_certificate(UserName=user, CertificateId=certificate),
            lambda: iam.delete_service_specific_credential(UserName=user, ServiceSpecificCredentialId=credential),
        ):
            with self.assert_error("DeleteConflict"):
                iam.delete_user(UserName=user)
            remove()
        iam.delete_user(UserName=user)

    def test_tags_are_set_replaced_and_removed(self) -> None:
        iam, user = client("iam"), unique("user")
        made = iam.create_user(UserName=user, Tags=[{"Key": "team", "Value": "R&D"}])["User"]
        self.assertEqual(made["Tags"], [{"Key": "team", "Value": "R&D"}])
        iam.tag_user(UserName=user, Tags=[{"Key": "team", "Value": "mail"}, {"Key": "x", "Value": "<y>"}])
        expected = [{"Key": "team", "Value": "mail"}, {"Key": "x", "Value": "<y>"}]
        self.assertEqual(iam.list_user_tags(UserName=user)["Tags"], expected)
        self.assertEqual(iam.get_user(UserName=user)["User"]["Tags"], expected)
        iam.untag_user(UserName=user, TagKeys=["x"])
        self.assertEqual(iam.list_user_tags(UserName=user)["Tags"], expected[:1])
        with self.assert_error("EntityAlreadyExists"):
            iam.create_user(UserName=user)
