"""What rotate_smtp_file.sh does during a rotation, with keys that work. `run test` starts these tests."""

from __future__ import annotations

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from account import Credential, deploying_on, fail_reads, new_rotating_secret, tell_endpoint
from control import ask_sandbox

SCRIPT = Path(__file__).resolve().parents[1] / "rotate_smtp_file.sh"


def setUpModule() -> None:
    global secret
    secret = new_rotating_secret("file-smtp")


def file_of(credential: Credential) -> str:
    return f"AccessKeyId={credential.key}\nSMTPPassword={credential.password}\n"


class RotateSmtpFile(unittest.TestCase):
    def setUp(self) -> None:
        tell_endpoint(refuse_logins=0)
        self.addCleanup(ask_sandbox, "faults", {"rules": []})
        self.addCleanup(tell_endpoint, down=False)
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.folder / "etc/mail/smtp-credentials"

    def run_script(self, *options: str, **settings: str) -> tuple[int, str, str]:
        """Exit code and outputs."""
        environment = {
            "HOST_ROOT": str(self.folder),
            "SMTP_ENDPOINT": os.environ["SANDBOX_SMTP_ENDPOINT"],
            "SSL_CERT_FILE": os.environ["SANDBOX_CA_FILE"],
            **settings,
        }
        done = subprocess.run(
            [SCRIPT, *options, secret.arn],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        for credential in (secret.current, secret.pending):
            self.assertFalse(credential.password in done.stdout + done.stderr, "a password is shown")
        return done.returncode, done.stdout, done.stderr

    def assert_has(self, result: tuple[int, str, str], state: str, label: str, credential: Credential) -> None:
        code, out, err = result
        self.assertEqual(code, 0, err)
        already = "already " if state == "unchanged" else ""
        self.assertEqual(out, f"{state}: {self.file} {already}has {label}, access key {credential.key}\n")
        self.assertEqual(self.file.read_text(), file_of(credential))

    def test_a_version_that_the_read_does_not_have_yet_is_read_again(self) -> None:
        fail_reads(call=1, times=2, code="ResourceNotFoundException", status=400, message="not yet")
        result = self.run_script(SECRET_VERSION_ID=secret.pending_version)
        self.assert_has(result, "installed", "AWSPENDING", secret.pending)
        result = self.run_script(SECRET_VERSION_ID=secret.pending_version, SECRET_VERSION_STAGE="AWSPENDING")
        self.assert_has(result, "unchanged", "AWSPENDING", secret.pending)

    def test_a_version_that_has_not_the_label_is_not_taken(self) -> None:
        code, out, err = self.run_script(SECRET_VERSION_ID=secret.current_version)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("cannot read AWSPENDING", err)
        self.assertFalse(self.file.exists())

    def test_a_version_that_deploying_was_moved_away_from_is_not_taken(self) -> None:
        with deploying_on(secret, None):
            for told in ({}, {"SECRET_VERSION_ID": secret.pending_version}):
                code, out, err = self.run_script(**told)
                self.assertEqual((code, out), (1, ""))
                self.assertIn("cannot read DEPLOYING", err)
                self.assertFalse(self.file.exists())

    def test_a_variable_that_is_not_in_its_form_changes_nothing(self) -> None:
        version = secret.pending_version
        for settings, options in (
            ({"SECRET_VERSION_ID": "--version"}, ()),
            ({"SECRET_VERSION_ID": f"{version}\n"}, ()),
            ({"SECRET_VERSION_ID": version, "SECRET_VERSION_STAGE": "AWSPREVIOUS"}, ()),
            ({"SECRET_VERSION_STAGE": "AWSCURRENT"}, ()),
            ({"SECRET_VERSION_ID": version}, ("--current",)),
            ({"SMTP_ENDPOINT": "https://example.com"}, ("--current",)),
        ):
            with self.subTest(settings=settings, options=options):
                code, out, _ = self.run_script(*options, **settings)
                self.assertEqual((code, out, list(self.folder.iterdir())), (1, "", []))

    def test_a_host_confirms_the_current_credential_only_if_it_has_it(self) -> None:
        told = {"SECRET_VERSION_ID": secret.current_version, "SECRET_VERSION_STAGE": "AWSCURRENT"}
        self.assert_has(self.run_script(**told), "installed", "AWSCURRENT", secret.current)
        self.assert_has(self.run_script(**told), "unchanged", "AWSCURRENT", secret.current)
        self.run_script()
        code, out, err = self.run_script(**told)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("keeps the credential that a rotation has brought", err)
        self.assertEqual(self.file.read_text(), file_of(secret.pending))

    def test_a_host_that_boots_takes_the_credential_that_the_other_hosts_were_told_of(self) -> None:
        self.assert_has(self.run_script("--current"), "installed", "DEPLOYING", secret.pending)
        starttls = os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]
        self.assert_has(self.run_script("--current", SMTP_ENDPOINT=starttls), "unchanged", "DEPLOYING", secret.pending)

    def test_a_host_that_boots_takes_the_current_credential_if_the_new_one_is_refused_three_times(self) -> None:
        for endpoint in (os.environ["SANDBOX_SMTP_ENDPOINT"], os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]):
            with self.subTest(endpoint=endpoint):
                self.file.unlink(missing_ok=True)
                tell_endpoint(refuse_logins=3)
                result = self.run_script("--current", SMTP_ENDPOINT=endpoint)
                self.assert_has(result, "installed", "AWSCURRENT", secret.current)
                self.assertIn("refuses the credential of DEPLOYING", result[2])

    def test_no_answer_is_not_a_refusal(self) -> None:
        tell_endpoint(down=True)
        self.assert_has(self.run_script("--current"), "installed", "DEPLOYING", secret.pending)
        tell_endpoint(down=False, refuse_logins=1000)
        other_roots = {"SSL_CERT_FILE": "/dev/null"}
        self.assert_has(self.run_script("--current", **other_roots), "unchanged", "DEPLOYING", secret.pending)

    def test_a_failed_read_of_what_hosts_were_told_of_changes_nothing(self) -> None:
        fail_reads(call=2, times=9)
        code, out, err = self.run_script("--current", AWS_MAX_ATTEMPTS="1")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("cannot read DEPLOYING", err)
        self.assertFalse(self.file.exists())

    def test_who_may_read_the_file_still_may_and_the_previous_credential_is_private(self) -> None:
        self.file.parent.mkdir(parents=True)
        for mode in (0o600, 0o640, 0o644):
            with self.subTest(mode=oct(mode)):
                self.file.write_text(file_of(secret.current))
                os.chown(self.file, 1, 12)
                self.file.chmod(mode)
                code, out, err = self.run_script()
                self.assertEqual((code, "every user of the host can read" in err), (0, mode == 0o644), err)
                self.assertEqual(self.file.read_text(), file_of(secret.pending))
                previous = self.file.with_name("smtp-credentials.previous")
                self.assertEqual(previous.read_text(), file_of(secret.current))
                for file, expected in ((self.file, mode), (previous, 0o600)):
                    made = file.stat()
                    self.assertEqual((made.st_uid, made.st_gid, made.st_mode & 0o777), (1, 12, expected))

    def test_a_link_is_followed_and_a_second_name_is_refused(self) -> None:
        self.file.parent.mkdir(parents=True)
        real = self.folder / "real"
        real.write_text(file_of(secret.current))
        self.file.symlink_to(real)
        self.assertEqual(self.run_script()[0], 0)
        self.assertTrue(self.file.is_symlink())
        self.assertEqual(real.read_text(), file_of(secret.pending))

        self.file.unlink()
        real.write_text(file_of(secret.current))
        self.file.hardlink_to(real)
        code, out, err = self.run_script()
        self.assertEqual((code, out), (1, ""))
        self.assertIn("has another name, a hard link", err)
        self.assertEqual(real.read_text(), file_of(secret.current))

    def test_files_of_others_stay(self) -> None:
        self.file.parent.mkdir(parents=True)
        other = self.file.with_name("smtp-credentials.new.backup")
        other.touch()
        self.assertEqual(self.run_script()[0], 0)
        self.assertTrue(other.exists())

    def test_a_module_in_the_current_folder_is_not_run(self) -> None:
        ran = self.folder / "ran"
        for module in ("json", "os", "smtplib", "ssl", "sys"):
            (self.folder / f"{module}.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
        self.assert_has(self.run_script("--current"), "installed", "DEPLOYING", secret.pending)
        self.assertFalse(ran.exists())


if __name__ == "__main__":
    unittest.main()
