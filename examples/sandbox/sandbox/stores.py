"""Where ministack keeps the resources of the services that a deployment uses."""

from __future__ import annotations

from collections.abc import Iterator

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, iam, lambda_svc, secretsmanager, sns, ssm

Store = AccountScopedDict | AccountRegionScopedDict

_SERVICES = {
    "cloudwatch": cloudwatch,
    "events": eventbridge,
    "iam": iam,
    "lambda": lambda_svc,
    "logs": cloudwatch_logs,
    "secretsmanager": secretsmanager,
    "sns": sns,
    "ssm": ssm,
}


def all_by_name() -> Iterator[tuple[str, Store]]:
    """Every store of these services, such as `iam.roles`."""
    for service, module in _SERVICES.items():
        for name, value in vars(module).items():
            if isinstance(value, AccountScopedDict | AccountRegionScopedDict):
                yield f"{service}.{name.strip('_')}", value
