"""IAM, where ministack differs from AWS: limit, owner and last use of access keys; other credentials of users; what
blocks a user's deletion."""

from __future__ import annotations

import base64
import copy
import os
import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from ministack.services import iam as ministack_iam

from . import wire
from .api import AwsError, Call, Override

ACCESS_KEYS_PER_USER = 2
MANAGED_POLICY_CHARACTERS = 6144
"""White space does not count (IAM quotas)."""
DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_lock = threading.Lock()
_last_uses: dict[str, dict[str, str]] = {}
_issued_secrets: set[str] = set()
_keys_before: dict[str, list[dict[str, Any]]] = {}
"""User → the user's keys before the last change of one."""

lists_stale_keys: ContextVar[bool] = ContextVar("lists_stale_keys", default=False)
"""Whether the current ListAccessKeys call gets an old list (a fault)."""


def note_use(access_key_id: str, service: str, region: str) -> None:
    """Records the use of an access key, for GetAccessKeyLastUsed."""
    with _lock:
        _last_uses[access_key_id] = {"LastUsedDate": _now(), "ServiceName": service, "Region": region}


def note_issued(secret_access_key: str) -> None:
    """Records a secret access key, for the search for leaks."""
    with _lock:
        _issued_secrets.add(secret_access_key)


def state() -> dict[str, Any]:
    """Every secret access key that was ever issued."""
    with _lock:
        return {"secret_access_keys": sorted(_issued_secrets)}


def _now() -> str:
    return datetime.now(UTC).strftime(DATE_FORMAT)


def earlier(date: str, seconds: float) -> str:
    """A date in IAM's format, so many seconds earlier."""
    return (datetime.strptime(date, DATE_FORMAT) - timedelta(seconds=seconds)).strftime(DATE_FORMAT)


def age(seconds: float) -> None:
    """Moves every last use so many seconds into the past."""
    with _lock:
        for use in _last_uses.values():
            use["LastUsedDate"] = earlier(use["LastUsedDate"], seconds)


def last_uses() -> dict[str, dict[str, str]]:
    """A copy of every access key's last use."""
    with _lock:
        return copy.deepcopy(_last_uses)


def restore_last_uses(uses: dict[str, dict[str, str]]) -> None:
    """Restores a copy."""
    with _lock:
        _last_uses.clear()
        _last_uses.update(copy.deepcopy(uses))


def _user(call: Call) -> dict[str, Any]:
    name = call.params.get("UserName") or call.caller.rsplit("/", 1)[-1]
    user = ministack_iam._users.get(name)
    if user is None:
        raise AwsError("NoSuchEntity", f"The user with name {name} cannot be found.", 404)
    return user


def _keys_of(user_name: str) -> list[dict[str, Any]]:
    return [key for key in ministack_iam._access_keys.values() if key["UserName"] == user_name]


def _note_change(user_name: str) -> None:
    """Copies the user's keys before one of them changes."""
    _keys_before[user_name] = [dict(key) for key in _keys_of(user_name)]


def _key(call: Call) -> dict[str, Any]:
    """The access key of the call. It must belong to the named user."""
    user, key_id = _user(call), call.params.get("AccessKeyId", "")
    key = ministack_iam._access_keys.get(key_id)
    if key is None or key["UserName"] != user["UserName"]:
        raise AwsError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", 404)
    return key


def _create_access_key(call: Call) -> dict[str, Any]:
    user = _user(call)
    with _lock:
        # Inactive keys count.
        if len(_keys_of(user["UserName"])) >= ACCESS_KEYS_PER_USER:
            raise AwsError("LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS_PER_USER}", 409)
        key = {
            "UserName": user["UserName"],
            "AccessKeyId": "AKIA" + base64.b32encode(os.urandom(10)).decode(),
            "Status": "Active",
            "SecretAccessKey": base64.b64encode(os.urandom(30)).decode(),
            "CreateDate": _now(),
        }
        _note_change(user["UserName"])
        ministack_iam._access_keys[key["AccessKeyId"]] = key
        _issued_secrets.add(key["SecretAccessKey"])
    return {"AccessKey": key}


