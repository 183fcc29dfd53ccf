"""Systems Manager documents, which ministack lacks: only Command documents (schema 2.2, aws:runShellScript)."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import yaml

from .api import AwsError, Call, Override

MAX_BYTES = 64 * 1024
MAX_TAGS = 50
RESERVED_PREFIXES = ("aws", "amazon", "amzn")
"""Document names must not start with these (Systems Manager guide, "Creating SSM document content")."""

REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
"""`{{ name }}` in a document."""

_NAME = re.compile(r"[a-zA-Z0-9_\-.]{3,128}")
_STEP_NAME = re.compile(r"[a-zA-Z0-9_]+")
_TOP_LEVEL = {"schemaVersion", "description", "parameters", "mainSteps"}
_PARAMETER_FIELDS = {
    "type",
    "description",
    "default",
    "allowedValues",
    "allowedPattern",
    "displayType",
    "interpolationType",
    "minItems",
    "maxItems",
    "minChars",
    "maxChars",
}
_STEP_FIELDS = {"action", "name", "inputs", "precondition"}
_INPUTS = {"runCommand", "timeoutSeconds"}


@dataclass(frozen=True)
class Version:
    """One version of a document. Versions never change."""

    number: int
    content: str
    format: str
    body: dict[str, Any]
    name: str | None = None
    created: float = field(default_factory=time.time)

    @property
    def hash(self) -> str:
        """SHA-256 of the content as the caller sent it."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass
class Document:
    """A document with its versions, the first at index 0."""

    name: str
    owner: str
    target_type: str | None
    tags: dict[str, str]
    versions: list[Version]
    default: int = 1

    @property
    def latest(self) -> Version:
        """The newest version."""
        return self.versions[-1]


_RUN_SHELL_SCRIPT = {
    "schemaVersion": "2.2",
    "description": "Run a shell script or specify the commands to run.",
    "parameters": {
        "commands": {"type": "StringList", "description": "(Required) The commands to run."},
        "executionTimeout": {
            "type": "String",
            "default": "3600",
            "allowedPattern": "([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800)",
        },
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "runShellScript",
            "inputs": {
                "runCommand": ["{{ commands }}"],
                "timeoutSeconds": "{{ executionTimeout }}",
            },
        }
    ],
}

_AWS_DOCUMENTS = {
    "AWS-RunShellScript": Document(
        name="AWS-RunShellScript",
        owner="Amazon",
        target_type=None,
        tags={},
        versions=[Version(1, json.dumps(_RUN_SHELL_SCRIPT), "JSON", _RUN_SHELL_SCRIPT)],
    )
}

_lock = threading.RLock()
_documents: dict[tuple[str, str, str], Document] = {}


def find(call: Call, name_or_arn: str) -> Document:
    """The caller's document, or AWS's. Raises InvalidDocument."""
    name = name_or_arn.rpartition("document/")[2] if name_or_arn.startswith("arn:") else name_or_arn
    document = _documents.get((call.account, call.region, name)) or _AWS_DOCUMENTS.get(name)
    if document is None:
        raise _absent(name)
    return document


def _find_own(call: Call) -> Document:
    name = call.params.get("Name", "")
    document = _documents.get((call.account, call.region, name))
    if document is None:
        raise _absent(name)
    return document


def _absent(name: str) -> AwsError:
    return AwsError("InvalidDocument", f"Document with name {name} does not exist.")


def select_version(document: Document, wanted: str | None) -> Version:
    """`$DEFAULT` (and None), `$LATEST` or a number. Raises InvalidDocumentVersion."""
    if wanted == "$LATEST":
        return document.latest
    number = document.default if wanted in (None, "$DEFAULT") else wanted
    for version in document.versions:
        if str(version.number) == str(number):
            return version
    raise AwsError("InvalidDocumentVersion", f"Document version {wanted} does not exist for document {document.name}.")


# Content


