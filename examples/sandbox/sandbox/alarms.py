"""CloudWatch alarms, where ministack differs from AWS: which alarms it refuses, and how it tells a topic.

No alarm changes its state by itself: SetAlarmState does that.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import cloudwatch, sns

from .api import AwsError, Call

_ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_HOUR = 3600


def install() -> None:
    """From now on, only SetAlarmState changes an alarm's state, and topics are told as by Publish."""
    cloudwatch._evaluate_alarm = lambda alarm: None
    cloudwatch._dispatch_alarm_actions = _tell


def _tell(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
    if not alarm["ActionsEnabled"]:
        return
    message = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm["AlarmDescription"],
        "NewStateValue": new_state,
        "NewStateReason": reason,
        "OldStateValue": old_state,
    }
    for topic in alarm[_ACTIONS[new_state]]:
        sns.publish_internal(topic, json.dumps(message), f'{new_state}: "{alarm["AlarmName"]}"')


def _put_metric_alarm(call: Call) -> dict[str, Any] | None:
    """Refuses periods that together are too long (API reference of PutMetricAlarm, Period)."""
    period, periods = int(call.params["Period"]), int(call.params["EvaluationPeriods"])
    days = 7 if period >= _HOUR else 1
    if period * periods > days * 24 * _HOUR:
        raise AwsError("ValidationError", f"Metrics cannot be checked across more than {days} days")
    if not call.is_query:
        return None
    # ministack forgets these of such a caller.
    status, _, _ = cloudwatch._put_metric_alarm(call.params, {}, False)
    if status >= 400:
        return None
    cloudwatch._alarms[call.params["AlarmName"]]["InsufficientDataActions"] = _members(call, "InsufficientDataActions")
    return {}


def _describe_alarms(call: Call) -> dict[str, Any] | None:
    """ministack knows no ParentsOfAlarmName, and answers a caller of the query protocol with less than half of an alarm."""
    child = call.params.get("ParentsOfAlarmName")
    if child:
        return _parents(call, child)
    if not call.is_query:
        return None
    names = _members(call, "AlarmNames")
    alarms = [alarm for name, alarm in sorted(cloudwatch._alarms.items()) if not names or name in names]
    return {"MetricAlarms": [_described(alarm) for alarm in alarms], "CompositeAlarms": []}


def _parents(call: Call, child: str) -> dict[str, Any]:
    """Only names and ARNs (API reference of DescribeAlarms, ParentsOfAlarmName)."""
    if set(call.params) - {"ParentsOfAlarmName", "MaxRecords", "NextToken", "Action", "Version"}:
        raise AwsError("ValidationError", "ParentsOfAlarmName takes no other parameters than MaxRecords and NextToken")
    parents = [alarm for alarm in cloudwatch._composite_alarms.values() if child in cloudwatch._composite_children(alarm)]
    described = [{name: alarm[name] for name in ("AlarmName", "AlarmArn")} for alarm in parents]
    return {"MetricAlarms": [], "CompositeAlarms": described}


def _described(alarm: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in alarm.items() if value is not None and not name.endswith("Timestamp")}


def _members(call: Call, name: str) -> list[str]:
    found = {key: value for key, value in call.params.items() if key.startswith(f"{name}.member.")}
    return [found[key] for key in sorted(found, key=lambda key: int(key.rpartition(".")[2]))]


OVERRIDES = {"cloudwatch:PutMetricAlarm": _put_metric_alarm, "cloudwatch:DescribeAlarms": _describe_alarms}
