"""Parameter Store, and the account's inventory."""

from __future__ import annotations

from support import SandboxTest, client, control, unique


class Parameters(SandboxTest):
    def setUp(self) -> None:
        self.ssm = client("ssm")
        self.name = f"/{unique('parameter')}"

    def test_a_standard_parameter_holds_4096_bytes(self) -> None:
        self.ssm.put_parameter(Name=self.name, Type="String", Value="x" * 4096)
        for value in ("x" * 4097, "é" * 2049, "{{ssm:other}}"):
            with self.assert_error("ValidationException"):
                self.ssm.put_parameter(Name=self.name, Type="String", Value=value, Overwrite=True)

    def test_tags_come_only_with_a_new_parameter(self) -> None:
        resource = {"ResourceType": "Parameter", "ResourceId": self.name}
        with self.assert_error("InvalidResourceId"):
            self.ssm.list_tags_for_resource(**resource)
        tags = [{"Key": "a", "Value": "b"}]
        with self.assert_error("ValidationException"):
            self.ssm.put_parameter(Name=self.name, Type="String", Value="1", Overwrite=True, Tags=tags)
        self.ssm.put_parameter(Name=self.name, Type="String", Value="1", Tags=tags)
        self.assertEqual(self.ssm.list_tags_for_resource(**resource)["TagList"], tags)
        with self.assert_error("ParameterAlreadyExists"):
            self.ssm.put_parameter(Name=self.name, Type="String", Value="2")
        self.assertEqual(self.ssm.put_parameter(Name=self.name, Type="String", Value="2", Overwrite=True)["Version"], 2)

    def test_the_inventory_has_what_was_made_and_not_what_was_deleted(self) -> None:
        self.ssm.put_parameter(Name=self.name, Type="String", Value="1")
        client("iam").create_user(UserName=self.name[1:])
        found = control("inventory", {})["resources"]
        self.assertIn(f"parameter {self.name}", found)
        self.assertIn(f"user {self.name[1:]}", found)
        self.ssm.delete_parameter(Name=self.name)
        self.assertNotIn(f"parameter {self.name}", control("inventory", {})["resources"])