def parse(content: str, format_: str) -> dict[str, Any]:
    """The body of a document. Raises the errors of CreateDocument and UpdateDocument for bad content."""
    if len(content.encode()) > MAX_BYTES:
        raise AwsError("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
    try:
        body = json.loads(content) if format_ == "JSON" else yaml.safe_load(content)
    except (ValueError, yaml.YAMLError) as error:
        raise _bad_content(f"{format_} not well-formed: {error}") from None
    if not isinstance(body, dict):
        raise _bad_content("the document is not an object")
    if body.get("schemaVersion") != "2.2":
        raise AwsError(
            "InvalidDocumentSchemaVersion",
            f"The sandbox knows schema version 2.2 only, not {body.get('schemaVersion')!r}.",
        )
    _refuse_unknown("document", body, _TOP_LEVEL)
    parameters = body.get("parameters", {})
    for name, parameter in parameters.items():
        _check_parameter(name, parameter)
    steps = body.get("mainSteps")
    if not isinstance(steps, list) or not steps:
        raise _bad_content("mainSteps is empty or missing")
    for step in steps:
        _check_step(step)
    for name in REFERENCE.findall(json.dumps(steps)):
        if name not in parameters:
            raise _bad_content(f"parameter {name} is used but not defined")
    return body


def _check_parameter(name: str, parameter: Any) -> None:
    if not isinstance(parameter, dict) or parameter.get("type") not in ("String", "StringList"):
        raise _bad_content(f"parameter {name}: the type must be String or StringList")
    _refuse_unknown(f"parameter {name}", parameter, _PARAMETER_FIELDS)
    interpolation = parameter.get("interpolationType")
    if interpolation is not None and (interpolation != "ENV_VAR" or parameter["type"] != "String"):
        raise _bad_content(f"parameter {name}: interpolationType must be ENV_VAR, and the type String")
    try:
        re.compile(parameter.get("allowedPattern", ""))
    except re.error as error:
        raise _bad_content(f"parameter {name}: allowedPattern: {error}") from None


def _check_step(step: Any) -> None:
    if not isinstance(step, dict) or step.get("action") != "aws:runShellScript":
        raise _bad_content("the sandbox knows steps of action aws:runShellScript only")
    _refuse_unknown("step", step, _STEP_FIELDS)
    if not _STEP_NAME.fullmatch(str(step.get("name", ""))):
        raise _bad_content(f"step name {step.get('name')!r}: letters, digits and _ only")
    inputs = step.get("inputs")
    commands = inputs.get("runCommand") if isinstance(inputs, dict) else None
    if not isinstance(commands, list) or not all(isinstance(line, str) for line in commands):
        raise _bad_content(f"step {step['name']}: runCommand must be a list of strings")
    _refuse_unknown(f"step {step['name']}", inputs, _INPUTS)


def _refuse_unknown(where: str, found: dict[str, Any], known: set[str]) -> None:
    if unknown := found.keys() - known:
        raise _bad_content(f"{where}: unknown {', '.join(sorted(unknown))}")


def _bad_content(reason: str) -> AwsError:
    return AwsError("InvalidDocumentContent", reason)


# Calls


def _create_document(call: Call) -> dict[str, Any]:
    params = call.params
    name = params.get("Name", "")
    _check_name(name)
    if params.get("DocumentType", "Command") != "Command":
        raise AwsError("ValidationException", "The sandbox knows documents of type Command only.")
    version = Version(
        number=1,
        content=params.get("Content", ""),
        format=params.get("DocumentFormat", "JSON"),
        body=parse(params.get("Content", ""), params.get("DocumentFormat", "JSON")),
        name=params.get("VersionName"),
    )
    document = Document(name, call.account, params.get("TargetType"), {}, [version])
    _set_tags(document, params.get("Tags", []))
    with _lock:
        if (call.account, call.region, name) in _documents:
            raise AwsError("DocumentAlreadyExists", f"Document with name {name} already exists in this account.")
        _documents[call.account, call.region, name] = document
        return {"DocumentDescription": _description(document, version) | {"Status": "Creating"}}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ^[a-zA-Z0-9_\\-.]{3,128}$",
        )
    if name.lower().startswith(RESERVED_PREFIXES):
        raise AwsError("ValidationException", f"Document name {name} starts with a prefix that is reserved for AWS.")


