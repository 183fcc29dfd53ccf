"""AWS's wire formats: which call an HTTP request is, and the form of answers and errors in each protocol."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

import cbor2
from ministack import app as ministack_app
from ministack.core.iam_actions import extract_iam_action
from ministack.core.iam_evaluator import CredentialResolutionError, resolve_credential
from ministack.core.responses import get_account_id
from ministack.core.router import detect_service, extract_access_key_id, extract_region

from .api import AwsError, Call

Response = tuple[int, dict[str, str], bytes]

QUERY_SERVICES = {
    "cloudwatch": "http://monitoring.amazonaws.com/doc/2010-08-01/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "sns": "http://sns.amazonaws.com/doc/2010-03-31/",
}

_CBOR = "application/cbor"

_LAMBDA_FUNCTION_PATH = re.compile(r"^/[^/]+/functions/([^/]+)(?:/policy/([^/]+))?")
_LAMBDA_TAGS_PATH = re.compile(r"^/[^/]+/tags/(arn:[^/]+)")


def identify(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Call:
    """The AWS call of a request, by ministack's own routing tables."""
    routing = ministack_app._routing_params(method, path, headers, body, query)
    service = "ses" if path.startswith("/v2/email/") else detect_service(method, path, headers, routing)
    iam_action = extract_iam_action(service, method, path, headers, body, routing)
    namespace, _, action = (iam_action or f"{service}:{method} {path}").partition(":")
    access_key_id = extract_access_key_id(headers, query)
    is_cbor = headers.get("content-type") == _CBOR
    return Call(
        service=namespace,
        action=action,
        caller=_caller(access_key_id),
        account=get_account_id(),
        region=extract_region(headers, query),
        params=_params(path, cbor2.loads(body) if is_cbor else {}, body, routing),
        access_key_id=access_key_id or "",
        is_cbor=is_cbor,
    )


def _caller(access_key_id: str | None) -> str:
    if not access_key_id:
        return "anonymous"
    credential = resolve_credential(access_key_id, get_account_id())
    if isinstance(credential, CredentialResolutionError):
        return f"unknown access key {access_key_id}"
    return credential.principal_arn


def _params(path: str, decoded: dict[str, Any], body: bytes, routing: dict[str, Any]) -> dict[str, Any]:
    params = {name: value[0] if isinstance(value, list) else value for name, value in routing.items()} | decoded
    if body[:1] == b"{":
        with contextlib.suppress(ValueError):  # ministack answers SerializationException
            params.update(json.loads(body))
    if function := _LAMBDA_FUNCTION_PATH.match(unquote(path)):
        params["FunctionName"] = function[1]
        if function[2]:
            params["StatementId"] = function[2]
    if tagged := _LAMBDA_TAGS_PATH.match(unquote(path)):
        params["Resource"] = tagged[1]
    return params


def answer(call: Call, result: dict[str, Any]) -> Response:
    """A successful answer in the service's protocol."""
    if call.is_query and (namespace := QUERY_SERVICES.get(call.service)):
        name = call.action
        inner = f"<{name}Result>{to_xml(result)}</{name}Result>" if result else ""
        text = (
            f'<{name}Response xmlns="{namespace}">{inner}'
            f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{name}Response>"
        )
        return 200, {"Content-Type": "text/xml"}, text.encode()
    if call.is_cbor:
        return 200, {"Content-Type": _CBOR, "smithy-protocol": "rpc-v2-cbor"}, cbor2.dumps(result)
    content_type = "application/json" if call.service == "lambda" else "application/x-amz-json-1.1"
    return 200, {"Content-Type": content_type}, json.dumps(result).encode()


def to_xml(value: Any) -> str:
    """A value in the query protocol's XML; items of a list are `member` elements."""
    if isinstance(value, dict):
        return "".join(f"<{name}>{to_xml(item)}</{name}>" for name, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{to_xml(item)}</member>" for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def error(call: Call, failure: AwsError) -> Response:
    """An error in the protocol of the call."""
    request_id = str(uuid.uuid4())
    if call.is_query and (namespace := QUERY_SERVICES.get(call.service)):
        kind = "Sender" if failure.status < 500 else "Receiver"
        text = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{escape(failure.code)}</Code>'
            f"<Message>{escape(failure.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return failure.status, {"Content-Type": "text/xml", "x-amzn-requestid": request_id}, text.encode()
    if call.is_cbor:
        headers = {"Content-Type": _CBOR, "smithy-protocol": "rpc-v2-cbor", "x-amzn-requestid": request_id}
        return failure.status, headers, cbor2.dumps({"__type": failure.code, "message": failure.message})
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-errortype": failure.code,
        "x-amzn-requestid": request_id,
    }
    return failure.status, headers, json.dumps({"__type": failure.code, "message": failure.message}).encode()


def error_code(status: int, headers: dict[str, str], body: bytes) -> str | None:
    """The error code of an answer, or None for a success."""
    if function_error := headers.get("x-amz-function-error"):
        return f"FunctionError: {function_error}"
    if status < 400:
        return None
    if error_type := headers.get("x-amzn-errortype"):
        return error_type.split(":")[0]
    if code := re.search(rb"<Code>([^<]+)</Code>", body):
        return code[1].decode()
    is_cbor = {name.lower(): value for name, value in headers.items()}.get("content-type") == _CBOR
    try:
        return str((cbor2.loads if is_cbor else json.loads)(body)["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return str(status)
