"""SNS: topics with tags, e-mail subscriptions that wait for confirmation, and published messages."""

from __future__ import annotations

import json
from typing import Any

from support import ACCOUNT, REGION, SANDBOX_DIR, SandboxTest, assume, client, control, make_role, policy, unique

TEAM = [{"Key": "team", "Value": "mail"}]


class TopicTest(SandboxTest):
    def setUp(self) -> None:
        self.sns = client("sns")
        self.name = unique("topic")
        self.arn = self.sns.create_topic(Name=self.name, Tags=TEAM)["TopicArn"]
        self.email = unique("ops") + "@example.com"

    def subscribe(self) -> str:
        return self.sns.subscribe(TopicArn=self.arn, Protocol="email", Endpoint=self.email)["SubscriptionArn"]

    def listed(self) -> list[str]:
        subscriptions = self.sns.list_subscriptions_by_topic(TopicArn=self.arn)["Subscriptions"]
        return [item["SubscriptionArn"] for item in subscriptions if item["Endpoint"] == self.email]

    def published(self) -> list[dict[str, Any]]:
        lines = (SANDBOX_DIR / "notifications.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["topic"] == self.arn]


class Topics(TopicTest):
    def test_creating_a_topic_again_needs_the_tags_that_it_has(self) -> None:
        self.assertEqual(self.sns.create_topic(Name=self.name, Tags=TEAM)["TopicArn"], self.arn)
        with self.assert_error("InvalidParameter", "Topic already exists with different tags"):
            self.sns.create_topic(Name=self.name, Tags=[{"Key": "team", "Value": "other"}])
        self.assertEqual(self.sns.list_tags_for_resource(ResourceArn=self.arn)["Tags"], TEAM)

    def test_a_topic_that_is_not_there(self) -> None:
        self.sns.delete_topic(TopicArn=self.arn)
        with self.assert_error("NotFound"):
            self.sns.get_topic_attributes(TopicArn=self.arn)
        with self.assert_error("NotFound"):
            self.sns.list_subscriptions_by_topic(TopicArn=self.arn)
        with self.assert_error("ResourceNotFound"):
            self.sns.list_tags_for_resource(ResourceArn=self.arn)
        with self.assert_error("ResourceNotFound"):
            self.sns.tag_resource(ResourceArn=self.arn, Tags=TEAM)


class Subscriptions(TopicTest):
    def test_an_address_is_pending_until_it_confirms(self) -> None:
        self.assertEqual(self.subscribe(), "pending confirmation")
        self.assertEqual(self.subscribe(), "pending confirmation")
        self.assertEqual(self.listed(), ["PendingConfirmation"])
        control("subscriptions", {"confirm": self.email})
        (arn,) = self.listed()
        self.assertTrue(arn.startswith(self.arn + ":"), arn)
        self.assertEqual(self.subscribe(), arn)

    def test_only_a_confirmed_subscription_can_be_ended(self) -> None:
        self.subscribe()
        with self.assert_error("InvalidParameter"):
            self.sns.unsubscribe(SubscriptionArn=self.listed()[0])
        control("subscriptions", {"confirm": self.email})
        self.sns.unsubscribe(SubscriptionArn=self.listed()[0])
        self.assertEqual(self.listed(), [])

    def test_one_that_the_subscriber_ended_stays_listed_as_deleted(self) -> None:
        self.subscribe()
        control("subscriptions", {"end": self.email})
        self.assertEqual(self.listed(), ["Deleted"])
        self.subscribe()
        self.assertEqual(self.listed(), ["PendingConfirmation"])

    def test_what_is_no_address_is_refused(self) -> None:
        with self.assert_error("InvalidParameter"):
            self.sns.subscribe(TopicArn=self.arn, Protocol="email", Endpoint="ops")


class Publishing(TopicTest):
    def test_a_message_goes_to_those_who_confirmed(self) -> None:
        self.subscribe()
        self.sns.publish(TopicArn=self.arn, Subject="one", Message="first")
        control("subscriptions", {"confirm": self.email})
        self.sns.publish(TopicArn=self.arn, Message="second")
        first, second = self.published()
        self.assertEqual((first["subject"], first["message"], first["emails"]), ("one", "first", []))
        self.assertEqual((second["subject"], second["message"], second["emails"]), (None, "second", [self.email]))

    def test_a_message_that_sns_refuses_is_not_published(self) -> None:
        (SANDBOX_DIR / "notifications.jsonl").touch()
        for subject, message in (("x" * 101, "text"), ("two\nlines", "text"), ("subject", "")):
            with self.subTest(subject=subject), self.assert_error("InvalidParameter"):
                self.sns.publish(TopicArn=self.arn, Subject=subject, Message=message)
        self.assertEqual(self.published(), [])

    def test_a_role_may_publish_to_the_topic_that_its_policy_names(self) -> None:
        other = self.sns.create_topic(Name=unique("topic"))["TopicArn"]
        theirs = client("sns", **assume(make_role({"AWS": ACCOUNT}, policy("sns:Publish", self.arn))))
        theirs.publish(TopicArn=self.arn, Message="text")
        # The topic's own policy names everybody, and still allows nothing to a role without a permission.
        with self.assert_error("AuthorizationError", f"sns:Publish on resource: {other}"):
            theirs.publish(TopicArn=other, Message="text")
        with self.assert_error("AuthorizationError", f"sns:ListTagsForResource on resource: {self.arn}"):
            theirs.list_tags_for_resource(ResourceArn=self.arn)
        self.assertEqual(self.arn, f"arn:aws:sns:{REGION}:{ACCOUNT}:{self.name}")
