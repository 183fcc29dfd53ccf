//! What whoever runs the deployer has to be allowed: one table from the resource to the actions, and to the verbs that need them.
//!
//! The source of resources, and of what an action needs beside itself, is AWS's Service Authorization Reference. Where AWS asks for more
//! than the reference says, a comment says where that is written. `deployer/tests/all/policy.rs` runs every verb under exactly its
//! part of the table, and compares it with the calls that the verb made.

use serde_json::{Value, json};

use crate::{
    cli::PolicyFor,
    config::Config,
    deployment::{
        names::{Names, RECORDS, identities_of, record},
        policy,
    },
};

/// What an action is allowed on. Each becomes a statement of the policy, unless the configuration has no such resource.
#[derive(Clone, Copy)]
enum On {
    /// What takes no resource, or a list of which IAM filters nothing.
    Account,
    Alarms,
    AnyAlarm,
    Document,
    /// A secret that the configuration declares existing.
    ExistingSecret,
    /// A user that the configuration declares existing.
    ExistingUser,
    Function,
    FunctionInVpc,
    FunctionVersions,
    Groups,
    Hosts,
    InstanceProfiles,
    InstanceRole,
    Lease,
    LogGroup,
    /// By Secrets Manager, for this secret alone.
    KeyOfSecret,
    Keys,
    OwnedRole,
    OwnedRoleInVpc,
    OwnedSecret,
    OwnedUser,
    OwnedUserWithBoundary,
    Principals,
    Record,
    Records,
    Role,
    RoleForLambda,
    RoleWithBoundary,
    Rule,
    Secret,
    Secrets,
    Sender,
    SesAccount,
    Subscriptions,
    Topic,
    User,
}

struct Line {
    on: On,
    verbs: &'static [PolicyFor],
    actions: &'static [&'static str],
}