def _list_access_keys(call: Call) -> dict[str, Any]:
    user_name = _user(call)["UserName"]
    keys = _keys_before.get(user_name, []) if lists_stale_keys.get() else _keys_of(user_name)
    shown = ("UserName", "AccessKeyId", "Status", "CreateDate")
    return {"AccessKeyMetadata": [{name: key[name] for name in shown} for key in keys], "IsTruncated": False}


def _update_access_key(call: Call) -> dict[str, Any]:
    status = call.params.get("Status")
    if status not in ("Active", "Inactive"):
        raise AwsError("ValidationError", f"Value '{status}' at 'status' failed to satisfy constraint")
    key = _key(call)
    _note_change(key["UserName"])
    key["Status"] = status
    return {}


def _delete_access_key(call: Call) -> dict[str, Any]:
    key = _key(call)
    _note_change(key["UserName"])
    ministack_iam._access_keys.pop(key["AccessKeyId"], None)
    return {}


def _get_access_key_last_used(call: Call) -> dict[str, Any]:
    key_id = call.params.get("AccessKeyId", "")
    key = ministack_iam._access_keys.get(key_id)
    if key is None:
        raise AwsError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", 404)
    with _lock:
        # A key that was never used has no LastUsedDate, and N/A elsewhere (GetAccessKeyLastUsed's reference).
        used = _last_uses.get(key_id, {"ServiceName": "N/A", "Region": "N/A"})
    return {"UserName": key["UserName"], "AccessKeyLastUsed": used}


def _create_user(call: Call) -> None:
    """Refuses a name that another user has in other letters; ministack finds an equal one."""
    _refuse_other_letters("User", call.params.get("UserName", ""), ministack_iam._users)


def _create_policy(call: Call) -> None:
    if len("".join(call.params.get("PolicyDocument", "").split())) > MANAGED_POLICY_CHARACTERS:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_CHARACTERS}", 409)


def _create_role(call: Call) -> None:
    _refuse_other_letters("Role", call.params.get("RoleName", ""), ministack_iam._roles)


def _refuse_other_letters(kind: str, name: str, existing: Any) -> None:
    if name not in existing and any(other.lower() == name.lower() for other in existing):
        raise AwsError("EntityAlreadyExists", f"{kind} with name {name} already exists.", 409)


_CREDENTIALS = {
    "SSHPublicKey": ("SSHPublicKeys", "SSHPublicKeyId", "APKA"),
    "SigningCertificate": ("Certificates", "CertificateId", "ASCA"),
    "ServiceSpecificCredential": ("ServiceSpecificCredentials", "ServiceSpecificCredentialId", "ACCA"),
}
"""Kinds of credentials that ministack does not have: their name in lists, their id, and its prefix."""

_credentials: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _CREDENTIALS}


def _make_credential(kind: str, answer: str) -> Override:
    """The call that makes a credential of a kind. The credential is none: nothing accepts it."""

    def make(call: Call) -> dict[str, Any]:
        _, id_, prefix = _CREDENTIALS[kind]
        made = {
            "UserName": _user(call)["UserName"],
            id_: prefix + base64.b32encode(os.urandom(15)).decode(),
            "Status": "Active",
            "UploadDate": _now(),
        }
        if kind == "SigningCertificate":
            made["CertificateBody"] = call.params["CertificateBody"]
        if kind == "ServiceSpecificCredential":
            made |= {"CreateDate": _now(), "ServiceName": call.params["ServiceName"], "ServiceUserName": made["UserName"]}
        with _lock:
            _credentials[kind].append(made)
        return {answer: made}

    return make


def _list_credentials(kind: str) -> Override:
    def list_(call: Call) -> dict[str, Any]:
        user_name = _user(call)["UserName"]
        with _lock:
            return {_CREDENTIALS[kind][0]: [it for it in _credentials[kind] if it["UserName"] == user_name]}

    return list_


def _delete_credential(kind: str) -> Override:
    def delete(call: Call) -> dict[str, Any]:
        _, id_, _ = _CREDENTIALS[kind]
        user_name, wanted = _user(call)["UserName"], call.params[id_]
        with _lock:
            kept = [it for it in _credentials[kind] if (it["UserName"], it[id_]) != (user_name, wanted)]
            if len(kept) == len(_credentials[kind]):
                raise AwsError("NoSuchEntity", f"{wanted} cannot be found.", 404)
            _credentials[kind] = kept
        return {}

    return delete


