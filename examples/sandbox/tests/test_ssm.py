"""Documents and Run Command, by the calls that the sandbox answers instead of ministack."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from sandbox import account, host, ssm
from sandbox.api import AwsError, Call

FIRST, SECOND, THIRD = account.INSTANCES
ARN_PATTERN = "^arn:aws:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-prod/smtp-AbCdEf"


def document(*commands: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    """A document of one step that runs the commands."""
    step = {"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": list(commands)}}
    return {"schemaVersion": "2.2", "parameters": parameters, "mainSteps": [step]}


class SsmTest(unittest.TestCase):
    """A test with its own hosts, which leaves no document."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        host.start(self.directory, "http://127.0.0.1:9", account.ACCOUNT_ID, account.REGION)
        self.addCleanup(self.forget)
        self.addCleanup(ssm.stop)

    def forget(self) -> None:
        for found in self.call("ListDocuments", Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]:
            self.call("DeleteDocument", Name=found["Name"])

    def call(self, action: str, **params: Any) -> Any:
        caller = f"arn:aws:iam::{account.ACCOUNT_ID}:user/administrator"
        return ssm.OVERRIDES[f"ssm:{action}"](Call("ssm", action, caller, account.ACCOUNT_ID, account.REGION, params))

    def fails(self, code: str, action: str, **params: Any) -> None:
        with self.assertRaises(AwsError) as failure:
            self.call(action, **params)
        self.assertEqual(failure.exception.code, code)

    def create(self, body: dict[str, Any], name: str = "rotate", **params: Any) -> dict[str, Any]:
        return self.call("CreateDocument", Name=name, Content=json.dumps(body), **params)["DocumentDescription"]

    def send(self, name: str = "rotate", instances: tuple[str, ...] = (FIRST,), **params: Any) -> str:
        return self.call("SendCommand", DocumentName=name, InstanceIds=list(instances), **params)["Command"][
            "CommandId"
        ]

    def shell(self, *commands: str, **params: Any) -> str:
        parameters = {"commands": list(commands)} | params.pop("Parameters", {})
        return self.send("AWS-RunShellScript", Parameters=parameters, **params)

    def get(self, command_id: str, instance_id: str = FIRST) -> dict[str, Any]:
        return self.call("GetCommandInvocation", CommandId=command_id, InstanceId=instance_id)

    def steps(self, command_id: str) -> list[dict[str, Any]]:
        """The steps that the command's first instance has begun."""
        found = self.call("ListCommandInvocations", CommandId=command_id, Details=True)["CommandInvocations"]
        return found[0]["CommandPlugins"] if found else []

    def wait(self, command_id: str, instance_id: str = FIRST, *, until: tuple[str, ...] = ()) -> dict[str, Any]:
        """The invocation once it has a status of `until`, or once it has finished."""
        deadline = time.monotonic() + 20
        while True:
            self.assertLess(time.monotonic(), deadline)
            try:
                found = self.get(command_id, instance_id)
            except AwsError as failure:
                self.assertEqual(failure.code, "InvocationDoesNotExist")
            else:
                if found["Status"] in (until or ("Success", "Failed", "TimedOut", "Cancelled")):
                    return found
            time.sleep(0.02)


