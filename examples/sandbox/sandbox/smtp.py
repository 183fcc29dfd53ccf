"""SES's SMTP endpoint: one listener with TLS from the first byte, one with STARTTLS, both on 127.0.0.1.

The user name is an access key's id; the password is derived from the key's secret. Every login and every mail reads the
keys, the user's policies and the verified identities from the emulator's own records.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import functools
import hashlib
import hmac
import itertools
import json
import logging
import re
import ssl
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from ministack.core.iam_evaluator import AuthError, EvalContext, ResolvedCredential, evaluate, resolve_principal
from ministack.core.responses import request_scope
from ministack.services import iam as ministack_iam
from ministack.services import ses, ses_v2

from . import ca, iam
from .account import ACCOUNT_ID, REGION
from .api import AwsError, Control

# At every login, aiosmtpd warns there that one of its own attributes is deprecated.
logging.getLogger("mail.log").setLevel(logging.ERROR)

WATCH_SECONDS = 0.05
"""How often the access keys are checked, to know when a key appeared or went."""

ACCESS_KEY_ID = re.compile("A[A-Z0-9]{15,127}")
SUCCESSFUL = "235 Authentication successful."
REFUSED = "535 Authentication Credentials Invalid"


@functools.cache
def smtp_password(secret_access_key: str, region: str) -> str:
    """The SMTP password of a secret access key in one region (SES guide, "Obtaining SMTP credentials")."""
    signature = ("AWS4" + secret_access_key).encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return base64.b64encode(b"\x04" + signature).decode()


@dataclass(frozen=True)
class Endpoints:
    """The addresses of the listeners, and the certificate authority that clients must trust."""

    tls: str
    starttls: str
    ca_file: Path


@dataclass
class Answer:
    """An answer that a test ordered, which replaces the endpoint's own."""

    verb: str
    code: int
    text: str = "ordered by the test"
    times: int = 1
    skip: int = 0
    """How many answers to this verb stay the endpoint's own before this one."""


@dataclass
class Behaviour:
    """What tests can change while the endpoint runs."""

    key_propagation_seconds: float
    key_deletion_seconds: float = 0
    """How long a deactivated or deleted key keeps working."""
    refuse_logins: int = 0
    answers: list[Answer] = field(default_factory=list)

    def ordered(self, verb: str) -> str | None:
        """The next ordered answer to a verb."""
        for answer in self.answers:
            if answer.verb != verb or not answer.times:
                continue
            if answer.skip:
                answer.skip -= 1
                return None
            answer.times -= 1
            return f"{answer.code} {answer.text}"
        return None


# The access keys


@dataclass
class KeyHistory:
    """What the endpoint must know of a key, besides the emulator's record."""

    user: str
    secret: str
    seen: float
    gone: float | None = None
    """When the endpoint found the key inactive or deleted."""


class Keys:
    """The account's access keys with their ages.

    The emulator records a key's creation to the second, and does not record its end. So a thread watches the keys for
    these times. A login reads the emulator's record itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histories: dict[str, KeyHistory] = {}

    def look(self) -> None:
        """Records which keys have appeared and gone since the last check."""
        now = time.monotonic()
        with self._lock, request_scope(ACCOUNT_ID, REGION):
            active = {key_id: key for key_id, key in ministack_iam._access_keys.items() if key["Status"] == "Active"}
            for key_id, key in active.items():
                new = KeyHistory(key["UserName"], key["SecretAccessKey"], seen=now)
                self._histories.setdefault(key_id, new).gone = None
            for key_id, history in self._histories.items():
                if key_id not in active and history.gone is None:
                    history.gone = now

    def usable(self, key_id: str, behaviour: Behaviour) -> KeyHistory | None:
        """The key, if it works now: its propagation has ended, and no deletion has propagated."""
        self.look()
        history = self._histories.get(key_id)
        if history is None:
            return None
        now = time.monotonic()
        if now - history.seen < behaviour.key_propagation_seconds:
            return None
        if history.gone is not None and now - history.gone >= behaviour.key_deletion_seconds:
            return None
        return history

    def age(self, seconds: float) -> None:
        """Moves every recorded time so many seconds into the past."""
        with self._lock:
            for history in self._histories.values():
                history.seen -= seconds
                if history.gone is not None:
                    history.gone -= seconds


# Who may send what


@dataclass(frozen=True)
class Login:
    """The user who logged in on a connection."""

    access_key_id: str
    user: str
    secret: str


@dataclass(frozen=True)
class Mail:
    """The context of the policies' decision."""

    from_address: str
    display_name: str
    feedback_address: str
    recipients: list[str]