def _update_document(call: Call) -> dict[str, Any]:
    params = call.params
    with _lock:
        document = _find_own(call)
        # AWS updates only the latest version, and takes its number or $LATEST. What a call without either does is not
        # documented, so it is refused here.
        if params.get("DocumentVersion") not in ("$LATEST", str(document.latest.number)):
            raise AwsError(
                "InvalidDocumentVersion",
                f"Document version {params.get('DocumentVersion')} is not the latest version of {document.name}.",
            )
        format_ = params.get("DocumentFormat", "JSON")
        body = parse(params.get("Content", ""), format_)
        if body == document.latest.body:
            raise AwsError(
                "DuplicateDocumentContent",
                f"The content of the document matches its latest version {document.latest.number}.",
            )
        version = Version(document.latest.number + 1, params["Content"], format_, body, params.get("VersionName"))
        document.versions.append(version)
        document.target_type = params.get("TargetType", document.target_type)
        return {"DocumentDescription": _description(document, version) | {"Status": "Updating"}}


def _update_document_default_version(call: Call) -> dict[str, Any]:
    with _lock:
        document = _find_own(call)
        wanted = call.params.get("DocumentVersion", "")
        if not re.fullmatch("[1-9][0-9]*", wanted):
            raise AwsError("InvalidDocumentVersion", f"Document version {wanted} is not a number.")
        version = select_version(document, wanted)
        document.default = version.number
        return {"Description": {"Name": document.name, "DefaultVersion": str(version.number)}}


def _describe_document(call: Call) -> dict[str, Any]:
    with _lock:
        document = find(call, call.params.get("Name", ""))
        return {"Document": _description(document, _version_of(call, document))}


def _version_of(call: Call, document: Document) -> Version:
    if name := call.params.get("VersionName"):
        for version in document.versions:
            if version.name == name:
                return version
        raise AwsError("InvalidDocumentVersion", f"Document {document.name} has no version named {name}.")
    return select_version(document, call.params.get("DocumentVersion"))


def _description(document: Document, version: Version) -> dict[str, Any]:
    parameters = [
        {
            "Name": name,
            "Type": parameter["type"],
            "Description": parameter.get("description"),
            "DefaultValue": _default_text(parameter),
        }
        for name, parameter in version.body.get("parameters", {}).items()
    ]
    return _without_none(
        {
            "Hash": version.hash,
            "HashType": "Sha256",
            "Name": document.name,
            "VersionName": version.name,
            "Owner": document.owner,
            "CreatedDate": version.created,
            "Status": "Active",
            "DocumentVersion": str(version.number),
            "Description": version.body.get("description"),
            "Parameters": [_without_none(parameter) for parameter in parameters],
            "PlatformTypes": ["Linux", "MacOS"],
            "DocumentType": "Command",
            "SchemaVersion": version.body["schemaVersion"],
            "LatestVersion": str(document.latest.number),
            "DefaultVersion": str(document.default),
            "DocumentFormat": version.format,
            "TargetType": document.target_type,
            "Tags": _tag_list(document),
        }
    )


def _default_text(parameter: dict[str, Any]) -> str | None:
    default = parameter.get("default")
    return default if default is None or isinstance(default, str) else json.dumps(default)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _get_document(call: Call) -> dict[str, Any]:
    with _lock:
        document = find(call, call.params.get("Name", ""))
        version = _version_of(call, document)
    # JSON is the default, whatever format the document was written in (GetDocument, "DocumentFormat").
    format_ = call.params.get("DocumentFormat", "JSON")
    content = version.content
    if format_ != version.format:
        body = version.body
        content = json.dumps(body, indent=2) if format_ == "JSON" else yaml.safe_dump(body, sort_keys=False)
    return _without_none(
        {
            "Name": document.name,
            "CreatedDate": version.created,
            "VersionName": version.name,
            "DocumentVersion": str(version.number),
            "Status": "Active",
            "Content": content,
            "DocumentType": "Command",
            "DocumentFormat": format_,
        }
    )