class Documents(SsmTest):
    def test_a_document_is_shared_with_nobody(self) -> None:
        self.create(document("true"))
        shared = self.call("DescribeDocumentPermission", Name="rotate", PermissionType="Share")
        self.assertEqual(shared, {"AccountIds": [], "AccountSharingInfoList": []})
        self.fails("InvalidDocument", "DescribeDocumentPermission", Name="unknown", PermissionType="Share")

    def test_a_document_is_described_with_its_content_tags_and_hash(self) -> None:
        body = document("true", arn={"type": "String", "default": "x", "description": "the secret"})
        created = self.create(body, Tags=[{"Key": "team", "Value": "platform"}])
        self.assertEqual(created["Status"], "Creating")
        described = self.call("DescribeDocument", Name="rotate")["Document"]
        expected = {
            "Name": "rotate",
            "Status": "Active",
            "DocumentVersion": "1",
            "DefaultVersion": "1",
            "LatestVersion": "1",
            "SchemaVersion": "2.2",
            "Hash": hashlib.sha256(json.dumps(body).encode()).hexdigest(),
            "HashType": "Sha256",
            "Owner": account.ACCOUNT_ID,
            "Tags": [{"Key": "team", "Value": "platform"}],
            "Parameters": [{"Name": "arn", "Type": "String", "DefaultValue": "x", "Description": "the secret"}],
        }
        self.assertEqual({name: described[name] for name in expected}, expected)
        self.assertEqual(json.loads(self.call("GetDocument", Name="rotate")["Content"]), body)
        arn = f"arn:aws:ssm:{account.REGION}:{account.ACCOUNT_ID}:document/rotate"
        self.assertEqual(self.call("DescribeDocument", Name=arn)["Document"]["Name"], "rotate")

    def test_yaml_is_accepted_and_converted(self) -> None:
        body = document("true")
        self.call("CreateDocument", Name="rotate", Content=yaml.safe_dump(body), DocumentFormat="YAML")
        self.assertEqual(json.loads(self.call("GetDocument", Name="rotate")["Content"]), body)
        as_yaml = self.call("GetDocument", Name="rotate", DocumentFormat="YAML")["Content"]
        self.assertEqual(yaml.safe_load(as_yaml), body)

    def test_a_name_is_taken_once_and_must_be_allowed(self) -> None:
        self.create(document("true"))
        self.fails("DocumentAlreadyExists", "CreateDocument", Name="rotate", Content=json.dumps(document("true")))
        for name in ("ab", "a b c", "a/b/c", "x" * 129, "aws-rotate", "Amazon-rotate"):
            with self.subTest(name=name):
                self.fails("ValidationException", "CreateDocument", Name=name, Content=json.dumps(document("true")))

    def test_bad_content_is_refused(self) -> None:
        good = document("true")
        unknown_step = document("true")
        unknown_step["mainSteps"][0]["timeoutSeconds"] = 10
        for code, content in {
            "InvalidDocumentContent": [
                "{",
                "[]",
                json.dumps(good | {"mainSteps": []}),
                json.dumps(good | {"runtimeConfig": {}}),
                json.dumps(unknown_step),
                json.dumps(document("echo {{ missing }}")),
                json.dumps(document("true", p={"type": "Text"})),
                json.dumps(document("true", p={"type": "String", "allowedPatern": "a"})),
                json.dumps(document("true", p={"type": "String", "allowedPattern": "("})),
                json.dumps(document("true", p={"type": "StringList", "interpolationType": "ENV_VAR"})),
            ],
            "InvalidDocumentSchemaVersion": [json.dumps(good | {"schemaVersion": "1.2"})],
            "MaxDocumentSizeExceeded": [json.dumps(document("#" * 65536))],
        }.items():
            for text in content:
                with self.subTest(content=text[:100]):
                    self.fails(code, "CreateDocument", Name="rotate", Content=text)
        self.fails("InvalidDocument", "DescribeDocument", Name="rotate")

    def test_an_update_makes_a_version_that_is_not_yet_the_default(self) -> None:
        self.create(document("echo 1"))
        update = {"Name": "rotate", "Content": json.dumps(document("echo 2"))}
        self.fails("InvalidDocumentVersion", "UpdateDocument", **update)
        self.fails("InvalidDocumentVersion", "UpdateDocument", **update, DocumentVersion="2")
        updated = self.call("UpdateDocument", **update, DocumentVersion="$LATEST")["DocumentDescription"]
        self.assertEqual((updated["DocumentVersion"], updated["LatestVersion"]), ("2", "2"))
        self.fails("DuplicateDocumentContent", "UpdateDocument", **update, DocumentVersion="$LATEST")
        self.fails("InvalidDocumentVersion", "UpdateDocument", **update, DocumentVersion="1")
        self.assertEqual(self.call("DescribeDocument", Name="rotate")["Document"]["DocumentVersion"], "1")
        self.assertEqual(self.wait(self.send())["StandardOutputContent"], "1\n")
        latest = self.call("DescribeDocument", Name="rotate", DocumentVersion="$LATEST")["Document"]
        self.assertEqual(latest["DocumentVersion"], "2")

        answer = self.call("UpdateDocumentDefaultVersion", Name="rotate", DocumentVersion="2")
        self.assertEqual(answer["Description"], {"Name": "rotate", "DefaultVersion": "2"})
        self.assertEqual(self.wait(self.send())["StandardOutputContent"], "2\n")
        self.assertEqual(self.wait(self.send(DocumentVersion="1"))["StandardOutputContent"], "1\n")
        self.fails("InvalidDocumentVersion", "UpdateDocumentDefaultVersion", Name="rotate", DocumentVersion="3")
        self.fails("InvalidDocumentVersion", "DescribeDocument", Name="rotate", DocumentVersion="3")

    def test_what_is_absent_is_an_invalid_document(self) -> None:
        for action, params in {
            "DescribeDocument": {},
            "GetDocument": {},
            "DeleteDocument": {},
            "UpdateDocument": {"Content": json.dumps(document("true")), "DocumentVersion": "$LATEST"},
            "UpdateDocumentDefaultVersion": {"DocumentVersion": "1"},
        }.items():
            with self.subTest(action=action):
                self.fails("InvalidDocument", action, Name="rotate", **params)
        self.fails("InvalidDocument", "SendCommand", DocumentName="rotate", InstanceIds=[FIRST])
        self.create(document("true"))
        self.call("DeleteDocument", Name="rotate")
        self.fails("InvalidDocument", "DescribeDocument", Name="rotate")

    def test_a_documents_tags_are_added_and_removed(self) -> None:
        resource = {"ResourceType": "Document", "ResourceId": "rotate"}
        self.fails("InvalidResourceId", "ListTagsForResource", **resource)
        self.create(document("true"), Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}])
        self.call("AddTagsToResource", **resource, Tags=[{"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}])
        self.call("RemoveTagsFromResource", **resource, TagKeys=["a", "unknown"])
        tags = [{"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]
        self.assertEqual(self.call("ListTagsForResource", **resource), {"TagList": tags})
        many = [{"Key": f"k{number}", "Value": ""} for number in range(49)]
        self.fails("TooManyTagsError", "AddTagsToResource", **resource, Tags=many)
        reserved = [{"Key": "aws:x", "Value": ""}]
        self.fails("ValidationException", "AddTagsToResource", **resource, Tags=reserved)
        self.assertEqual(self.call("ListTagsForResource", **resource), {"TagList": tags})

    def test_tags_of_other_resources_are_left_to_the_emulator(self) -> None:
        resource = {"ResourceType": "MaintenanceWindow", "ResourceId": "rotate"}
        self.assertIsNone(self.call("ListTagsForResource", **resource))
        self.assertIsNone(self.call("AddTagsToResource", **resource, Tags=[]))
        self.assertIsNone(self.call("RemoveTagsFromResource", **resource, TagKeys=[]))


class Parameters(SsmTest):
    def test_a_parameter_is_replaced_as_text_even_where_that_is_code(self) -> None:
        self.create(document("echo {{ word }}", word={"type": "String"}))
        found = self.wait(self.send(Parameters={"word": ["a; echo b"]}))
        self.assertEqual(found["StandardOutputContent"], "a\nb\n")

    def test_an_env_var_parameter_is_in_the_environment_and_not_in_the_script(self) -> None:
        guarded = 'if [ -z "${SSM_word+x}" ]; then export SSM_word="{{word}}"; fi'
        word = {"type": "String", "interpolationType": "ENV_VAR"}
        self.create(document(guarded, 'echo "$SSM_word"', "echo '{{ word }}'", word=word))
        value = "a; $(echo b) 'c'"
        found = self.wait(self.send(Parameters={"word": [value]}))
        self.assertEqual(found["StandardOutputContent"], f"{value}\n{{{{ word }}}}\n")

        host.configure({"id": FIRST, "agent_version": "3.3.2745.9"})
        found = self.wait(self.send(Parameters={"word": ["plain"]}))
        self.assertEqual(found["StandardOutputContent"], "plain\nplain\n")

    def test_values_must_be_declared_required_single_and_allowed(self) -> None:
        arn = {"type": "String", "allowedPattern": ARN_PATTERN}
        mode = {"type": "String", "default": "fast", "allowedValues": ["fast", "slow"]}
        self.create(document("echo {{ arn }} {{ mode }}", arn=arn, mode=mode))
        for parameters in (
            {},
            {"arn": [ARN], "other": ["x"]},
            {"arn": [ARN, ARN]},
            {"arn": []},
            {"arn": [f"{ARN}; true"]},
            {"arn": ["x"]},
            {"arn": [ARN], "mode": ["medium"]},
        ):
            with self.subTest(parameters=parameters):
                self.fails(
                    "InvalidParameters",
                    "SendCommand",
                    DocumentName="rotate",
                    InstanceIds=[FIRST],
                    Parameters=parameters,
                )
        found = self.wait(self.send(Parameters={"arn": [ARN]}))
        self.assertEqual(found["StandardOutputContent"], f"{ARN} fast\n")


class Sending(SsmTest):
    def test_instances_must_exist_and_be_named_once(self) -> None:
        shell = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
        self.fails("InvalidInstanceId", "SendCommand", **shell, InstanceIds=[FIRST, "i-0000000000000000f"])
        self.fails("DuplicateInstanceId", "SendCommand", **shell, InstanceIds=[FIRST, FIRST])
        self.fails("ValidationException", "SendCommand", **shell)
        self.fails("ValidationException", "SendCommand", **shell, InstanceIds=[FIRST], TimeoutSeconds=29)
        self.fails("ValidationException", "SendCommand", **shell, InstanceIds=[FIRST], Comment="x" * 101)
        self.assertEqual(self.call("ListCommands", InstanceId="i-0000000000000000f"), {"Commands": []})

    def test_a_document_can_be_pinned_by_its_hash(self) -> None:
        description = self.create(document("echo pinned"))
        pinned = {"DocumentHash": description["Hash"], "DocumentHashType": "Sha256"}
        self.assertEqual(self.wait(self.send(**pinned))["Status"], "Success")
        update = {"Name": "rotate", "Content": json.dumps(document("echo other")), "DocumentVersion": "$LATEST"}
        self.call("UpdateDocument", **update)
        self.call("UpdateDocumentDefaultVersion", Name="rotate", DocumentVersion="2")
        self.fails("InvalidDocument", "SendCommand", DocumentName="rotate", InstanceIds=[FIRST], **pinned)

    def test_an_invocation_is_unknown_at_first_and_then_passes_through_its_states(self) -> None:
        command_id = self.shell("while [ ! -e go ]; do sleep 0.05; done; echo done; echo problem >&2")
        self.fails("InvocationDoesNotExist", "GetCommandInvocation", CommandId=command_id, InstanceId=FIRST)
        pending = self.wait(command_id, until=("Pending",))
        self.assertEqual((pending["StatusDetails"], pending["ResponseCode"]), ("Pending", -1))
        running = self.wait(command_id, until=("InProgress",))
        self.assertEqual((running["ResponseCode"], running["StandardOutputContent"]), (-1, ""))
        (self.directory / "host" / "go").touch()
        finished = self.wait(command_id)
        self.assertEqual(
            (finished["Status"], finished["StatusDetails"], finished["ResponseCode"]), ("Success",) * 2 + (0,)
        )
        self.assertEqual(finished["StandardOutputContent"], "done\n")
        self.assertEqual(finished["StandardErrorContent"], "problem\n")
        self.assertLess(finished["ExecutionStartDateTime"], finished["ExecutionEndDateTime"])
        self.fails("InvocationDoesNotExist", "GetCommandInvocation", CommandId=command_id, InstanceId=SECOND)

    def test_a_script_that_fails_fails_the_invocation_with_its_code(self) -> None:
        found = self.wait(self.shell("exit 7"))
        self.assertEqual((found["Status"], found["StatusDetails"], found["ResponseCode"]), ("Failed", "Failed", 7))

    def test_output_is_cut(self) -> None:
        found = self.wait(self.shell("head -c 30000 /dev/zero | tr '\\0' x | tee /dev/stderr"))
        self.assertEqual(len(found["StandardOutputContent"]), 24_000)
        self.assertEqual(len(found["StandardErrorContent"]), 8_000)

    def test_every_step_runs_and_one_failure_fails_the_command(self) -> None:
        body = document("echo first; exit 3")
        wait = "while [ ! -e go ]; do sleep 0.05; done; echo second"
        second = {"action": "aws:runShellScript", "name": "again", "inputs": {"runCommand": [wait]}}
        body["mainSteps"].append(second)
        self.create(body)
        command_id = self.send()
        while len(self.steps(command_id)) < 2:
            time.sleep(0.02)
        running = self.get(command_id)
        self.assertEqual((running["Status"], running["ResponseCode"]), ("InProgress", -1))
        self.assertEqual(running["StandardOutputContent"], "")
        (self.directory / "host" / "go").touch()
        found = self.wait(command_id)
        self.assertEqual((found["Status"], found["ResponseCode"]), ("Failed", 3))
        self.assertEqual(found["StandardOutputContent"], "first\nsecond\n")
        again = self.call("GetCommandInvocation", CommandId=command_id, InstanceId=FIRST, PluginName="again")
        self.assertEqual((again["ResponseCode"], again["StandardOutputContent"]), (0, "second\n"))
        unknown = {"CommandId": command_id, "InstanceId": FIRST, "PluginName": "unknown"}
        self.fails("InvalidPluginName", "GetCommandInvocation", **unknown)

    def test_several_hosts_have_a_folder_and_a_result_each(self) -> None:
        script = 'echo "$AWS_SSM_INSTANCE_ID" > here; [ "$AWS_SSM_INSTANCE_ID" != ' + SECOND + " ]"
        command_id = self.shell(script, instances=(FIRST, SECOND, THIRD))
        statuses = {instance: self.wait(command_id, instance)["Status"] for instance in (FIRST, SECOND, THIRD)}
        self.assertEqual(statuses, {FIRST: "Success", SECOND: "Failed", THIRD: "Success"})
        for instance, folder in {FIRST: "host", SECOND: f"host-{SECOND}", THIRD: f"host-{THIRD}"}.items():
            self.assertEqual((self.directory / folder / "here").read_text(), f"{instance}\n")
        (command,) = self.call("ListCommands", CommandId=command_id)["Commands"]
        self.assertEqual((command["Status"], command["TargetCount"], command["ErrorCount"]), ("Failed", 3, 1))
        listed = self.call("ListCommandInvocations", CommandId=command_id, Details=True)["CommandInvocations"]
        self.assertEqual({found["InstanceId"]: found["Status"] for found in listed}, statuses)
        codes = {found["InstanceId"]: found["CommandPlugins"][0]["ResponseCode"] for found in listed}
        self.assertEqual(codes, {FIRST: 0, SECOND: 1, THIRD: 0})
        one = self.call("ListCommandInvocations", CommandId=command_id, InstanceId=SECOND)["CommandInvocations"]
        self.assertEqual([found["InstanceId"] for found in one], [SECOND])


class Timeouts(SsmTest):
    def test_an_offline_host_leaves_the_command_in_progress_until_delivery_times_out(self) -> None:
        host.configure({"id": FIRST, "online": False})
        with mock.patch.dict("os.environ", SANDBOX_DELIVERY_TIMEOUT_SCALE="0.05"):
            sent = time.monotonic()
            command_id = self.shell("touch late", TimeoutSeconds=30)
            self.wait(command_id, until=("InProgress",))
            found = self.wait(command_id)
        self.assertGreaterEqual(time.monotonic() - sent, 1.5)
        details = (found["Status"], found["StatusDetails"], found["ResponseCode"])
        self.assertEqual(details, ("TimedOut", "Delivery Timed Out", -1))
        self.assertEqual((found["ExecutionStartDateTime"], found["StandardOutputContent"]), ("", ""))
        host.configure({"id": FIRST, "online": True})
        self.assertEqual(self.wait(self.shell("test ! -e late"))["Status"], "Success")

    def test_a_host_that_comes_back_in_time_gets_the_command(self) -> None:
        host.configure({"id": FIRST, "online": False})
        command_id = self.shell("true")
        self.wait(command_id, until=("InProgress",))
        host.configure({"id": FIRST, "online": True})
        self.assertEqual(self.wait(command_id)["Status"], "Success")

    def test_an_execution_that_times_out_is_killed_with_its_children(self) -> None:
        with mock.patch.object(ssm, "MIN_EXECUTION_SECONDS", 1):
            command_id = self.shell(
                "(sleep 2; touch late) & echo started; wait", Parameters={"executionTimeout": ["1"]}
            )
            found = self.wait(command_id)
        details = (found["Status"], found["StatusDetails"], found["ResponseCode"])
        self.assertEqual(details, ("TimedOut", "Execution Timed Out", 137))
        self.assertEqual(found["StandardOutputContent"], "started\n")
        self.assertEqual(self.wait(self.shell("sleep 2; test ! -e late"))["Status"], "Success")

    def test_what_a_script_leaves_running_keeps_it_from_ending_only_while_it_holds_the_output(self) -> None:
        with mock.patch.object(ssm, "MIN_EXECUTION_SECONDS", 1):
            parameters = {"executionTimeout": ["2"]}
            holds = self.wait(self.shell("sleep 30 & echo done", Parameters=parameters))
            left = self.wait(self.shell("sleep 30 >/dev/null 2>&1 & echo done", Parameters=parameters))
        self.assertEqual((holds["StatusDetails"], holds["StandardOutputContent"]), ("Execution Timed Out", "done\n"))
        self.assertEqual((left["Status"], left["StandardOutputContent"]), ("Success", "done\n"))

    def test_a_steps_timeout_out_of_range_is_the_agents_default(self) -> None:
        for text, seconds in {"120": 120, "5": 5, "172800": 172800, "4": 3600, "172801": 3600, "2m": 3600}.items():
            with self.subTest(text=text):
                self.assertEqual(ssm._execution_seconds({"inputs": {"timeoutSeconds": text}}, {}), seconds)
        by_parameter = {"inputs": {"timeoutSeconds": "{{ seconds }}"}}
        self.assertEqual(ssm._execution_seconds(by_parameter, {"seconds": "60"}), 60)
        self.assertEqual(ssm._execution_seconds({"inputs": {}}, {}), 3600)


class Cancelling(SsmTest):
    def test_a_running_command_is_killed(self) -> None:
        command_id = self.shell("touch started; (sleep 1; touch late) & wait")
        while not (self.directory / "host" / "started").exists():
            time.sleep(0.02)
        self.call("CancelCommand", CommandId=command_id)
        found = self.wait(command_id)
        self.assertEqual((found["Status"], found["ResponseCode"]), ("Cancelled", 137))
        self.assertEqual(self.wait(self.shell("sleep 1; test ! -e late"))["Status"], "Success")

    def test_a_command_that_waits_for_its_host_is_cancelled(self) -> None:
        host.configure({"id": FIRST, "online": False})
        command_id = self.shell("touch late")
        self.wait(command_id, until=("InProgress",))
        self.call("CancelCommand", CommandId=command_id, InstanceIds=[FIRST])
        self.assertEqual(self.wait(command_id)["Status"], "Cancelled")
        self.fails("InvalidCommandId", "CancelCommand", CommandId="0" * 36)
        self.fails("InvalidInstanceId", "CancelCommand", CommandId=command_id, InstanceIds=[SECOND])


class Instances(SsmTest):
    def statuses(self, **params: Any) -> dict[str, str]:
        found = self.call("DescribeInstanceInformation", **params)["InstanceInformationList"]
        return {instance["InstanceId"]: instance["PingStatus"] for instance in found}

    def test_instances_tell_whether_their_agent_answers(self) -> None:
        self.assertEqual(self.statuses(), dict.fromkeys((FIRST, SECOND, THIRD), "Online"))
        host.configure({"id": SECOND, "online": False})
        filters = [{"Key": "InstanceIds", "Values": [FIRST, SECOND, "i-0000000000000000f"]}]
        self.assertEqual(self.statuses(Filters=filters), {FIRST: "Online", SECOND: "ConnectionLost"})
        lost = [{"Key": "PingStatus", "Values": ["ConnectionLost"]}]
        self.assertEqual(self.statuses(Filters=lost), {SECOND: "ConnectionLost"})
        self.fails("InvalidFilterKey", "DescribeInstanceInformation", Filters=[{"Key": "Color", "Values": ["red"]}])


if __name__ == "__main__":
    unittest.main()
