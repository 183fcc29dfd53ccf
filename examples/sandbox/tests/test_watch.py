"""The watcher: what counts as a broken promise, and who caused it."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from support import (
    ACCOUNT,
    REGION,
    SANDBOX_DIR,
    SandboxTest,
    assume,
    client,
    control,
    make_role,
    policy,
    state,
    unique,
    wait_for,
)

from ministack.core.responses import request_scope
from ministack.services import iam as ministack_iam
from ministack.services import secretsmanager as ministack_secrets
from sandbox import host, smtp, watch
from sandbox.api import Call

ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:user/administrator"
FUNCTION = f"arn:aws:sts::{ACCOUNT}:assumed-role/mail-prod-rotation/mail-prod-rotation"
INSTANCE = "i-0123456789abcdef2"


def credential_file(key: str, password: str) -> str:
    return f"AccessKeyId={key}\nSMTPPassword={password}\n"


class Judging(unittest.TestCase):
    """The watcher, on a separate account in this process."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / watch.CREDENTIAL_FILE
        self.file.parent.mkdir(parents=True)
        self.usable = True
        for patched in (
            mock.patch.object(host, "_hosts", {INSTANCE: host.Host(INSTANCE, Path(folder.name))}),
            mock.patch.object(smtp, "is_usable", lambda _: self.usable),
        ):
            patched.start()
            self.addCleanup(patched.stop)
        self.addCleanup(self.forget)
        self.addCleanup(ministack_iam._access_keys.clear)
        self.addCleanup(ministack_secrets._secrets.clear)

    def forget(self) -> None:
        watch.configure({"forget": True, "leave_out": []})
        watch._keys_known_to_ses.clear()
        watch.begin_anew()

    def key(self, key_id: str, *, status: str = "Active", user: str = "mail") -> None:
        with request_scope(ACCOUNT, REGION):
            ministack_iam._access_keys[key_id] = {
                "AccessKeyId": key_id,
                "UserName": user,
                "Status": status,
                "SecretAccessKey": f"secret of {key_id}",
            }

    def end(self, key_id: str, caller: str) -> None:
        self.delete(key_id)
        self.call("iam", "DeleteAccessKey", caller, AccessKeyId=key_id)

    def delete(self, key_id: str) -> None:
        with request_scope(ACCOUNT, REGION):
            del ministack_iam._access_keys[key_id]

    def current(self, value: str) -> None:
        with request_scope(ACCOUNT, REGION):
            ministack_secrets._secrets["mail"] = {
                "Name": "mail",
                "Versions": {"v1": {"SecretString": value, "SecretBinary": None, "Stages": ["AWSCURRENT"]}},
            }

    def hold(self, key_id: str) -> None:
        self.file.write_text(credential_file(key_id, smtp.smtp_password(f"secret of {key_id}", REGION)))

    def call(self, service: str = "sts", action: str = "GetCallerIdentity", by: str = FUNCTION, **params: Any) -> None:
        call = Call(service, action, by, ACCOUNT, REGION, params)
        watch.before_call(call)
        watch.after_call(7, call, succeeded=True)

    def sentences(self, kind: str = "violations") -> list[str]:
        return [found["sentence"] for found in watch.state()[kind]]

    def assert_violation(self, text: str) -> None:
        self.assertEqual([text in sentence for sentence in self.sentences()], [True], self.sentences())

    def test_a_host_with_a_key_that_works_and_a_placeholder_are_as_promised(self) -> None:
        self.key("AKIAONE")
        self.hold("AKIAONE")
        self.current(json.dumps({"username": "mail", "AccessKeyId": ""}))
        self.call()
        self.assertEqual(self.sentences(), [])

    def test_a_host_whose_key_is_gone_inactive_or_not_known_to_ses_yet_is_a_violation(self) -> None:
        self.hold("AKIAONE")
        self.call()
        self.assert_violation("holds the access key AKIAONE, which does not exist")
        self.forget()
        self.key("AKIAONE", status="Inactive")
        self.call()
        self.assert_violation("which is Inactive")
        self.forget()
        self.key("AKIAONE")
        self.usable = False
        self.call()
        self.assert_violation("SES does not accept yet")

    def test_what_ses_knew_once_it_knows(self) -> None:
        self.key("AKIAONE")
        self.hold("AKIAONE")
        self.call()
        self.usable = False
        self.call()
        self.assertEqual(self.sentences(), [])

    def test_a_host_with_another_keys_password_or_without_one_is_a_violation(self) -> None:
        self.key("AKIAONE")
        for text in (credential_file("AKIAONE", "guessed"), "AccessKeyId=AKIAONE\n", ""):
            with self.subTest(text):
                self.forget()
                self.file.write_text(text)
                self.call()
                self.assertEqual(len(self.sentences()), 1)

    def test_a_host_that_is_left_out_is_not_looked_at(self) -> None:
        self.hold("AKIAONE")
        watch.configure({"leave_out": [INSTANCE]})
        self.call()
        self.assertEqual(self.sentences(), [])

    def test_awscurrent_with_a_key_that_is_gone_or_inactive_is_a_violation(self) -> None:
        self.current(json.dumps({"AccessKeyId": "AKIAONE"}))
        self.call()
        self.assert_violation("AWSCURRENT of mail names the access key AKIAONE, which does not exist")
        self.forget()
        self.key("AKIAONE", status="Inactive")
        self.call()
        self.assert_violation("which is Inactive")

    def test_a_third_key_is_a_violation(self) -> None:
        for key_id in ("AKIAONE", "AKIATWO", "AKIATHREE"):
            self.key(key_id)
        self.call()
        self.assert_violation("the user mail has 3 access keys")

    def test_a_violation_that_goes_on_is_remembered_once_and_one_that_comes_back_again(self) -> None:
        self.hold("AKIAONE")
        self.call()
        self.call()
        self.assertEqual(len(self.sentences()), 1)
        self.key("AKIAONE")
        self.call()
        self.end("AKIAONE", FUNCTION)
        self.assertEqual(len(self.sentences()), 2)
        self.assertEqual(watch.state()["violations"][0]["call"], 7)

    def test_what_a_role_did_is_a_violation_and_what_an_operator_did_is_none(self) -> None:
        for caller, kind in ((FUNCTION, "violations"), (ADMINISTRATOR, "operators_doings")):
            with self.subTest(caller):
                self.forget()
                self.key("AKIAONE")
                self.hold("AKIAONE")
                self.call()
                self.end("AKIAONE", caller)
                self.assertEqual((len(self.sentences(kind)), len(sum(map(self.sentences, _KINDS), []))), (1, 1))

    def test_what_an_operator_does_is_the_operators_doing_before_the_call_is_answered(self) -> None:
        self.key("AKIAONE")
        self.hold("AKIAONE")
        deletion = Call("iam", "DeleteAccessKey", ADMINISTRATOR, ACCOUNT, REGION, {"AccessKeyId": "AKIAONE"})
        watch.before_call(deletion)
        self.delete("AKIAONE")
        self.call()
        watch.after_call(8, deletion, succeeded=True)
        self.assertEqual((self.sentences(), len(self.sentences("operators_doings"))), ([], 1))

    def test_a_value_that_an_operator_put_behind_awscurrent_is_the_operators_doing(self) -> None:
        self.current(json.dumps({"AccessKeyId": "AKIAFOREIGN"}))
        self.call("secretsmanager", "PutSecretValue", ADMINISTRATOR, ClientRequestToken="v1")
        self.assertEqual((self.sentences(), len(self.sentences("operators_doings"))), ([], 1))
        self.forget()
        moved = {"VersionStage": "AWSCURRENT", "MoveToVersionId": "v1"}
        self.call("secretsmanager", "UpdateSecretVersionStage", FUNCTION, **moved)
        self.assert_violation("AKIAFOREIGN")

    def test_a_key_that_a_role_takes_is_a_violation_although_an_operator_put_it_behind_awscurrent(self) -> None:
        self.key("AKIAONE")
        self.current(json.dumps({"username": "mail", "AccessKeyId": "AKIAONE"}))
        move = {"VersionStage": "AWSCURRENT", "MoveToVersionId": "v1"}
        self.call("secretsmanager", "UpdateSecretVersionStage", ADMINISTRATOR, **move)
        self.end("AKIAONE", FUNCTION)
        self.assert_violation("AWSCURRENT of mail names the access key AKIAONE, which does not exist")

    def test_what_is_no_setting_is_refused(self) -> None:
        with self.assertRaisesRegex(Exception, "no such setting: leaveout"):
            watch.configure({"leaveout": []})


