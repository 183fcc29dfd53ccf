"""Secrets Manager's versions and labels, by its real contract.

ministack stores the secrets, their tags and resource policies, and lists, restores and deletes secrets. Everything that
reads or writes a version is here, under one lock: the rotation's thread changes versions too.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from ministack.services import kms as kms_service
from ministack.services import secretsmanager as ministack_secrets

from . import authz
from .api import AwsError, Call

MAXIMUM_LABELS = 20
LONGEST_VALUE = 65_536
"""Bytes of a secret's value (Secrets Manager quotas, "Secret value size")."""
KEPT_VERSIONS = 100
"""Versions without a label are deprecated. Secrets Manager deletes them if there are more than about this many."""

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

Secret = dict[str, Any]
Version = dict[str, Any]

lock = threading.RLock()


def now() -> float:
    """Seconds, to the millisecond, like Secrets Manager's dates."""
    return round(time.time(), 3)


def find(secret_id: str, *, even_deleted: bool = False) -> Secret:
    """The secret with this name or ARN."""
    _, secret = ministack_secrets._resolve(secret_id)
    if secret is None:
        raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    if secret.get("DeletedDate") and not even_deleted:
        raise AwsError(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    return secret


def holder(secret: Secret, label: str) -> str | None:
    """The id of the version that carries a label."""
    return next((id_ for id_, version in secret["Versions"].items() if label in version["Stages"]), None)


def is_empty(version: Version) -> bool:
    """Whether a rotation opened this version and nobody has stored a value in it yet."""
    return version["SecretString"] is None and version["SecretBinary"] is None


def attach(secret: Secret, label: str, version_id: str) -> None:
    """Moves a label to a version. AWSCURRENT leaves AWSPREVIOUS behind; no other label moves with it."""
    old = holder(secret, label)
    if old == version_id:
        return
    if old is not None:
        secret["Versions"][old]["Stages"].remove(label)
    secret["Versions"][version_id]["Stages"].append(label)
    if label == CURRENT and old is not None:
        attach(secret, PREVIOUS, old)


def detach(secret: Secret, label: str) -> None:
    """Removes a label from the version that carries it."""
    version_id = holder(secret, label)
    if version_id is not None:
        secret["Versions"][version_id]["Stages"].remove(label)


def open_rotation(secret: Secret) -> str | None:
    """The version that a rotation has not finished: AWSPENDING, unless it is also AWSCURRENT."""
    pending = holder(secret, PENDING)
    return pending if pending != holder(secret, CURRENT) else None


def add_version(secret: Secret, version_id: str, text: str | None, binary: str | None) -> Version:
    """Adds a version without labels, and deletes the oldest deprecated versions if there are too many."""
    version = {"SecretString": text, "SecretBinary": binary, "CreatedDate": now(), "Stages": []}
    version["KmsKeyId"] = secret.get("KmsKeyId")
    secret["Versions"][version_id] = version
    deprecated = [id_ for id_, other in secret["Versions"].items() if not other["Stages"] and id_ != version_id]
    for id_ in deprecated[: max(0, len(secret["Versions"]) - KEPT_VERSIONS)]:
        del secret["Versions"][id_]
    return version


def _token(call: Call) -> str:
    token = call.params.get("ClientRequestToken") or str(uuid.uuid4())
    if not 32 <= len(token) <= 64:
        raise AwsError("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
    return token


def _value(call: Call) -> tuple[str | None, str | None]:
    value = call.params.get("SecretString"), call.params.get("SecretBinary")
    if value[0] is not None and value[1] is not None:
        raise AwsError("InvalidParameterException", "You can't specify both a binary secret value and a string.")
    if len((value[0] or "").encode()) > LONGEST_VALUE:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length "
            f"less than or equal to {LONGEST_VALUE}",
        )
    return value


def _check_labels(secret: Secret, added: list[str]) -> None:
    labels = {label for version in secret["Versions"].values() for label in version["Stages"]} | set(added)
    if len(labels) > MAXIMUM_LABELS:
        raise AwsError(
            "LimitExceededException",
            f"The request failed because it would exceed the quota of {MAXIMUM_LABELS} staging labels of a secret.",
        )


def _need_key(call: Call, secret: Secret, version_id: str, key: str | None, *actions: str) -> None:
    """Secrets Manager uses a customer-managed key with the caller's permissions."""
    if not _may_use(call, secret, version_id, key, *actions):
        raise AwsError("AccessDeniedException", "Access to KMS is not allowed")
    if not _is_enabled(key):
        # The errors of PutSecretValue and of GetSecretValue (API reference).
        code, verb = ("EncryptionFailure", "encrypt") if "kms:GenerateDataKey" in actions else ("DecryptionFailure", "decrypt")
        raise AwsError(code, f"Secrets Manager can't {verb} the protected secret text using the provided KMS key.")


def _is_enabled(key: str | None) -> bool:
    """Whether a customer-managed key is in a state in which KMS uses it."""
    if not key or key == "alias/aws/secretsmanager":
        return True
    found = kms_service._resolve_key(key)
    return found is None or found["KeyState"] == "Enabled"


def _may_use(call: Call, secret: Secret, version_id: str, key: str | None, *actions: str) -> bool:
    if not key or key == "alias/aws/secretsmanager":
        return True
    check = authz.key_use(call, key, secret["ARN"], version_id)
    return all(authz.may(call.caller, action, check, call.account, call.region) for action in actions)


def _encrypt_again(call: Call, secret: Secret) -> None:
    """After a change of the key: only versions with AWS's own labels, and silently none without the permission."""
    key = secret.get("KmsKeyId")
    for version_id, version in secret["Versions"].items():
        is_labelled = not {CURRENT, PENDING, PREVIOUS}.isdisjoint(version["Stages"])
        if is_labelled and _is_enabled(version["KmsKeyId"]) and _may_use(call, secret, version_id, key, "kms:Encrypt"):
            version["KmsKeyId"] = key


_TO_WRITE = ("kms:GenerateDataKey", "kms:Decrypt")
_TO_READ = ("kms:Decrypt",)


def _create_secret(call: Call) -> dict[str, Any]:
    name = call.params.get("Name", "")
    text, binary = _value(call)
    with lock:
        if existing := ministack_secrets._secrets.get(name):
            return _create_again(call, existing, text, binary)
        arn, made_up = ministack_secrets._store_new_secret(
            name,
            description=call.params.get("Description", ""),
            tags=call.params.get("Tags"),
            kms_key_id=call.params.get("KmsKeyId"),
        )
        secret = ministack_secrets._secrets[name]
        del secret["Versions"][made_up]
        secret["CreatedDate"] = secret["LastChangedDate"] = now()
        if text is None and binary is None:
            return {"ARN": arn, "Name": name}
        version_id = _token(call)
        try:
            _need_key(call, secret, version_id, secret.get("KmsKeyId"), *_TO_WRITE)
        except AwsError:
            del ministack_secrets._secrets[name]
            raise
        add_version(secret, version_id, text, binary)
        attach(secret, CURRENT, version_id)
        return {"ARN": arn, "Name": name, "VersionId": version_id}


def _create_again(call: Call, secret: Secret, text: str | None, binary: str | None) -> dict[str, Any]:
    """CreateSecret on a taken name: succeeds only if it repeats the call that took the name."""
    if secret.get("DeletedDate"):
        raise AwsError(
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        )
    token = call.params.get("ClientRequestToken")
    version = secret["Versions"].get(token)
    if version and (version["SecretString"], version["SecretBinary"]) == (text, binary):
        return {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token}
    raise AwsError(
        "ResourceExistsException", f"The operation failed because the secret {secret['Name']} already exists."
    )


def _get_secret_value(call: Call) -> dict[str, Any]:
    with lock:
        secret = find(call.params["SecretId"])
        version_id, version = _requested_version(call, secret)
        _need_key(call, secret, version_id, version.get("KmsKeyId"), *_TO_READ)
        version["LastAccessedDate"] = secret["LastAccessedDate"] = _today()
        answer = {
            "ARN": secret["ARN"],
            "Name": secret["Name"],
            "VersionId": version_id,
            "VersionStages": list(version["Stages"]),
            "CreatedDate": version["CreatedDate"],
        }
        value = {name: version[name] for name in ("SecretString", "SecretBinary") if version[name] is not None}
        return answer | value


def _today() -> int:
    """The start of the current day: LastAccessedDate has no time of day."""
    return int(time.time()) // 86_400 * 86_400


def _requested_version(call: Call, secret: Secret) -> tuple[str, Version]:
    version_id, label = call.params.get("VersionId"), call.params.get("VersionStage")
    what = f"VersionId: {version_id}" if version_id else f"staging label: {label or CURRENT}"
    if version_id is None:
        version_id = holder(secret, label or CURRENT)
    version = secret["Versions"].get(version_id)
    if version is None or is_empty(version):
        raise AwsError("ResourceNotFoundException", f"Secrets Manager can't find the specified secret value for {what}")
    if label is not None and label not in version["Stages"]:
        raise AwsError(
            "InvalidRequestException",
            "You provided a VersionStage that is not associated to the provided VersionId.",
        )
    return version_id, version


def _put_secret_value(call: Call) -> dict[str, Any]:
    labels = call.params.get("VersionStages") or [CURRENT]
    text, binary = _value(call)
    if text is None and binary is None:
        raise AwsError("InvalidParameterException", "You must provide either SecretString or SecretBinary.")
    with lock:
        secret = find(call.params["SecretId"])
        _check_rotation_token(call, secret)
        version_id = _token(call)
        version = _write(call, secret, version_id, text, binary, labels)
        return {
            "ARN": secret["ARN"],
            "Name": secret["Name"],
            "VersionId": version_id,
            "VersionStages": list(version["Stages"]),
        }


def _check_rotation_token(call: Call, secret: Secret) -> None:
    """Refuses a wrong token. AWS does not publish its own answer."""
    token = call.params.get("RotationToken")
    if token is not None and token not in secret.get("_RotationTokens", ()):
        raise AwsError("InvalidParameterException", "The rotation token is not valid for this secret.")


def _write(
    call: Call, secret: Secret, version_id: str, text: str | None, binary: str | None, labels: list[str]
) -> Version:
    """Stores a value under a version id, once. The same value again changes nothing; another value is refused."""
    version = secret["Versions"].get(version_id)
    if version is not None and not is_empty(version):
        if (version["SecretString"], version["SecretBinary"]) == (text, binary):
            return version
        raise AwsError(
            "ResourceExistsException",
            f"You can't use ClientRequestToken {version_id} because that value is already in use for a version of "
            f"secret {secret['ARN']}.",
        )
    _check_labels(secret, labels)
    _need_key(call, secret, version_id, secret.get("KmsKeyId"), *_TO_WRITE)
    if version is None:
        if not secret["Versions"]:
            labels = [*labels, CURRENT]  # a secret's first version is always current
        version = add_version(secret, version_id, text, binary)
        if CURRENT in labels and open_rotation(secret):
            detach(secret, PENDING)  # a new value stored by hand abandons the rotation
    else:
        version["SecretString"], version["SecretBinary"] = text, binary
        version["KmsKeyId"] = secret.get("KmsKeyId")
    for label in labels:
        attach(secret, label, version_id)
    secret["LastChangedDate"] = now()
    return version


def _update_secret(call: Call) -> dict[str, Any]:
    text, binary = _value(call)
    with lock:
        secret = find(call.params["SecretId"])
        for name in ("Description", "KmsKeyId"):
            if name in call.params:
                secret[name] = call.params[name]
        if "KmsKeyId" in call.params:
            _encrypt_again(call, secret)
        secret["LastChangedDate"] = now()
        answer = {"ARN": secret["ARN"], "Name": secret["Name"]}
        if text is None and binary is None:
            return answer
        version_id = _token(call)
        _write(call, secret, version_id, text, binary, [CURRENT])
        return answer | {"VersionId": version_id}


def _update_secret_version_stage(call: Call) -> dict[str, Any]:
    label, to, from_ = (call.params.get(name) for name in ("VersionStage", "MoveToVersionId", "RemoveFromVersionId"))
    with lock:
        secret = find(call.params["SecretId"])
        for version_id in (to, from_):
            if version_id is not None and version_id not in secret["Versions"]:
                raise AwsError(
                    "ResourceNotFoundException",
                    f"Secrets Manager can't find the specified secret version: {version_id}.",
                )
        _check_move(secret, label, to, from_)
        if to is not None:
            _check_labels(secret, [label])
            attach(secret, label, to)
        else:
            detach(secret, label)
        secret["LastChangedDate"] = now()
        return {"ARN": secret["ARN"], "Name": secret["Name"]}


def _check_move(secret: Secret, label: str, to: str | None, from_: str | None) -> None:
    """The compare-and-swap: if the label is on another version, RemoveFromVersionId must name that version."""
    old = holder(secret, label)
    if to is None and from_ is None:
        raise AwsError("InvalidParameterException", "You must specify MoveToVersionId or RemoveFromVersionId.")
    if from_ is not None and from_ != old:
        raise AwsError(
            "InvalidParameterException",
            f"When you move staging label {label}, if you specify RemoveFromVersionId, it must be set to the version "
            f"that currently has the staging label {label}.",
        )
    if to is not None and from_ is None and old not in (None, to):
        raise AwsError(
            "InvalidParameterException",
            f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version "
            f"{old}, so you must explicitly reference that version in RemoveFromVersionId.",
        )
    if to is None and label == CURRENT:
        raise AwsError("InvalidParameterException", f"You can only move staging label {CURRENT} to another version.")


def _describe_secret(call: Call) -> dict[str, Any]:
    with lock:
        secret = find(call.params["SecretId"], even_deleted=True)
        optional = [
            *("Description", "KmsKeyId", "RotationLambdaARN", "RotationRules"),
            *("LastRotatedDate", "LastAccessedDate", "DeletedDate"),
            "ReplicationStatus",
        ]
        answer = {name: secret[name] for name in optional if secret.get(name)}
        if secret.get("RotationLambdaARN"):
            answer["RotationEnabled"] = secret["RotationEnabled"]
        if secret["RotationEnabled"] and secret.get("NextRotationDate"):
            answer["NextRotationDate"] = secret["NextRotationDate"]
        labels = {id_: list(version["Stages"]) for id_, version in secret["Versions"].items() if version["Stages"]}
        if secret.get("_PrimaryRegion"):
            answer["PrimaryRegion"] = secret["_PrimaryRegion"]
        return answer | {
            "ARN": secret["ARN"],
            "Name": secret["Name"],
            "CreatedDate": secret["CreatedDate"],
            "LastChangedDate": secret["LastChangedDate"],
            "Tags": secret.get("Tags", []),
            "VersionIdsToStages": labels,
        }


def _list_secret_version_ids(call: Call) -> dict[str, Any]:
    with lock:
        secret = find(call.params["SecretId"], even_deleted=True)
        with_deprecated = call.params.get("IncludeDeprecated", False)
        versions = [
            {
                "VersionId": id_,
                "VersionStages": list(version["Stages"]),
                "CreatedDate": version["CreatedDate"],
                "KmsKeyIds": [version.get("KmsKeyId") or "DefaultEncryptionKey"],
            }
            for id_, version in secret["Versions"].items()
            # This call can omit AWSPENDING: it does not list a version without a value.
            if (version["Stages"] or with_deprecated) and not is_empty(version)
        ]
        return {"ARN": secret["ARN"], "Name": secret["Name"], "Versions": versions}


def _delete_secret(call: Call) -> None:
    """Refuses a secret that has replicas."""
    with lock:
        if find(call.params["SecretId"], even_deleted=True).get("ReplicationStatus"):
            raise AwsError("InvalidRequestException", "You can't delete secret that still has replica regions.")


def _remove_regions(call: Call) -> dict[str, Any]:
    """Deletes replicas of a secret."""
    with lock:
        secret = find(call.params["SecretId"])
        removed = call.params["RemoveReplicaRegions"]
        secret["ReplicationStatus"] = [it for it in secret.get("ReplicationStatus", []) if it["Region"] not in removed]
        return {"ARN": secret["ARN"], "ReplicationStatus": secret["ReplicationStatus"]}


OVERRIDES = {
    "secretsmanager:RemoveRegionsFromReplication": _remove_regions,
    "secretsmanager:DeleteSecret": _delete_secret,
    "secretsmanager:CreateSecret": _create_secret,
    "secretsmanager:GetSecretValue": _get_secret_value,
    "secretsmanager:PutSecretValue": _put_secret_value,
    "secretsmanager:UpdateSecret": _update_secret,
    "secretsmanager:UpdateSecretVersionStage": _update_secret_version_stage,
    "secretsmanager:DescribeSecret": _describe_secret,
    "secretsmanager:ListSecretVersionIds": _list_secret_version_ids,
}