def refusal(login: Login, mail: Mail) -> str | None:
    """Why SES does not send the mail (the text of its 554), or None.

    The user needs permission on the identity of the From header's address, and on that identity's default
    configuration set if it has one.
    """
    with request_scope(ACCOUNT_ID, REGION):
        name, record = _identity(mail.from_address)
        resources = [f"identity/{name}"]
        if configuration_set := (record or {}).get("ConfigurationSetName"):
            resources.append(f"configuration-set/{configuration_set}")
        for resource in resources:
            arn = f"arn:aws:ses:{REGION}:{ACCOUNT_ID}:{resource}"
            if denied := _denied(login, mail, arn):
                return denied
        if ses._identity_verified(mail.from_address):
            return None
    return (
        "Message rejected: Email address is not verified. The following identities failed the check in region "
        f"{REGION.upper()}: {mail.from_address}"
    )


def _identity(address: str) -> tuple[str, dict[str, Any] | None]:
    """The identity of a sender's address: the address itself, else its domain, else a parent domain."""
    labels = address.rpartition("@")[2].lower().split(".")
    for name in [address, *(".".join(labels[start:]) for start in range(len(labels)))]:
        record = ses_v2._identities.get(name) or ses._identities.get(name)
        if record:
            return name, record
    return address, None


def _denied(login: Login, mail: Mail, resource_arn: str) -> str | None:
    user = ministack_iam._users.get(login.user)
    arn = user["Arn"] if user else f"arn:aws:iam::{ACCOUNT_ID}:user/{login.user}"
    credential = ResolvedCredential(
        access_key_id=login.access_key_id,
        secret_access_key=login.secret,
        account_id=ACCOUNT_ID,
        principal_arn=arn,
        principal_id=user["UserId"] if user else "",
        principal_type="User",
        principal_name=login.user,
    )
    principal = resolve_principal(login.access_key_id, ACCOUNT_ID, credential)
    if not isinstance(principal, AuthError):
        context = EvalContext(
            principal_arn=arn,
            principal_type="User",
            principal_account=ACCOUNT_ID,
            action="ses:SendRawEmail",
            resource_arn=resource_arn,
            region=REGION,
            service_context={
                "ses:fromaddress": mail.from_address,
                "ses:fromdisplayname": mail.display_name,
                "ses:feedbackaddress": mail.feedback_address,
                "ses:recipients": mail.recipients,
            },
            principal_keys=principal.keys,
        )
        if evaluate(context, principal.policies or [], *principal.limits).decision == "Allow":
            return None
    return f"Access denied: User `{arn}' is not authorized to perform `ses:SendRawEmail' on resource `{resource_arn}'"


# The protocol


