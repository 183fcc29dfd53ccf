"""What whoever runs the deployer needs beside each call's own action, and what IAM's simulator says of it."""

from __future__ import annotations

import json

from support import ACCOUNT, client, code_of, control, make_function, make_role, policy, role_arn, unique
from test_authz import AuthorisationTest, arn


class BesideTheCall(AuthorisationTest):
    def test_a_call_that_makes_and_tags_needs_the_action_to_tag(self) -> None:
        tags = [{"Key": "team", "Value": "mail"}]
        lower = [{"Key": "team", "Value": "mail"}]
        content = json.dumps({"schemaVersion": "2.2", "mainSteps": []})
        for service, operation, action, to_tag, arguments in (
            ("iam", "create_user", "iam:CreateUser", "iam:TagUser", {"UserName": unique("u"), "Tags": tags}),
            ("secretsmanager", "create_secret", "secretsmanager:CreateSecret", "secretsmanager:TagResource",
             {"Name": unique("s"), "SecretString": "x", "Tags": tags}),
            ("sns", "create_topic", "sns:CreateTopic", "sns:TagResource", {"Name": unique("t"), "Tags": tags}),
            ("events", "put_rule", "events:PutRule", "events:TagResource",
             {"Name": unique("r"), "ScheduleExpression": "rate(1 day)", "Tags": tags}),
            ("logs", "create_log_group", "logs:CreateLogGroup", "logs:TagResource",
             {"logGroupName": unique("g"), "tags": {"team": "mail"}}),
            ("ssm", "create_document", "ssm:CreateDocument", "ssm:AddTagsToResource",
             {"Name": unique("d"), "Content": content, "DocumentType": "Command", "Tags": lower}),
            ("ssm", "put_parameter", "ssm:PutParameter", "ssm:AddTagsToResource",
             {"Name": f"/{unique('p')}", "Value": "x", "Type": "String", "Tags": lower}),
        ):
            with self.subTest(action):
                self.allow(action, "*")
                self.assertIn(f"to perform: {to_tag} on resource: ", self.denial(service, operation, **arguments) or "")
                self.allow([action, to_tag], "*")
                self.assert_allowed(service, operation, **arguments)

    def test_a_function_needs_that_its_role_may_be_passed_to_lambda(self) -> None:
        role = make_role({"Service": "lambda.amazonaws.com"})
        arguments = {
            "FunctionName": unique("f"),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": role_arn(role),
            "Code": {"ZipFile": code_of("def handle(event): return 1")},
        }

        def allow(service: str) -> None:
            create = json.loads(policy("lambda:CreateFunction", "*"))["Statement"]
            condition = {"StringEquals": {"iam:PassedToService": service}}
            passing = json.loads(policy("iam:PassRole", role_arn(role), condition))["Statement"]
            document = json.dumps({"Version": "2012-10-17", "Statement": create + passing})
            client("iam").put_role_policy(RoleName=self.role, PolicyName="policy", PolicyDocument=document)

        allow("ec2.amazonaws.com")
        self.assertIn("iam:PassRole on resource: " + role_arn(role), self.denial("lambda", "create_function", **arguments))
        allow("lambda.amazonaws.com")
        self.assert_allowed("lambda", "create_function", **arguments)

    def test_the_tags_of_a_function_need_list_tags(self) -> None:
        function = make_function("def handle(event): return 1", Tags={"team": "mail"})
        self.allow("lambda:GetFunction", function)
        answer = client("lambda", **self.session).get_function(FunctionName=function)
        self.assertNotIn("Tags", answer)
        self.assertEqual(answer["TagsError"]["ErrorCode"], "AccessDeniedException")
        self.allow(["lambda:GetFunction", "lambda:ListTags"], function)
        self.assertEqual(client("lambda", **self.session).get_function(FunctionName=function)["Tags"], {"team": "mail"})

    def test_a_log_group_is_authorised_behind_its_name_and_its_tags_on_it(self) -> None:
        group = unique("/aws/lambda/g")
        client("logs").create_log_group(logGroupName=group)
        on_group = arn("logs", f"log-group:{group}")
        self.allow("logs:PutRetentionPolicy", on_group)
        self.assert_denied(f"{on_group}:log-stream:", "logs", "put_retention_policy", logGroupName=group, retentionInDays=7)
        self.allow("logs:PutRetentionPolicy", f"{on_group}:*")
        self.assert_allowed("logs", "put_retention_policy", logGroupName=group, retentionInDays=7)
        self.allow("logs:ListTagsForResource", on_group)
        self.assert_allowed("logs", "list_tags_for_resource", resourceArn=on_group)
        self.allow("logs:DescribeLogGroups", f"{on_group}:*")
        self.assert_denied(
            arn("logs", "log-group::log-stream:"), "logs", "describe_log_groups", logGroupNamePrefix=group
        )

    def test_a_parameter_is_authorised_without_its_first_slash(self) -> None:
        name = f"/deployer/{unique('d')}"
        client("ssm").put_parameter(Name=name, Value="x", Type="String")
        self.allow("ssm:GetParameter", arn("ssm", f"parameter{name}"))
        self.assert_allowed("ssm", "get_parameter", Name=name)
        self.assert_denied(arn("ssm", f"parameter{name}-other"), "ssm", "get_parameter", Name=f"{name}-other")
        self.assert_denied(arn("ssm", "parameter/deployer"), "ssm", "get_parameters_by_path", Path="/deployer")

    def test_a_managed_policy_holds_6144_characters_without_white_space(self) -> None:
        def of(characters: int) -> str:
            least = policy("ssm:GetParameter", "*")
            return policy("ssm:GetParameter", "*" * (characters - len("".join(least.split())) + 1))

        with self.assert_error("LimitExceeded", "6144"):
            client("iam").create_policy(PolicyName=unique("p"), PolicyDocument=of(6145))
        client("iam").create_policy(PolicyName=unique("p"), PolicyDocument=of(6144) + " ")


