"""The ASGI application around ministack's: logs each call, injects faults, answers what ministack does not."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from hypercorn.protocol.events import StreamClosed
from ministack import app as ministack_app
from ministack.core import iam_actions
from ministack.core.sigv4 import decode_header_value
from ministack.services import ses_v2

from . import authz, faults, functions, iam, lag, processes, watch, wire
from .api import AwsError, Call, Control, Override, current_call
from .calls import CallLog
from .faults import Faults, Rule

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HANGING_POLL_SECONDS = 0.05
"""How often a hanging call checks whether its invocation has ended."""

_HANGS_ON = Rule(kind="hang", when="before")
"""The rule for every further call of an invocation that hangs."""


@dataclass(frozen=True)
class Access:
    """Who may use what is no part of AWS: the controls and the state below /_sandbox/, and ministack's own endpoints.

    Any process and any page in a browser on this machine reaches the port. The token is only in the command's environment. A
    browser that was told that its page's name is 127.0.0.1 sends that name as Host.
    """

    token: str
    hosts: frozenset[str]

    def allows(self, scope: Message) -> bool:
        headers = dict(scope["headers"])
        token = headers.get(b"x-sandbox-token", b"")
        return headers.get(b"host", b"").decode("latin-1") in self.hosts and hmac.compare_digest(
            token, self.token.encode()
        )


class Sandbox:
    """Serves AWS and, below /_sandbox/, the control endpoints."""

    def __init__(
        self,
        access: Access,
        call_log: CallLog,
        injected: Faults,
        modules: Iterable[ModuleType],
        *states: Callable[[], dict[str, Any]],
    ) -> None:
        self._access = access
        self._call_log = call_log
        self._faults = injected
        modules = list(modules)
        self._overrides: dict[str, Override] = _merged(modules, "OVERRIDES")
        self._controls: dict[str, Control] = {"faults": injected.replace, **_merged(modules, "CONTROLS")}
        self._states = [injected.state, *states, *(module.state for module in modules if hasattr(module, "state"))]
        for service, handler in ministack_app.SERVICE_HANDLERS.items():
            ministack_app.SERVICE_HANDLERS[service] = self._override(handler)
        # ministack calls this one past its table.
        ses_v2.handle_request = self._override(ses_v2.handle_request)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one HTTP request, or the server's start and stop."""
        if scope["type"] != "http":
            await ministack_app.app(scope, receive, send)
            return
        body = await _read(receive)
        if functions.is_link_to_code(scope["path"], scope["query_string"].decode()):
            await ministack_app.app(scope, _replay(body), send)
        elif scope["path"].startswith("/_") and not self._access.allows(scope):
            await _send(send, _json(403, {"message": "this is only for the command that the sandbox runs"}))
        elif scope["path"].startswith("/_sandbox/"):
            # On a thread: a control may invoke a function, which then calls this server.
            name = scope["path"].removeprefix("/_sandbox/")
            await _send(send, await asyncio.to_thread(self._control, scope["method"], name, body))
        elif scope["path"].startswith("/_"):
            await ministack_app.app(scope, _replay(body), send)
        else:
            await self._answer_call(scope, body, send)

    async def _answer_call(self, scope: Message, body: bytes, send: Send) -> None:
        headers = {name.decode().lower(): decode_header_value(value) for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        request = (scope["method"], scope["path"], headers, body, query)
        call = wire.identify(*request)
        needs = authz.begin(call)
        resource = _resource(call, *request)
        rule = _HANGS_ON if processes.is_cut_off(call.access_key_id) else self._faults.of(call)
        watch.before_call(call)
        status, response_headers, payload = await self._perform(call, rule, scope, body)
        number = self._call_log.record(
            caller=call.caller,
            service=call.service,
            action=call.action,
            resource=resource,
            status=status,
            error=wire.error_code(status, response_headers, payload) if status else "no answer",
            fault=rule.kind if rule else None,
            also=needs,
        )
        if call.access_key_id.startswith("AKIA") and status < 400:
            iam.note_use(call.access_key_id, call.service, call.region)
        watch.after_call(number, call, succeeded=0 < status < 400)
        if rule and rule.kind in faults.WITHOUT_ANSWER:
            await self._leave_unanswered(call, rule, send)
        else:
            await _send(send, (status, response_headers, payload))

    async def _perform(self, call: Call, rule: Rule | None, scope: Message, body: bytes) -> wire.Response:
        if rule and rule.kind in ("fail", "throttle"):
            return wire.error(call, faults.error_of(rule, call))
        if rule and not rule.takes_effect:
            return 0, {}, b""
        if rule and rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
        if rule and rule.kind == "hold":
            await self._faults.hold(rule, call)
        iam.lists_stale_keys.set(rule is not None and rule.kind == "stale")
        with lag.seen_by(call):
            return await _ministacks_response(scope, body)

    async def _leave_unanswered(self, call: Call, rule: Rule, send: Send) -> None:
        if rule.kind == "kill":
            processes.kill(call.access_key_id)
        elif rule.kind == "hang":
            processes.cut_off(call.access_key_id)
            while processes.is_cut_off(call.access_key_id):
                await asyncio.sleep(HANGING_POLL_SECONDS)
        elif rule.kind == "silence":
            await self._faults.hold(rule, call)
        await _drop_connection(send)

    def _override(self, handler: Callable) -> Callable:
        """Wraps a service's handler: an override answers first. Signature and policies were checked before."""

        async def handle(*request: Any) -> Any:
            call = current_call.get()
            override = self._overrides.get(f"{call.service}:{call.action}") if call else None
            if override is None:
                return await handler(*request)
            try:
                result = await asyncio.to_thread(override, call)
            except AwsError as failure:
                return wire.error(call, failure)
            return await handler(*request) if result is None else wire.answer(call, result)

        return handle

    def _control(self, method: str, name: str, body: bytes) -> wire.Response:
        if method == "GET" and name == "state":
            facts: dict[str, Any] = {}
            for state in self._states:
                facts |= state()
            return _json(200, facts)
        control = self._controls.get(name)
        if method != "POST" or control is None:
            return _json(
                404, {"message": f"there is POST /_sandbox/{{{','.join(sorted(self._controls))}}} and GET state"}
            )
        try:
            return _json(200, control(json.loads(body or b"{}")))
        except (AwsError, ValueError) as problem:
            return _json(400, {"message": str(problem)})


def _merged(modules: list[ModuleType], name: str) -> dict[str, Any]:
    return {key: value for module in modules for key, value in getattr(module, name, {}).items()}


def _json(status: int, value: dict[str, Any]) -> wire.Response:
    return status, {"content-type": "application/json"}, json.dumps(value).encode()


def _resource(
    call: Call, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
) -> str:
    """The ARN that the call is about, from the function that authorisation uses too."""
    routing = ministack_app._routing_params(method, path, headers, body, query)
    service = "ses" if call.service == "ses" else ministack_app.detect_service(method, path, headers, routing)
    return iam_actions.extract_resource_arn(service, method, path, headers, body, routing, call.region, call.account)


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes) -> Receive:
    """A `receive` that returns a body that was already read, then waits like an open connection."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.Future()

    return receive


async def _ministacks_response(scope: Message, body: bytes) -> wire.Response:
    """ministack's whole answer, not sent yet: the call's line is written first."""
    start: Message = {}
    chunks: list[bytes] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    await ministack_app.app(scope, _replay(body), keep)
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], headers, b"".join(chunks)


async def _send(send: Send, response: wire.Response) -> None:
    status, headers, payload = response
    headers = {name.lower(): value for name, value in headers.items()}
    if status not in (204, 304):
        headers["content-length"] = str(len(payload))
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": payload})


async def _drop_connection(send: Send) -> None:
    """Closes the connection without a byte of an answer. ASGI has no event for it, so this uses hypercorn's stream."""
    stream = send.__self__  # type: ignore[attr-defined]
    stream.closed = True
    await stream.send(StreamClosed(stream_id=stream.stream_id))
