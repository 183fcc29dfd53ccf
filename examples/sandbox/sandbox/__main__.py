"""`python -m sandbox COMMAND [ARG…]`: starts the sandbox, runs COMMAND with it, stops it, and exits as COMMAND did.

Without COMMAND it serves until SIGTERM or SIGINT. Once it serves, SANDBOX_DIR/env exists, for a shell to source.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
import traceback
from pathlib import Path

from .account import ACCOUNT_ID, REGION
from .command import Command

LOG_LINES_SHOWN = 20


def main() -> int:
    """Runs the sandbox to its end. Returns the exit code."""
    asked_for = os.environ.get("SANDBOX_DIR")
    directory = Path(asked_for or tempfile.mkdtemp(prefix="sandbox-")).resolve()
    for name in ("logs", "tmp", "mail", "host"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "env").unlink(missing_ok=True)  # an earlier run in this folder left it
    command = Command(sys.argv[1:], dict(os.environ)) if sys.argv[1:] else None
    if command:
        _log_to(directory / "sandbox.log")
    try:
        code = _serve(directory, command)
    except Exception:
        traceback.print_exc()
        code = _explain(directory / "sandbox.log", command)
    if not asked_for:
        _tidy_up(directory, code, command)
    return code


def _serve(directory: Path, command: Command | None) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    listener = socket.create_server(("127.0.0.1", 0))
    _prepare_environment(directory, listener.getsockname()[1])
    # Imported only now: ministack reads its settings at import.
    from .server import serve

    return asyncio.run(serve(directory, listener, command))


def _prepare_environment(directory: Path, port: int) -> None:
    """Sets ministack's settings, and removes the user's own AWS settings: ministack would trust the user's key."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.pop("SANDBOX_TOKEN", None)  # of a sandbox that this one runs in
    os.environ.update(
        {
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_REGION": REGION,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "127.0.0.1",
            "TMPDIR": str(directory / "tmp"),
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "0",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # A socket without a daemon: otherwise ministack would remove containers.
            "DOCKER_HOST": "unix:///nonexistent",
        }
    )
    tempfile.tempdir = None


def _log_to(file: Path) -> None:
    """Sends the sandbox's own output to the log: the standard streams are COMMAND's."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _explain(log: Path, command: Command | None) -> int:
    """Tells the user why the sandbox did not start or died. Returns the exit code."""
    if command:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        command.tell(f"with-sandbox: the sandbox failed; the end of {log}:\n" + "\n".join(tail))
    return 1


def _tidy_up(directory: Path, code: int, command: Command | None) -> None:
    """Deletes a folder that the sandbox made, unless COMMAND failed: the folder may explain why."""
    if code == 0 or command is None:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        command.tell(f"with-sandbox: calls, mails and logs are kept in {directory}")


if __name__ == "__main__":
    sys.exit(main())
