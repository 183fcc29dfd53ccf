"""What a call is authorised on: resources and condition keys, as in AWS's service authorisation reference.

ministack's evaluator decides, but ministack gives it too little. For the actions below, `install` makes ministack check
every resource that AWS checks, with the condition keys that AWS sets, and every further action that AWS asks for, such as
iam:PassRole. Other actions stay as ministack has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import EvalContext, combine_resource_policy, evaluate
from ministack.services import iam as iam_service
from ministack.services import kms as kms_service
from ministack.services import secretsmanager as secrets_service

from . import account
from .api import Call, current_call


@dataclass(frozen=True)
class Check:
    """One resource on which a call must be allowed, and the condition keys that it has there."""

    resource: str
    context: Mapping[str, Any] = field(default_factory=dict)


def _tag_context(tags: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    return {f"{prefix}/{key}": value for prefix in prefixes for key, value in tags.items()}


def _as_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def _secret(call: Call) -> list[Check]:
    secret_id = call.params.get("SecretId", "")
    _, secret = secrets_service._resolve(secret_id)
    context: dict[str, Any] = {"secretsmanager:SecretId": secret_id}
    # Present only if the request has it: to a policy, a request without a stage is not one for AWSCURRENT
    # (https://github.com/aws/aws-cli/issues/5031).
    for key in ("VersionId", "VersionStage", "RotationLambdaARN", "ForceDeleteWithoutRecovery", "KmsKeyId"):
        if key in call.params:
            context[f"secretsmanager:{key}"] = call.params[key]
    if secret is None:
        name_or_arn = secret_id if secret_id.startswith("arn:") else _arn(call, "secretsmanager", f"secret:{secret_id}")
        return [Check(name_or_arn, context)]
    if rotation_function := secret.get("RotationLambdaARN"):
        context["secretsmanager:resource/AllowRotationLambdaArn"] = rotation_function
    tags = _tag_context(_as_map(secret.get("Tags")), "aws:ResourceTag", "secretsmanager:ResourceTag")
    return [Check(secret["ARN"], {**context, **tags})]


def _create_secret(call: Call) -> list[Check]:
    name = call.params.get("Name", "")
    return [Check(_arn(call, "secretsmanager", f"secret:{name}"), {"secretsmanager:Name": name})]


def _iam_entity(kind: str, entity: Mapping[str, Any] | None, name: str, call: Call) -> Check:
    if entity is None:
        path = call.params.get("Path") or "/"
        return Check(f"arn:aws:iam::{call.account}:{kind}{path}{name}")
    return Check(entity["Arn"], _tag_context(_as_map(entity.get("Tags")), "aws:ResourceTag", "iam:ResourceTag"))


def _user(call: Call) -> list[Check]:
    name = call.params.get("UserName")
    if not name:
        return [Check(call.caller)]
    return [_iam_entity("user", iam_service._users.get(name), name, call)]


def _role(call: Call) -> list[Check]:
    name = call.params.get("RoleName", "")
    return [_iam_entity("role", iam_service._roles.get(name), name, call)]


def _group(call: Call) -> list[Check]:
    name = call.params.get("GroupName", "")
    group = iam_service._groups.get(name)
    return [Check(group["Arn"] if group else f"arn:aws:iam::{call.account}:group/{name}")]


def _instance_profile(call: Call) -> list[Check]:
    name = call.params.get("InstanceProfileName", "")
    profile = iam_service._instance_profiles.get(name)
    return [Check(profile["Arn"] if profile else f"arn:aws:iam::{call.account}:instance-profile/{name}")]


def _policy_source(call: Call) -> list[Check]:
    return [Check(call.params.get("PolicySourceArn", "*"))]


def _key_owner(call: Call) -> list[Check]:
    key = iam_service._access_keys.get(call.params.get("AccessKeyId", ""))
    name = key["UserName"] if key else ""
    user = iam_service._users.get(name)
    return [Check("*")] if user is None else [_iam_entity("user", user, name, call)]


def _document(call: Call) -> list[Check]:
    return [Check(document_arn(call, call.params.get("Name") or call.params.get("ResourceId", "")))]


def document_arn(call: Call, name: str) -> str:
    """The ARN of an SSM document. The ARNs of AWS's own documents have no account."""
    if name.startswith("arn:"):
        return name
    owner = "" if name.startswith(("AWS-", "Amazon")) else call.account
    return f"arn:aws:ssm:{call.region}:{owner}:document/{name}"