def _delete_document(call: Call) -> dict[str, Any]:
    with _lock:
        document = _find_own(call)
        del _documents[call.account, call.region, document.name]
    return {}


def _list_documents(call: Call) -> dict[str, Any]:
    filters = {item["Key"]: item.get("Values", []) for item in call.params.get("Filters", [])}
    if unknown := filters.keys() - {"Name", "Owner"}:
        raise AwsError("InvalidFilterKey", f"The sandbox does not know the filter {', '.join(sorted(unknown))}.")
    with _lock:
        own = [
            document
            for (account, region, _), document in _documents.items()
            if (account, region) == (call.account, call.region)
        ]
        owners = filters.get("Owner", ["All"])
        candidates = ([] if "Amazon" in owners else own) + ([] if "Self" in owners else list(_AWS_DOCUMENTS.values()))
        names = filters.get("Name", [""])
        found = [document for document in candidates if document.name.startswith(tuple(names))]
        return {"DocumentIdentifiers": [_identifier(document) for document in found]}


def _identifier(document: Document) -> dict[str, Any]:
    description = _description(document, select_version(document, None))
    fields = (
        "Name",
        "CreatedDate",
        "Owner",
        "DocumentVersion",
        "DocumentType",
        "SchemaVersion",
        "DocumentFormat",
        "Tags",
    )
    return {name: description[name] for name in fields}


# Tags. ministack keeps the tags of every other resource type.


def _tagged(call: Call) -> Document | None:
    if call.params.get("ResourceType") != "Document":
        return None
    name = call.params.get("ResourceId", "")
    document = _documents.get((call.account, call.region, name))
    if document is None:
        raise AwsError("InvalidResourceId", f"The resource ID {name} is not valid.")
    return document


def _set_tags(document: Document, new: list[dict[str, str]]) -> None:
    if any(tag["Key"].lower().startswith("aws:") for tag in new):
        raise AwsError("ValidationException", "Tag keys that start with aws: are reserved.")
    tags = document.tags | {tag["Key"]: tag["Value"] for tag in new}
    if len(tags) > MAX_TAGS:
        raise AwsError("TooManyTagsError", f"A document has at most {MAX_TAGS} tags.")
    document.tags = tags


def _tag_list(document: Document) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in document.tags.items()]


def _list_tags(call: Call) -> dict[str, Any] | None:
    with _lock:
        document = _tagged(call)
        return document and {"TagList": _tag_list(document)}


def _add_tags(call: Call) -> dict[str, Any] | None:
    with _lock:
        if document := _tagged(call):
            _set_tags(document, call.params.get("Tags", []))
            return {}
    return None


def _remove_tags(call: Call) -> dict[str, Any] | None:
    with _lock:
        if document := _tagged(call):
            for key in call.params.get("TagKeys", []):
                document.tags.pop(key, None)
            return {}
    return None


def _describe_document_permission(call: Call) -> dict[str, Any]:
    """No document is shared: there is no ModifyDocumentPermission."""
    with _lock:
        _find_own(call)
        return {"AccountIds": [], "AccountSharingInfoList": []}


OVERRIDES: dict[str, Override] = {
    "ssm:AddTagsToResource": _add_tags,
    "ssm:CreateDocument": _create_document,
    "ssm:DeleteDocument": _delete_document,
    "ssm:DescribeDocument": _describe_document,
    "ssm:DescribeDocumentPermission": _describe_document_permission,
    "ssm:GetDocument": _get_document,
    "ssm:ListDocuments": _list_documents,
    "ssm:ListTagsForResource": _list_tags,
    "ssm:RemoveTagsFromResource": _remove_tags,
    "ssm:UpdateDocument": _update_document,
    "ssm:UpdateDocumentDefaultVersion": _update_document_default_version,
}
