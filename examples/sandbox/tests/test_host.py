"""The instance: what a script finds there, as which role it calls AWS, and the example script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from support import ACCOUNT, SANDBOX_DIR, SandboxTest, client, control, policy, state, unique, wait_for

FIRST, SECOND, THIRD = "i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2"
ROLE = "mail-prod-instance"
EXAMPLE = Path(__file__).resolve().parents[2] / "rotate_smtp_file.sh"
ARN = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:mail-prod/smtp-AbCdEf"


def credential(key: str) -> dict[str, str]:
    """The value of a deployment's secret."""
    password = "B" + key[4:].lower() + "/+=" + "x" * 24
    return {"username": "sender", "iam_user_arn": "arn", "AccessKeyId": key, "SMTPPassword": password}


OLD, NEW = credential("AKIAOLDOLDOLDOLDOLD0"), credential("AKIANEWNEWNEWNEWNEW0")


def file_of(value: dict[str, str]) -> str:
    """The file that the example script writes for a credential."""
    return f"AccessKeyId={value['AccessKeyId']}\nSMTPPassword={value['SMTPPassword']}\n"


def run_command(
    script: str, instance_id: str = FIRST, document: str = "AWS-RunShellScript", **params: Any
) -> dict[str, Any]:
    """The finished invocation."""
    ssm = client("ssm")
    parameters = {"commands": [script]} if document == "AWS-RunShellScript" else {}
    sent = ssm.send_command(InstanceIds=[instance_id], DocumentName=document, **{"Parameters": parameters, **params})
    command_id = sent["Command"]["CommandId"]

    def finished() -> dict[str, Any] | None:
        try:
            found = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        except ssm.exceptions.InvocationDoesNotExist:
            return None
        return None if found["Status"] in ("Pending", "InProgress") else found

    return wait_for(f"the end of {script}", finished)


class Surroundings(SandboxTest):
    def test_a_script_calls_aws_as_the_instance(self) -> None:
        for instance_id in (FIRST, SECOND):
            found = run_command("aws sts get-caller-identity --query Arn --output text", instance_id)
            caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{instance_id}\n"
            self.assertEqual((found["StandardOutputContent"], found["StandardErrorContent"]), (caller, ""))

    def test_a_script_may_do_only_what_the_instances_role_may(self) -> None:
        arn = client("secretsmanager").create_secret(Name=unique("secret"), SecretString="value")["ARN"]
        read = f"aws secretsmanager get-secret-value --secret-id {arn} --query SecretString --output text"
        denied = run_command(read)
        self.assertEqual(denied["Status"], "Failed")
        self.assertIn("AccessDenied", denied["StandardErrorContent"])
        self.allow(arn)
        self.assertEqual(run_command(read)["StandardOutputContent"], "value\n")

    def allow(self, arn: str) -> None:
        name = {"RoleName": ROLE, "PolicyName": unique("policy")}
        client("iam").put_role_policy(**name, PolicyDocument=policy("secretsmanager:GetSecretValue", arn))
        self.addCleanup(lambda: client("iam").delete_role_policy(**name))

    def test_a_script_inherits_nothing_from_the_sandbox(self) -> None:
        found = run_command("env")
        variables = dict(line.split("=", 1) for line in found["StandardOutputContent"].splitlines())
        self.assertEqual(variables["HOST_ROOT"], str(SANDBOX_DIR / "host"))
        self.assertTrue(variables["AWS_ACCESS_KEY_ID"].startswith("ASIA"))
        self.assertEqual([name for name in variables if name.startswith(("SANDBOX", "MINISTACK", "PYTHON"))], [])
        self.assertIn(variables["AWS_SECRET_ACCESS_KEY"], state()["secret_access_keys"])

    def test_the_working_folder_and_usr_local_bin_are_the_hosts_own(self) -> None:
        script = SANDBOX_DIR / f"host-{THIRD}" / "usr/local/bin/hello"
        script.write_text("#!/bin/sh\necho hello from $PWD\n")
        script.chmod(0o755)
        found = run_command("/usr/local/bin/hello && hello", THIRD)
        self.assertEqual(found["StandardOutputContent"], f"hello from {SANDBOX_DIR}/host-{THIRD}\n" * 2)
        self.assertEqual(run_command("/usr/local/bin/hello", FIRST)["ResponseCode"], 127)

    def test_an_instance_goes_offline_and_comes_back(self) -> None:
        def ping() -> str:
            filters = [{"Key": "InstanceIds", "Values": [THIRD]}]
            return client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"][0][
                "PingStatus"
            ]

        control("instance", {"id": THIRD, "online": False})
        self.addCleanup(control, "instance", {"id": THIRD, "online": True})
        self.assertEqual(ping(), "ConnectionLost")
        self.assertFalse(state()["instances"][THIRD]["online"])
        control("instance", {"id": THIRD, "online": True})
        self.assertEqual(ping(), "Online")