_KINDS = ("violations", "operators_doings")


class Watching(SandboxTest):
    """The watcher of the running sandbox."""

    def setUp(self) -> None:
        self.file = SANDBOX_DIR / f"host-{INSTANCE}" / watch.CREDENTIAL_FILE
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.addCleanup(control, "watch", {"forget": True})
        self.addCleanup(self.file.unlink, missing_ok=True)
        self.iam, self.user = client("iam"), unique("user")
        self.iam.create_user(UserName=self.user)

    def hold_a_new_key(self) -> str:
        key = self.iam.create_access_key(UserName=self.user)["AccessKey"]
        self.file.write_text(credential_file(key["AccessKeyId"], smtp.smtp_password(key["SecretAccessKey"], REGION)))
        return key["AccessKeyId"]

    def test_a_call_that_breaks_the_promise_is_named(self) -> None:
        role = make_role({"AWS": ACCOUNT}, policy("iam:*", "*"))
        credentials = assume(role)
        control("smtp", {"key_propagation_seconds": 0})
        self.addCleanup(control, "smtp", {"key_propagation_seconds": 1})
        key = self.hold_a_new_key()
        client("iam", **credentials).update_access_key(UserName=self.user, AccessKeyId=key, Status="Inactive")
        [found] = [it for it in state()["violations"] if key in it["sentence"]]
        self.assertRegex(found["after"], f"^iam:UpdateAccessKey by .*/{role}/")
        self.assertEqual(found["sentence"], f"{INSTANCE} holds the access key {key}, which is Inactive")

    def test_a_key_that_a_host_got_too_early_is_noticed(self) -> None:
        key = self.hold_a_new_key()
        self.iam.list_users()
        [found] = [it for it in state()["violations"] if key in it["sentence"]]
        self.assertEqual(found["sentence"], f"{INSTANCE} holds the access key {key}, which SES does not accept yet")

    def test_it_looks_when_a_script_has_ended(self) -> None:
        script = f"printf 'AccessKeyId=AKIAGONE' >'{self.file}'"
        client("ssm").send_command(
            DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE], Parameters={"commands": [script]}
        )

        def found() -> list[str]:
            return [it["after"] for it in state()["violations"] if "AKIAGONE" in it["sentence"]]

        self.assertEqual(wait_for("the look after the script", found), [f"a script on {INSTANCE}"])
