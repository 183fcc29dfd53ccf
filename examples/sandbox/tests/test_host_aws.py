"""The instances' quick `aws` answers as the AWS CLI does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from sandbox.programs import link_programs

from support import client, unique

secrets = client("secretsmanager")


class QuickAws(unittest.TestCase):
    def setUp(self) -> None:
        self.bin = Path(self.enterContext(tempfile.TemporaryDirectory()))
        link_programs(self.bin)
        value = '{"AccessKeyId": "AKIA", "note": "two\\nlines, \u00fc"}'
        made = secrets.create_secret(Name=unique("quick"), SecretString=value)
        self.secret, self.version = made["ARN"], made["VersionId"]

    def run_aws(self, program: str, *options: str, **settings: str) -> tuple[int, str, str]:
        fixed = ("--query", "SecretString", "--output", "text", "--region", "eu-west-1")
        done = subprocess.run(
            [program, "secretsmanager", "get-secret-value", "--secret-id", self.secret, *options, *fixed],
            env=os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}", "AWS_MAX_ATTEMPTS": "1", **settings},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def test_it_answers_what_the_cli_answers(self) -> None:
        unknown = "0" * 36
        for options in (
            (),
            ("--version-stage", "AWSCURRENT"),
            ("--version-stage", "AWSCURRENT", "--version-id", self.version, "--cli-connect-timeout", "5"),
            ("--version-stage", "AWSPENDING"),
            ("--version-stage", "AWSPENDING", "--version-id", self.version),
            ("--version-id", unknown),
        ):
            with self.subTest(options):
                quick, cli = (self.run_aws(program, *options) for program in ("aws", "aws-cli"))
                self.assertEqual(quick, cli)
        denied = {"AWS_SECRET_ACCESS_KEY": "wrong"}
        quick, cli = (self.run_aws(program, **denied) for program in ("aws", "aws-cli"))
        self.assertEqual(quick, cli)

    def test_any_other_call_is_the_clis(self) -> None:
        done = subprocess.run([self.bin / "aws", "--version"], capture_output=True, text=True)
        self.assertIn("aws-cli/", done.stdout)

    def test_it_is_what_an_instance_has(self) -> None:
        host = Path(os.environ["SANDBOX_DIR"]) / "host/usr/bin"
        self.assertEqual((host / "aws").resolve(), (self.bin / "aws").resolve())
        self.assertEqual((host / "python3").resolve(), Path(sys.executable).resolve())
