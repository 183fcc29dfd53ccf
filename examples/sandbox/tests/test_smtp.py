"""SES's SMTP endpoint: passwords, TLS, logins, allowed mails, faults."""

from __future__ import annotations

import base64
import json
import os
import smtplib
import ssl
import tempfile
import time
import unittest
from email import message_from_bytes
from pathlib import Path
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import iam as ministack_iam
from ministack.services import ses_v2
from support import SandboxTest, client, control, policy, state, unique, wait_for

from sandbox import account, smtp
from sandbox.api import AwsError

USER = "sender"
KEY = "AKIATESTTESTTESTTEST"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PASSWORD = smtp.smtp_password(SECRET, account.REGION)

# (secret access key, region, password): secrets of public examples.
VECTORS = [
    ("some+secret+key", "eu-central-1", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"),
    ("another+secret+key", "eu-central-1", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
    ("some+secret+key", "us-west-1", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
    ("another+secret+key", "us-west-1", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-2", "BMPPgbAHoFVbze1Ud0oA5uNdXRwUXUZ+qOwphGJbl/cS"),
    ("dhSgJJyAs+2z19oLOVkwBrE6GkdNQD5fL5Dou5Tb", "eu-central-1", "BK0hyoUp3vjB+NdwhSiUpkA9oA84fNaqhEKrXZ5PkcX2"),
]


class Password(unittest.TestCase):
    def test_the_password_follows_from_secret_and_region(self) -> None:
        for secret, region, password in VECTORS:
            with self.subTest(secret=secret, region=region):
                self.assertEqual(smtp.smtp_password(secret, region), password)


class EndpointTest(unittest.TestCase):
    """A separate endpoint with one user, who may send as anyone@example.com."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        scope = request_scope(account.ACCOUNT_ID, account.REGION)
        scope.__enter__()
        self.addCleanup(scope.__exit__, None, None, None)
        ministack_iam._create_user({"UserName": USER})
        self.addCleanup(self.forget)
        self.allow("identity/*", {"StringLike": {"ses:FromAddress": "*@example.com"}})
        ses_v2._identities["example.com"] = {"EmailIdentity": "example.com", "VerifiedForSendingStatus": True}
        self.create_key()
        self.endpoints = smtp.start(self.directory, key_propagation_seconds=0)
        self.addCleanup(smtp.stop)

    def forget(self) -> None:
        ministack_iam._access_keys.pop(KEY, None)
        ministack_iam._user_inline_policies.pop(USER, None)
        ministack_iam._users.pop(USER)
        ses_v2._identities.pop("example.com")

    def create_key(self) -> None:
        ministack_iam._access_keys[KEY] = {
            "UserName": USER,
            "AccessKeyId": KEY,
            "SecretAccessKey": SECRET,
            "Status": "Active",
        }

    def allow(self, resource: str, condition: dict[str, Any] | None = None) -> None:
        statement = {
            "Effect": "Allow",
            "Action": "ses:SendRawEmail",
            "Resource": f"arn:aws:ses:{account.REGION}:{account.ACCOUNT_ID}:{resource}",
        }
        if condition:
            statement["Condition"] = condition
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        ministack_iam._put_user_policy({"UserName": USER, "PolicyName": resource, "PolicyDocument": document})

    def connect(self) -> smtplib.SMTP_SSL:
        connection = smtplib.SMTP_SSL("127.0.0.1", port(self.endpoints.tls), context=self.trust(), timeout=10)
        self.addCleanup(connection.close)
        return connection

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.endpoints.ca_file))

    def login(self, key: str = KEY, password: str = PASSWORD) -> int:
        """The answer to one AUTH PLAIN on a new connection."""
        connection = self.connect()
        connection.ehlo()
        return auth_plain(connection, key, password)

    def send(self, sender: str, envelope_sender: str = "no-reply@example.com") -> tuple[int, str]:
        """The answer to the DATA of one mail."""
        connection = self.connect()
        connection.login(KEY, PASSWORD)
        connection.mail(envelope_sender)
        connection.rcpt("success@simulator.amazonses.com")
        code, text = connection.data(f"From: {sender}\r\nSubject: test\r\n\r\n.body\r\n")
        return code, text.decode()

    def mails(self) -> list[Path]:
        return sorted((self.directory / "mail").iterdir())


def port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def auth_plain(connection: smtplib.SMTP, key: str, password: str) -> int:
    return connection.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{key}\0{password}".encode()).decode())[0]


class Tls(EndpointTest):
    def test_the_certificate_is_of_the_ca_and_of_the_address(self) -> None:
        self.assertEqual(self.connect().noop()[0], 250)
        with self.assertRaises(ssl.SSLCertVerificationError):
            smtplib.SMTP_SSL("127.0.0.1", port(self.endpoints.tls), context=ssl.create_default_context(), timeout=10)

    def test_starttls_is_required_before_anything_else(self) -> None:
        with smtplib.SMTP("127.0.0.1", port(self.endpoints.starttls), timeout=10) as connection:
            connection.ehlo()
            self.assertFalse(connection.has_extn("auth"))
            self.assertEqual(connection.docmd("AUTH", "PLAIN")[0], 530)
            code, text = connection.docmd("MAIL", "FROM:<no-reply@example.com>")
            self.assertEqual((code, text), (530, b"Must issue a STARTTLS command first"))
            connection.starttls(context=self.trust())
            connection.ehlo()
            self.assertEqual(auth_plain(connection, KEY, PASSWORD), 235)


class Logins(EndpointTest):
    def test_both_mechanisms_accept_the_key_and_its_password(self) -> None:
        self.assertEqual(self.login(), 235)
        connection = self.connect()
        connection.ehlo()
        connection.user, connection.password = KEY, PASSWORD
        self.assertEqual(connection.auth("LOGIN", connection.auth_login, initial_response_ok=False)[0], 235)

    def test_wrong_passwords_keys_and_regions_are_refused(self) -> None:
        for key, password in [
            (KEY, "wrong"),
            (KEY, SECRET),
            (KEY, smtp.smtp_password(SECRET, "us-east-1")),
            ("AKIAUNKNOWNUNKNOWN00", PASSWORD),
            ("AKIAUNKNOWNUNKNOWN00", ""),
        ]:
            with self.subTest(key=key, password=password):
                self.assertEqual(self.login(key, password), 535)

    def test_mail_without_login_is_refused(self) -> None:
        connection = self.connect()
        connection.ehlo()
        self.assertEqual(connection.docmd("MAIL", "FROM:<no-reply@example.com>")[0], 530)

    def test_a_new_key_is_refused_until_it_is_known_everywhere(self) -> None:
        ministack_iam._access_keys.pop(KEY)
        smtp.stop()
        self.endpoints = smtp.start(self.directory, key_propagation_seconds=0.5)
        created = time.monotonic()
        self.create_key()
        self.assertEqual(self.login(), 535)
        while self.login() != 235:
            self.assertLess(time.monotonic() - created, 5)
        self.assertGreaterEqual(time.monotonic() - created, 0.5)

    def test_a_deactivated_or_deleted_key_is_refused_at_once(self) -> None:
        ministack_iam._access_keys[KEY]["Status"] = "Inactive"
        self.assertEqual(self.login(), 535)
        ministack_iam._access_keys[KEY]["Status"] = "Active"
        self.assertEqual(self.login(), 235)
        ministack_iam._access_keys.pop(KEY)
        self.assertEqual(self.login(), 535)

    def test_a_deleted_key_works_on_for_as_long_as_configured(self) -> None:
        smtp.configure({"key_deletion_seconds": 0.5})
        self.assertEqual(self.login(), 235)
        deleted = time.monotonic()
        ministack_iam._access_keys.pop(KEY)
        self.assertEqual(self.login(), 235)
        while self.login() != 535:
            self.assertLess(time.monotonic() - deleted, 5)
        self.assertGreaterEqual(time.monotonic() - deleted, 0.5)

    def test_the_log_names_keys_and_answers_but_no_password(self) -> None:
        self.login()
        self.login(password="wrong")
        self.login(key=PASSWORD, password=KEY)
        text = (self.directory / "smtp.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        answers = [(line["access_key_id"], line["verb"], line["code"]) for line in lines]
        greeting = [(None, "CONNECT", 220), (None, "EHLO", 250)]
        logins = [(KEY, "AUTH", 235), (KEY, "AUTH", 535), (None, "AUTH", 535)]
        self.assertEqual(answers, [answer for login in logins for answer in (*greeting, login)])
        for secret in (SECRET, PASSWORD, "wrong"):
            self.assertNotIn(secret, text)


class Mails(EndpointTest):
    def test_an_allowed_mail_is_stored_as_it_was_sent_with_its_envelope(self) -> None:
        code, text = self.send("Us <no-reply@example.com>", envelope_sender="bounces@example.com")
        self.assertEqual((code, text[:3]), (250, "Ok "))
        self.send("no-reply@example.com")
        first, second = self.mails()
        self.assertEqual(first.name, f"0001-{text[3:]}.eml")
        self.assertTrue(second.name.startswith("0002-"))
        mail = message_from_bytes(first.read_bytes())
        self.assertEqual(mail["X-Envelope-From"], "bounces@example.com")
        self.assertEqual(mail["X-Envelope-To"], "success@simulator.amazonses.com")
        self.assertEqual(mail["X-Access-Key-Id"], KEY)
        self.assertTrue(
            first.read_bytes().endswith(b"From: Us <no-reply@example.com>\r\nSubject: test\r\n\r\n.body\r\n")
        )

    def test_the_from_header_decides_and_not_the_envelope(self) -> None:
        self.assertEqual(self.send("a@example.com", envelope_sender="b@other.org")[0], 250)
        code, text = self.send("a@other.org", envelope_sender="a@example.com")
        self.assertEqual(code, 554)
        self.assertIn(f"User `arn:aws:iam::{account.ACCOUNT_ID}:user/{USER}' is not authorized", text)
        self.assertIn("identity/a@other.org'", text)
        self.assertEqual(len(self.mails()), 1)

    def test_what_the_policies_do_not_allow_is_refused_after_data(self) -> None:
        ministack_iam._user_inline_policies.pop(USER)
        self.assertEqual(self.login(), 235)
        code, text = self.send("no-reply@example.com")
        self.assertEqual(code, 554)
        self.assertIn("Access denied", text)
        self.assertEqual(self.mails(), [])

    def test_the_identity_is_the_address_where_that_is_one_and_else_the_domain(self) -> None:
        ministack_iam._user_inline_policies.pop(USER)
        self.allow("identity/example.com")
        self.assertEqual(self.send("no-reply@example.com")[0], 250)
        self.assertEqual(self.send("no-reply@mail.example.com")[0], 250)
        address = "no-reply@example.com"
        ses_v2._identities[address] = {"EmailIdentity": address, "VerifiedForSendingStatus": True}
        self.addCleanup(ses_v2._identities.pop, address)
        self.assertEqual(self.send(address)[0], 554)
        self.allow(f"identity/{address}")
        self.assertEqual(self.send(address)[0], 250)

    def test_every_condition_key_of_a_mail_is_known(self) -> None:
        for key, value in {
            "ses:FromDisplayName": "Us",
            "ses:FeedbackAddress": "no-reply@example.com",
            "ses:FromAddress": "a@example.com",
        }.items():
            with self.subTest(key=key):
                ministack_iam._user_inline_policies.pop(USER)
                self.allow("identity/*", {"StringEquals": {key: value}})
                self.assertEqual(self.send("Us <a@example.com>")[0], 250)
                self.allow("identity/*", {"StringEquals": {key: "other"}})
                self.assertEqual(self.send("Us <a@example.com>")[0], 554)
        self.allow("identity/*", {"ForAllValues:StringLike": {"ses:Recipients": "*@simulator.amazonses.com"}})
        self.assertEqual(self.send("a@example.com")[0], 250)
        self.allow("identity/*", {"ForAllValues:StringLike": {"ses:Recipients": "*@example.com"}})
        self.assertEqual(self.send("a@example.com")[0], 554)

    def test_a_default_configuration_set_must_be_allowed_too(self) -> None:
        smtp.configure({"configuration_sets": {"example.com": "bounces"}})
        code, text = self.send("no-reply@example.com")
        self.assertEqual(code, 554)
        self.assertIn("configuration-set/bounces'", text)
        self.allow("configuration-set/*")
        self.assertEqual(self.send("no-reply@example.com")[0], 250)

    def test_an_identity_that_is_not_verified_may_not_send(self) -> None:
        self.allow("*")
        code, text = self.send("someone@unverified.org")
        self.assertEqual(code, 554)
        self.assertIn("Email address is not verified", text)
        self.assertIn("EU-WEST-1: someone@unverified.org", text)
        ses_v2._identities["example.com"]["VerifiedForSendingStatus"] = False
        self.assertEqual(self.send("no-reply@example.com")[0], 554)

    def test_a_mail_needs_one_sender(self) -> None:
        self.assertEqual(self.send("a@example.com, b@example.com")[0], 554)
        self.assertEqual(self.send("")[0], 554)


class Faults(EndpointTest):
    def test_ordered_answers_come_as_often_and_as_late_as_ordered(self) -> None:
        smtp.configure({"answers": [{"verb": "AUTH", "code": 454, "text": "Temporary failure", "times": 2, "skip": 1}]})
        self.assertEqual([self.login() for _ in range(4)], [235, 454, 454, 235])
        smtp.configure({"answers": [{"verb": "DATA", "code": 454}]})
        self.assertEqual([self.send("a@example.com")[0] for _ in range(2)], [454, 250])

    def test_an_ordered_greeting_ends_the_connection(self) -> None:
        smtp.configure({"answers": [{"verb": "CONNECT", "code": 421, "text": "Too many connections"}]})
        with self.assertRaises(smtplib.SMTPConnectError) as refused:
            self.connect()
        self.assertEqual(refused.exception.smtp_code, 421)
        self.assertEqual(self.login(), 235)

    def test_logins_are_refused_as_often_as_ordered(self) -> None:
        smtp.configure({"refuse_logins": 2})
        self.assertEqual([self.login() for _ in range(3)], [535, 535, 235])

    def test_nobody_can_connect_while_it_is_down(self) -> None:
        smtp.configure({"down": True})
        smtp.configure({"down": True})
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        smtp.configure({"down": False})
        self.assertEqual(self.login(), 235)

    def test_an_unknown_setting_is_an_error(self) -> None:
        with self.assertRaisesRegex(AwsError, "no such setting: dwon"):
            smtp.configure({"dwon": True})


class InTheSandbox(SandboxTest):
    """The endpoint that with-sandbox started, with IAM's keys."""

    def setUp(self) -> None:
        user = unique("user")
        resource = f"arn:aws:ses:{account.REGION}:{account.ACCOUNT_ID}:identity/example.com"
        client("iam").create_user(UserName=user)
        client("iam").put_user_policy(
            UserName=user, PolicyName="send", PolicyDocument=policy("ses:SendRawEmail", resource)
        )
        key = client("iam").create_access_key(UserName=user)["AccessKey"]
        self.user, self.key = user, key["AccessKeyId"]
        self.password = smtp.smtp_password(key["SecretAccessKey"], account.REGION)
        self.trust = ssl.create_default_context(cafile=os.environ["SANDBOX_CA_FILE"])

    def login(self) -> int:
        host = "127.0.0.1"
        with smtplib.SMTP_SSL(host, port(os.environ["SANDBOX_SMTP_ENDPOINT"]), context=self.trust) as connection:
            connection.ehlo()
            return auth_plain(connection, self.key, self.password)

    def test_a_key_of_iam_logs_in_sends_and_is_seen_as_used(self) -> None:
        self.assertEqual(self.login(), 535)
        wait_for("the key's propagation", lambda: self.login() == 235)
        with smtplib.SMTP("127.0.0.1", port(os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"])) as connection:
            connection.starttls(context=self.trust)
            connection.login(self.key, self.password)
            text = f"From: no-reply@example.com\r\nSubject: {self.key}\r\n\r\n"
            connection.sendmail("no-reply@example.com", ["success@simulator.amazonses.com"], text)
        mails = [file.read_text() for file in (Path(os.environ["SANDBOX_DIR"]) / "mail").glob("*.eml")]
        self.assertEqual(len([mail for mail in mails if f"Subject: {self.key}" in mail]), 1)
        used = client("iam").get_access_key_last_used(AccessKeyId=self.key)["AccessKeyLastUsed"]
        self.assertEqual((used["ServiceName"], used["Region"]), ("ses", account.REGION))
        self.assertIn(self.password, state()["smtp_passwords"])

        client("iam").update_access_key(UserName=self.user, AccessKeyId=self.key, Status="Inactive")
        self.assertEqual(self.login(), 535)

    def test_the_control_endpoint_orders_answers(self) -> None:
        control("smtp", {"answers": [{"verb": "AUTH", "code": 454, "text": "Temporary authentication failure"}]})
        self.assertEqual(self.login(), 454)


if __name__ == "__main__":
    unittest.main()
