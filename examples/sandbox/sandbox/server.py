"""Puts the sandbox together and serves it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import secrets
import shlex
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from . import (
    account,
    ageing,
    alarms,
    authz,
    dump,
    events,
    functions,
    host,
    iam,
    inventory,
    invocation,
    lag,
    notifications,
    rotation,
    secretsmanager,
    ses,
    simulation,
    smtp,
    snapshot,
    ssm,
    watch,
)
from .app import Access, Sandbox
from .calls import CallLog
from .command import Command
from .faults import Faults

MODULES = (
    ageing, alarms, dump, events, functions, host, iam, inventory, lag, notifications, rotation, secretsmanager, ses, simulation, smtp,
    snapshot, ssm, watch
)


async def serve(directory: Path, listener: socket.socket, command: Command | None) -> int:
    """Serves until the command ends, or without a command until SIGTERM. Returns the exit code."""
    port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    access = Access(secrets.token_urlsafe(32), frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))
    call_log = CallLog(directory / "calls.jsonl")
    injected = Faults(json.loads(os.environ.get("SANDBOX_FAULTS") or "[]"))
    invocation.configure(call_log)
    rotation.configure(_rotation_settings())
    lag.install()
    authz.install()
    iam.install()
    notifications.install(directory)
    events.install()
    alarms.install()
    key_id, secret = account.create()
    iam.note_issued(secret)
    mail = smtp.start(directory, float(os.environ.get("SANDBOX_KEY_PROPAGATION_SECONDS") or 1))
    host.start(
        directory, endpoint, account.ACCOUNT_ID, account.REGION, os.environ.get("SANDBOX_INSTANCE_OFFLINE") != "1"
    )
    functions.install(
        {"AWS_ENDPOINT_URL": endpoint, "SMTP_ENDPOINT": mail.tls, "SSL_CERT_FILE": str(mail.ca_file)},
        directory / "logs",
    )
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": account.REGION,
        "AWS_DEFAULT_REGION": account.REGION,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "SANDBOX_DIR": str(directory),
        "SANDBOX_TOKEN": access.token,
        "SANDBOX_CA_FILE": str(mail.ca_file),
        "SANDBOX_SMTP_ENDPOINT": mail.tls,
        "SANDBOX_SMTP_STARTTLS_ENDPOINT": mail.starttls,
    }
    started = asyncio.Event()
    code = 0

    async def until_done() -> None:
        nonlocal code
        await started.wait()
        _write_environment(directory / "env", environment)
        code = await (command.run(environment) if command else _until_terminated())

    # What is imported stays: the collector need not look at it again and again.
    gc.freeze()
    application = _telling_when_started(Sandbox(access, call_log, injected, MODULES, _smtp_passwords), started)
    try:
        await hypercorn_serve(application, _config(listener), shutdown_trigger=until_done)
    finally:
        rotation.stop()
        functions.stop()
        ssm.stop()
        smtp.stop()
    return code


def _smtp_passwords() -> dict[str, Any]:
    """The SMTP password of every secret access key ever issued, for the search for leaks."""
    secrets = iam.state()["secret_access_keys"]
    return {"smtp_passwords": [smtp.smtp_password(secret, account.REGION) for secret in secrets]}


def _rotation_settings() -> rotation.Settings:
    default = rotation.Settings()
    return rotation.Settings(
        attempts=int(os.environ.get("SANDBOX_ROTATION_ATTEMPTS") or default.attempts),
        retry_token=os.environ.get("SANDBOX_ROTATION_RETRY_TOKEN") or default.retry_token,
        retry_seconds=float(os.environ.get("SANDBOX_ROTATION_RETRY_SECONDS") or default.retry_seconds),
    )


def _config(listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.2
    return config


async def _until_terminated() -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await stop.wait()
    return 0


def _telling_when_started(application: Callable, started: asyncio.Event) -> Callable:
    """Sets `started` when the application has started: from then on, it answers every request."""

    async def wrapped(scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        async def notice(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                started.set()

        await application(scope, receive, notice if scope["type"] == "lifespan" else send)

    return wrapped


def _write_environment(file: Path, environment: dict[str, str]) -> None:
    """Writes a file for a shell to source. It holds the administrator's key: it is the owner's only."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text("".join(lines), encoding="utf-8")
    draft.rename(file)