class OnTheWire(SandboxTest):
    """Answers and errors have the form that an SDK expects."""

    def test_an_sdk_understands_documents_and_their_errors(self) -> None:
        ssm = client("ssm")
        name = unique("document")
        step = {
            "action": "aws:runShellScript",
            "name": "run",
            "inputs": {"runCommand": ["/usr/local/bin/rotate_smtp.sh {{ arn }}"]},
        }
        body = {"schemaVersion": "2.2", "parameters": {"arn": {"type": "String"}}, "mainSteps": [step]}
        with self.assertRaises(ssm.exceptions.InvalidDocument):
            ssm.describe_document(Name=name)
        content = json.dumps(body)
        tags = [{"Key": "team", "Value": "platform"}]
        ssm.create_document(Name=name, Content=content, DocumentType="Command", Tags=tags)
        self.addCleanup(ssm.delete_document, Name=name)
        with self.assertRaises(ssm.exceptions.DocumentAlreadyExists):
            ssm.create_document(Name=name, Content=content, DocumentType="Command")
        with self.assertRaises(ssm.exceptions.DuplicateDocumentContent):
            ssm.update_document(Name=name, Content=content, DocumentVersion="$LATEST")
        described = ssm.describe_document(Name=name)["Document"]
        self.assertEqual((described["Status"], described["Tags"]), ("Active", tags))
        self.assertEqual(json.loads(ssm.get_document(Name=name)["Content"]), body)
        listed = ssm.list_tags_for_resource(ResourceType="Document", ResourceId=name)["TagList"]
        self.assertEqual(listed, tags)
        with self.assertRaises(ssm.exceptions.InvalidParameters):
            ssm.send_command(InstanceIds=[FIRST], DocumentName=name)
        with self.assertRaises(ssm.exceptions.InvalidInstanceId):
            ssm.send_command(InstanceIds=["i-0000000000000000f"], DocumentName=name, Parameters={"arn": ["x"]})
        found = run_command("", document=name, Parameters={"arn": ["not-an-arn"]})
        self.assertEqual((found["Status"], found["ResponseCode"]), ("Failed", 1))
        self.assertIn("usage: rotate_smtp.sh [--current] ARN-OF-A-SECRET", found["StandardErrorContent"])
        commands = ssm.list_commands(CommandId=found["CommandId"])["Commands"]
        self.assertEqual([command["Status"] for command in commands], ["Failed"])

    def test_parameters_stay_the_emulators(self) -> None:
        name = f"/{unique('parameter')}"
        client("ssm").put_parameter(Name=name, Value="x", Type="String", Tags=[{"Key": "team", "Value": "platform"}])
        listed = client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        self.assertEqual(listed, [{"Key": "team", "Value": "platform"}])
        with self.assertRaises(ClientError):
            client("ssm").list_tags_for_resource(ResourceType="Document", ResourceId=name.strip("/"))


