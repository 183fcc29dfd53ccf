"""What rotate_smtp.sh does with a real Postfix when something goes wrong. `run test` starts these tests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import signal
import smtplib
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from account import Credential, deploying_on, fail_reads, new_rotating_secret, tell_endpoint
from control import ask_sandbox
from postfix import Postfix

SCRIPT = Path(__file__).resolve().parents[1] / "rotate_smtp.sh"
MAIL = Path(os.environ["SANDBOX_DIR"]) / "mail"
SENDER = "no-reply@example.com"
FOREIGN_LINE = "[other.example]:587 someone:else\n"
RUN_SECONDS = 60


def setUpModule() -> None:
    global secret
    secret = new_rotating_secret("postfix-smtp")


class RotateSmtp(unittest.TestCase):
    map_type = "texthash"

    def setUp(self) -> None:
        tell_endpoint(refuse_logins=0)
        self.addCleanup(ask_sandbox, "faults", {"rules": []})
        port = urlsplit(os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]).port
        self.postfix = self.enterContext(Postfix(port, Path(os.environ["SANDBOX_CA_FILE"]), self.map_type))
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.relay = f"[localhost]:{port}"
        self.map = self.postfix.config / "sasl_passwd"
        self.old_map = f"{FOREIGN_LINE}{self.line(secret.current)}"
        self.map.touch(0o600)
        self.map.write_text(self.old_map)
        self.build_index()
        self.postfix.start()

    def build_index(self) -> None:
        """Builds the map's index, if the map's type needs one."""

    def kept(self, name: str) -> Path:
        """A file that the script keeps beside the map."""
        return self.map.with_name(f"sasl_passwd.rotate_smtp.{name}")

    def line(self, credential: Credential) -> str:
        return f"{self.relay} {credential.key}:{credential.password}\n"

    def start(self, *options: str, **settings: str) -> subprocess.Popen[str]:
        environment = {"MAIL_CONFIG": str(self.postfix.config), "PROBE_SENDER": SENDER, **settings}
        return subprocess.Popen(
            [SCRIPT, *options, secret.arn],
            cwd=self.folder,
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
            self.assert_not_shown("\n".join(command_lines(process.pid)))
            self.assert_copies_are_private()
            time.sleep(0.01)
        out, err = process.communicate()
        self.assert_not_shown(out + err)
        return process.returncode, out, err

    def assert_not_shown(self, text: str) -> None:
        for credential in (secret.current, secret.pending):
            self.assertFalse(credential.password in text, "a password is shown")
        self.assertNotRegex(text, r"rotate-smtp\.[0-9a-f]{32}", "the Message-ID is shown")

    def assert_copies_are_private(self) -> None:
        for copy in self.map.parent.glob("sasl_passwd.rotate_smtp.*"):
            try:
                self.assertEqual(copy.stat().st_mode & 0o077, 0, copy)
            except FileNotFoundError:
                continue  # it was renamed meanwhile

    def run_script(self, *options: str, **settings: str) -> tuple[int, str, str]:
        return self.finish(self.start(*options, **settings))

    def assert_restored(self, result: tuple[int, str, str], reason: str) -> None:
        code, out, err = result
        self.assertEqual((code, out), (1, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(reason, err)
        self.assertEqual(self.map.read_text(), self.old_map)
        self.assertFalse(self.kept("before").exists())
        self.assert_private()

    def assert_installed(self, result: tuple[int, str, str]) -> None:
        code, out, err = result
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.count("\n"), 1, out)
        self.assertIn(f"access key {secret.pending.key}; Postfix delivered with it: (250 Ok ", out)
        self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(secret.pending))
        self.assertFalse(self.kept("before").exists())
        self.assert_private()

    def assert_private(self) -> None:
        for file in self.map.parent.glob("sasl_passwd*"):
            self.assertEqual((file.stat().st_uid, file.stat().st_mode & 0o777), (0, 0o600), file)

    def assert_untouched(self, result: tuple[int, str, str], reason: str) -> None:
        self.assert_restored(result, reason)
        self.assertFalse(self.map.with_suffix(".lock").exists())

    def wait_for(self, what: str, happened: Callable[[], object]) -> None:
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


def command_lines(pid: int) -> list[str]:
    """Of the process and of all that it has started and that have not ended."""
    process = Path(f"/proc/{pid}")
    try:
        line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        children = (process / f"task/{pid}/children").read_text().split()
    except OSError:
        return []  # it has ended meanwhile
    return [line, *(line for child in children for line in command_lines(int(child)))]


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
        self.assertTrue(self.arrived(f"X-Access-Key-Id: {secret.pending.key}"))
        self.assertEqual(self.kept("previous").read_text(), self.old_map)

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
        self.assertIn(secret.pending.key, self.map.read_text())
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "the map before is back")

    def test_the_way_back_is_to_the_last_map_that_was_proven(self) -> None:
        unproven = self.line(Credential("AKIAUNPROVENUNPROVEN", "x" * 44))
        for name, text in (("before", self.old_map), ("unproven", f"{hashlib.sha256(unproven.encode()).hexdigest()}  -\n")):
            self.kept(name).touch(0o600)
            self.kept(name).write_text(text)
        self.map.write_text(unproven)
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "the map before is back")

    def test_a_map_that_somebody_has_changed_since_goes_back_to_no_older_one(self) -> None:
        for name in ("before", "unproven"):
            self.kept(name).touch(0o600)
            self.kept(name).write_text("very old\n")
        others = [self.map.with_name(f"sasl_passwd.{name}") for name in ("before", "newer", "new", "errors")]
        for other in others:
            other.touch(0o600)
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "the map before is back")
        self.assertEqual([other.exists() for other in others], [True] * 4)

    def test_a_postfix_that_would_bounce_on_a_refused_login_is_not_touched(self) -> None:
        self.postfix.set("smtp_sasl_auth_soft_bounce = no")
        self.assert_untouched(self.run_script(), "smtp_sasl_auth_soft_bounce is not yes")

    def test_a_postfix_whose_credential_depends_on_the_sender_is_not_touched(self) -> None:
        for name, value, unset in (
            ("smtp_sender_dependent_authentication", "yes", "no"),
            ("sender_dependent_relayhost_maps", "inline:{a@example.com=[other.example]}", ""),
            ("sender_dependent_default_transport_maps", "inline:{a@example.com=relay}", ""),
        ):
            with self.subTest(name=name):
                self.postfix.set(f"{name} = {value}")
                self.assert_untouched(self.run_script(), f"{name} is ")
                self.postfix.set(f"{name} = {unset}")

    def test_a_service_with_a_map_of_its_own_is_not_touched(self) -> None:
        services = self.postfix.config / "master.cf"
        services.write_text(services.read_text() + "other unix - - n - - smtp\n  -o smtp_sasl_password_maps=texthash:/x\n")
        self.assert_untouched(self.run_script(), "its mail would keep an old credential")

    def test_a_postfix_that_remembers_refusals_is_not_touched(self) -> None:
        self.postfix.set("smtp_sasl_auth_cache_name = btree:/x")
        self.assert_untouched(self.run_script(), "smtp_sasl_auth_cache_name is set")

    def test_the_credential_is_replaced_wherever_the_map_has_it(self) -> None:
        old, new = (f"{it.key}:{it.password}" for it in (secret.current, secret.pending))
        others = "# ours\nLocalHost.localdomain:2587 OLD\n[other.example]:25 a:b"
        for before, after in (
            (f"localhost OLD\n{self.relay} OLD\n{others}\n", f"localhost NEW\n{self.relay} NEW\n{others}\n"),
            ("LOCALHOST OLD\n", "LOCALHOST NEW\n"),
            (f"{self.relay.upper()}  OLD \r\n{others}", f"{self.relay.upper()} NEW\n{others}"),
            (f"{self.relay}\n  # ours\n\tOLD\n{others}\n", f"{self.relay} NEW\n  # ours\n{others}\n"),
            (f"[other.example]:25 a:b\n{self.relay}\n   OLD", f"[other.example]:25 a:b\n{self.relay} NEW\n"),
            ("[other.example]:25 a:b", f"[other.example]:25 a:b\n{self.relay} NEW\n"),
        ):
            with self.subTest(before=before):
                after = after.replace("2587 OLD", "2587 NEW").replace("NEW", new)
                self.map.write_bytes(before.replace("OLD", old).encode())
                self.build_index()
                code, _, err = self.run_script()
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(self.map.read_bytes().decode(), after)

    def test_a_line_of_the_same_host_with_another_credential_is_told_and_stays(self) -> None:
        other = "[localhost]:2587 a:b\n"
        self.map.write_text(other + self.old_map)
        self.build_index()
        code, _, err = self.run_script()
        self.assertEqual((code, err), (0, "rotate_smtp: the line of [localhost]:2587 has another credential, and keeps it\n"))
        self.assertIn(other, self.map.read_text())

    def test_after_a_current_credential_that_could_not_be_proven_no_older_one_comes_back(self) -> None:
        tell_endpoint(refuse_logins=1000)
        self.map.write_text(self.line(Credential("AKIALONGDELETEDKEY00", "x" * 44)))
        code, _, err = self.run_script("--current", PROOF_SECONDS="3")
        self.assertEqual(code, 1)
        self.assertIn("the map stays as it is", err)
        self.assertEqual([self.kept(name).exists() for name in ("before", "unproven")], [False, False])

    def test_a_map_that_cannot_be_changed_as_a_whole_stays_as_it_is(self) -> None:
        key = secret.current.key
        for text, reason in (
            (f"localhost a:b\n{self.old_map}", "one credential for localhost and another for [localhost]:"),
            (f"{self.old_map}[other.example]:25 {key}:other\n", f"has access key {key} with another password"),
        ):
            with self.subTest(reason=reason):
                self.map.write_text(text)
                self.build_index()
                code, out, err = self.run_script()
                self.assertEqual((code, out, err.count("\n"), self.map.read_text()), (1, "", 1, text), err)
                self.assertIn(reason, err)
                self.assertEqual(list(self.map.parent.glob("sasl_passwd.rotate_smtp.*")), [])

    def test_a_mail_that_the_log_does_not_mention_is_told(self) -> None:
        self.postfix.set("header_checks = regexp:{{/^Message-ID:/ IGNORE}}")
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "its log does not mention the mail")

    def test_a_postfix_that_does_not_run_proves_nothing(self) -> None:
        self.postfix.stop()
        self.assert_restored(self.run_script(), "does it run?")

    def test_a_host_that_cannot_ask_what_it_was_told_keeps_what_it_has(self) -> None:
        self.assert_installed(self.run_script())
        for number, expected in ((1, "cannot read AWSCURRENT"), (2, "cannot read DEPLOYING")):
            fail_reads(call=number, times=9)
            code, out, err = self.run_script("--current", AWS_MAX_ATTEMPTS="1")
            self.assertEqual((code, out), (1, ""), err)
            self.assertIn(expected, err)
            self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(secret.pending))
            self.assert_private()

    def test_the_credential_of_a_host_that_boots_stays_though_its_proof_fails(self) -> None:
        gone = self.line(Credential("AKIAGONEGONEGONEGONE", "x" * 44))
        self.map.write_text(FOREIGN_LINE + gone)
        tell_endpoint(refuse_logins=1000)
        code, out, err = self.run_script("--current", PROOF_SECONDS="3")
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("the map stays as it is, since every host should have AWSCURRENT", err)
        self.assertEqual(self.map.read_text(), self.old_map)
        tell_endpoint(refuse_logins=0)
        self.assert_installed(self.run_script("--current"))

    def test_copies_of_a_map_that_everybody_can_read_are_private(self) -> None:
        self.map.chmod(0o644)
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "535")
        self.map.chmod(0o644)
        tell_endpoint(refuse_logins=0)
        self.assert_installed(self.run_script())
        previous = self.kept("previous")
        previous.chmod(0o644)
        process = self.start()
        process.communicate()
        self.assertEqual(previous.stat().st_mode & 0o777, 0o600)

    def test_a_module_in_the_current_folder_is_not_run(self) -> None:
        ran = Path(self.folder) / "ran"
        for module in ("json", "os", "re", "secrets", "smtplib", "ssl", "sys"):
            (Path(self.folder) / f"{module}.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
        self.assert_installed(self.run_script())
        self.map.write_text(self.old_map)
        self.assert_installed(self.run_script("--current"))
        self.assertFalse(ran.exists())


class ToldVersion(RotateSmtp):
    """SECRET_VERSION_ID and SECRET_VERSION_STAGE, as the rotation function sets them."""

    def test_a_version_that_the_read_does_not_have_yet_is_read_again(self) -> None:
        stale = {"code": "ResourceNotFoundException", "status": 400, "message": "not yet"}
        fail_reads(call=1, times=2, **stale)
        self.assert_installed(self.run_script(SECRET_VERSION_ID=secret.pending_version))
        fail_reads(call=1, times=1, **stale | {"code": "InvalidRequestException"})
        told = self.run_script(SECRET_VERSION_ID=secret.pending_version, SECRET_VERSION_STAGE="AWSPENDING")
        self.assert_installed(told)

    def test_a_version_that_has_not_the_label_is_not_taken(self) -> None:
        began = time.monotonic()
        result = self.run_script(SECRET_VERSION_ID=secret.current_version)
        self.assert_restored(result, f"cannot read AWSPENDING of {secret.arn}")
        self.assertGreater(time.monotonic() - began, 25)

    def test_a_version_that_deploying_was_moved_away_from_is_not_taken(self) -> None:
        with deploying_on(secret, secret.current_version):
            self.assert_restored(self.run_script(), f"DEPLOYING of {secret.arn} names another credential")
            result = self.run_script(SECRET_VERSION_ID=secret.pending_version)
            self.assert_restored(result, f"cannot read DEPLOYING of {secret.arn}")

    def test_a_denied_read_is_not_repeated(self) -> None:
        fail_reads(call=1, times=1, code="AccessDeniedException", status=400, message="no")
        result = self.run_script(SECRET_VERSION_ID=secret.pending_version)
        self.assert_restored(result, "AccessDeniedException")

    def test_a_variable_that_is_not_in_its_form_changes_nothing(self) -> None:
        version = secret.pending_version
        other_stage = {"SECRET_VERSION_ID": version, "SECRET_VERSION_STAGE": "AWSPREVIOUS"}
        for settings, options, reason in (
            ({"SECRET_VERSION_ID": "--version"}, (), "SECRET_VERSION_ID is not the id"),
            ({"SECRET_VERSION_ID": f"{version}\n"}, (), "SECRET_VERSION_ID is not the id"),
            (other_stage, (), "SECRET_VERSION_STAGE is neither"),
            ({"SECRET_VERSION_STAGE": "AWSCURRENT"}, (), "SECRET_VERSION_ID is not"),
            ({"SECRET_VERSION_ID": version}, ("--current",), "--current takes no SECRET_VERSION_ID"),
        ):
            with self.subTest(settings=settings, options=options):
                self.assert_untouched(self.run_script(*options, **settings), reason)

    def confirm_current(self) -> tuple[int, str, str]:
        return self.run_script(SECRET_VERSION_ID=secret.current_version, SECRET_VERSION_STAGE="AWSCURRENT")

    def test_a_host_confirms_that_it_has_the_current_credential(self) -> None:
        code, out, err = self.confirm_current()
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, f"^unchanged: .* has AWSCURRENT, access key {secret.current.key}; Postfix delivered")
        self.assertEqual(self.map.read_text(), self.old_map)

    def test_a_host_on_the_new_credential_does_not_go_back_and_confirms_nothing(self) -> None:
        self.assert_installed(self.run_script())
        code, out, err = self.confirm_current()
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("keeps the credential that a rotation has brought", err)
        self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(secret.pending))

    def test_a_host_whose_postfix_does_not_run_confirms_nothing(self) -> None:
        self.postfix.stop()
        code, out, err = self.confirm_current()
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("does it run?", err)


class Boot(RotateSmtp):
    """--current on a host that was made anew while the rotation told the other hosts."""

    def setUp(self) -> None:
        super().setUp()
        self.postfix.stop()
        self.map.write_text(FOREIGN_LINE)
        self.addCleanup(tell_endpoint, down=False)

    def assert_booted(self, label: str, credential: Credential, reason: str = "") -> None:
        code, out, err = self.run_script("--current")
        self.assertEqual(code, 0, err)
        self.assertEqual(out.count("\n"), 1, out)
        self.assertIn(f"{self.map} has {label}, access key {credential.key}; Postfix does not run", out)
        self.assertIn(reason, err)
        self.assertEqual(bool(err), bool(reason), err)
        self.assertEqual(self.map.read_text(), FOREIGN_LINE + self.line(credential))

    def test_it_takes_the_credential_that_the_other_hosts_were_told_of(self) -> None:
        self.assert_booted("DEPLOYING", secret.pending)
        self.assert_booted("DEPLOYING", secret.pending)

    def test_it_takes_the_current_credential_if_the_new_one_is_refused_three_times(self) -> None:
        tell_endpoint(refuse_logins=2)
        self.assert_booted("DEPLOYING", secret.pending)
        tell_endpoint(refuse_logins=3)
        self.assert_booted("AWSCURRENT", secret.current, f"refuses access key {secret.pending.key} of DEPLOYING")

    def test_no_answer_is_not_a_refusal(self) -> None:
        tell_endpoint(down=True)
        self.assert_booted("DEPLOYING", secret.pending)
        tell_endpoint(down=False)
        tell_endpoint(refuse_logins=1000)
        self.postfix.set(f"smtp_tls_CAfile = {self.postfix.config}/main.cf")
        self.assert_booted("DEPLOYING", secret.pending)

    def test_without_a_rotation_it_takes_the_current_credential(self) -> None:
        for version in (None, secret.current_version):
            with self.subTest(version=version), deploying_on(secret, version):
                self.assert_booted("AWSCURRENT", secret.current)

    def test_it_proves_the_credential_if_postfix_runs(self) -> None:
        self.postfix.start()
        self.assert_installed(self.run_script("--current"))


class ForgedLog(RotateSmtp):
    """Every user of the host can log lines, and knows the queue's ids. These tests even know the Message-ID."""

    def write_to_log(self, program: str, text: str) -> None:
        with self.postfix.log.open("a") as log:
            log.write(f"{time.strftime('%b %d %H:%M:%S')} host soak/{program}[1]: {text}\n")

    def proof(self) -> re.Match[str] | None:
        """The queue id and the Message-ID of the script's mail, once Postfix has logged them."""
        return re.search(r"cleanup\[\d+\]: (\w+): message-id=<(rotate-smtp\.[^>]+)>", self.postfix.read_log())

    def test_no_other_mail_is_deleted(self) -> None:
        tell_endpoint(refuse_logins=1000)
        self.send("waits")
        self.wait_for_refusal()
        [other] = self.postfix.queued()
        process = self.start(PROOF_SECONDS="6")
        # Before Postfix's own line these are forgeries of somebody who guesses, and after it of somebody who knows.
        self.write_to_log("cleanup", "ALL: message-id=<rotate-smtp.1.1@example.com>")
        self.wait_for("the proof is queued", self.proof)
        for forged in ("ALL", "-", other):
            self.write_to_log("cleanup", f"{forged}: message-id=<{self.proof()[2]}>")
            self.write_to_log("smtp", self.sent(other, status="bounced (no)"))
        self.assert_restored(self.finish(process), "535 Authentication Credentials Invalid")
        self.assertEqual(self.postfix.queued(), [other])

    def test_only_the_mail_of_this_run_is_deleted_if_a_forged_line_comes_first(self) -> None:
        tell_endpoint(refuse_logins=1000)
        self.send("waits")
        self.wait_for_refusal()
        [other] = self.postfix.queued()
        log = self.postfix.folder / "forged.log"
        log.touch()
        process = self.start(PROOF_SECONDS="3", MAIL_LOG=str(log))
        self.wait_for("the proof is queued", self.proof)
        log.write_text(f"Jan  1 00:00:00 host soak/cleanup[1]: {other}: message-id=<{self.proof()[2]}>\n")
        self.assert_restored(self.finish(process), "it is still in the queue")
        self.assertIn(other, self.postfix.queued())

    def sent(self, queue_id: str, relay: str = "localhost", status: str = "sent (250 Ok)") -> str:
        return (
            f"{queue_id}: to=<success@simulator.amazonses.com>, relay={relay}[127.0.0.1]:587, delay=0.1, "
            f"delays=0/0/0/0.1, dsn=2.0.0, status={status}"
        )

    def test_a_mail_that_waits_was_not_sent_whatever_the_log_says(self) -> None:
        tell_endpoint(refuse_logins=1000)
        process = self.start(PROOF_SECONDS="4")
        self.wait_for("the proof is queued", self.proof)
        while process.poll() is None:
            self.write_to_log("smtp", self.sent(self.proof()[1]))
            time.sleep(0.1)
        result = self.finish(process)
        self.assert_restored(result, "Postfix does not deliver with access key")
        # The last line that the script reads is a forged one, or Postfix's own.
        self.assertRegex(result[2], "the mail is still in the queue|535 Authentication Credentials Invalid")

    def assert_no_proof(self, lines: Callable[[str], list[str]]) -> None:
        """The mail is sent. `lines` makes from its queue id the lines that the log then has beside that of cleanup."""
        log = self.postfix.folder / "forged.log"
        log.touch()
        process = self.start(PROOF_SECONDS="4", MAIL_LOG=str(log))
        self.wait_for("the mail is sent", lambda: " status=sent (250 Ok " in self.postfix.read_log())
        queue_id, message_id = self.proof().groups()
        first = f"Jan  1 00:00:00 host soak/cleanup[1]: {queue_id}: message-id=<{message_id}>"
        log.write_text("".join(f"{line}\n" for line in [first, *lines(queue_id)]))
        code, out, err = self.finish(process)
        self.assertEqual((code, out), (1, ""), err)
        self.assertEqual(self.map.read_text(), self.old_map)

    def test_a_line_counts_only_in_the_form_of_postfix(self) -> None:
        def lines(queue_id: str) -> list[str]:
            date, sent = "Jan  1 00:00:00 host", self.sent(queue_id)
            return [
                f"{date} soak/smtp: {sent}",
                f"{date} soak/smtpd[1]: {sent}",
                f"{date} soak/smtpd[1]: warning: x: soak/smtp[1]: {sent}",
                f"{date} other/smtp[1]: {sent}",
                f"{date} su[1]: {date} soak/smtp[1]: {sent}",
                f"soak/smtp[1]: {sent}",
                f"{date} soak/smtp[1]: {sent} and more",
                f"{date} soak/smtp[1]: x {sent}",
            ]

        self.assert_no_proof(lines)

    def test_a_mail_that_went_to_another_host_is_no_proof(self) -> None:
        other = "localhost.example"
        self.assert_no_proof(lambda queue_id: [f"Jan  1 00:00:00 host soak/smtp[1]: {self.sent(queue_id, other)}"])

    def test_in_the_journal_only_postfix_is_believed(self) -> None:
        programs = Path(self.folder) / "bin"
        programs.mkdir()
        # A journal that shows the lines of everybody, unless it is asked for one user's.
        uid, log = pwd.getpwnam("postfix").pw_uid, self.postfix.log
        journalctl = programs / "journalctl"
        journalctl.write_text(
            f"""#!/bin/sh
            case " $* " in
            *' --lines 1 '*) echo 'Jan  1 00:00:00 host kernel: hello' ;;
            *' --output short '*' _UID={uid} '*) cat {log} ;;
            *) cat {log} && sed -n 's/status=deferred/status=sent/p' {log} ;;
            esac
            """
        )
        journalctl.chmod(0o755)
        journal = {"MAIL_LOG": "journal", "PATH": f"{programs}:{os.environ['PATH']}"}
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="4", **journal), "535 Authentication Credentials Invalid")
        tell_endpoint(refuse_logins=0)
        self.assert_installed(self.run_script(**journal))

    def test_long_queue_ids_are_known(self) -> None:
        self.postfix.set("enable_long_queue_ids = yes")
        self.postfix.stop()
        self.postfix.start()
        tell_endpoint(refuse_logins=1)
        self.assert_installed(self.run_script())
        self.assertGreaterEqual(len(self.proof()[1]), 10)

    def test_a_mail_that_a_content_filter_hands_back_is_followed(self) -> None:
        self.postfix.add_content_filter()
        self.postfix.stop()
        self.postfix.start()
        self.assert_installed(self.run_script())
        self.assertEqual(self.postfix.read_log().count("status=sent"), 2)