def _tagged_ssm_resource(call: Call) -> list[Check]:
    if call.params.get("ResourceType") == "Document":
        return _document(call)
    name = call.params.get("ResourceId", "").lstrip("/")
    return [Check(_arn(call, "ssm", f"parameter/{name}"))]


def _parameter(call: Call) -> list[Check]:
    """A parameter's ARN omits the first slash of its name. A path is authorised like a parameter of that name."""
    name = call.params.get("Name") or call.params.get("Path", "")
    context = {"ssm:Overwrite": str(bool(call.params.get("Overwrite"))).lower()} if call.action == "PutParameter" else {}
    return [Check(_arn(call, "ssm", f"parameter/{name.lstrip('/')}"), context)]


def _send_command(call: Call) -> list[Check]:
    """The policies must allow SendCommand on the document and on every instance."""
    document = Check(document_arn(call, call.params.get("DocumentName", "")))
    ids = call.params.get("InstanceIds") or ["*"]
    return [document, *(_instance(call, instance_id) for instance_id in ids)]


def _instance(call: Call, instance_id: str) -> Check:
    instance = account.INSTANCES.get(instance_id)
    tags = instance.tags if instance else {}
    arn = _arn(call, "ec2", f"instance/{instance_id}")
    return Check(arn, _tag_context(tags, "aws:ResourceTag", "ssm:resourceTag", "ec2:ResourceTag"))


def _key(call: Call) -> list[Check]:
    key_id = call.params.get("KeyId") or iam_actions._kms_key_id_from_ciphertext(call.params.get("CiphertextBlob", ""))
    key = kms_service._resolve_key(key_id)
    context: dict[str, Any] = {"kms:CallerAccount": call.account}
    if encryption_context := call.params.get("EncryptionContext"):
        context["kms:EncryptionContextKeys"] = list(encryption_context)
        context |= {f"kms:EncryptionContext:{name}": value for name, value in encryption_context.items()}
    if key_id.startswith("alias/"):
        context["kms:RequestAlias"] = key_id
    return [Check(key["Arn"] if key else "*", context)]


def key_use(call: Call, key_id: str, secret_arn: str, version_id: str) -> Check:
    """Secrets Manager's use of a secret's KMS key, for which the caller needs the permission."""
    key = kms_service._resolve_key(key_id)
    context = {
        "kms:CallerAccount": call.account,
        "kms:ViaService": f"secretsmanager.{call.region}.amazonaws.com",
        "kms:EncryptionContextKeys": ["SecretARN", "SecretVersionId"],
        "kms:EncryptionContext:SecretARN": secret_arn,
        "kms:EncryptionContext:SecretVersionId": version_id,
    }
    return Check(key["Arn"] if key else "*", context)


def _topic(call: Call) -> list[Check]:
    arn = call.params.get("TopicArn") or call.params.get("ResourceArn")
    return [Check(arn or _arn(call, "sns", call.params.get("Name", "")))]


def _alarms(call: Call) -> list[Check]:
    if arn := call.params.get("ResourceARN"):
        return [Check(arn)]
    names = call.params.get("AlarmNames") or [call.params.get("AlarmName", "")]
    return [Check(_arn(call, "cloudwatch", f"alarm:{name}")) for name in names]


def _rule(call: Call) -> list[Check]:
    """A rule's ARN omits the name of the default event bus."""
    name = call.params.get("Name") or call.params.get("Rule", "")
    return [Check(call.params.get("ResourceARN") or _arn(call, "events", f"rule/{name}"))]


def _function(call: Call) -> list[Check]:
    """What is asked of a version is authorised on the version's ARN."""
    name = call.params.get("Resource") or call.params.get("FunctionName", "")
    if call.action == "GetFunction" and (qualifier := call.params.get("Qualifier")):
        name = f"{name}:{qualifier}"
    return [Check(name if name.startswith("arn:") else _arn(call, "lambda", f"function:{name}"))]


def _log_group(call: Call) -> list[Check]:
    """Every action but those on tags is authorised on an ARN that goes on behind the group's name."""
    arn = call.params.get("resourceArn")
    return [Check(arn or _arn(call, "logs", f"log-group:{call.params.get('logGroupName', '')}:log-stream:"))]


