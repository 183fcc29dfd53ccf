"""The dump of the account: equal for equal states, whatever ids and dates AWS made up."""

from __future__ import annotations

import json
from typing import Any

from support import SandboxTest, client, control, unique


class Dumps(SandboxTest):
    def setUp(self) -> None:
        self.iam, self.secrets = client("iam"), client("secretsmanager")
        self.user, self.secret, self.snapshot = unique("user"), unique("secret"), unique("snapshot")
        control("snapshot", {"save": self.snapshot})
        self.addCleanup(control, "snapshot", {"restore": self.snapshot})

    def make(self, team: str) -> dict[str, Any]:
        """The dump after a user with a key and a secret with that key were made."""
        control("snapshot", {"restore": self.snapshot})
        self.iam.create_user(UserName=self.user, Tags=[{"Key": "team", "Value": team}])
        key = self.iam.create_access_key(UserName=self.user)["AccessKey"]
        value = {"username": self.user, "AccessKeyId": key["AccessKeyId"], "SMTPPassword": key["SecretAccessKey"]}
        self.secrets.create_secret(Name=self.secret, SecretString=json.dumps(value))
        return control("dump", {})

    def test_ids_dates_and_secrets_make_no_difference_and_a_tag_does(self) -> None:
        dump = self.make("platform")
        self.assertEqual(self.make("platform"), dump)
        self.assertNotEqual(self.make("mail"), dump)

    def test_a_secrets_value_is_not_shown(self) -> None:
        dump = self.make("platform")
        [shown] = [resource for name, resource in dump["stores"]["secretsmanager.secrets"] if self.secret in name]
        value = {"username": self.user, "AccessKeyId": True, "SMTPPassword": True}
        self.assertEqual(shown["versions"], [{"labels": ["AWSCURRENT"], "value": value}])
        self.assertNotIn("SecretAccessKey", json.dumps(dump))
