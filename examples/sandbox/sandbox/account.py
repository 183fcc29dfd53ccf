"""The account that `config.example.yaml` describes, before any deployment."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"
KMS_ALIAS = "alias/mail"
SES_DOMAIN = "example.com"
INSTANCE_ROLE = "mail-prod-instance"


@dataclass(frozen=True)
class Instance:
    """An EC2 instance that Systems Manager knows."""

    role: str = INSTANCE_ROLE
    tags: dict[str, str] = field(default_factory=dict)


INSTANCES = {
    "i-0123456789abcdef0": Instance(tags={"Name": "mail-0", "role": "mail"}),
    "i-0123456789abcdef1": Instance(tags={"Name": "mail-1", "role": "mail"}),
    "i-0123456789abcdef2": Instance(tags={"Name": "mail-2", "role": "mail"}),
}


def create() -> tuple[str, str]:
    """Makes the account's resources. Returns the administrator's access key id and secret."""
    from ministack.core.responses import request_scope

    with request_scope(ACCOUNT_ID, REGION):
        _create_key()
        _know_quarantine()
        _create_identity()
        _create_instance_role()
        return _create_administrator()


def _create_key() -> None:
    from ministack.services import kms

    _, _, body = kms._create_key({"Description": "Encrypts the SMTP credential"})
    kms._create_alias({"AliasName": KMS_ALIAS, "TargetKeyId": json.loads(body)["KeyMetadata"]["KeyId"]})


def _know_quarantine() -> None:
    """The managed policy that AWS attaches to a user whose access key it found in public; an excerpt of it."""
    from ministack.services import iam

    denied = {"Effect": "Deny", "Action": ["iam:AttachUserPolicy", "iam:CreateAccessKey"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": denied})
    record = iam._make_aws_managed_record("AWSCompromisedKeyQuarantineV3", document)
    iam._aws_managed_policies[record["Arn"]] = record


def _create_identity() -> None:
    """Verifies only the domain: an address of a verified domain is not an identity, yet may send."""
    from ministack.services import ses_v2

    ses_v2._identities[SES_DOMAIN] = {
        "EmailIdentity": SES_DOMAIN,
        "IdentityType": "DOMAIN",
        "VerifiedForSendingStatus": True,
        "VerificationStatus": "SUCCESS",
        "FeedbackForwardingStatus": True,
        "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS", "SigningAttributesOrigin": "AWS_SES"},
        "MailFromAttributes": {"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"},
        "Tags": [],
    }


def _create_instance_role() -> None:
    from ministack.services import iam

    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
    iam._create_role({"RoleName": INSTANCE_ROLE, "AssumeRolePolicyDocument": json.dumps(trust)})
    iam._create_instance_profile({"InstanceProfileName": INSTANCE_ROLE})
    iam._add_role_to_instance_profile({"InstanceProfileName": INSTANCE_ROLE, "RoleName": INSTANCE_ROLE})


def _create_administrator() -> tuple[str, str]:
    from ministack.services import iam

    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam._create_user({"UserName": "administrator"})
    iam._put_user_policy(
        {"UserName": "administrator", "PolicyName": "everything", "PolicyDocument": json.dumps(everything)}
    )
    key_id = "AKIA" + base64.b32encode(os.urandom(10)).decode()
    secret = base64.b64encode(os.urandom(30)).decode()
    iam._access_keys[key_id] = {
        "UserName": "administrator",
        "AccessKeyId": key_id,
        "SecretAccessKey": secret,
        "Status": "Active",
        "CreateDate": iam._now(),
    }
    return key_id, secret