def _every_log_group(call: Call) -> list[Check]:
    """Whatever prefix the call has (https://github.com/hashicorp/terraform-provider-aws/issues/8804)."""
    return [Check(_arn(call, "logs", "log-group::log-stream:"))]


def _log_stream(call: Call) -> list[Check]:
    group, stream = call.params.get("logGroupName", ""), call.params.get("logStreamName", "")
    return [Check(log_stream_arn(call.region, call.account, group, stream))]


def log_stream_arn(region: str, account_id: str, group: str, stream: str) -> str:
    """CreateLogStream and PutLogEvents are authorised on this ARN: a policy on the bare group's ARN allows neither."""
    return f"arn:aws:logs:{region}:{account_id}:log-group:{group}:log-stream:{stream}"


def _arn(call: Call, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{call.region}:{call.account}:{resource}"


def _anything(_: Call) -> list[Check]:
    """The action takes no resource: a policy can allow it only on "*"."""
    return [Check("*")]


def _by_action(service: str, actions: str, checks: Callable[[Call], list[Check]]) -> dict[str, Callable]:
    return {f"{service}:{action}": checks for action in actions.split()}


_CHECKS: dict[str, Callable[[Call], list[Check]]] = {
    **_by_action(
        "secretsmanager",
        "CancelRotateSecret DeleteResourcePolicy DeleteSecret DescribeSecret GetResourcePolicy GetSecretValue"
        " ListSecretVersionIds PutResourcePolicy PutSecretValue RestoreSecret RotateSecret TagResource UntagResource"
        " UpdateSecret UpdateSecretVersionStage",
        _secret,
    ),
    "secretsmanager:CreateSecret": _create_secret,
    **_by_action(
        "iam",
        "AttachUserPolicy CreateAccessKey CreateUser DeleteAccessKey DeleteUser DeleteUserPolicy DetachUserPolicy"
        " GetLoginProfile GetUser GetUserPolicy ListAccessKeys ListAttachedUserPolicies ListGroupsForUser ListMFADevices"
        " ListSSHPublicKeys ListServiceSpecificCredentials ListSigningCertificates ListUserPolicies ListUserTags"
        " PutUserPermissionsBoundary PutUserPolicy TagUser UntagUser UpdateAccessKey UpdateUser",
        _user,
    ),
    **_by_action(
        "iam",
        "AttachRolePolicy CreateRole DeleteRole DeleteRolePolicy DetachRolePolicy GetRole GetRolePolicy"
        " ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags PutRolePermissionsBoundary"
        " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole",
        _role,
    ),
    **_by_action("iam", "AddUserToGroup RemoveUserFromGroup", _group),
    "iam:RemoveRoleFromInstanceProfile": _instance_profile,
    "iam:GetAccessKeyLastUsed": _key_owner,
    "iam:SimulatePrincipalPolicy": _policy_source,
    **_by_action("iam", "ListAccountAliases ListRoles ListUsers", _anything),
    **_by_action(
        "lambda",
        "AddPermission CreateFunction DeleteFunction DeleteFunctionCodeSigningConfig DeleteFunctionConcurrency"
        " DeleteFunctionUrlConfig GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration"
        " GetFunctionEventInvokeConfig GetPolicy InvokeFunction ListFunctionUrlConfigs ListTags"
        " ListVersionsByFunction PublishVersion PutFunctionEventInvokeConfig RemovePermission TagResource UntagResource UpdateFunctionCode"
        " UpdateFunctionConfiguration",
        _function,
    ),
    **_by_action(
        "ssm",
        "CreateDocument DeleteDocument DescribeDocument DescribeDocumentPermission GetDocument ListDocumentVersions"
        " ModifyDocumentPermission UpdateDocument UpdateDocumentDefaultVersion",
        _document,
    ),
    **_by_action("ssm", "AddTagsToResource ListTagsForResource RemoveTagsFromResource", _tagged_ssm_resource),
    "ssm:SendCommand": _send_command,
    **_by_action("ssm", "DeleteParameter GetParameter GetParametersByPath PutParameter", _parameter),
    **_by_action(
        "ssm",
        "CancelCommand DescribeInstanceInformation GetCommandInvocation ListCommandInvocations ListCommands"
        " ListDocuments",
        _anything,
    ),
    **_by_action("ses", "GetAccount ListEmailIdentities", _anything),
    "secretsmanager:ListSecrets": _anything,
    **_by_action("kms", "Decrypt DescribeKey Encrypt GenerateDataKey GetKeyPolicy ListResourceTags", _key),
    **_by_action("logs", "CreateLogStream PutLogEvents", _log_stream),
    **_by_action(
        "logs",
        "CreateLogGroup DeleteLogGroup FilterLogEvents ListTagsForResource PutRetentionPolicy TagResource UntagResource",
        _log_group,
    ),
    "logs:DescribeLogGroups": _every_log_group,
    **_by_action(
        "sns",
        "CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource Publish Subscribe"
        " TagResource UntagResource",
        _topic,
    ),
    **_by_action("sns", "GetSubscriptionAttributes Unsubscribe", _anything),
    **_by_action(
        "cloudwatch",
        "DeleteAlarms DisableAlarmActions ListTagsForResource PutCompositeAlarm PutMetricAlarm SetAlarmState TagResource"
        " UntagResource",
        _alarms,
    ),
    "cloudwatch:DescribeAlarms": _anything,
    **_by_action(
        "events",
        "DeleteRule DescribeRule DisableRule EnableRule ListTagsForResource ListTargetsByRule PutRule PutTargets"
        " RemoveTargets TagResource UntagResource",
        _rule,
    ),
}


_TAG_ON_CREATE = {
    "cloudwatch:PutMetricAlarm": "cloudwatch:TagResource",
    "events:PutRule": "events:TagResource",
    "iam:CreateRole": "iam:TagRole",
    "iam:CreateUser": "iam:TagUser",
    "lambda:CreateFunction": "lambda:TagResource",
    "logs:CreateLogGroup": "logs:TagResource",
    "secretsmanager:CreateSecret": "secretsmanager:TagResource",
    "sns:CreateTopic": "sns:TagResource",
    "ssm:CreateDocument": "ssm:AddTagsToResource",
    "ssm:PutParameter": "ssm:AddTagsToResource",
}
"""What a call that has tags needs on what it makes."""

_OF_A_VPC = ("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs")
"""What the caller needs to put a function into a VPC (Lambda guide, "Required IAM permissions")."""


def _further(call: Call) -> list[tuple[str, Check]]:
    """The further actions that AWS asks for."""
    name = f"{call.service}:{call.action}"
    found = []
    if name in ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"):
        if role := call.params.get("Role"):
            found.append(("iam:PassRole", Check(role, {"iam:PassedToService": "lambda.amazonaws.com"})))
        if (call.params.get("VpcConfig") or {}).get("SubnetIds"):
            found += [(action, Check("*")) for action in _OF_A_VPC]
    has_tags = any(param.lower() == "tags" or param.startswith("Tags.member.") for param in call.params)
    if name in _TAG_ON_CREATE and has_tags:
        found += [(_TAG_ON_CREATE[name], check) for check in checks(call) or []]
    return found


def _request_tags(call: Call) -> dict[str, Any]:
    """The condition keys of the tags in a request, which ministack leaves out."""
    found: dict[str, str] = {}
    for name in ("Tags", "tags"):
        tags = call.params.get(name)
        if isinstance(tags, dict):
            found |= tags
        elif isinstance(tags, list):
            found |= {tag.get("Key") or tag.get("key"): tag.get("Value") or tag.get("value") for tag in tags}
    number = 1
    while key := call.params.get(f"Tags.member.{number}.Key"):
        found[key] = call.params.get(f"Tags.member.{number}.Value", "")
        number += 1
    keys = call.params.get("TagKeys") or [*found]
    # The evaluator takes names in lower case.
    context: dict[str, Any] = {f"aws:requesttag/{key.lower()}": value for key, value in found.items()}
    return context | ({"aws:tagkeys": keys} if keys else {})


def checks(call: Call) -> list[Check] | None:
    """Every check that a call must pass, or None if ministack's own single check is right."""
    find = _CHECKS.get(f"{call.service}:{call.action}")
    return find(call) if find else None


def may(principal: str, action: str, check: Check, account_id: str, region: str) -> bool:
    """Whether an IAM user or an assumed role, given by its ARN, may do more than the call that it made."""
    if ":assumed-role/" in principal:
        policies = iam_evaluator._gather_role_policies(principal.split("/")[1], account_id)
    else:
        policies = iam_evaluator._gather_user_policies(principal.rsplit("/", 1)[-1], account_id)
    context = EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole" if ":assumed-role/" in principal else "User",
        principal_account=account_id,
        action=action,
        resource_arn=check.resource,
        region=region,
        service_context={key.lower(): value for key, value in check.context.items()},
    )
    if (call := current_call.get()) and call.caller == principal:
        note_need(action)
    result = evaluate(context, policies)
    service = action.partition(":")[0]
    if policy := iam_evaluator._resource_policy(service, check.resource):
        result = combine_resource_policy(result, context, *policy, required=service == "kms")
    return result.decision == "Allow"


