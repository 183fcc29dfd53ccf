"""What is in the account, so that a test sees what a deployment leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, iam, lambda_svc, secretsmanager, sns, ssm

from . import account, documents
from .api import Control


def control(_: dict[str, Any]) -> dict[str, Any]:
    """POST /_sandbox/inventory: returns `resources`, a sorted list with a line for everything, inline policies included."""
    with request_scope(account.ACCOUNT_ID, account.REGION):
        return {"resources": sorted(_all())}


def _all() -> Iterator[str]:
    for name, role in iam._roles.items():
        yield f"role {name}"
        yield from (f"role {name} policy {policy}" for policy in role["InlinePolicies"])
    for name, user in iam._users.items():
        yield f"user {name}"
        yield from (f"user {name} policy {policy}" for policy in iam._user_inline_policies.get(name, {}))
        yield from (f"user {name} tag {tag['Key']}" for tag in user.get("Tags", []))
    for name, function in lambda_svc._functions.items():
        yield f"function {name}"
        yield from (f"function {name} statement {it['Sid']}" for it in function["policy"]["Statement"])
    for name, secret in secretsmanager._secrets.items():
        yield f"secret {name}{' (deleted)' if secret.get('DeletedDate') else ''}"
        if secret.get("RotationEnabled"):
            yield f"rotation {name}"
    yield from (f"log group {name}" for name in cloudwatch_logs._log_groups)
    yield from (f"topic {topic['name']}" for topic in sns._topics.values())
    yield from (f"rule {rule['Name']}" for rule in eventbridge._rules.values())
    yield from (f"document {name}" for _, _, name in documents._documents)
    yield from (f"parameter {name}" for name in ssm._parameters)
    yield from (f"alarm {name}" for name in cloudwatch._alarms)


CONTROLS: dict[str, Control] = {"inventory": control}