class Connection(SMTP):
    """aiosmtpd's protocol, with a log of every answer, and with ordered answers."""

    def __init__(self, service: Service, **options: Any) -> None:
        super().__init__(service, hostname="email-smtp.amazonaws.com", ident="ESMTP SimpleEmailService", **options)
        self.access_key_id: str | None = None
        self._service = service
        self._verb = "CONNECT"
        for verb, method in self._smtp_methods.items():
            self._smtp_methods[verb] = self._named(verb, method)

    def _named(self, verb: str, method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def named(argument: str | None) -> None:
            self._verb = verb
            ordered = None if verb == "DATA" else self._service.behaviour.ordered(verb)
            if ordered:
                await self.push(ordered)
            else:
                await method(argument)

        return named

    async def check_auth_needed(self, caller_method: str) -> bool:
        """Answers 530 to a command that needs a login first."""
        if self.session.authenticated:
            return False
        await self.push("530 Authentication required")
        return True

    async def push(self, status: str | bytes) -> None:
        """Sends an answer. After 421, and after a greeting that is not 220, the connection ends."""
        text = status.decode(errors="replace") if isinstance(status, bytes) else str(status)
        if self._verb == "CONNECT":
            text = self._service.behaviour.ordered("CONNECT") or text
        code = text[:3]
        # Challenges and intermediate answers are not results.
        if code not in ("334", "354") and "-" not in text[3:4]:
            self._service.log(self._verb, code, self.access_key_id)
        await super().push(text)
        if code == "421" or (self._verb == "CONNECT" and code != "220"):
            self.transport.close()
        self._verb = self._verb if self._verb != "CONNECT" else ""


class Service:
    """Both listeners, with their own event loop and thread. aiosmtpd calls the `handle_…` methods."""

    def __init__(self, directory: Path, key_propagation_seconds: float) -> None:
        self.behaviour = Behaviour(key_propagation_seconds)
        self.keys = Keys()
        self._mail = directory / "mail"
        self._mail.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count(1 + sum(1 for _ in self._mail.glob("*.eml")))
        self._log_file = (directory / "smtp.jsonl").open("a", buffering=1)
        self.ca_file, self._tls = ca.make(directory)
        self._ports = {True: 0, False: 0}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._watch: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)

    def start(self) -> Endpoints:
        """Listens."""
        self._thread.start()
        self._await(self._listen())
        return Endpoints(
            tls=f"smtps://127.0.0.1:{self._ports[True]}",
            starttls=f"smtp://127.0.0.1:{self._ports[False]}",
            ca_file=self.ca_file,
        )

    def stop(self) -> None:
        """Ends every connection and the thread."""
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._log_file.close()

    def set_down(self, down: bool) -> None:
        """Refuses connections, or listens again on the same ports."""
        self._await(self._unlisten() if down else self._listen())

    def _await(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._watch_keys())
        if self._servers:
            return
        for implicit, port in self._ports.items():
            server = await self._loop.create_server(
                lambda implicit=implicit: self._connection(implicit),
                host="127.0.0.1",
                port=port,
                ssl=self._tls if implicit else None,
            )
            self._ports[implicit] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def _unlisten(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _end(self) -> None:
        await self._unlisten()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_keys(self) -> None:
        while True:
            self.keys.look()
            await asyncio.sleep(WATCH_SECONDS)

    def _connection(self, implicit: bool) -> Connection:
        encryption: dict[str, ssl.SSLContext | bool | None] = (
            # aiosmtpd does not see TLS from the first byte.
            {"tls_context": None, "auth_require_tls": False}
            if implicit
            else {"tls_context": self._tls, "require_starttls": True}
        )
        return Connection(self, authenticator=self._authenticate, loop=self._loop, **encryption)

    def log(self, verb: str, code: str, access_key_id: str | None) -> None:
        """Writes one line of smtp.jsonl. Of what a client sent, it has only the access key's id."""
        line = {"time": time.time(), "access_key_id": access_key_id, "verb": verb, "code": int(code)}
        self._log_file.write(json.dumps(line) + "\n")

    def _authenticate(
        self, connection: Connection, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        access_key_id = data.login.decode(errors="replace")
        # Logs only what can be an access key's id: people do type the password into the wrong field.
        connection.access_key_id = access_key_id if ACCESS_KEY_ID.fullmatch(access_key_id) else None
        key = self.keys.usable(access_key_id, self.behaviour)
        expected = smtp_password(key.secret, REGION).encode() if key else b""
        if self.behaviour.refuse_logins > 0:
            self.behaviour.refuse_logins -= 1
        elif key and hmac.compare_digest(expected, data.password):
            iam.note_use(access_key_id, "ses", REGION)
            return AuthResult(success=True, message=SUCCESSFUL, auth_data=Login(access_key_id, key.user, key.secret))
        return AuthResult(success=False, handled=False, message=REFUSED)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The answer to a mail."""
        if ordered := self.behaviour.ordered("DATA"):
            return ordered
        content = envelope.original_content or b""
        sender = email.message_from_bytes(content, policy=email.policy.default)["From"]
        addresses = sender.addresses if sender else ()
        if len(addresses) != 1 or not addresses[0].domain:
            return "554 Transaction failed: From header must be present with exactly one address."
        mail = Mail(
            from_address=addresses[0].addr_spec,
            display_name=addresses[0].display_name,
            feedback_address=envelope.mail_from or "",
            recipients=list(envelope.rcpt_tos),
        )
        if reason := refusal(session.auth_data, mail):
            return f"554 {reason}"
        return f"250 Ok {self._store(session.auth_data, envelope, content)}"

    def _store(self, login: Login, envelope: Envelope, content: bytes) -> str:
        message_id = f"0102{int(time.time() * 1000):012x}-{uuid.uuid4()}-000000"
        headers = (
            f"X-Envelope-From: {envelope.mail_from}\r\n"
            f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
            f"X-Access-Key-Id: {login.access_key_id}\r\n"
        )
        file = self._mail / f"{next(self._numbers):04}-{message_id}.eml"
        partial = file.with_suffix(".partial")
        partial.write_bytes(headers.encode() + content)
        partial.rename(file)
        return message_id


# The module's interface

_service: Service | None = None


def start(directory: Path, key_propagation_seconds: float = 1) -> Endpoints:
    """Starts the endpoint. It writes its CA, log and mails to `directory`."""
    global _service
    _service = Service(directory, key_propagation_seconds)
    return _service.start()


def stop() -> None:
    """Stops the endpoint."""
    global _service
    if _service:
        _service.stop()
        _service = None


def is_usable(access_key_id: str) -> bool:
    """Whether SES accepts a login with the key's password now. Ignores the answers that a test ordered."""
    return _service is not None and _service.keys.usable(access_key_id, _service.behaviour) is not None


def age(seconds: float) -> None:
    """Makes the endpoint have known the keys for so many seconds longer."""
    if _service:
        _service.keys.age(seconds)


def configure(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/smtp. A setting that is not named stays.

    `key_propagation_seconds`, `key_deletion_seconds`; `refuse_logins`: so many logins get 535; `answers`: a list of
    {"verb", "code", "text", "times", "skip"}; `down`: no connection is accepted; `configuration_sets`: {identity:
    its default configuration set, or null}.
    """
    if _service is None:
        raise AwsError("ValidationException", "the SMTP endpoint does not run")
    behaviour = _service.behaviour
    for name, value in change.items():
        match name:
            case "key_propagation_seconds" | "key_deletion_seconds" | "refuse_logins":
                setattr(behaviour, name, value)
            case "answers":
                behaviour.answers = [Answer(**answer) for answer in value]
            case "down":
                _service.set_down(bool(value))
            case "configuration_sets":
                _set_configuration_sets(value)
            case _:
                raise AwsError("ValidationException", f"no such setting: {name}")
    return {}


def _set_configuration_sets(sets: dict[str, str | None]) -> None:
    with request_scope(ACCOUNT_ID, REGION):
        for identity, name in sets.items():
            ses_v2._identities[identity]["ConfigurationSetName"] = name


CONTROLS: dict[str, Control] = {"smtp": configure}