_denied: ContextVar[tuple[str, str] | None] = ContextVar("denied", default=None)
"""The action and the resource of the denial."""

_needs: ContextVar[list[str]] = ContextVar("needs")
"""The further actions that the current call was authorised for."""


def begin(call: Call) -> list[str]:
    """Begins a call. Returns the list of the further actions that its caller needs, which grows until the call has ended."""
    current_call.set(call)
    needs: list[str] = []
    _needs.set(needs)
    return needs


def note_need(action: str) -> None:
    """Notes a further action that the current call's caller needs."""
    needs = _needs.get([])
    if action not in needs:
        needs.append(action)


def install() -> None:
    """Installs the checks between ministack's dispatcher and its evaluator."""
    iam_evaluator.enforce = _enforce_every_check(iam_evaluator.enforce)
    iam_actions.extract_resource_arn = _first_resource(iam_actions.extract_resource_arn)
    iam_actions.access_denied_response = _name_the_resource(iam_actions.access_denied_response)
    iam_actions._BOTOCORE_SERVICE_MAP["lambda"] = ["lambda"]
    iam_actions._match_rest_action = _matching_rpc(iam_actions._match_rest_action)
    iam_actions._lambda_action = _lambda_action
    # ministack allows some well-known keys (`test`, account ids) every call, unsigned.
    iam_evaluator.is_root_access_key = lambda access_key_id: not access_key_id


