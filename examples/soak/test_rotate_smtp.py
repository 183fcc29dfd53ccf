"""What rotate_smtp.sh does with a real Postfix when something goes wrong. `run test` starts these tests."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import signal
import smtplib
import subprocess
import time
import unittest
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from postfix import Postfix

SCRIPT = Path(__file__).resolve().parents[1] / "rotate_smtp.sh"
MAIL = Path(os.environ["SANDBOX_DIR"]) / "mail"
SENDER = "no-reply@example.com"
FOREIGN_LINE = "[other.example]:587 someone:else\n"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}]}'
RUN_SECONDS = 60


@dataclass(frozen=True)
class Credential:
    """An access key with the SMTP password that is derived from it."""

    key: str
    password: str


def aws(*arguments: str) -> dict:
    """The answer of the AWS CLI."""
    out = subprocess.run(["aws", *arguments, "--output", "json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out or "{}")


def new_credential() -> Credential:
    key = aws("iam", "create-access-key", "--user-name", "postfix-smtp")["AccessKey"]
    signature = ("AWS4" + key["SecretAccessKey"]).encode()
    for part in ("11111111", "eu-west-1", "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return Credential(key["AccessKeyId"], base64.b64encode(b"\x04" + signature).decode())


def secret_string(credential: Credential) -> str:
    return json.dumps({"AccessKeyId": credential.key, "SMTPPassword": credential.password})


def tell_sandbox(name: str, **change: object) -> None:
    """POST /_sandbox/NAME."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_sandbox/{name}"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(change).encode(), method="POST"), timeout=10).close()


def tell_endpoint(**change: object) -> None:
    tell_sandbox("smtp", **change)


def setUpModule() -> None:
    global current, pending, arn
    tell_endpoint(key_propagation_seconds=0)
    aws("iam", "create-user", "--user-name", "postfix-smtp")
    aws("iam", "put-user-policy", "--user-name", "postfix-smtp", "--policy-name", "send", "--policy-document", POLICY)
    current, pending = new_credential(), new_credential()
    arn = aws("secretsmanager", "create-secret", "--name", "postfix", "--secret-string", secret_string(current))["ARN"]
    version = ("--secret-string", secret_string(pending), "--version-stages", "AWSPENDING", "DEPLOYING")
    aws("secretsmanager", "put-secret-value", "--secret-id", arn, *version)