class Tags(AuthorisationTest):
    def test_a_policy_may_demand_tags_of_a_request(self) -> None:
        name, tags = unique("/t"), [{"Key": "team", "Value": "mail"}]
        self.allow("ssm:*", "*", {"StringEquals": {"aws:RequestTag/team": "mail"}, "ForAllValues:StringEquals": {"aws:TagKeys": "team"}})
        put = {"Name": name, "Type": "String", "Value": "1"}
        self.assert_denied(arn("ssm", f"parameter{name}"), "ssm", "put_parameter", **put)
        self.assert_allowed("ssm", "put_parameter", **put, Tags=tags)
        self.assert_denied(arn("ssm", f"parameter{name}"), "ssm", "put_parameter", **put, Overwrite=True)
        self.allow("ssm:*", "*", {"StringEquals": {"ssm:Overwrite": "true"}})
        self.assert_allowed("ssm", "put_parameter", **put, Overwrite=True)


class Simulation(AuthorisationTest):
    def decisions(self, **arguments: object) -> dict[tuple[str, str], str]:
        answer = client("iam").simulate_principal_policy(PolicySourceArn=role_arn(self.role), **arguments)
        return {(it["EvalActionName"], it["EvalResourceName"]): it["EvalDecision"] for it in answer["EvaluationResults"]}

    def test_it_answers_for_each_action_on_each_resource(self) -> None:
        one, two = arn("sns", "one"), arn("sns", "two")
        self.allow("sns:Publish", one)
        self.assertEqual(
            self.decisions(ActionNames=["sns:Publish", "sns:Subscribe"], ResourceArns=[one, two]),
            {
                ("sns:Publish", one): "allowed",
                ("sns:Publish", two): "implicitDeny",
                ("sns:Subscribe", one): "implicitDeny",
                ("sns:Subscribe", two): "implicitDeny",
            },
        )
        self.assertEqual(self.decisions(ActionNames=["sns:Publish"]), {("sns:Publish", "*"): "implicitDeny"})

    def test_a_condition_key_counts_only_if_it_is_given(self) -> None:
        self.allow("iam:PassRole", "*", {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}})
        entry = {"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string"}
        for entries, expected in (
            ([], "implicitDeny"),
            ([entry | {"ContextKeyValues": ["ec2.amazonaws.com"]}], "implicitDeny"),
            ([entry | {"ContextKeyValues": ["lambda.amazonaws.com"]}], "allowed"),
        ):
            self.assertEqual([*self.decisions(ActionNames=["iam:PassRole"], ContextEntries=entries).values()], [expected])

    def test_keys_that_a_policy_names_and_nobody_gave_are_listed(self) -> None:
        self.allow("sns:Publish", "*", {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}, "StringLike": {"aws:PrincipalArn": "*"}})
        simulate = client("iam").simulate_principal_policy
        ask = {"PolicySourceArn": role_arn(self.role), "ActionNames": ["sns:Publish"]}
        [anywhere] = simulate(**ask)["EvaluationResults"]
        self.assertEqual(anywhere["MissingContextValues"], ["aws:SourceIp"])
        [there] = simulate(**ask, ResourceArns=[arn("sns", "one")])["EvaluationResults"]
        self.assertEqual(there["ResourceSpecificResults"][0]["MissingContextValues"], ["aws:SourceIp"])

    def test_a_key_may_have_several_values(self) -> None:
        self.allow("sns:CreateTopic", "*", {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}})
        for keys, expected in ((["a", "b"], "allowed"), (["a", "c"], "implicitDeny")):
            entry = {"ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList", "ContextKeyValues": keys}
            decisions = self.decisions(ActionNames=["sns:CreateTopic"], ContextEntries=[entry])
            self.assertEqual([*decisions.values()], [expected])

    def test_a_permissions_boundary_is_told_apart(self) -> None:
        name = unique("boundary")
        client("iam").create_policy(PolicyName=name, PolicyDocument=policy("sns:Publish", "*"))
        boundary = f"arn:aws:iam::{ACCOUNT}:policy/{name}"
        client("iam").put_role_permissions_boundary(RoleName=self.role, PermissionsBoundary=boundary)
        self.allow("sns:*", "*")
        answer = client("iam").simulate_principal_policy(
            PolicySourceArn=role_arn(self.role), ActionNames=["sns:Publish", "sns:Subscribe"]
        )["EvaluationResults"]
        client("iam").delete_role_permissions_boundary(RoleName=self.role)
        detail = [it["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"] for it in answer]
        self.assertEqual(([it["EvalDecision"] for it in answer], detail), (["allowed", "implicitDeny"], [True, False]))

    def test_a_session_is_no_source(self) -> None:
        session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.role}/test"
        with self.assert_error("InvalidInput", "does not clearly define entity type and name"):
            client("iam").simulate_principal_policy(PolicySourceArn=session, ActionNames=["sns:Publish"])
        with self.assert_error("NoSuchEntity"):
            client("iam").simulate_principal_policy(PolicySourceArn=role_arn("nobody"), ActionNames=["sns:Publish"])


class Ses(AuthorisationTest):
    def test_an_account_that_may_not_send_says_so(self) -> None:
        control("ses", {"sending": False})
        paused = client("sesv2").get_account()
        control("ses", {"sending": True})
        self.assertEqual((paused["SendingEnabled"], paused["EnforcementStatus"]), (False, "SHUTDOWN"))
        self.assertTrue(client("sesv2").get_account()["SendingEnabled"])
        self.allow("ses:GetEmailIdentity", arn("ses", "identity/example.com"))
        self.assert_allowed("sesv2", "get_email_identity", EmailIdentity="example.com")
        self.assert_denied(arn("ses", "identity/a@example.com"), "sesv2", "get_email_identity", EmailIdentity="a@example.com")
