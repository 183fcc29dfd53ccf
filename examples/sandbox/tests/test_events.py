"""EventBridge: rules with tags and targets, and the function that a rule invokes."""

from __future__ import annotations

import json
import urllib.error

from support import (
    ACCOUNT,
    REGION,
    SandboxTest,
    assume,
    calls,
    client,
    control,
    make_function,
    make_role,
    policy,
    unique,
)

HANDLER = """
def handle(event):
    if event == "fail":
        raise ValueError("it was told to fail")
    return {"got": event}
"""
DAILY = "rate(1 day)"


class RuleTest(SandboxTest):
    def setUp(self) -> None:
        self.events = client("events")
        self.name = unique("rule")
        self.arn = self.put(Tags=[{"Key": "team", "Value": "mail"}])

    def put(self, **options: object) -> str:
        return self.events.put_rule(Name=self.name, **{"ScheduleExpression": DAILY, **options})["RuleArn"]

    def target(self, function: str, event: object) -> None:
        target = {"Id": "function", "Arn": function, "Input": json.dumps(event)}
        self.events.put_targets(Rule=self.name, Targets=[target])


class Rules(RuleTest):
    def test_the_default_event_bus_is_not_in_a_rules_arn(self) -> None:
        self.assertEqual(self.arn, f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{self.name}")
        theirs = client("events", **assume(make_role({"AWS": ACCOUNT}, policy("events:*", self.arn))))
        theirs.describe_rule(Name=self.name)
        theirs.list_targets_by_rule(Rule=self.name)
        theirs.list_tags_for_resource(ResourceARN=self.arn)
        with self.assert_error("AccessDeniedException", "rule/other"):
            theirs.describe_rule(Name="other")

    def test_tags_of_an_existing_rule_are_left_as_they_are(self) -> None:
        self.put(Tags=[{"Key": "team", "Value": "other"}])
        tags = self.events.list_tags_for_resource(ResourceARN=self.arn)["Tags"]
        self.assertEqual(tags, [{"Key": "team", "Value": "mail"}])

    def test_what_is_not_named_again_is_as_in_a_new_rule(self) -> None:
        self.put(State="DISABLED", Description="text")
        self.put()
        rule = self.events.describe_rule(Name=self.name)
        self.assertEqual((rule["State"], rule.get("Description")), ("ENABLED", None))

    def test_a_rule_with_targets_cannot_be_deleted(self) -> None:
        self.target(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:any", {})
        with self.assert_error("ValidationException", "since it has targets"):
            self.events.delete_rule(Name=self.name)
        self.events.remove_targets(Rule=self.name, Ids=["function"])
        self.events.delete_rule(Name=self.name)
        self.events.delete_rule(Name=self.name)
        for call in (self.events.list_targets_by_rule, lambda **rule: self.events.remove_targets(Ids=["x"], **rule)):
            with self.assert_error("ResourceNotFoundException"):
                call(Rule=self.name)

    def test_a_rate_is_in_the_singular_or_the_plural(self) -> None:
        for schedule in ("rate(1 days)", "rate(2 day)", "rate(0 days)", "rate(1 week)"):
            with self.subTest(schedule), self.assert_error("ValidationException"):
                self.put(ScheduleExpression=schedule)
        self.put(ScheduleExpression="rate(12 hours)")


class Firing(RuleTest):
    def setUp(self) -> None:
        super().setUp()
        self.function = make_function(HANDLER)

    def allow(self, source: str) -> None:
        client("lambda").add_permission(
            FunctionName=self.function,
            StatementId=unique("events"),
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=source,
        )

    def fire(self) -> list[dict[str, object]]:
        return control("upkeep", {"rule": self.name})["invocations"]

    def test_the_function_gets_the_targets_input(self) -> None:
        self.allow(self.arn)
        self.target(self.function, {"event": "upkeep"})
        expected = {"function": self.function, "result": {"got": {"event": "upkeep"}}, "error": None, "attempts": 1}
        self.assertEqual(self.fire(), [expected])
        callers = [call["caller"] for call in calls() if call["resource"] == self.function]
        self.assertIn("events.amazonaws.com", callers)

    def test_a_function_that_fails_is_retried_as_its_configuration_says(self) -> None:
        self.allow(self.arn)
        self.target(self.function, "fail")
        expected = {"function": self.function, "result": None, "error": "it was told to fail"}
        self.assertEqual(self.fire(), [{**expected, "attempts": 3}])
        aws_lambda = client("lambda")
        put = aws_lambda.put_function_event_invoke_config(FunctionName=self.function, MaximumRetryAttempts=0)
        got = aws_lambda.get_function_event_invoke_config(FunctionName=self.function)
        for answer in (put, got):
            self.assertEqual(answer["MaximumRetryAttempts"], 0)
            self.assertNotIn("MaximumEventAgeInSeconds", answer)
        self.assertEqual(self.fire(), [{**expected, "attempts": 1}])

    def test_a_rule_that_the_functions_policy_does_not_name_may_not_invoke_it(self) -> None:
        self.allow(self.arn + "-other")
        self.target(self.function, {})
        self.assertIn("may not invoke", str(self.fire()[0]["error"]))

    def test_a_disabled_or_unknown_rule_does_not_fire(self) -> None:
        self.events.disable_rule(Name=self.name)
        for name in (self.name, "unknown"):
            with self.subTest(name), self.assertRaises(urllib.error.HTTPError) as refused:
                control("upkeep", {"rule": name})
            refused.exception.close()