class RotateSmtp(unittest.TestCase):
    map_type = "texthash"

    def setUp(self) -> None:
        tell_endpoint(refuse_logins=0)
        port = urlsplit(os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]).port
        self.postfix = self.enterContext(Postfix(port, Path(os.environ["SANDBOX_CA_FILE"]), self.map_type))
        self.relay = f"[localhost]:{port}"
        self.map = self.postfix.config / "sasl_passwd"
        self.old_map = f"{FOREIGN_LINE}{self.line(current)}"
        self.map.touch(0o600)
        self.map.write_text(self.old_map)
        self.build_index()
        self.postfix.start()

    def build_index(self) -> None:
        """Builds the map's index, if the map's type needs one."""

    def line(self, credential: Credential) -> str:
        return f"{self.relay} {credential.key}:{credential.password}\n"

    def start(self, *options: str, **settings: str) -> subprocess.Popen[str]:
        environment = {"MAIL_CONFIG": str(self.postfix.config), "PROBE_SENDER": SENDER, **settings}
        return subprocess.Popen(
            [SCRIPT, *options, arn],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Exit code and outputs. Fails if they, or any command line meanwhile, have a password."""
        deadline = time.monotonic() + RUN_SECONDS
        while process.poll() is None:
            self.assertLess(time.monotonic(), deadline, "the script does not end")
            self.assert_no_password("\n".join(command_lines()))
            time.sleep(0.01)
        out, err = process.communicate()
        self.assert_no_password(out + err)
        return process.returncode, out, err

    def assert_no_password(self, text: str) -> None:
        for credential in (current, pending):
            self.assertFalse(credential.password in text, "a password is shown")

    def run_script(self, *options: str, **settings: str) -> tuple[int, str, str]:
        return self.finish(self.start(*options, **settings))

    def assert_restored(self, result: tuple[int, str, str], reason: str) -> None:
        code, out, err = result
        self.assertEqual((code, out), (1, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(reason, err)
        self.assertEqual(self.map.read_text(), self.old_map)
        self.assertFalse(self.map.with_suffix(".before").exists())
        self.assert_private()

    def assert_installed(self, result: tuple[int, str, str]) -> None:
        code, out, err = result
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"access key {pending.key}; Postfix delivered with it: (250 Ok ", out)
        self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(pending))
        self.assertFalse(self.map.with_suffix(".before").exists())
        self.assert_private()

    def assert_private(self) -> None:
        for file in self.map.parent.glob("sasl_passwd*"):
            self.assertEqual((file.stat().st_uid, file.stat().st_mode & 0o777), (0, 0o600), file)

    def wait_for(self, what: str, happened) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while not happened():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def wait_for_refusal(self, times: int = 1) -> None:
        self.wait_for("a login is refused", lambda: self.postfix.read_log().count("535 Authentication") >= times)

    def send(self, subject: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.postfix.port) as session:
            session.sendmail(SENDER, ["a@elsewhere.example"], f"From: {SENDER}\r\nSubject: {subject}\r\n\r\nHello\r\n")

    def arrived(self, text: str) -> list[Path]:
        return [file for file in MAIL.glob("*.eml") if text in file.read_text()]


def command_lines() -> list[str]:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile
    return lines


def statuses_of(name: str) -> list[str]:
    """/proc/PID/status of each process of that name."""
    statuses = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            statuses.append((process / "status").read_text())
        except OSError:
            continue  # it has ended meanwhile
    return [status for status in statuses if status.startswith(f"Name:\t{name}\n")]


class TextTable(RotateSmtp):
    def test_a_new_credential_is_installed_and_a_mail_goes_out_with_it(self) -> None:
        self.assert_installed(self.run_script())
        self.assertTrue(self.arrived(f"X-Access-Key-Id: {pending.key}"))
        self.assertEqual(self.map.with_suffix(".previous").read_text(), self.old_map)

    def test_a_second_run_leaves_the_map_alone_and_proves_again(self) -> None:
        self.assert_installed(self.run_script())
        before = self.map.stat()
        second = self.run_script()
        self.assert_installed(second)
        self.assertTrue(second[1].startswith("unchanged: "), second[1])
        self.assertEqual(self.map.stat().st_ino, before.st_ino)

    def test_a_key_that_is_not_known_everywhere_yet_is_tried_again(self) -> None:
        tell_endpoint(refuse_logins=3)
        self.assert_installed(self.run_script())
        self.assertEqual(self.postfix.read_log().count("status=deferred"), 3)

    def test_a_key_that_stays_unknown_is_taken_back_and_no_mail_is_lost(self) -> None:
        tell_endpoint(refuse_logins=1000)
        process = self.start(PROOF_SECONDS="4")
        self.wait_for_refusal()
        self.send("sent while refused")
        self.wait_for_refusal(times=2)
        self.assert_restored(self.finish(process), "535 Authentication Credentials Invalid")
        tell_endpoint(refuse_logins=0)
        self.postfix.flush()
        self.wait_for("the mail arrives", lambda: self.arrived("Subject: sent while refused"))
        self.wait_for("the queue is empty", lambda: not self.postfix.queued())
        self.assertNotIn("status=bounced", self.postfix.read_log())

    def test_a_sender_that_ses_refuses_is_no_proof(self) -> None:
        self.assert_restored(self.run_script(PROBE_SENDER="a@unverified.example"), "554 Message rejected")
        self.wait_for("no bounce is queued", lambda: not self.postfix.queued())

    def test_two_runs_at_once_both_succeed(self) -> None:
        first, second = self.start(), self.start()
        self.assert_installed(self.finish(first))
        self.assert_installed(self.finish(second))

    def test_a_run_waits_for_the_one_before(self) -> None:
        place = self.map.with_suffix(".lock")
        place.touch(0o600)
        with place.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = self.start()
            waits = f"PPid:\t{process.pid}\n"
            self.wait_for("the script waits", lambda: waits in "".join(statuses_of("flock")))
            self.assertEqual(self.map.read_text(), self.old_map)
        self.assert_installed(self.finish(process))

    def test_a_run_that_is_terminated_takes_the_map_back(self) -> None:
        tell_endpoint(refuse_logins=1000)
        process = self.start()
        self.wait_for_refusal()
        process.terminate()
        self.assert_restored(self.finish(process), "the map before is back")

    def test_after_a_killed_run_the_next_still_knows_the_way_back(self) -> None:
        tell_endpoint(refuse_logins=1000)
        process = self.start()
        self.wait_for_refusal()
        process.send_signal(signal.SIGKILL)
        self.finish(process)
        self.assertIn(pending.key, self.map.read_text())
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "the map before is back")

    def test_the_way_back_is_to_the_last_map_that_was_proven(self) -> None:
        before = self.map.with_suffix(".before")
        before.touch(0o600)
        before.write_text(self.old_map)
        self.map.write_text(self.line(Credential("AKIAUNPROVENUNPROVEN", "x" * 44)))
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "the map before is back")

    def test_a_postfix_that_would_bounce_on_a_refused_login_is_not_touched(self) -> None:
        with (self.postfix.config / "main.cf").open("a") as main:
            main.write("smtp_sasl_auth_soft_bounce = no\n")
        self.assert_restored(self.run_script(), "smtp_sasl_auth_soft_bounce is not yes")

    def test_a_postfix_that_does_not_run_proves_nothing(self) -> None:
        self.postfix.stop()
        self.assert_restored(self.run_script(), "does it run?")

    def test_a_host_that_boots_gets_the_current_credential_before_postfix_runs(self) -> None:
        self.postfix.stop()
        self.map.write_text(FOREIGN_LINE)
        code, out, err = self.run_script("--current")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("there is no proof", out)
        self.assertEqual(self.map.read_text(), self.old_map)

    def test_a_host_that_boots_during_a_rotation_keeps_what_it_was_told(self) -> None:
        self.assert_installed(self.run_script())
        code, out, err = self.run_script("--current")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("keeps the credential that a rotation has brought", out)
        self.assertIn(pending.key, self.map.read_text())

    def test_a_host_that_cannot_ask_what_it_was_told_keeps_what_it_has(self) -> None:
        self.assert_installed(self.run_script())
        for number, expected in ((1, "cannot read AWSCURRENT"), (2, "cannot read DEPLOYING")):
            fault = {"action": "secretsmanager:GetSecretValue", "call": number, "times": 9, "kind": "fail"}
            tell_sandbox("faults", rules=[fault])
            self.addCleanup(tell_sandbox, "faults", rules=[])
            code, out, err = self.run_script("--current", AWS_MAX_ATTEMPTS="1")
            self.assertEqual((code, out), (1, ""), err)
            self.assertIn(expected, err)
            self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(pending))
            self.assert_private()

    def test_the_credential_in_use_stays_though_its_proof_fails(self) -> None:
        gone = self.line(Credential("AKIAGONEGONEGONEGONE", "x" * 44))
        self.map.write_text(FOREIGN_LINE + gone)
        tell_endpoint(refuse_logins=1000)
        code, out, err = self.run_script("--current", PROOF_SECONDS="3")
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("the map stays as it is, since that is the credential in use", err)
        self.assertEqual(self.map.read_text(), self.old_map)
        tell_endpoint(refuse_logins=0)
        code, out, err = self.run_script("--current")
        self.assertEqual((code, err), (0, ""))
        self.assertFalse(self.map.with_suffix(".before").exists())


class IndexedTable(RotateSmtp):
    map_type = "hash"

    def build_index(self) -> None:
        subprocess.run(["postmap", f"hash:{self.map}"], check=True, env=os.environ | self.instance())

    def instance(self) -> dict[str, str]:
        return {"MAIL_CONFIG": str(self.postfix.config)}

    def looked_up(self) -> str:
        command = ["postmap", "-q", self.relay, f"hash:{self.map}"]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | self.instance()
        ).stdout

    def test_the_index_has_the_new_credential(self) -> None:
        self.assert_installed(self.run_script())
        self.assertEqual(self.looked_up(), f"{pending.key}:{pending.password}\n")

    def test_the_index_goes_back_with_the_map(self) -> None:
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "535")
        self.assertEqual(self.looked_up(), f"{current.key}:{current.password}\n")


if __name__ == "__main__":
    unittest.main()
