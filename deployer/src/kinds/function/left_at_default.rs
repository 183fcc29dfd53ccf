//! The fields of a function that we never set. A value other than Lambda's default is somebody's change: such a field can give
//! the function other code, another network or further readers of what it handles.

use aws_sdk_lambda::{
    operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder as Update,
    types::{
        DeadLetterConfig, EphemeralStorage, FileSystemConfig, FunctionConfiguration, LogFormat, LoggingConfig,
        SnapStart, SnapStartApplyOn, TracingConfig, TracingMode,
    },
};
use serde_json::{Value, json};

use crate::deployment::names::log_group_of;

/// A field that is to have Lambda's default.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) default: fn() -> Value,
    pub(super) observe: fn(&FunctionConfiguration) -> Value,
    /// Sets the default.
    pub(super) reset: fn(Update) -> Update,
}

/// Code that runs in the function beside ours.
pub(super) const LAYERS: &str = "layers";
/// With which Lambda encrypts the environment if no other key is set.
const AWS_KEY: &str = "alias/aws/lambda";
/// MB.
const EPHEMERAL_STORAGE: i32 = 512;

pub(super) const FIELDS: [Field; 8] = [
    Field {
        name: "dead_letter_target",
        default: || json!(""),
        observe: |it| json!(it.dead_letter_config().and_then(|config| config.target_arn()).unwrap_or_default()),
        reset: |update| update.dead_letter_config(DeadLetterConfig::builder().target_arn("").build()),
    },
    Field {
        name: "ephemeral_storage",
        default: || json!(EPHEMERAL_STORAGE),
        observe: |it| json!(it.ephemeral_storage().map_or(EPHEMERAL_STORAGE, EphemeralStorage::size)),
        // The builder fails only without a size.
        reset: |update| update.set_ephemeral_storage(EphemeralStorage::builder().size(EPHEMERAL_STORAGE).build().ok()),
    },
    Field {
        name: "file_systems",
        default: || json!([]),
        observe: |it| it.file_system_configs().iter().map(FileSystemConfig::arn).collect(),
        reset: |update| update.set_file_system_configs(Some(Vec::new())),
    },
    Field {
        // The key of the environment. Who may disable it may stop the function.
        name: "kms_key",
        default: || json!(AWS_KEY),
        observe: |it| json!(it.kms_key_arn().filter(|arn| !arn.is_empty()).unwrap_or(AWS_KEY)),
        reset: |update| update.kms_key_arn(""),
    },
    Field {
        name: LAYERS,
        default: || json!([]),
        observe: |it| it.layers().iter().map(|layer| layer.arn()).collect(),
        reset: |update| update.set_layers(Some(Vec::new())),
    },
    Field {
        // The role may write to no other group than that of the function's name.
        name: "logging",
        default: || json!(logging(None, None)),
        observe: |it| json!(it.logging_config().map_or_else(|| logging(None, None), |logging| logging_of(it, logging))),
        reset: |update| {
            let group = update.get_function_name().as_deref().map(log_group_of);
            let logging = LoggingConfig::builder().log_format(LogFormat::Text).set_log_group(group);
            update.logging_config(logging.build())
        },
    },
    Field {
        name: "snap_start",
        default: || json!(SnapStartApplyOn::None.as_str()),
        observe: |it| {
            let applies_on = it.snap_start().and_then(|snap_start| snap_start.apply_on());
            json!(applies_on.unwrap_or(&SnapStartApplyOn::None).as_str())
        },
        reset: |update| update.snap_start(SnapStart::builder().apply_on(SnapStartApplyOn::None).build()),
    },
    Field {
        name: "tracing",
        default: || json!(TracingMode::PassThrough.as_str()),
        observe: |it| {
            let mode = it.tracing_config().and_then(|config| config.mode());
            json!(mode.unwrap_or(&TracingMode::PassThrough).as_str())
        },
        reset: |update| update.tracing_config(TracingConfig::builder().mode(TracingMode::PassThrough).build()),
    },
];

/// How and where the function logs.
fn logging_of(function: &FunctionConfiguration, config: &LoggingConfig) -> String {
    let default = function.function_name().map(log_group_of);
    let group = config.log_group().filter(|group| Some(*group) != default.as_deref());
    logging(config.log_format(), group)
}

fn logging(format: Option<&LogFormat>, group: Option<&str>) -> String {
    let format = format.unwrap_or(&LogFormat::Text).as_str();
    format!("{format} in {}", group.unwrap_or("the log group of the function's name"))
}

/// The fields that stay at Lambda's defaults.
pub(in crate::kinds) fn defaults() -> impl Iterator<Item = (&'static str, Value)> {
    FIELDS.iter().map(|field| (field.name, (field.default)()))
}
