"""CloudWatch alarms: tags, permissions, periods, and the topic that an alarm tells."""

from __future__ import annotations

import json

from support import ACCOUNT, REGION, SANDBOX_DIR, SandboxTest, assume, client, make_role, policy, unique


class Alarms(SandboxTest):
    def setUp(self) -> None:
        self.cloudwatch = client("cloudwatch")
        self.name = unique("alarm")
        self.arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{self.name}"

    def put(self, by: object = None, **options: object) -> None:
        arguments = {
            "AlarmName": self.name,
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Statistic": "Sum",
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
            "Period": 300,
            "EvaluationPeriods": 1,
            **options,
        }
        (by or self.cloudwatch).put_metric_alarm(**arguments)

    def tags(self) -> dict[str, str]:
        tags = self.cloudwatch.list_tags_for_resource(ResourceARN=self.arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def test_tags_of_an_existing_alarm_are_left_as_they_are(self) -> None:
        self.put(Tags=[{"Key": "team", "Value": "mail"}])
        self.put(Tags=[{"Key": "team", "Value": "other"}], Threshold=1)
        self.assertEqual(self.tags(), {"team": "mail"})

    def test_a_call_that_makes_and_tags_needs_the_action_to_tag_on_the_alarms_arn(self) -> None:
        tags = [{"Key": "team", "Value": "mail"}]
        only_put = client("cloudwatch", **assume(make_role({"AWS": ACCOUNT}, policy("cloudwatch:PutMetricAlarm", self.arn))))
        with self.assert_error("AccessDeniedException", "cloudwatch:TagResource"):
            self.put(only_put, Tags=tags)
        both = policy(["cloudwatch:PutMetricAlarm", "cloudwatch:TagResource"], self.arn)
        self.put(client("cloudwatch", **assume(make_role({"AWS": ACCOUNT}, both))), Tags=tags)
        with self.assert_error("AccessDeniedException", "alarm:other"):
            self.put(only_put, AlarmName="other")

    def test_periods_may_be_a_day_together_and_from_an_hour_on_seven_days(self) -> None:
        self.put(Period=3600, EvaluationPeriods=26)
        with self.assert_error("ValidationError"):
            self.put(Period=300, EvaluationPeriods=26 * 12)

    def test_an_alarm_that_a_composite_alarm_depends_on_is_not_deleted_and_its_parents_are_told(self) -> None:
        self.put()
        parent = unique("parent")
        self.cloudwatch.put_composite_alarm(AlarmName=parent, AlarmRule=f'ALARM("{self.name}")')
        with self.assert_error("ValidationError", "composite alarm(s) depending on it"):
            self.cloudwatch.delete_alarms(AlarmNames=[self.name])
        told = self.cloudwatch.describe_alarms(ParentsOfAlarmName=self.name)
        self.assertEqual(([it["AlarmName"] for it in told["CompositeAlarms"]], told["MetricAlarms"]), ([parent], []))
        with self.assert_error("ValidationError"):
            self.cloudwatch.describe_alarms(ParentsOfAlarmName=self.name, AlarmNames=[self.name])
        for name in (parent, self.name):
            self.cloudwatch.delete_alarms(AlarmNames=[name])

    def test_an_alarm_tells_its_topic_of_the_state_that_it_goes_to(self) -> None:
        topic = client("sns").create_topic(Name=unique("topic"))["TopicArn"]
        self.put(InsufficientDataActions=[topic])
        for state in ("OK", "INSUFFICIENT_DATA"):
            self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue=state, StateReason="a test")
        lines = (SANDBOX_DIR / "notifications.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        self.assertEqual([line["subject"] for line in told if line["topic"] == topic],
                         [f'INSUFFICIENT_DATA: "{self.name}"'])