const fn line(on: On, verbs: &'static [PolicyFor], actions: &'static [&'static str]) -> Line {
    Line { on, verbs, actions }
}

use PolicyFor::{Apply, Destroy, Doctor, Drift, Export, Init, List, Output, Plan, Recover, Rollback, Rotate, Status};

/// The verbs that read every resource.
const SURVEYS: &[PolicyFor] = &[Plan, Export, Apply, Status, Drift, Doctor, Destroy];
/// Those of them that compare with what the configuration declares.
const COMPARES: &[PolicyFor] = &[Plan, Export, Apply, Status, Drift, Doctor];
/// `plan --destroy` reads what `destroy` reads.
const DELETES: &[PolicyFor] = &[Plan, Destroy];

const TABLE: &[Line] = &[
    // The secret and its key.
    line(
        On::Secret,
        &[Plan, Export, Apply, Status, Drift, Doctor, Destroy, Rotate, Recover, Output],
        &["secretsmanager:DescribeSecret"],
    ),
    line(On::Secret, COMPARES, &["secretsmanager:ListSecretVersionIds"]),
    line(On::Secret, SURVEYS, &["secretsmanager:GetResourcePolicy"]),
    // RotateSecret also needs lambda:InvokeFunction (API reference of RotateSecret).
    line(On::Secret, &[Apply, Rotate, Recover], &["secretsmanager:RotateSecret"]),
    line(On::Secret, &[Apply, Recover, Destroy], &["secretsmanager:UpdateSecretVersionStage"]),
    line(On::Secret, &[Destroy], &["secretsmanager:CancelRotateSecret"]),
    // A call that creates and tags needs the service's action to tag too, here and below.
    line(
        On::OwnedSecret,
        &[Apply],
        &[
            "secretsmanager:CreateSecret",
            "secretsmanager:RestoreSecret",
            "secretsmanager:TagResource",
            "secretsmanager:UntagResource",
            "secretsmanager:UpdateSecret",
        ],
    ),
    line(On::OwnedSecret, &[Destroy], &["secretsmanager:DeleteSecret"]),
    // The deployment may have made it before, here and of the user.
    line(On::ExistingSecret, &[Apply, Destroy], &["secretsmanager:UntagResource"]),
    // Secrets Manager uses the key as the caller (guide, "Secret encryption and decryption"). Without kms:Encrypt it silently encrypts
    // no version again after a change of the key.
    line(On::KeyOfSecret, &[Apply], &["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]),
    line(On::Keys, COMPARES, &["kms:DescribeKey"]),
    // `list` works on the deployments that it finds.
    line(On::Secrets, &[List], &["secretsmanager:DescribeSecret"]),
    // The user.
    line(On::User, &[Plan, Export, Apply, Status, Drift, Doctor, Destroy, Recover, Output], &["iam:GetUser"]),
    line(On::User, SURVEYS, &["iam:ListAccessKeys", "iam:ListAttachedUserPolicies"]),
    line(On::User, &[Status, Doctor], &["iam:GetAccessKeyLastUsed"]),
    line(On::User, &[Recover], &["iam:UpdateAccessKey"]),
    line(On::OwnedUser, SURVEYS, &["iam:GetUserPolicy", "iam:ListGroupsForUser", "iam:ListUserPolicies"]),
    line(On::OwnedUser, &[Apply], &["iam:CreateUser", "iam:PutUserPolicy", "iam:TagUser", "iam:UntagUser"]),
    line(On::OwnedUserWithBoundary, &[Apply], &["iam:PutUserPermissionsBoundary"]),
    line(On::OwnedUser, &[Plan, Doctor, Destroy], &["iam:GetLoginProfile"]),
    line(
        On::OwnedUser,
        DELETES,
        &[
            "iam:ListMFADevices",
            "iam:ListSSHPublicKeys",
            "iam:ListServiceSpecificCredentials",
            "iam:ListSigningCertificates",
        ],
    ),
    line(
        On::OwnedUser,
        &[Destroy],
        &["iam:DeleteAccessKey", "iam:DeleteUser", "iam:DeleteUserPolicy", "iam:DetachUserPolicy"],
    ),
    // Whether the user may send.
    line(On::User, &[Status, Doctor, Recover], &["iam:SimulatePrincipalPolicy"]),
    line(On::User, &[Rotate], &["iam:GetUser", "iam:SimulatePrincipalPolicy"]),
    // With --adopt, of a user that is taken over.
    line(On::OwnedUser, &[Plan, Apply], &["iam:SimulatePrincipalPolicy"]),
    // It is authorised on the group, not on the user.
    line(On::Groups, &[Destroy], &["iam:RemoveUserFromGroup"]),
    line(On::ExistingUser, COMPARES, &["iam:ListGroupsForUser", "iam:ListUserPolicies", "iam:SimulatePrincipalPolicy"]),
    line(On::ExistingUser, &[Apply], &["iam:TagUser", "iam:UntagUser"]),
    line(On::ExistingUser, DELETES, &["iam:GetUserPolicy"]),
    line(On::ExistingUser, &[Destroy], &["iam:DeleteUserPolicy", "iam:UntagUser"]),
    // A name of IAM's that differs only in case is taken.
    line(On::Account, COMPARES, &["iam:ListRoles", "iam:ListUsers"]),
    // The function and its role.
    line(
        On::Role,
        SURVEYS,
        &["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
    ),
    line(
        On::OwnedRole,
        &[Apply],
        &[
            "iam:CreateRole",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:PutRolePolicy",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
        ],
    ),
    line(On::RoleWithBoundary, &[Apply], &["iam:PutRolePermissionsBoundary"]),
    // CreateFunction needs it, and UpdateFunctionConfiguration, which names the role.
    line(On::RoleForLambda, &[Apply], &["iam:PassRole"]),
    line(On::OwnedRole, DELETES, &["iam:ListInstanceProfilesForRole"]),
    line(On::OwnedRole, &[Destroy], &["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"]),
    // A destroy notes since when the role is kept for Lambda alone.
    line(On::OwnedRoleInVpc, &[Destroy], &["iam:TagRole"]),
    // It is authorised on the instance profile, not on the role.
    line(On::InstanceProfiles, &[Destroy], &["iam:RemoveRoleFromInstanceProfile"]),
    // GetFunction answers without tags if lambda:ListTags is missing (API reference of GetFunction).
    line(
        On::Function,
        SURVEYS,
        &[
            "lambda:GetFunction",
            "lambda:GetFunctionCodeSigningConfig",
            "lambda:GetFunctionEventInvokeConfig",
            "lambda:GetPolicy",
            "lambda:ListFunctionUrlConfigs",
            "lambda:ListTags",
        ],
    ),
    line(On::Function, &[Plan, Export, Apply, Status, Drift, Doctor, Rotate, Recover], &["lambda:InvokeFunction"]),
    line(
        On::Function,
        &[Apply],
        &[
            "lambda:AddPermission",
            "lambda:CreateFunction",
            "lambda:DeleteFunctionCodeSigningConfig",
            "lambda:DeleteFunctionConcurrency",
            "lambda:DeleteFunctionUrlConfig",
            "lambda:PublishVersion",
            "lambda:PutFunctionEventInvokeConfig",
            "lambda:RemovePermission",
            "lambda:TagResource",
            "lambda:UntagResource",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
        ],
    ),
    // What a rotation needs, and the function cannot see.
    line(On::Function, &[Rotate, Recover], &["lambda:GetPolicy"]),
    line(On::Secret, &[Rotate, Recover], &["secretsmanager:GetResourcePolicy"]),
    line(On::InstanceRole, &[Rotate, Recover], &["iam:GetRole", "iam:GetRolePolicy"]),
    line(On::InstanceRole, &[Status, Rotate, Recover], &["iam:SimulatePrincipalPolicy"]),
    line(On::Keys, &[Rotate, Recover], &["kms:DescribeKey"]),
    // A rollback is an apply that first reads a version of the function.
    line(On::Function, &[Rollback], &["lambda:ListVersionsByFunction"]),
    line(On::FunctionVersions, &[Rollback], &["lambda:GetFunction"]),
    line(On::Function, &[Destroy], &["lambda:DeleteFunction", "lambda:RemovePermission"]),
    // CreateFunction needs them in a VPC (Lambda guide, "Giving Lambda functions access to resources in an Amazon VPC").
    line(On::FunctionInVpc, &[Apply], &["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]),
    // Whatever prefix the call names, AWS authorises it on all log groups (terraform-provider-aws, issue 8804).
    line(On::Account, SURVEYS, &["logs:DescribeLogGroups"]),
    line(On::LogGroup, SURVEYS, &["logs:ListTagsForResource"]),
    line(On::LogGroup, &[Apply, Status, Doctor, Rotate, Recover, Destroy], &["logs:FilterLogEvents"]),
    line(
        On::LogGroup,
        &[Apply],
        &["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource"],
    ),
    line(On::LogGroup, &[Destroy], &["logs:DeleteLogGroup"]),
    line(On::Rule, SURVEYS, &["events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule"]),
    line(On::Rule, &[Apply], &["events:PutRule", "events:PutTargets", "events:TagResource", "events:UntagResource"]),
    line(On::Rule, &[Apply, Destroy], &["events:RemoveTargets"]),
    line(On::Rule, &[Destroy], &["events:DeleteRule"]),
    // The topic.
    line(On::Topic, SURVEYS, &["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource"]),
    line(On::Topic, &[Apply], &["sns:CreateTopic", "sns:Subscribe", "sns:TagResource", "sns:UntagResource"]),
    line(On::Topic, &[Destroy], &["sns:DeleteTopic"]),
    // It takes no resource, though a subscription's ARN begins with that of its topic.
    line(On::Subscriptions, &[Apply], &["sns:Unsubscribe"]),
    line(On::Subscriptions, &[Doctor], &["sns:GetSubscriptionAttributes"]),
    // The alarms. DescribeAlarms takes a list of names.
    line(On::AnyAlarm, SURVEYS, &["cloudwatch:DescribeAlarms"]),
    line(On::Alarms, SURVEYS, &["cloudwatch:ListTagsForResource"]),
    line(On::Alarms, &[Apply], &["cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"]),
    line(On::Alarms, &[Destroy], &["cloudwatch:DeleteAlarms"]),
    // The hosts.
    line(On::Hosts, SURVEYS, &["ssm:DescribeInstanceInformation"]),
    line(On::Document, SURVEYS, &["ssm:GetDocument", "ssm:ListTagsForResource"]),
    line(
        On::Document,
        &[Apply],
        &[
            "ssm:AddTagsToResource",
            "ssm:CreateDocument",
            "ssm:DescribeDocument",
            "ssm:RemoveTagsFromResource",
            "ssm:UpdateDocument",
            "ssm:UpdateDocumentDefaultVersion",
        ],
    ),
    line(On::Document, &[Destroy], &["ssm:DeleteDocument"]),
    line(On::InstanceRole, SURVEYS, &["iam:GetRole", "iam:GetRolePolicy"]),
    line(On::InstanceRole, &[Apply], &["iam:PutRolePolicy"]),
    line(On::InstanceRole, &[Destroy], &["iam:DeleteRolePolicy"]),
    // SES.
    line(On::Sender, SURVEYS, &["ses:GetEmailIdentity"]),
    line(On::Sender, &[Rotate, Recover], &["ses:GetEmailIdentity"]),
    line(On::SesAccount, SURVEYS, &["ses:GetAccount"]),
    line(On::SesAccount, &[Rotate], &["ses:GetAccount"]),
    line(On::Account, &[Status, Doctor, Recover], &["ses:GetAccount"]),
    // Whose policies `doctor` simulates: the caller's and the instances'.
    line(On::Principals, &[Doctor], &["iam:GetRole", "iam:SimulatePrincipalPolicy"]),
    // What `init` offers.
    line(
        On::Account,
        &[Init],
        &["iam:ListUsers", "secretsmanager:ListSecrets", "ses:ListEmailIdentities", "ssm:DescribeInstanceInformation"],
    ),
    // The record and the lease.
    line(On::Record, SURVEYS, &["ssm:GetParameter", "ssm:ListTagsForResource"]),
    line(On::Record, &[Apply], &["ssm:AddTagsToResource", "ssm:PutParameter", "ssm:RemoveTagsFromResource"]),
    line(On::Record, &[Destroy], &["ssm:DeleteParameter"]),
    line(On::Records, &[List], &["ssm:GetParametersByPath"]),
    line(
        On::Lease,
        &[Apply, Destroy, Recover, Rotate],
        &["ssm:AddTagsToResource", "ssm:GetParameter", "ssm:PutParameter"],
    ),
    line(On::Lease, &[Destroy], &["ssm:DeleteParameter"]),
];

/// Actions that are allowed on the same resources.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Permission {
    /// In order, each once.
    pub(crate) actions: Vec<&'static str>,
    /// ARNs or patterns of them.
    pub(crate) resources: Vec<String>,
    condition: Option<Value>,
}

impl Permission {
    /// The resources that a simulation can be asked about: a name for each pattern whose end alone is open.
    pub(crate) fn examples(&self) -> Vec<String> {
        let is_asked =
            |resource: &&String| !resource.contains(":kms:") && (*resource == "*" || !resource.contains("/*"));
        let named = |resource: &String| match resource.strip_suffix(":*") {
            Some(group) => format!("{group}:log-stream:"),
            None if resource == "*" => resource.clone(),
            None => resource.replace(['?', '*'], "a"),
        };
        self.resources.iter().filter(is_asked).map(named).collect()
    }

    /// The condition keys that such a call has, each with its value.
    pub(crate) fn context(&self) -> Vec<(String, String)> {
        let equal = self.condition.as_ref().and_then(|condition| condition["StringEquals"].as_object());
        let entry = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        equal.into_iter().flatten().filter_map(entry).collect()
    }
}

/// Whether the request of an action has the tags of what it makes (Service Authorization Reference: the actions with the condition key
/// `aws:RequestTag`).
pub(crate) fn has_tags(action: &str) -> bool {
    const OF_ACTIONS: [&str; 10] = [
        "cloudwatch:PutMetricAlarm",
        "events:PutRule",
        "iam:CreateRole",
        "iam:CreateUser",
        "lambda:CreateFunction",
        "logs:CreateLogGroup",
        "secretsmanager:CreateSecret",
        "sns:CreateTopic",
        "ssm:CreateDocument",
        "ssm:PutParameter",
    ];
    let tags = [":TagResource", ":TagRole", ":TagUser", ":AddTagsToResource"];
    OF_ACTIONS.contains(&action) || tags.iter().any(|name| action.ends_with(name))
}

/// What a user needs to send as this address.
pub(crate) fn of_sender(names: &Names, address: &str) -> Permission {
    let resources = identities_of(address).iter().map(|it| names.ses_arn(&format!("identity/{it}"))).collect();
    let condition = Some(json!({"StringEquals": {"ses:FromAddress": address}}));
    Permission { actions: vec![policy::SEND], resources, condition }
}

/// What a host's script needs of the instances' role, beside the use of the secret's key.
pub(crate) fn of_instance(names: &Names) -> Permission {
    let resources = vec![names.secret_arn_pattern()];
    Permission { actions: vec![policy::READ_SECRET], resources, condition: None }
}

/// What a verb needs, or all of them together.
pub(crate) fn permissions(config: &Config, names: &Names, verb: Option<PolicyFor>) -> Vec<Permission> {
    let mut permissions: Vec<Permission> = Vec::new();
    let verbs = match verb {
        Some(Rollback) => vec![Apply, Rollback],
        verb => verb.into_iter().collect(),
    };
    let is_needed = |line: &&Line| verbs.is_empty() || verbs.iter().any(|verb| line.verbs.contains(verb));
    for Line { on, actions, .. } in TABLE.iter().filter(is_needed) {
        let Some(resources) = resources(*on, config, names) else { continue };
        let condition = condition(*on, names);
        let same = permissions.iter_mut().find(|it| it.resources == resources && it.condition == condition);
        if let Some(same) = same {
            same.actions.extend(*actions);
            same.actions.sort_unstable();
            same.actions.dedup();
        } else {
            permissions.push(Permission { actions: actions.to_vec(), resources, condition });
        }
    }
    without_what_is_allowed_everywhere(permissions)
}

/// What another verb needs on every resource, a verb need not be allowed on one.
fn without_what_is_allowed_everywhere(mut permissions: Vec<Permission>) -> Vec<Permission> {
    let is_everywhere = |it: &Permission| it.resources == ["*"] && it.condition.is_none();
    let everywhere: Vec<_> =
        permissions.iter().filter(|it| is_everywhere(it)).flat_map(|it| it.actions.clone()).collect();
    for permission in permissions.iter_mut().filter(|it| !is_everywhere(it)) {
        permission.actions.retain(|action| !everywhere.contains(action));
    }
    permissions.retain(|it| !it.actions.is_empty());
    permissions
}

/// The policy of these permissions. IAM takes no policy without a statement. Statements have no ids, and a list of one resource is a text,
/// so that one policy for all verbs fits into a managed policy.
pub(crate) fn policy(permissions: &[Permission]) -> Value {
    policy::document(permissions.iter().map(|Permission { actions, resources, condition }| {
        let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": one_or_all(resources)});
        if let Some(condition) = condition {
            statement["Condition"] = condition.clone();
        }
        statement
    }))
}

fn one_or_all(resources: &[String]) -> Value {
    if let [resource] = resources { json!(resource) } else { json!(resources) }
}

/// None if the configuration has no such resource.
fn resources(on: On, config: &Config, names: &Names) -> Option<Vec<String>> {
    let (user, instance, role) = (&config.iam_user, config.instance.as_ref(), config.function.role.as_ref());
    let when = |is_there: bool, resources: Vec<String>| is_there.then_some(resources);
    let everything = || vec!["*".to_owned()];
    match on {
        // Of IAM, that is every group, every instance profile, and every user and role. Written out, they would not fit into a policy.
        On::Account | On::InstanceProfiles | On::Principals => Some(everything()),
        On::Alarms => when(config.notify.is_some(), vec![names.alarm_arn_pattern()]),
        On::Document => {
            when(instance.is_some_and(|it| it.document.is_none()), vec![names.document_arn(&names.document)])
        }
        On::ExistingSecret => when(config.secret.existing, names.secret_arns()),
        On::ExistingUser => when(user.existing, names.with_any_path("user", &names.user)),
        On::Function => Some(vec![names.function_arn()]),
        On::FunctionInVpc => when(config.function.vpc.is_some(), everything()),
        On::FunctionVersions => Some(vec![format!("{}:*", names.function_arn())]),
        On::Groups => when(!user.existing, everything()),
        On::Hosts => when(instance.is_some(), everything()),
        On::InstanceRole => Some(names.with_any_path("role", instance?.role.as_ref()?)),
        On::Lease => Some(vec![names.parameter_arn(&names.lease)]),
        // The actions on tags take the group's ARN, all others one that goes on behind it (CloudWatch Logs guide, "CloudWatch Logs
        // resources and operations").
        On::LogGroup => Some(vec![names.log_group_arn(), format!("{}:*", names.log_group_arn())]),
        On::KeyOfSecret => Some(vec![names.key_arn_pattern(config.secret.kms_key.as_deref()?)]),
        // The key of an older version, and that of an existing secret, has no name in the file.
        On::Keys => when(config.secret.existing || config.secret.kms_key.is_some(), vec![names.kms_key_arn("*")]),
        On::OwnedSecret => when(!config.secret.existing, names.secret_arns()),
        On::OwnedUser => when(!user.existing, names.owned_user_arns()),
        On::OwnedUserWithBoundary => {
            when(!user.existing && user.permissions_boundary.is_some(), names.owned_user_arns())
        }
        On::Record => Some(vec![names.parameter_arn(&names.record)]),
        On::Records => Some(vec![names.parameter_arn(RECORDS), names.parameter_arn(&record("*"))]),
        On::OwnedRole => when(role.is_none(), names.role_arns()),
        On::OwnedRoleInVpc => when(role.is_none() && config.function.vpc.is_some(), names.role_arns()),
        On::Role | On::RoleForLambda if role.is_some() => Some(names.with_any_path("role", &names.role)),
        On::Role => Some(names.role_arns()),
        On::RoleForLambda => Some(vec![names.owned_role_arn()]),
        On::RoleWithBoundary => when(config.function.role_permissions_boundary.is_some(), names.role_arns()),
        On::Rule => Some(vec![names.upkeep_arn()]),
        On::Secret => Some(names.secret_arns()),
        On::Secrets => Some(vec![names.any_secret_arn()]),
        On::Sender => {
            let identities = identities_of(&config.ses.test_mail.as_ref()?.sender);
            Some(identities.iter().map(|it| names.ses_arn(&format!("identity/{it}"))).collect())
        }
        On::SesAccount => when(config.ses.test_mail.is_some(), everything()),
        On::AnyAlarm | On::Subscriptions => when(config.notify.is_some(), everything()),
        On::Topic => when(config.notify.is_some(), vec![names.topic_arn()]),
        On::User if user.existing => Some(names.with_any_path("user", &names.user)),
        On::User => Some(names.owned_user_arns()),
    }
}

fn condition(on: On, names: &Names) -> Option<Value> {
    match on {
        On::RoleForLambda => Some(json!({"StringEquals": {"iam:PassedToService": policy::LAMBDA}})),
        On::KeyOfSecret => Some(policy::through_secrets_manager(names)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use clap::ValueEnum as _;

    use super::*;
    use crate::config::parse;

    fn of(yaml: &str, verb: Option<PolicyFor>) -> Vec<Permission> {
        let config = parse(Path::new("config.yaml"), yaml).unwrap().remove(0);
        permissions(&config, &Names::in_account(&config, "123456789012".into()), verb)
    }

    fn actions(permissions: &[Permission]) -> BTreeSet<&'static str> {
        permissions.iter().flat_map(|permission| permission.actions.iter().copied()).collect()
    }

    const LEAST: &str = "name: m\nregion: eu-west-1\nsecret: {name: m/smtp}\niam_user: {name: m}\n";

    fn example() -> String {
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.example.yaml")).unwrap()
    }

    /// The actions that the kinds name in their ops.
    fn of_ops() -> BTreeSet<String> {
        let kinds = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds");
        let folders = [kinds.clone(), kinds.join("function")];
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        let sources = files.filter(|file| file.is_file() && !file.ends_with("tests.rs") && !file.ends_with("laws.rs"));
        let is_action = |text: &&str| {
            let (service, action) = text.split_once(':').unwrap_or_default();
            // Only asked about, of an existing user.
            let is_asked = *text == "iam:AttachUserPolicy";
            let is_service =
                !service.is_empty() && service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            !is_asked && is_service && action.starts_with(|c: char| c.is_ascii_uppercase())
        };
        let found = |file| {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            code.split('"').filter(is_action).map(str::to_owned).collect::<Vec<_>>()
        };
        sources.flat_map(found).collect()
    }

    #[test]
    fn every_op_of_every_kind_is_in_the_table_and_apply_and_destroy_may_make_it() {
        let allowed: BTreeSet<_> = TABLE
            .iter()
            .filter(|line| line.verbs.iter().any(|verb| matches!(verb, Apply | Destroy)))
            .flat_map(|line| line.actions.iter().map(|action| (*action).to_owned()))
            .collect();
        let ops = of_ops();
        assert!(ops.len() > 40, "{ops:?}");
        assert_eq!(ops.difference(&allowed).collect::<Vec<_>>(), [""; 0], "add them to deployment/caller.rs");
    }

    #[test]
    fn no_verb_that_only_reads_may_change_anything() {
        for verb in [Plan, Export, Status, Drift, Doctor, Init, List, Output] {
            let changing: Vec<_> = actions(&of(&example(), Some(verb)))
                .into_iter()
                .filter(|action| {
                    let (_, name) = action.split_once(':').unwrap();
                    !["Get", "List", "Describe", "Filter", "Simulate", "Invoke"]
                        .iter()
                        .any(|read| name.starts_with(read))
                })
                .collect();
            assert_eq!(changing, [""; 0], "{verb:?}");
        }
    }

    #[test]
    fn one_policy_for_all_verbs_fits_into_a_managed_policy_and_with_long_names_the_policy_of_each_verb() {
        let length = |yaml: &str, verb| policy(&of(yaml, verb)).to_string().len();
        for yaml in [LEAST, &example()] {
            assert!(length(yaml, None) <= 6144, "{} characters", length(yaml, None));
        }
        let longest = example().replace("mail-prod", &"m".repeat(38));
        for verb in PolicyFor::value_variants() {
            assert!(length(&longest, Some(*verb)) <= 6144, "{verb:?}: {} characters", length(&longest, Some(*verb)));
        }
    }

    #[test]
    fn what_the_file_does_not_declare_is_not_allowed() {
        let least = of(LEAST, None);
        for action in
            ["sns:CreateTopic", "ssm:CreateDocument", "ses:GetEmailIdentity", "kms:Decrypt", "ec2:DescribeVpcs"]
        {
            assert!(!actions(&least).contains(action), "{action}");
        }
        let existing =
            "name: m\nregion: eu-west-1\nsecret: {name: m/smtp, existing: true}\niam_user: {name: m, existing: true}\n";
        let existing = of(existing, None);
        for action in ["iam:CreateUser", "iam:DeleteUser", "iam:PutUserPolicy", "secretsmanager:DeleteSecret"] {
            assert!(!actions(&existing).contains(action), "{action}");
        }
        assert!(actions(&existing).contains("iam:SimulatePrincipalPolicy"));
    }

    #[test]
    fn the_role_is_passed_to_lambda_alone_and_the_key_is_used_for_this_secret_alone() {
        let apply = of(&example(), Some(Apply));
        let statement = |action: &str| apply.iter().find(|it| it.actions.contains(&action)).unwrap();
        let pass = statement("iam:PassRole");
        assert_eq!(pass.resources, ["arn:aws:iam::123456789012:role/mail-prod-rotation-eu-west-1"]);
        assert_eq!(pass.condition.as_ref().unwrap()["StringEquals"]["iam:PassedToService"], "lambda.amazonaws.com");
        let key = statement("kms:GenerateDataKey");
        assert_eq!(key.resources, ["arn:aws:kms:eu-west-1:123456789012:key/*"]);
        let of_secret = &key.condition.as_ref().unwrap()["StringLike"]["kms:EncryptionContext:SecretARN"];
        assert_eq!(of_secret, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-prod/smtp-??????");
    }
}
