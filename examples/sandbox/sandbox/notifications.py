"""SNS, where ministack differs from AWS: confirmation of e-mail subscriptions, tags of an existing topic, error codes.

Every published message is a line of `notifications.jsonl`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import sns

from . import account
from .api import AwsError, Call

PENDING = "PendingConfirmation"
DELETED = "Deleted"

_lock = threading.Lock()
_file: Path


def install(directory: Path) -> None:
    """From now on, logs every published message."""
    global _file
    _file = directory / "notifications.jsonl"
    sns.publish_internal = _written_down(sns.publish_internal)


def confirm_or_end(request: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/subscriptions: the subscriber follows the link in the mail.

    `confirm` or `end`: an e-mail address, for all of its subscriptions.
    """
    links = {"confirm": _confirm, "end": _end}
    if len(request) != 1 or not request.keys() <= links.keys():
        raise AwsError("ValidationException", "write {confirm: ADDRESS} or {end: ADDRESS}")
    ((link, email),) = request.items()
    with request_scope(account.ACCOUNT_ID, account.REGION), _lock:
        found = [subscription for subscription in _all_by_email() if subscription["endpoint"] == email]
        for subscription in found:
            links[link](subscription)
    if not found:
        raise AwsError("ValidationException", f"{email} has no subscription")
    return {"subscriptions": len(found)}


def _all_by_email() -> Iterator[dict[str, Any]]:
    for topic in sns._topics.values():
        yield from (item for item in topic["subscriptions"] if item["protocol"] == "email")


def _confirm(subscription: dict[str, Any]) -> None:
    subscription["confirmed"] = True
    subscription["attributes"]["PendingConfirmation"] = "false"


def _end(subscription: dict[str, Any]) -> None:
    """Ends a subscription. It stays listed for a while, as Deleted."""
    subscription["confirmed"] = False
    subscription["ended"] = True


def _written_down(publish: Callable) -> Callable:
    def publish_and_write_down(topic_arn: str, message: Any, subject: str = "", **options: Any) -> Any:
        _check_message(message, subject)
        published = publish(topic_arn, message, subject, **options)
        if published is None:
            return None
        with _lock:
            subscriptions = sns._topics[topic_arn]["subscriptions"]
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "topic": topic_arn,
                "subject": subject or None,
                "message": message,
                "emails": [
                    item["endpoint"] for item in subscriptions if item["protocol"] == "email" and item["confirmed"]
                ],
            }
            with _file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return published

    return publish_and_write_down


def _check_message(message: Any, subject: str) -> None:
    if not message:
        raise sns.SnsPublishError("InvalidParameter", "Invalid parameter: Empty message")
    if len(subject) > 100 or re.search(r"[\x00-\x1f\x7f]", subject):
        raise sns.SnsPublishError("InvalidParameter", "Invalid parameter: Subject")


def _create_topic(call: Call) -> None:
    """Refuses the name of an existing topic with other tags."""
    topic = sns._topics.get(f"arn:aws:sns:{call.region}:{call.account}:{call.params.get('Name')}")
    if topic is not None and any(
        topic["tags"].get(key) != value for key, value in sns._param_tags(call.params).items()
    ):
        raise AwsError("InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")


def _subscribe(call: Call) -> dict[str, Any] | None:
    """Subscribing an address that has not confirmed yet asks it again."""
    topic = sns._topics.get(call.params.get("TopicArn", ""))
    if topic is None or call.params.get("Protocol") != "email":
        return None
    email = call.params.get("Endpoint", "")
    if "@" not in email:
        raise AwsError("InvalidParameter", "Invalid parameter: Email address")
    with _lock:
        topic["subscriptions"] = [
            item for item in topic["subscriptions"] if not (item["endpoint"] == email and item.get("ended"))
        ]
        known = {item["endpoint"] for item in topic["subscriptions"] if item["protocol"] == "email"}
        sns._subscribe(call.params)
        subscription = next(item for item in topic["subscriptions"] if item["endpoint"] == email)
        if email not in known:
            subscription["confirmed"] = False
            subscription["attributes"].update(PendingConfirmation="true", ConfirmationWasAuthenticated="false")
        if subscription["confirmed"] or call.params.get("ReturnSubscriptionArn") == "true":
            return {"SubscriptionArn": subscription["arn"]}
        return {"SubscriptionArn": "pending confirmation"}


def _unsubscribe(call: Call) -> None:
    arn = call.params.get("SubscriptionArn", "")
    if not arn.startswith("arn:"):
        reason = f"An ARN must have at least 6 elements, not {len(arn.split(':'))}"
        raise AwsError("InvalidParameter", f"Invalid parameter: SubscriptionArn Reason: {reason}")


def _list_subscriptions_by_topic(call: Call) -> dict[str, Any] | None:
    topic = sns._topics.get(call.params.get("TopicArn", ""))
    if topic is None:
        return None
    with _lock:
        return {
            "Subscriptions": [
                {
                    "SubscriptionArn": _listed_arn(item),
                    "Owner": item["owner"],
                    "Protocol": item["protocol"],
                    "Endpoint": item["endpoint"],
                    "TopicArn": item["topic_arn"],
                }
                for item in topic["subscriptions"]
            ]
        }


def _listed_arn(subscription: dict[str, Any]) -> str:
    if subscription.get("ended"):
        return DELETED
    return subscription["arn"] if subscription["confirmed"] else PENDING


def _tags_of_existing(call: Call) -> None:
    if call.params.get("ResourceArn") not in sns._topics:
        raise AwsError("ResourceNotFound", "Resource does not exist", 404)


OVERRIDES = {
    "sns:CreateTopic": _create_topic,
    "sns:Subscribe": _subscribe,
    "sns:Unsubscribe": _unsubscribe,
    "sns:ListSubscriptionsByTopic": _list_subscriptions_by_topic,
    "sns:ListTagsForResource": _tags_of_existing,
    "sns:TagResource": _tags_of_existing,
    "sns:UntagResource": _tags_of_existing,
}

CONTROLS = {"subscriptions": confirm_or_end}