def _delete_user(call: Call) -> None:
    """Refuses a user that has anything that IAM wants removed before; ministack finds access keys and attached policies."""
    name = _user(call)["UserName"]
    blocks = {
        "delete policies": ministack_iam._user_inline_policies.get(name),
        "remove users from group": [it for it in ministack_iam._groups.values() if name in it["Users"]],
        "delete login profile": ministack_iam._login_profiles.get(name),
        "delete MFA device": [it for it in ministack_iam._mfa_devices.values() if it.get("User") == name],
        "delete all credentials": [it for kind in _credentials.values() for it in kind if it["UserName"] == name],
    }
    for what, found in blocks.items():
        if found:
            raise AwsError("DeleteConflict", f"Cannot delete entity, must {what} first.", 409)


def _list_user_tags(call: Call) -> dict[str, Any]:
    return {"Tags": _user(call)["Tags"], "IsTruncated": False}


def _list_role_tags(call: Call) -> dict[str, Any] | None:
    role = ministack_iam._roles.get(call.params.get("RoleName", ""))
    return {"Tags": role["Tags"], "IsTruncated": False} if role else None


OVERRIDES = {
    "iam:CreateAccessKey": _create_access_key,
    "iam:ListAccessKeys": _list_access_keys,
    "iam:UpdateAccessKey": _update_access_key,
    "iam:DeleteAccessKey": _delete_access_key,
    "iam:GetAccessKeyLastUsed": _get_access_key_last_used,
    "iam:CreateUser": _create_user,
    "iam:CreatePolicy": _create_policy,
    "iam:CreateRole": _create_role,
    "iam:DeleteUser": _delete_user,
    "iam:UploadSSHPublicKey": _make_credential("SSHPublicKey", "SSHPublicKey"),
    "iam:ListSSHPublicKeys": _list_credentials("SSHPublicKey"),
    "iam:DeleteSSHPublicKey": _delete_credential("SSHPublicKey"),
    "iam:UploadSigningCertificate": _make_credential("SigningCertificate", "Certificate"),
    "iam:ListSigningCertificates": _list_credentials("SigningCertificate"),
    "iam:DeleteSigningCertificate": _delete_credential("SigningCertificate"),
    "iam:CreateServiceSpecificCredential": _make_credential("ServiceSpecificCredential", "ServiceSpecificCredential"),
    "iam:ListServiceSpecificCredentials": _list_credentials("ServiceSpecificCredential"),
    "iam:DeleteServiceSpecificCredential": _delete_credential("ServiceSpecificCredential"),
    "iam:ListUserTags": _list_user_tags,
    "iam:ListRoleTags": _list_role_tags,
}


def install() -> None:
    """Escapes text that ministack writes into XML unescaped: a tag `R&D` must not break the answer."""
    ministack_iam._user_xml = lambda name, boundary=True: _entity_xml(ministack_iam._users[name], boundary)
    ministack_iam._role_xml = lambda name, boundary=True: _entity_xml(ministack_iam._roles[name], boundary)


def _entity_xml(entity: dict[str, Any], in_full: bool) -> str:
    """A user or a role. Lists (not `in_full`) omit its tags and boundary, as IAM's lists do."""
    names = ("UserName", "UserId", "RoleName", "RoleId", "Arn", "Path", "CreateDate", "MaxSessionDuration")
    shown = {name: entity[name] for name in names if name in entity}
    if entity.get("Description"):
        shown["Description"] = entity["Description"]
    if "AssumeRolePolicyDocument" in entity:
        shown["AssumeRolePolicyDocument"] = quote(entity["AssumeRolePolicyDocument"], safe="")
    if in_full and entity.get("Tags"):
        shown["Tags"] = entity["Tags"]
    if in_full and entity.get("PermissionsBoundary"):
        shown["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": entity["PermissionsBoundary"],
        }
    return wire.to_xml(shown)