class IndexedTable(RotateSmtp):
    map_type = "hash"

    def build_index(self) -> None:
        subprocess.run(["postmap", f"hash:{self.map}"], check=True, env=os.environ | self.instance())

    def instance(self) -> dict[str, str]:
        return {"MAIL_CONFIG": str(self.postfix.config)}

    def looked_up(self, destination: str | None = None) -> str:
        command = ["postmap", "-q", destination or self.relay, f"hash:{self.map}"]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | self.instance()
        ).stdout

    def test_the_index_has_the_new_credential(self) -> None:
        self.assert_installed(self.run_script())
        self.assertEqual(self.looked_up(), f"{secret.pending.key}:{secret.pending.password}\n")

    def test_a_text_that_was_deleted_once_it_was_indexed_is_read_from_the_index(self) -> None:
        self.map.unlink()
        code, _, err = self.run_script()
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.looked_up(), f"{secret.pending.key}:{secret.pending.password}\n")
        self.assertEqual(self.looked_up("[other.example]:587"), "someone:else\n")
        self.assert_private()

    def test_an_index_whose_text_was_deleted_goes_back(self) -> None:
        self.map.unlink()
        tell_endpoint(refuse_logins=1000)
        code, _, err = self.run_script(PROOF_SECONDS="3")
        self.assertEqual(code, 1)
        self.assertIn("the map before is back", err)
        self.assertEqual(self.looked_up(), f"{secret.current.key}:{secret.current.password}\n")
        self.assertEqual(self.looked_up("[other.example]:587"), "someone:else\n")

    def test_an_entry_that_only_the_index_has_is_not_lost(self) -> None:
        self.map.write_text(self.line(secret.current))
        code, out, err = self.run_script()
        self.assertEqual((code, out), (1, ""))
        self.assertIn("the index of the map has [other.example]:587, and its text has not", err)
        self.assertEqual(self.looked_up("[other.example]:587"), "someone:else\n")

    def test_a_run_that_was_killed_between_index_and_text_leaves_none_of_them_behind(self) -> None:
        old, new = self.line(secret.current), self.line(secret.pending)
        for indexed, text in ((new, old), (old, new), (new, "")):
            with self.subTest(indexed=indexed == new, text=text == new):
                self.map.write_text(FOREIGN_LINE + indexed)
                self.build_index()
                self.map.write_text(FOREIGN_LINE + text)
                self.assert_installed(self.run_script())
                self.assertEqual(self.looked_up(), f"{secret.pending.key}:{secret.pending.password}\n")

    def test_the_index_goes_back_with_the_map(self) -> None:
        tell_endpoint(refuse_logins=1000)
        self.assert_restored(self.run_script(PROOF_SECONDS="3"), "535")
        self.assertEqual(self.looked_up(), f"{secret.current.key}:{secret.current.password}\n")


if __name__ == "__main__":
    unittest.main()
