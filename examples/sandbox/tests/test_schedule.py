"""Rotation rules: what is valid, and by when the next rotation is due."""

from __future__ import annotations

import unittest
from datetime import UTC, datetime
from typing import Any

from sandbox import schedule
from sandbox.api import AwsError

MONDAY = datetime(2026, 11, 23, 6, 10, tzinfo=UTC)


class Validation(unittest.TestCase):
    def test_valid_rules_pass(self) -> None:
        for rules in (
            {"AutomaticallyAfterDays": 1},
            {"AutomaticallyAfterDays": 1000, "Duration": "24h"},
            {"ScheduleExpression": "rate(4 hours)", "Duration": "4h"},
            {"ScheduleExpression": "rate(30 days)", "Duration": "4h"},
            {"ScheduleExpression": "cron(0 8 1 * ? *)"},
            {"ScheduleExpression": "cron(0 20 ? * MON#1 *)", "Duration": "4h"},
            {"ScheduleExpression": "cron(0 0/8 ? JAN-MAR SUN,WED *)"},
            {"ScheduleExpression": "cron(0 3 L * ? *)"},
        ):
            with self.subTest(rules):
                schedule.check(rules)

    def test_invalid_rules_are_refused(self) -> None:
        for rules in (
            {"AutomaticallyAfterDays": 0},
            {"AutomaticallyAfterDays": 1001},
            {"AutomaticallyAfterDays": 30, "ScheduleExpression": "rate(30 days)"},
            {"ScheduleExpression": "rate(3 hours)"},
            {"ScheduleExpression": "rate(30 minutes)"},
            {"ScheduleExpression": "every day"},
            {"ScheduleExpression": "cron(5 8 1 * ? *)"},
            {"ScheduleExpression": "cron(0 8 1 * ? 2027)"},
            {"ScheduleExpression": "cron(0 8 1 * MON *)"},
            {"ScheduleExpression": "cron(0 8 ? * ? *)"},
            {"ScheduleExpression": "cron(0 8 32 * ? *)"},
            {"ScheduleExpression": "cron(0 25 1 * ? *)"},
            {"ScheduleExpression": "cron(0 */2 1 * ? *)"},
            {"ScheduleExpression": "cron(0 8 1 * ?)"},
            {"AutomaticallyAfterDays": 30, "Duration": "25h"},
            {"AutomaticallyAfterDays": 30, "Duration": "4"},
            {"ScheduleExpression": "rate(4 hours)", "Duration": "5h"},
            {"ScheduleExpression": "cron(0 22 1 * ? *)", "Duration": "3h"},
        ):
            with self.subTest(rules), self.assertRaises(AwsError) as caught:
                schedule.check(rules)
            self.assertEqual(caught.exception.code, "InvalidParameterException")


class NextRotation(unittest.TestCase):
    def test_the_end_of_the_next_window_follows_from_the_rules(self) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"AutomaticallyAfterDays": 30}, "2026-12-23 23:59:59"),
            ({"ScheduleExpression": "rate(10 days)"}, "2026-12-03 23:59:59"),
            ({"ScheduleExpression": "rate(12 hours)"}, "2026-11-23 19:10:00"),
            ({"ScheduleExpression": "cron(0 8 * * ? *)"}, "2026-11-23 23:59:59"),
            ({"ScheduleExpression": "cron(0 6 * * ? *)"}, "2026-11-24 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 1 * ? *)"}, "2026-12-01 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 ? * SAT *)"}, "2026-11-28 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 ? * 2#2 *)"}, "2026-12-14 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 ? * SUNL *)"}, "2026-11-29 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 L * ? *)"}, "2026-11-30 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 29 2 ? *)"}, "2028-02-29 23:59:59"),
            ({"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "3h"}, "2026-12-01 11:00:00"),
            ({"ScheduleExpression": "cron(0 6 * * ? *)", "Duration": "18h"}, "2026-11-25 00:00:00"),
            ({"ScheduleExpression": "rate(10 days)", "Duration": "4h"}, "2026-12-03 04:00:00"),
            ({"AutomaticallyAfterDays": 30, "Duration": "4h"}, "2026-12-23 04:00:00"),
            ({"ScheduleExpression": "rate(12 hours)", "Duration": "2h"}, "2026-11-23 20:10:00"),
        ]
        for rules, expected in cases:
            with self.subTest(rules):
                self.assertEqual(f"{schedule.next_rotation(rules, MONDAY):%Y-%m-%d %H:%M:%S}", expected)

    def test_without_rules_none_is_due(self) -> None:
        self.assertIsNone(schedule.next_rotation({}, MONDAY))