class ExampleOnTheInstance(SandboxTest):
    """rotate_smtp_file.sh against Secrets Manager."""

    def secret_of_old(self) -> str:
        """The ARN of a secret that the instance may read and whose AWSCURRENT is OLD."""
        arn: str = client("secretsmanager").create_secret(Name=unique("secret"), SecretString=json.dumps(OLD))["ARN"]
        name = {"RoleName": ROLE, "PolicyName": unique("policy")}
        client("iam").put_role_policy(**name, PolicyDocument=policy("secretsmanager:GetSecretValue", arn))
        self.addCleanup(lambda: client("iam").delete_role_policy(**name))
        return arn

    def test_pending_is_installed_by_default_and_current_on_request(self) -> None:
        secrets = client("secretsmanager")
        arn = self.secret_of_old()
        file = SANDBOX_DIR / f"host-{SECOND}" / "etc/mail/smtp-credentials"

        none = run_command(f"/usr/local/bin/rotate_smtp.sh {arn}", SECOND)
        self.assertEqual(none["Status"], "Failed")
        self.assertIn("cannot read AWSPENDING of", none["StandardErrorContent"])
        self.assertFalse(file.exists())

        current = run_command(f"/usr/local/bin/rotate_smtp.sh --current {arn}", SECOND)
        self.assertEqual((current["Status"], file.read_text()), ("Success", file_of(OLD)))

        secrets.put_secret_value(
            SecretId=arn, SecretString=json.dumps(NEW), VersionStages=["AWSPENDING", "DEPLOYING"]
        )
        pending = run_command(f"/usr/local/bin/rotate_smtp.sh {arn}", SECOND)
        self.assertEqual((pending["Status"], file.read_text()), ("Success", file_of(NEW)))
        for found in (none, current, pending):
            self.assertNotIn(OLD["SMTPPassword"], str(found))
            self.assertNotIn(NEW["SMTPPassword"], str(found))

    def test_a_host_that_boots_during_a_rotation_has_the_credential_that_the_hosts_are_told_of(self) -> None:
        secrets = client("secretsmanager")
        arn = self.secret_of_old()
        file = SANDBOX_DIR / f"host-{THIRD}" / "etc/mail/smtp-credentials"

        def boot() -> str:
            found = run_command(f"/usr/local/bin/rotate_smtp.sh --current {arn}", THIRD)
            self.assertEqual(found["Status"], "Success", found["StandardErrorContent"])
            return file.read_text()

        new = secrets.put_secret_value(
            SecretId=arn, SecretString=json.dumps(NEW), VersionStages=["AWSPENDING", "DEPLOYING"]
        )["VersionId"]
        self.assertEqual(boot(), file_of(NEW), "a host that has nothing yet would lose the one in use after the grace")
        run_command(f"/usr/local/bin/rotate_smtp.sh {arn}", THIRD)
        self.assertEqual(boot(), file_of(NEW), "a host that was told keeps it")
        secrets.update_secret_version_stage(SecretId=arn, VersionStage="AWSPENDING", RemoveFromVersionId=new)
        self.assertEqual(boot(), file_of(NEW), "also if the rotation was given up")
        secrets.update_secret_version_stage(SecretId=arn, VersionStage="DEPLOYING", RemoveFromVersionId=new)
        self.assertEqual(boot(), file_of(OLD), "but not if it is not the one that hosts were told of")


