//! Deployments in Terraform's language: a call of the module of `examples/terraform`, and a block for each resource to import.

#[cfg(test)]
mod tests;

use std::time::Duration;

use contract::{Command, TAG_DEPLOYMENT, text};
use hcl::{
    Block, Body, Expression,
    format::{Format as _, Formatter},
};
use serde_json::{Value, json};

use crate::{
    config::Config,
    deployment::{Deployment, TAG_ADOPTED, TAG_KEPT_SINCE, TAG_PROTECT},
    error::Error,
    kinds::{
        function::{TAG_CODE, TAG_SOURCE},
        topic::TAG_EMAIL,
    },
};

/// The module, as this deployer makes the same resources: each file with its text.
pub(crate) const MODULE: [(&str, &str); 11] = [
    ("function.tf", include_str!("../../../examples/terraform/module/function.tf")),
    ("instance.tf", include_str!("../../../examples/terraform/module/instance.tf")),
    ("names.tf", include_str!("../../../examples/terraform/module/names.tf")),
    ("notify.tf", include_str!("../../../examples/terraform/module/notify.tf")),
    ("outputs.tf", include_str!("../../../examples/terraform/module/outputs.tf")),
    ("role.tf", include_str!("../../../examples/terraform/module/role.tf")),
    ("rotation.tf", include_str!("../../../examples/terraform/module/rotation.tf")),
    ("secret.tf", include_str!("../../../examples/terraform/module/secret.tf")),
    ("user.tf", include_str!("../../../examples/terraform/module/user.tf")),
    ("variables.tf", include_str!("../../../examples/terraform/module/variables.tf")),
    ("versions.tf", include_str!("../../../examples/terraform/module/versions.tf")),
];

/// The folder of the module, beside the file that calls it.
pub(crate) const MODULE_FOLDER: &str = "module";

/// What of a deployment only AWS knows.
pub(crate) struct Arns {
    pub(crate) secret: String,
    /// None if there is no topic, or until its address has confirmed.
    pub(crate) subscription: Option<String>,
}

/// Refuses what the module does not make.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let existing = [
        ("secret.existing", config.secret.existing),
        ("iam_user.existing", config.iam_user.existing),
        ("function.role", config.function.role.is_some()),
        ("instance.document", config.instance.as_ref().is_some_and(|instance| instance.document.is_some())),
    ];
    let keys: Vec<_> = existing.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("deployment {} cannot be exported", config.name))
        .cause(format!(
            "the module makes its own of what {} names, and here it exists without the deployment",
            keys.join(", ")
        ))
        .hint(text![
            "remove the key from the file and take the resource over (",
            Command::deployer("apply --adopt"),
            "), or write the configuration for Terraform by hand"
        ]))
}

/// Tags that the deployer sets and the module does not. The provider ignores them, so that they are no difference.
const IGNORED_TAGS: [&str; 7] =
    [TAG_ADOPTED, TAG_CODE, TAG_DEPLOYMENT, TAG_EMAIL, TAG_KEPT_SINCE, TAG_PROTECT, TAG_SOURCE];

/// The provider of the region.
pub(crate) fn provider(region: &str, account: Option<&str>) -> Result<String, Error> {
    let ignored = Block::builder("ignore_tags").add_attribute(("keys", IGNORED_TAGS.to_vec())).build();
    let mut provider = Block::builder("provider").add_label("aws").add_attribute(("region", region));
    if let Some(account) = account {
        provider = provider.add_attribute(("allowed_account_ids", vec![account]));
    }
    let provider = provider.add_block(ignored);
    written([provider.build()]).map_err(cannot_be_written)
}

/// The call of the module, and the imports. The keys of a plan's configuration are those of the module, but for lengths of time.
pub(crate) fn deployment(deployment: &Deployment, package: &str, arns: &Arns) -> Result<String, Error> {
    call_and_imports(deployment, package, arns).map_err(cannot_be_written)
}

fn call_and_imports(deployment: &Deployment, package: &str, arns: &Arns) -> hcl::Result<String> {
    let name = deployment.config.name.replace('-', "_");
    let mut call = Block::builder("module").add_label(&name);
    for (key, mut value) in arguments(&deployment.config, package) {
        if let Value::Object(fields) = &mut value {
            fields.retain(|_, field| !field.is_null());
        }
        if !value.is_null() {
            call = call.add_attribute((key, hcl::to_expression(value)?));
        }
    }
    let mut blocks = vec![call.build()];
    for (to, id) in imports(deployment, arns) {
        // A reference, and no text.
        let to: Expression = format!("module.{name}.{to}").parse()?;
        blocks.push(Block::builder("import").add_attribute(("to", to)).add_attribute(("id", id)).build());
    }
    written(blocks)
}

fn written(blocks: impl IntoIterator<Item = Block>) -> hcl::Result<String> {
    let mut formatter = Formatter::builder().compact_arrays(true).prefer_ident_keys(true).build_vec();
    Body::from_iter(blocks).format_string(&mut formatter)
}

