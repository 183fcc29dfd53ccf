"""The rotation as it is usually written: Python, boto3 and Secrets Manager's template. Measured, never deployed.

It makes the calls that a rotation needs in their simplest form, and has no protection.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import smtplib
import ssl
import time
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

HOST_SECONDS = 120
LOGIN_SECONDS = 120

secrets = boto3.client("secretsmanager")
iam = boto3.client("iam")
ssm = boto3.client("ssm")

Secret = dict[str, str]


def lambda_handler(event: dict[str, Any], _context: object) -> None:
    """Runs one step of a rotation."""
    arn, token = event["SecretId"], event["ClientRequestToken"]
    stages = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
    if "AWSCURRENT" in stages[token]:
        return
    if "AWSPENDING" not in stages[token]:
        raise ValueError(f"version {token} is not AWSPENDING")
    match event["Step"]:
        case "createSecret":
            create_secret(arn, token, event["RotationToken"])
        case "setSecret":
            set_secret(arn, token)
        case "testSecret":
            test_secret(arn, token)
        case "finishSecret":
            finish_secret(arn, token, stages)
        case step:
            raise ValueError(f"there is no step {step}")


def create_secret(arn: str, token: str, rotation_token: str) -> None:
    """Makes a key, which replaces the one that is not in use, and stores it."""
    current = json.loads(secrets.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"])
    try:
        read_pending(arn, token)
        return
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    user = os.environ["IAM_USER_ARN"].rsplit("/", 1)[-1]
    iam.get_user(UserName=user)
    ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": instances()}])
    keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    for key in keys if len(keys) == 2 else []:
        if key["AccessKeyId"] != current["AccessKeyId"]:
            iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    key = iam.create_access_key(UserName=user)["AccessKey"]
    password = smtp_password(key["SecretAccessKey"], os.environ["AWS_REGION"])
    value = {**current, "AccessKeyId": key["AccessKeyId"], "SMTPPassword": password}
    secrets.put_secret_value(
        SecretId=arn,
        ClientRequestToken=token,
        RotationToken=rotation_token,
        SecretString=json.dumps(value),
        VersionStages=["AWSPENDING"],
    )


def set_secret(arn: str, token: str) -> None:
    """Waits until SES knows the key, then makes the host fetch it."""
    value = read_pending(arn, token)
    deadline = time.monotonic() + LOGIN_SECONDS
    while True:
        try:
            with logged_in(value):
                break
        except smtplib.SMTPAuthenticationError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)
    command = ssm.send_command(
        DocumentName=consumer()["document"], InstanceIds=consumer()["ids"], Parameters={"SecretArn": [arn]}
    )
    waiter = ssm.get_waiter("command_executed")
    for instance in consumer()["ids"]:
        waiter.wait(
            CommandId=command["Command"]["CommandId"],
            InstanceId=instance,
            WaiterConfig={"Delay": 1, "MaxAttempts": HOST_SECONDS},
        )


def test_secret(arn: str, token: str) -> None:
    """Sends a mail."""
    mail = EmailMessage()
    mail["From"], mail["To"] = os.environ["SES_SENDER"], os.environ["SES_RECIPIENT"]
    mail["Subject"] = "Test of a new SMTP credential"
    mail.set_content("It works.")
    with logged_in(read_pending(arn, token)) as connection:
        connection.send_message(mail)


def finish_secret(arn: str, token: str, stages: dict[str, list[str]]) -> None:
    """Moves AWSCURRENT."""
    current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
    secrets.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )


def read_pending(arn: str, token: str) -> Secret:
    answer = secrets.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    return json.loads(answer["SecretString"])


def logged_in(value: Secret) -> smtplib.SMTP_SSL:
    endpoint = urlsplit(os.environ["SMTP_ENDPOINT"])
    assert endpoint.scheme == "smtps" and endpoint.hostname and endpoint.port, endpoint
    context = ssl.create_default_context()
    connection = smtplib.SMTP_SSL(endpoint.hostname, endpoint.port, timeout=15, context=context)
    connection.login(value["AccessKeyId"], value["SMTPPassword"])
    return connection


def consumer() -> dict[str, Any]:
    return json.loads(os.environ["CONSUMER"])["instances"]


def smtp_password(secret_access_key: str, region: str) -> str:
    """The derivation of the SES guide, "Obtaining Amazon SES SMTP credentials"."""
    signature = ("AWS4" + secret_access_key).encode()
    for message in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.digest(signature, message.encode(), hashlib.sha256)
    return base64.b64encode(b"\x04" + signature).decode()
