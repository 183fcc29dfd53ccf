"""The account that config.example.yaml describes, and the calls by which a deployment reads it."""

from __future__ import annotations

import json

from support import ACCOUNT, REGION, SandboxTest, client, state, unique


class Account(SandboxTest):
    def test_the_caller_is_an_administrator_of_the_account(self) -> None:
        identity = client("sts").get_caller_identity()
        self.assertEqual(identity["Account"], ACCOUNT)
        self.assertEqual(identity["Arn"], f"arn:aws:iam::{ACCOUNT}:user/administrator")

    def test_the_emulators_well_known_keys_are_strangers(self) -> None:
        for key in ("test", ACCOUNT, "AKIAIOSFODNN7EXAMPLE"):
            with self.subTest(key=key), self.assert_error("InvalidClientTokenId"):
                client("iam", aws_access_key_id=key, aws_secret_access_key="test").list_users()

    def test_a_wrong_secret_is_refused(self) -> None:
        user = unique("user")
        client("iam").create_user(UserName=user)
        key = client("iam").create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
        with self.assert_error("SignatureDoesNotMatch"):
            client("sts", aws_access_key_id=key, aws_secret_access_key="wrong").get_caller_identity()

    def test_the_kms_alias_names_a_key(self) -> None:
        key = client("kms").describe_key(KeyId="alias/mail")["KeyMetadata"]
        self.assertEqual(key["Arn"], f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key['KeyId']}")
        with self.assert_error("NotFoundException"):
            client("kms").describe_key(KeyId="alias/other")

    def test_the_domain_is_verified_and_its_addresses_are_no_identities(self) -> None:
        identity = client("sesv2").get_email_identity(EmailIdentity="example.com")
        self.assertTrue(identity["VerifiedForSendingStatus"])
        for other in ("no-reply@example.com", "example.org"):
            with self.subTest(other), self.assert_error("NotFoundException"):
                client("sesv2").get_email_identity(EmailIdentity=other)

    def test_the_instance_role_is_for_ec2_and_has_no_policy(self) -> None:
        role = client("iam").get_role(RoleName="mail-prod-instance")["Role"]
        self.assertEqual(
            role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"], {"Service": "ec2.amazonaws.com"}
        )
        self.assertEqual(client("iam").list_role_policies(RoleName="mail-prod-instance")["PolicyNames"], [])
        with self.assert_error("DeleteConflict", "instance profiles"):
            client("iam").delete_role(RoleName="mail-prod-instance")

    def test_the_quarantine_of_a_leaked_key_can_be_attached(self) -> None:
        user, policy = unique("user"), "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
        client("iam").create_user(UserName=user)
        client("iam").attach_user_policy(UserName=user, PolicyArn=policy)
        attached = client("iam").list_attached_user_policies(UserName=user)["AttachedPolicies"]
        self.assertEqual([it["PolicyArn"] for it in attached], [policy])

    def test_the_state_lists_every_secret_that_was_issued(self) -> None:
        user = unique("user")
        client("iam").create_user(UserName=user)
        secret = client("iam").create_access_key(UserName=user)["AccessKey"]["SecretAccessKey"]
        facts = state()
        self.assertIn(secret, facts["secret_access_keys"])
        self.assertEqual(len(facts["smtp_passwords"]), len(facts["secret_access_keys"]))


class LogGroups(SandboxTest):
    def test_a_group_is_made_with_tags_and_a_retention_and_goes_again(self) -> None:
        logs, name = client("logs"), unique("/aws/lambda/group")
        logs.create_log_group(logGroupName=name, tags={"a": "1"})
        logs.put_retention_policy(logGroupName=name, retentionInDays=30)
        group = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
        self.assertEqual(group["retentionInDays"], 30)
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
        self.assertEqual(group["arn"], f"{arn}:*")
        self.assertEqual(group["logGroupArn"], arn)
        logs.tag_resource(resourceArn=arn, tags={"b": "2"})
        self.assertEqual(logs.list_tags_for_resource(resourceArn=arn)["tags"], {"a": "1", "b": "2"})
        logs.untag_resource(resourceArn=arn, tagKeys=["a"])
        self.assertEqual(logs.list_tags_for_resource(resourceArn=arn)["tags"], {"b": "2"})
        with self.assert_error("ResourceAlreadyExistsException"):
            logs.create_log_group(logGroupName=name)
        logs.delete_log_group(logGroupName=name)
        self.assertEqual(logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"], [])
        with self.assert_error("ResourceNotFoundException"):
            logs.filter_log_events(logGroupName=name)


class Parameters(SandboxTest):
    def test_a_parameter_has_versions_and_tags_but_not_tags_with_overwrite(self) -> None:
        ssm, name = client("ssm"), unique("/deployer/test")
        tags = [{"Key": "a", "Value": "1"}]
        self.assertEqual(ssm.put_parameter(Name=name, Value="1", Type="String", Tags=tags)["Version"], 1)
        self.assertEqual(ssm.put_parameter(Name=name, Value="2", Type="String", Overwrite=True)["Version"], 2)
        with self.assert_error("ParameterAlreadyExists"):
            ssm.put_parameter(Name=name, Value="3", Type="String")
        with self.assert_error("ValidationException"):
            ssm.put_parameter(Name=name, Value="3", Type="String", Overwrite=True, Tags=tags)
        self.assertEqual(ssm.get_parameter(Name=name)["Parameter"]["Value"], "2")
        listed = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)
        self.assertEqual(listed["TagList"], tags)
        ssm.delete_parameter(Name=name)
        with self.assert_error("ParameterNotFound"):
            ssm.get_parameter(Name=name)


class Policies(SandboxTest):
    def test_a_trust_policy_comes_back_as_it_was_put(self) -> None:
        document = {"Version": "2012-10-17", "Statement": []}
        iam, name = client("iam"), unique("role")
        tags = [{"Key": "team", "Value": "R&D <1>"}]
        made = iam.create_role(RoleName=name, Path="/a/b/", AssumeRolePolicyDocument=json.dumps(document), Tags=tags)
        self.assertEqual(made["Role"]["Arn"], f"arn:aws:iam::{ACCOUNT}:role/a/b/{name}")
        role = iam.get_role(RoleName=name)["Role"]
        self.assertEqual(role["AssumeRolePolicyDocument"], document)
        self.assertEqual(role["Tags"], tags)
        self.assertEqual(iam.list_role_tags(RoleName=name)["Tags"], tags)
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(ALLOW_ALL))
        self.assertEqual(iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"], ALLOW_ALL)
        with self.assert_error("DeleteConflict"):
            iam.delete_role(RoleName=name)
        iam.delete_role_policy(RoleName=name, PolicyName="p")
        iam.delete_role(RoleName=name)
        with self.assert_error("NoSuchEntity"):
            iam.get_role(RoleName=name)


ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