def _lambda_action(method: str, path: str) -> str | None:
    """The action of a request to Lambda, by AWS's own model; ministack takes one for another."""
    operation = iam_actions._match_rest_action("lambda", method, path)
    return "InvokeFunction" if operation == "Invoke" else operation


_RPC_PATH = re.compile(r"/service/[^/]+/operation/([A-Za-z]+)")
"""The path of a call in Smithy's RPC v2, whose action ministack does not find, and so authorises nothing."""


def _matching_rpc(match_rest_action: Callable) -> Callable:
    def match(service: str, method: str, path: str, *arguments: Any) -> str | None:
        rpc = _RPC_PATH.fullmatch(path)
        return rpc[1] if rpc else match_rest_action(service, method, path, *arguments)

    return match


def _enforce_every_check(enforce: Callable) -> Callable:
    def enforce_every_check(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        call = current_call.get()
        if call is None or iam_action != f"{call.service}:{call.action}":
            return enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        own = [(iam_action, check) for check in checks(call) or [Check(resource_arn)]]
        further = _further(call)
        for action, check in own + further:
            context = {**(service_context or {}), **_request_tags(call), **check.context}
            denied = enforce(access_key_id, action, service, region, resource_arn=check.resource, service_context=context)
            if denied:
                _denied.set((action, check.resource))
                return denied
        for action, _ in further:
            note_need(action)
        return None

    return enforce_every_check


def _first_resource(extract_resource_arn: Callable) -> Callable:
    def first_resource(*arguments: Any) -> str:
        call = current_call.get()
        found = checks(call) if call else None
        return found[0].resource if found else extract_resource_arn(*arguments)

    return first_resource


def _name_the_resource(access_denied_response: Callable) -> Callable:
    """AWS's text names the resource for every service. JSON services answer 400, not 403."""

    def name_the_resource(service: str, action: str, principal_arn: str, request_id: str, **options: Any) -> Any:
        if options.get("error_code") or options.get("resource_policy_arn"):
            return access_denied_response(service, action, principal_arn, request_id, **options)
        action, resource = _denied.get() or (action, "*")
        options["message"] = iam_actions.identity_denial_message(
            action, principal_arn, resource, options.pop("explicit_deny", False)
        )
        options["resource_arn"] = resource
        status, headers, body = access_denied_response(service, action, principal_arn, request_id, **options)
        is_target_protocol = "x-amz-target" in (options.get("headers") or {})
        return (400 if is_target_protocol else status), headers, body

    return name_the_resource
