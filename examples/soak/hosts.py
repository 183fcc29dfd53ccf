"""The hosts of the soak: instances of the sandbox, each with a Postfix of its own."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import botocore.session

from load import SENDER
from postfix import Postfix

SCRIPT = Path(__file__).resolve().parents[1] / "rotate_smtp.sh"
INSTANCES = ("i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2")
SECRET = "mail-prod/smtp"
CATCH_UP_SECONDS = 120
FLUSH_EVERY_SECONDS = 2
BOOT_SECONDS = 120


@dataclass(frozen=True)
class Host:
    """One host."""

    instance: str
    postfix: Postfix

    def install_script(self, sandbox: Path) -> None:
        """Installs the Postfix example, with a wrapper that sets the variables of this host."""
        folder = sandbox / ("host" if self.instance == INSTANCES[0] else f"host-{self.instance}")
        settings = f"MAIL_CONFIG={shlex.quote(str(self.postfix.config))} PROBE_SENDER={SENDER}"
        wrapper = f'#!/bin/sh\nexport {settings}\nexec {shlex.quote(str(SCRIPT))} "$@"\n'
        (folder / "usr/local/bin/rotate_smtp.sh").write_text(wrapper)

    def make_anew(self) -> str:
        """Replaces the host by one without a credential, which fetches one before Postfix starts, as at a boot.

        Nobody may give Postfix mail meanwhile. Returns what the script printed.
        """
        if catch_up([self.postfix]):
            raise SystemExit(f"soak: mail still waits on {self.instance}, so the host cannot be replaced")
        self.postfix.stop()
        for file in self.postfix.config.glob("sasl_passwd*"):
            file.unlink()
        arn = botocore.session.get_session().create_client("secretsmanager").describe_secret(SecretId=SECRET)["ARN"]
        printed = self._run(f"/usr/local/bin/rotate_smtp.sh --current {arn}")
        self.postfix.start()
        return printed

    def _run(self, command: str) -> str:
        """Runs a command on the instance, with the credentials of its role. Returns its standard output."""
        ssm = botocore.session.get_session().create_client("ssm")
        sent = ssm.send_command(
            InstanceIds=[self.instance], DocumentName="AWS-RunShellScript", Parameters={"commands": [command]}
        )
        invocation = {"CommandId": sent["Command"]["CommandId"], "InstanceId": self.instance}
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.5)  # right after SendCommand, the invocation is not known yet
            found = ssm.get_command_invocation(**invocation)
            if found["Status"] == "Success":
                return found["StandardOutputContent"]
            if found["Status"] not in ("Pending", "InProgress"):
                raise SystemExit(f"soak: {command} on {self.instance}: {found['StandardErrorContent']}")
        raise SystemExit(f"soak: {command} on {self.instance} does not end")


def catch_up(instances: list[Postfix]) -> int:
    """Waits until the queues are empty, for at most CATCH_UP_SECONDS. Returns how many mails still wait."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while (waiting := sum(len(postfix.queued()) for postfix in instances)) and time.monotonic() < deadline:
        for postfix in instances:
            postfix.flush()
        time.sleep(min(FLUSH_EVERY_SECONDS, max(0.0, deadline - time.monotonic())))
    return waiting
