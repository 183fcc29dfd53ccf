"""A separate Postfix instance in a temporary folder. The system's instance is neither used nor changed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
syslog_name = soak
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = soak.example.com
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject

relayhost = [{relay_host}]:{relay_port}
smtp_host_lookup = native
smtp_tls_security_level = secure
smtp_tls_CAfile = {folder}/ca.pem
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = {map_type}:{folder}/config/sasl_passwd
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

STOP_SECONDS = 20


class Postfix:
    """A context manager: `start` starts the instance, and the end of the context stops and deletes it."""

    def __init__(self, relay_port: int, ca_file: Path, map_type: str = "texthash") -> None:
        # Not below the sandbox's folder: Postfix's daemons run as other users, who may not enter that folder.
        self.folder = Path(tempfile.mkdtemp(prefix="soak-postfix-"))
        self.folder.chmod(0o755)
        self.config = self.folder / "config"
        self.log = self.folder / "mail.log"
        self.port = _free_port()
        for name in ("config", "queue", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        shutil.copyfile(ca_file, self.folder / "ca.pem")
        main = MAIN_CF.format(folder=self.folder, relay_host="localhost", relay_port=relay_port, map_type=map_type)
        (self.config / "main.cf").write_text(main)
        (self.config / "master.cf").write_text(MASTER_CF.format(port=self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self.stop()
        finally:
            if failure[0] is None:
                shutil.rmtree(self.folder)

    def start(self) -> None:
        """Returns once the master process runs."""
        started = self._run("postfix", "start", check=False)
        if started.returncode != 0:
            raise RuntimeError(f"Postfix does not start: {started.stdout}{started.stderr}{self.read_log()}")

    def set(self, line: str) -> None:
        """Sets one parameter: "NAME = VALUE"."""
        self._run("postconf", "-e", line)

    def add_content_filter(self) -> None:
        """From the next start on, all mail passes a filter, which hands it back unchanged."""
        port = _free_port()
        with (self.config / "master.cf").open("a") as master:
            master.write(f"127.0.0.1:{port} inet n - n - - smtpd -o content_filter=\n")
            master.write("filter unix - - n - - smtp -o smtp_tls_security_level=none -o smtp_sasl_auth_enable=no\n")
        self.set(f"content_filter = filter:[127.0.0.1]:{port}")

    def flush(self) -> None:
        """Makes Postfix try all waiting mail now."""
        self._run("postqueue", "-f")

    def queued(self) -> list[str]:
        """The ids of the mails in the queue."""
        return [json.loads(line)["queue_id"] for line in self._run("postqueue", "-j").stdout.splitlines()]

    def read_log(self) -> str:
        """Everything that Postfix has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self) -> None:
        """Returns once the master process and its children have ended."""
        if not self._runs():
            return
        self._run("postfix", "stop", check=False)
        deadline = time.monotonic() + STOP_SECONDS
        while self._runs():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Postfix in {self.folder} does not stop")
            time.sleep(0.1)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # This variable tells every Postfix command its instance.
        environment = os.environ | {"MAIL_CONFIG": str(self.config)}
        return subprocess.run(command, env=environment, check=check, capture_output=True, text=True, timeout=60)

    def _runs(self) -> bool:
        return self._run("postfix", "status", check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