fn cannot_be_written(error: hcl::Error) -> Error {
    Error::new("failed to write the deployment in Terraform's language").cause(error)
}

fn arguments(config: &Config, package: &str) -> Vec<(&'static str, Value)> {
    let Config { secret, iam_user, ses, rotation, function, names, .. } = config;
    let mail = ses.test_mail.as_ref();
    vec![
        ("source", json!(format!("./{MODULE_FOLDER}"))),
        ("name", json!(config.name)),
        ("tags", json!(config.tags)),
        (
            "secret",
            json!({
                "name": secret.name,
                "kms_key": secret.kms_key,
                "recovery_window_days": secret.recovery_window_days,
                "fields": secret.fields,
            }),
        ),
        // It has versions already.
        ("make_placeholder", json!(false)),
        (
            "iam_user",
            json!({
                "name": iam_user.name,
                "replaces": iam_user.replaces,
                "path": iam_user.path,
                "permissions_boundary": iam_user.permissions_boundary,
            }),
        ),
        (
            "instance",
            config.instance.as_ref().map_or(Value::Null, |instance| {
                json!({
                    "ids": instance.ids,
                    "script": instance.script,
                    "timeout": instance.timeout.as_secs(),
                    "role": instance.role,
                })
            }),
        ),
        (
            "ses",
            json!({
                // Without any, the module names the domain of the sender.
                "from": if ses.from.is_empty() { json!(["*"]) } else { json!(ses.from) },
                "sender": mail.map(|mail| &mail.sender),
                "recipient": mail.map(|mail| &mail.recipient),
                "endpoint": ses.endpoint.to_string(),
            }),
        ),
        (
            "rotation",
            json!({
                "schedule": rotation.schedule.to_string(),
                "window_hours": rotation.window.map(hours),
                // Terraform would rotate again with each change of the schedule.
                "rotate_on_create": false,
                "keep_previous": rotation.keep_previous.as_secs(),
                "keep_inactive": rotation.keep_inactive.as_secs(),
            }),
        ),
        (
            "function",
            json!({
                "package": package,
                "memory": function.memory_mb,
                "timeout": function.timeout.as_secs(),
                "architecture": function.architecture.as_str(),
                "log_level": function.log_level.as_str(),
                "log_retention_days": function.log_retention_days,
                "role_path": function.role_path,
                "role_permissions_boundary": function.role_permissions_boundary,
                "vpc": function.vpc.as_ref().map(|vpc| {
                    json!({"subnets": vpc.subnets, "security_groups": vpc.security_groups})
                }),
            }),
        ),
        ("notify", json!(config.notify)),
        ("names", json!(names)),
    ]
}

fn hours(window: Duration) -> u64 {
    window.as_secs() / 3600
}

/// Each resource of the module that is there, with what the provider names it by.
fn imports(Deployment { config, names, .. }: &Deployment, arns: &Arns) -> Vec<(&'static str, String)> {
    let both = |one: &str, separator: &str, other: &str| format!("{one}{separator}{other}");
    let [secretsmanager, events] = names.permissions();
    let (function, role, upkeep) = (&names.function, &names.role, &names.upkeep);
    let mut imports = vec![
        ("aws_secretsmanager_secret.this", arns.secret.clone()),
        ("aws_iam_user.this", names.user.clone()),
        ("aws_iam_user_policy.send", both(&names.user, ":", &names.user_policy)),
        ("aws_iam_role.function", role.clone()),
        ("aws_iam_role_policy.function", both(role, ":", &names.role_policy)),
        ("aws_cloudwatch_log_group.function", names.log_group.clone()),
        ("aws_lambda_function.rotation", function.clone()),
        ("aws_lambda_function_event_invoke_config.rotation", function.clone()),
        ("aws_lambda_permission.secretsmanager", both(function, "/", &secretsmanager)),
        ("aws_lambda_permission.events", both(function, "/", &events)),
        ("aws_secretsmanager_secret_rotation.this", arns.secret.clone()),
        ("aws_cloudwatch_event_rule.upkeep", upkeep.clone()),
        ("aws_cloudwatch_event_target.upkeep", both(upkeep, "/", "function")),
    ];
    if let Some(instance) = &config.instance {
        imports.push(("aws_ssm_document.rotate_smtp[0]", names.document.clone()));
        if let Some(role) = &instance.role {
            imports.push(("aws_iam_role_policy.instance[0]", both(role, ":", &names.instance_policy)));
        }
    }
    if config.notify.is_some() {
        let [errors, dropped, silence] = names.alarms.clone();
        imports.extend([
            ("aws_sns_topic.rotation[0]", names.topic_arn()),
            ("aws_cloudwatch_metric_alarm.errors[0]", errors),
            ("aws_cloudwatch_metric_alarm.dropped[0]", dropped),
            ("aws_cloudwatch_metric_alarm.silence[0]", silence),
        ]);
    }
    let subscription = arns.subscription.iter().map(|arn| ("aws_sns_topic_subscription.email[0]", arn.clone()));
    imports.extend(subscription);
    imports
}
