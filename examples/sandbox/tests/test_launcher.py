"""with-sandbox: the command's environment, streams, signals and exit code, and what remains when it has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import unittest
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from support import ENDPOINT, ask_sandbox, wait_for

LAUNCHER = Path(__file__).resolve().parents[1] / "with-sandbox"


def environment(**more: str) -> dict[str, str]:
    """The environment of a shell outside any sandbox."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SANDBOX_", "AWS_"))}
    return own | more


def run(*command: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, *command],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


class Launcher(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_commands_exit_code_and_streams_are_its_own(self) -> None:
        done = run("sh", "-c", "cat; echo error >&2; exit 7", env=environment(SANDBOX_DIR=str(self.folder)), input="in")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "in", "error\n"))

    def test_a_command_that_a_signal_ends_has_a_shells_exit_code(self) -> None:
        done = run("sh", "-c", "kill -KILL $$", env=environment(SANDBOX_DIR=str(self.folder)))
        self.assertEqual(done.returncode, 128 + signal.SIGKILL)

    def test_a_command_that_is_not_there_is_said(self) -> None:
        done = run("/no/such/command", env=environment(SANDBOX_DIR=str(self.folder)))
        self.assertEqual(done.returncode, 127)
        self.assertIn("/no/such/command: No such file or directory", done.stderr)

    def test_without_a_command_it_says_how_it_is_used(self) -> None:
        done = run()
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage: with-sandbox COMMAND", done.stderr)

    def test_the_users_own_aws_settings_do_not_reach_the_command(self) -> None:
        script = 'echo "$AWS_PROFILE/$AWS_ACCESS_KEY_ID"; aws sts get-caller-identity --query Account --output text'
        done = run("sh", "-c", script, env=environment(AWS_PROFILE="prod", AWS_ACCESS_KEY_ID="AKIAREAL"))
        self.assertNotIn("prod", done.stdout)
        self.assertNotIn("AKIAREAL", done.stdout)
        self.assertTrue(done.stdout.endswith("\n123456789012\n"), done)

    def test_the_tools_of_the_sandbox_come_last_in_path(self) -> None:
        done = run("sh", "-c", 'echo "$PATH"; dirname "$SANDBOX_PYTHON"; command -v cargo-lambda')
        path, tools, cargo_lambda = done.stdout.splitlines()
        self.assertEqual(path.rpartition(":")[2], tools)
        self.assertTrue(os.access(cargo_lambda, os.X_OK))

    def test_a_folder_of_its_own_is_kept_only_after_a_failure(self) -> None:
        done = run("sh", "-c", "echo $SANDBOX_DIR")
        self.assertFalse(Path(done.stdout.strip()).exists())
        done = run("sh", "-c", "echo $SANDBOX_DIR; exit 1")
        kept = Path(done.stdout.strip())
        self.addCleanup(subprocess.run, ["rm", "-rf", kept], check=True)
        self.assertTrue((kept / "calls.jsonl").exists())
        self.assertIn(f"are kept in {kept}", done.stderr)

    def test_the_environment_is_also_in_a_file_for_its_owner(self) -> None:
        script = f'env -i sh -c ". {self.folder}/env; echo \\$AWS_ENDPOINT_URL"; echo $AWS_ENDPOINT_URL'
        done = run("sh", "-c", script, env=environment(SANDBOX_DIR=str(self.folder)))
        from_file, from_environment = done.stdout.splitlines()
        self.assertEqual(from_file, from_environment)
        self.assertEqual((self.folder / "env").stat().st_mode & 0o777, 0o600)

    def test_a_failed_start_shows_the_end_of_the_log(self) -> None:
        done = run("echo", "ran", env=environment(SANDBOX_DIR=str(self.folder), SANDBOX_FAULTS='[{"kind": "explode"}]'))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("the sandbox failed", done.stderr)
        self.assertIn("not 'explode'", done.stderr)

    def test_it_serves_only_this_machine(self) -> None:
        done = run("sh", "-c", 'echo "$AWS_ENDPOINT_URL $SANDBOX_SMTP_ENDPOINT $SANDBOX_SMTP_STARTTLS_ENDPOINT"')
        self.assertRegex(done.stdout, r"^http://127.0.0.1:\d+ smtps://127.0.0.1:\d+ smtp://127.0.0.1:\d+$")

    def test_only_the_command_may_use_the_controls(self) -> None:
        body = json.dumps({}).encode()
        self.assertIn("rotations", ask_sandbox("state"))
        for headers in ({"X-Sandbox-Token": ""}, {"X-Sandbox-Token": "guess"}, {"Host": "attacker.example"}):
            for asked in (("state", None), ("faults", body)):
                with self.subTest(headers, asked=asked), self.assertRaisesRegex(HTTPError, "403"):
                    ask_sandbox(*asked, **headers)

    def test_no_endpoint_beside_awss_is_open_to_others(self) -> None:
        for path in ("_ministack/reset", "_ministack/health", "_localstack/health", "_sandbox/state"):
            with self.subTest(path), self.assertRaisesRegex(HTTPError, "403"):
                urllib.request.urlopen(f"{ENDPOINT}/{path}")

    def test_it_forwards_a_termination_and_then_stops_everything(self) -> None:
        pid_file = self.folder / "pid"
        told = 'trap "echo told; exit 5" TERM'
        script = f"{told}; echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; while :; do sleep 0.05; done"
        process = subprocess.Popen(
            [LAUNCHER, "sh", "-c", script],
            env=environment(SANDBOX_DIR=str(self.folder)),
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for("the command", pid_file.exists)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=30)
        self.assertEqual((process.returncode, stdout), (5, "told\n"))
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)

    def test_two_may_run_at_once(self) -> None:
        meeting = f"touch {self.folder}/$0; until test -e {self.folder}/$1; do sleep 0.05; done; echo $AWS_ENDPOINT_URL"
        both = [
            subprocess.Popen(
                [LAUNCHER, "sh", "-c", meeting, *names], env=environment(), stdout=subprocess.PIPE, text=True
            )
            for names in (("one", "two"), ("two", "one"))
        ]
        endpoints = {process.communicate(timeout=60)[0] for process in both}
        self.assertEqual(len(endpoints), 2)

    def test_no_function_outlives_it(self) -> None:
        script = """
            import sys
            sys.path.insert(0, sys.argv[1])
            from support import client, make_function
            arn = make_function("import os\\ndef handle(event): return os.getpid()")
            print(client("lambda").invoke(FunctionName=arn)["Payload"].read().decode())
            """
        file = self.folder / "script.py"
        file.write_text("\n".join(line.strip() for line in script.splitlines()))
        done = run("sh", "-c", f'"$SANDBOX_PYTHON" {file} {Path(__file__).parent}')
        pid = int(done.stdout)
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)
