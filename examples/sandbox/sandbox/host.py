"""The instances on which Run Command runs scripts, each in a folder of its own.

There is no chroot: a script is the user's own process. The script sees its host by its working folder, `HOST_ROOT`, and
the mapping of `/usr/local/bin/` (`map_host_paths`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ministack.core.responses import request_scope
from ministack.services import iam

from . import sessions
from .account import INSTANCES
from .api import AwsError, Control
from .programs import link_programs

ROLE_SESSION_SECONDS = 3600

EXAMPLE_SCRIPT = Path(__file__).resolve().parents[2] / "rotate_smtp_file.sh"
"""The example that every host gets as /usr/local/bin/rotate_smtp.sh."""

CURRENT_AGENT = "3.3.3572.0"
OUTPUT_LIMIT = 1 << 20
"""Characters kept of each output stream. Systems Manager shows far fewer."""


@dataclass
class Host:
    """One instance."""

    instance_id: str
    folder: Path
    online: bool = True
    agent_version: str = CURRENT_AGENT
    last_ping: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Result:
    """How a script ended."""

    code: int
    stdout: str
    stderr: str
    stopped: str | None
    """Why the executor killed it: "timeout", "cancelled", or None if it ended by itself."""


@dataclass(frozen=True)
class _Surroundings:
    endpoint_url: str
    account: str
    region: str


_changed = threading.Condition()
_hosts: dict[str, Host] = {}
_surroundings: _Surroundings


def start(sandbox_dir: Path, endpoint_url: str, account: str, region: str, online: bool = True) -> None:
    """Makes the hosts' folders below `sandbox_dir`: `host` is the first instance's, `host-ID` any other's."""
    global _surroundings
    _surroundings = _Surroundings(endpoint_url, account, region)
    with _changed:
        _hosts.clear()
        for number, instance_id in enumerate(INSTANCES):
            folder = sandbox_dir.resolve() / ("host" if number == 0 else f"host-{instance_id}")
            _furnish(folder)
            _hosts[instance_id] = Host(instance_id, folder, online)


def _furnish(folder: Path) -> None:
    for name in ("etc", "root", "tmp", "usr/bin", "usr/local/bin", "var"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    script = folder / "usr/local/bin/rotate_smtp.sh"
    shutil.copyfile(EXAMPLE_SCRIPT, script)
    script.chmod(0o755)
    link_programs(folder / "usr/bin")


def find(instance_id: str) -> Host | None:
    """The instance, or None if the account has none of that id."""
    return _hosts.get(instance_id)


def all_hosts() -> list[Host]:
    """Every instance of the account."""
    return list(_hosts.values())


def wait_online(host: Host, deadline: float, cancelled: threading.Event) -> bool:
    """Waits until the host is online. Returns False if `deadline` (of time.monotonic) or a cancellation comes first."""
    with _changed:
        while not host.online and not cancelled.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # A cancellation does not notify this condition, so this checks for one twice a second.
            _changed.wait(min(left, 0.5))
        return not cancelled.is_set()


def map_host_paths(host: Host, script: str) -> str:
    """The script, in which the host's `/usr/local/bin/` replaces this machine's."""
    return script.replace("/usr/local/bin/", f"{host.folder}/usr/local/bin/")


def run(host: Host, script: str, variables: dict[str, str], timeout: float, cancelled: threading.Event) -> Result:
    """Runs a script as the agent does: writes it to a file, starts it with `sh -c`, and kills it with its children when
    it is cancelled or `timeout` seconds have passed. It has ended once nobody holds its output any more: what a script
    leaves running with it keeps the agent waiting (Go's `exec.Cmd.Wait`, golang/go#13155)."""
    with tempfile.TemporaryDirectory(dir=host.folder / "var") as folder:
        file = Path(folder) / "_script.sh"
        _install(file, map_host_paths(host, script))
        with (Path(folder) / "stdout").open("w+b") as stdout, (Path(folder) / "stderr").open("w+b") as stderr:
            process = subprocess.Popen(
                ["sh", "-c", str(file)],
                cwd=host.folder,
                env=_environment(host) | variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            pipes = ((process.stdout, stdout), (process.stderr, stderr))
            readers = [threading.Thread(target=_copy, args=pipe, daemon=True) for pipe in pipes]
            for reader in readers:
                reader.start()
            stopped = _supervise(process, readers, timeout, cancelled)
            return Result(process.returncode, _text(stdout), _text(stderr), stopped)


def _copy(pipe: IO[bytes], file: IO[bytes]) -> None:
    # What outlives a killed script may write when the file is closed.
    with pipe, contextlib.suppress(ValueError):
        shutil.copyfileobj(pipe, file)


def _install(file: Path, text: str) -> None:
    # A child writes the file. A process that another thread starts inherits every file that this process has open, and
    # a file that is open for writing cannot be executed ("text file busy").
    subprocess.run(["install", "-m", "700", "/dev/stdin", str(file)], input=text.encode(), check=True)


def _supervise(
    process: subprocess.Popen[bytes], readers: list[threading.Thread], timeout: float, cancelled: threading.Event
) -> str | None:
    deadline = time.monotonic() + timeout
    stopped = None
    while stopped is None and (process.poll() is None or any(reader.is_alive() for reader in readers)):
        if cancelled.wait(0.05):
            stopped = "cancelled"
        elif time.monotonic() >= deadline:
            stopped = "timeout"
    if stopped:
        # Kills the session's group: the script's children end too, so none of them runs late.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join(1)
    return stopped


def _text(stream: Any) -> str:
    stream.seek(0)
    return stream.read(OUTPUT_LIMIT).decode(errors="replace")


def _environment(host: Host) -> dict[str, str]:
    """The environment of a script: the host's own, with no variable of the sandbox."""
    folder = host.folder
    return _credentials(host.instance_id) | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": _surroundings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": _surroundings.endpoint_url,
        "AWS_REGION": _surroundings.region,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "HOME": str(folder / "root"),
        "HOST_ROOT": str(folder),
        "LANG": "C.UTF-8",
        "PATH": f"{folder}/usr/local/bin:{folder}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": str(folder / "tmp"),
    }


def _credentials(instance_id: str) -> dict[str, str]:
    """New temporary credentials of the instance's role, as EC2's metadata service gives them."""
    account = _surroundings.account
    name = INSTANCES[instance_id].role
    with request_scope(account, _surroundings.region):
        role = iam._roles.get(name)
    if role is None:
        return {}  # an instance without a role: the AWS CLI says that it has no credentials
    return sessions.assume(account, name, role["RoleId"], instance_id, ROLE_SESSION_SECONDS)


def configure(change: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/instance: {"id": ID, "online": bool, "agent_version": "3.3.0.0"}. Without `id`: all instances."""
    unknown = change.keys() - {"id", "online", "agent_version"}
    if unknown or ("id" in change and change["id"] not in _hosts):
        raise AwsError("ValidationException", f"no such instance or setting: {change}")
    with _changed:
        for host in _hosts.values():
            if change.get("id", host.instance_id) == host.instance_id:
                host.online = bool(change.get("online", host.online))
                host.agent_version = str(change.get("agent_version", host.agent_version))
                host.last_ping = time.time()
        _changed.notify_all()
    return state()


def state() -> dict[str, Any]:
    """The instances, for GET /_sandbox/state."""
    return {
        "instances": {
            host.instance_id: {
                "folder": str(host.folder),
                "online": host.online,
                "agent_version": host.agent_version,
            }
            for host in all_hosts()
        }
    }


CONTROLS: dict[str, Control] = {"instance": configure}