class Example(unittest.TestCase):
    """rotate_smtp_file.sh alone, with a fake `aws` whose answers the test sets."""

    COMMANDS = tuple("bash cat chown cmp cp flock install ln mktemp mv readlink rm stat sync touch".split())

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.file = self.root / "etc/mail/smtp-credentials"
        self.bin = self.root / "bin"
        self.bin.mkdir()
        self.provide(*self.COMMANDS)
        # This interpreter: a `python3` on PATH can be a wrapper that needs folders of the PATH that this test removes.
        (self.bin / "python3").symlink_to(sys.executable)
        self.script("aws", 'printf "%s\\n" "$*" >>"$HOST_ROOT/aws-arguments"; cat "$HOST_ROOT/answer"')
        self.answer(json.dumps(NEW))

    def provide(self, *commands: str) -> None:
        for command in commands:
            (self.bin / command).symlink_to(shutil.which(command))

    def script(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        file.chmod(0o755)

    def answer(self, text: str) -> None:
        (self.root / "answer").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [shutil.which("bash"), EXAMPLE, *arguments],
            env={"PATH": str(self.bin), "HOST_ROOT": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_example(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=30)
        for password in (OLD["SMTPPassword"], NEW["SMTPPassword"]):
            self.assertNotIn(password, out + err)
        return process.returncode, out, err

    def test_the_file_is_its_owners_only_and_the_output_is_one_line(self) -> None:
        code, out, err = self.run_example(ARN)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, f"installed: {self.file} has AWSPENDING, access key {NEW['AccessKeyId']}\n")
        self.assertEqual(self.file.read_text(), file_of(NEW))
        for made in (self.file, self.file.with_name("smtp-credentials.lock")):
            self.assertEqual(made.stat().st_mode & 0o777, 0o600)
        read = f"secretsmanager get-secret-value --region eu-west-1 --secret-id {ARN} --version-stage"
        self.assertEqual(
            (self.root / "aws-arguments").read_text(),
            "".join(f"{read} {label} --query SecretString --output text\n" for label in ("AWSPENDING", "DEPLOYING")),
        )

    def test_the_old_credential_is_kept_and_a_second_run_changes_nothing(self) -> None:
        self.answer(json.dumps(OLD))
        self.run_example("--current", ARN)
        self.answer(json.dumps(NEW))
        self.run_example(ARN)
        previous = self.file.with_name("smtp-credentials.previous")
        for _ in range(2):
            self.assertEqual((self.file.read_text(), previous.read_text()), (file_of(NEW), file_of(OLD)))
            before = self.file.stat()
            code, out, err = self.run_example(ARN)
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out.startswith("unchanged: "))
            self.assertEqual(
                (self.file.stat().st_ino, self.file.stat().st_mtime_ns), (before.st_ino, before.st_mtime_ns)
            )
        left = {entry.name for entry in self.file.parent.iterdir()}
        self.assertEqual(left, {"smtp-credentials", "smtp-credentials.previous", "smtp-credentials.lock"})

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a file away")
    def test_the_file_stays_its_owners(self) -> None:
        self.answer(json.dumps(OLD))
        self.run_example(ARN)
        os.chown(self.file, 1234, 2345)
        self.answer(json.dumps(NEW))
        self.run_example(ARN)
        found = self.file.stat()
        self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (1234, 2345, 0o600))
        self.assertEqual(self.file.read_text(), file_of(NEW))

    def test_only_the_arn_of_a_secret_is_accepted(self) -> None:
        for arguments in [
            (),
            (ARN, ARN),
            ("mail-prod/smtp",),
            ("--pending", ARN),
            (f"arn:aws:iam::{ACCOUNT}:user/x",),
            (f"{ARN}; id",),
            (f"{ARN}\nid",),
        ]:
            with self.subTest(arguments=arguments):
                code, out, err = self.run_example(*arguments)
                self.assertEqual((code, out), (1, ""))
                self.assertIn("usage: ", err)
        self.assertFalse((self.root / "aws-arguments").exists())

    def test_what_is_no_credential_is_not_installed(self) -> None:
        self.run_example(ARN)
        for text in (
            "not JSON " + OLD["SMTPPassword"],
            "{}",
            json.dumps(OLD | {"AccessKeyId": None}),
            '{"AccessKeyId": 1}',
        ):
            with self.subTest(text=text):
                self.answer(text)
                code, out, err = self.run_example(ARN)
                self.assertEqual((code, out), (1, ""))
                self.assertEqual(len(err.splitlines()), 1)
                self.assertEqual(self.file.read_text(), file_of(NEW))

    @unittest.skipUnless(shutil.which("jq"), "needs jq")
    def test_jq_serves_where_there_is_no_python(self) -> None:
        (self.bin / "python3").unlink()
        self.provide("jq")
        self.assertEqual(self.run_example(ARN)[0], 0)
        self.assertEqual(self.file.read_text(), file_of(NEW))
        self.answer(json.dumps(OLD | {"SMTPPassword": None}))
        self.assertEqual(self.run_example(ARN)[0], 1)
        self.assertEqual(self.file.read_text(), file_of(NEW))

    def test_without_a_json_parser_it_says_so(self) -> None:
        (self.bin / "python3").unlink()
        self.assertEqual(self.run_example(ARN)[2], "rotate_smtp_file: needs python3 or jq to read the secret\n")

    def test_two_runs_at_once_come_one_after_the_other(self) -> None:
        self.provide("sleep")
        log = self.root / "log"
        self.script(
            "aws", 'echo begin >>"$HOST_ROOT/log"; sleep 0.5; echo end >>"$HOST_ROOT/log"; cat "$HOST_ROOT/answer"'
        )
        processes = [self.start(ARN), self.start(ARN)]
        outputs = sorted(process.communicate(timeout=30)[0].split(":")[0] for process in processes)
        self.assertEqual(outputs, ["installed", "unchanged"])
        # Each reads the value, and the one that installs it looks for DEPLOYING too.
        self.assertEqual(log.read_text().split(), ["begin", "end"] * 3)


if __name__ == "__main__":
    unittest.main()
