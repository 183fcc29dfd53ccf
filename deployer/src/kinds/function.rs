//! The rotation function: its code, its configuration, its tags.
//!
//! Two tags make code comparable without building it: the digest of the sources, and the hash of
//! the zip that was uploaded. Unchanged sources never rebuild and never upload again; live code
//! that is not what was uploaded is drift.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_lambda::{
    primitives::Blob,
    types::{Architecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus, Runtime, State},
};
use aws_smithy_types::timeout::TimeoutConfig;
use contract::{Consumer, Instances, Settings};
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::{CONSISTENT_WITHIN, Pauses, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
    package::code_sha256,
};

pub(crate) struct Function(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    configuration: Fields,
    architecture: Option<String>,
    code_sha256: String,
    /// Why the last update did not take effect.
    failed: Option<String>,
    tags: Tags,
}

/// What UpdateFunctionConfiguration sets, by field; pure data that can be compared and shown.
type Fields = BTreeMap<&'static str, Value>;

pub(crate) enum Call {
    Create {
        goal: Goal,
        source: String,
        tags: Tags,
    },
    UpdateConfiguration(Goal),
    UpdateCode {
        architecture: Architecture,
    },
    /// Notes which sources and which zip the live code came from.
    MarkCode {
        source: String,
    },
    Tags(TagCall),
    Delete,
}

/// The configuration that the function should have.
#[derive(Clone)]
pub(crate) struct Goal {
    role_arn: String,
    timeout_seconds: i32,
    memory_mb: i32,
    environment: BTreeMap<String, String>,
    architecture: Architecture,
}

const TAG_SOURCE: &str = "deployer:source";
const TAG_CODE: &str = "deployer:code-sha256";
const HANDLER: &str = "bootstrap";
const RUNTIME: &str = "provided.al2023";
/// What a new role may take until Lambda can assume it: seconds as a rule, minutes rarely.
const ROLE_USABLE_WITHIN: Duration = Duration::from_mins(15);
/// A function of a few megabytes outside a VPC is active within seconds.
const ACTIVE_WITHIN: Duration = Duration::from_mins(5);

impl Kind for Function {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "function", name: self.0.names.function.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.function;
        let answer = aws.lambda.get_function().function_name(name).send().await;
        let answer =
            absent_is_none(answer.failed_to(|| format!("read function {name}")), &["ResourceNotFoundException"])?;
        let Some(function) = answer else { return Ok(None) };
        // Who may read the function and not its tags would else take it for somebody else's.
        if let Some(denied) = function.tags_error {
            return Err(Error::new(format!("failed to read the tags of function {name}"))
                .cause(format!("{}: {}", denied.error_code, denied.message))
                .hint("allow lambda:ListTags for these credentials, then run the command again"));
        }
        let configuration = function.configuration.unwrap_or_else(|| FunctionConfiguration::builder().build());
        Ok(Some(Observed {
            architecture: configuration.architectures().first().map(|architecture| architecture.as_str().to_owned()),
            code_sha256: configuration.code_sha256().unwrap_or_default().to_owned(),
            failed: failure(&configuration),
            configuration: observed_fields(&configuration),
            tags: function.tags.unwrap_or_default().into_iter().collect(),
        }))
    }

    fn decide(&self, toward: Toward, facts: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let way_out = "choose another deployment name, or delete the function first if nothing uses it";
        if let Some(observed) = observed {
            tags::check_owner(&self.address(), &observed.tags, &self.0.names, way_out)?;
        }
        let Some(package) = facts.package.as_ref().filter(|_| toward == Toward::Present) else {
            let delete = || (Op::new(Verb::Delete, "lambda:DeleteFunction"), Call::Delete);
            return Ok(observed.iter().map(|_| delete()).collect());
        };
        let (goal, source) = (self.goal(facts), package.source_digest.clone());
        let Some(observed) = observed else { return Ok(vec![self.create(goal, source)]) };
        let mut ops = Vec::new();
        let fields = goal.fields();
        if observed.configuration != fields || observed.failed.is_some() {
            let failed = observed.failed.as_deref().map(Value::from);
            let op = Op::new(Verb::Update, "lambda:UpdateFunctionConfiguration").with("failed_update", failed, None);
            let op =
                fields.iter().fold(op, |op, (field, to)| with_field(op, field, observed.configuration.get(field), to));
            ops.push((op, Call::UpdateConfiguration(goal.clone())));
        }
        ops.extend(update_code(&goal, source, observed));
        let mut tags = tags::owned(&self.0.config, &self.0.names);
        // These two are MarkCode's.
        tags.extend(
            [TAG_SOURCE, TAG_CODE]
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), observed.tags.get(key)?.clone()))),
        );
        let calls = tags::ops("lambda:TagResource", "lambda:UntagResource", &observed.tags, &tags);
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        Ok(ops)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (lambda, name) = (&context.aws.lambda, &self.0.names.function);
        let arn = self.0.names.function_arn();
        match call {
            Call::Create { goal, source, tags } => self.run_create(context, goal, source, tags).await,
            Call::UpdateConfiguration(goal) => {
                eventually(&context.progress, role_usable_within(context), waits_for_role_or_update, || async {
                    let request = lambda.update_function_configuration().function_name(name).role(&goal.role_arn);
                    let request = request.runtime(Runtime::Providedal2023).handler(HANDLER);
                    let request = request.timeout(goal.timeout_seconds).memory_size(goal.memory_mb);
                    let request = request.environment(goal.environment());
                    request.send().await.failed_to(|| format!("update function {name}")).map(drop)
                })
                .await?;
                self.wait_until_active(context).await
            }
            Call::UpdateCode { architecture } => {
                let zip = zip(context)?;
                eventually(&context.progress, ACTIVE_WITHIN, is_in_progress, || async {
                    let request = lambda.update_function_code().function_name(name).architectures(architecture.clone());
                    let request = request.zip_file(Blob::new(zip)).customize().config_override(upload());
                    request.send().await.failed_to(|| format!("update the code of function {name}")).map(drop)
                })
                .await?;
                self.wait_until_active(context).await
            }
            Call::MarkCode { source } => {
                let tags = code_tags(source, zip(context)?);
                let request = lambda.tag_resource().resource(arn).set_tags(Some(tags.into_iter().collect()));
                request.send().await.failed_to(|| format!("tag function {name}")).map(drop)
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = lambda.tag_resource().resource(arn).set_tags(Some(tags.into_iter().collect()));
                request.send().await.failed_to(|| format!("tag function {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = lambda.untag_resource().resource(arn).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag function {name}")).map(drop)
            }
            Call::Delete => lambda
                .delete_function()
                .function_name(name)
                .send()
                .await
                .failed_to(|| format!("delete function {name}"))
                .map(drop),
        }
    }
}

impl Function {
    fn goal(&self, facts: &Facts) -> Goal {
        let Deployment { config, names } = &*self.0;
        let settings = Settings {
            secret_arn_prefix: names.secret_arn_prefix(),
            iam_user_arn: facts.user_arn.clone(),
            iam_user_owned: !config.iam_user.existing,
            replaces: config.iam_user.replaces.iter().map(ToString::to_string).collect(),
            smtp_endpoint: config.ses.endpoint.clone(),
            test_mail: config.ses.test_mail.clone(),
            consumer: config.instance.as_ref().map(|instance| {
                Consumer::Instances(Instances {
                    ids: instance.ids.iter().map(ToString::to_string).collect(),
                    document: instance.document.as_ref().map_or_else(|| names.document.clone(), ToString::to_string),
                    script: instance.script.clone(),
                    timeout_seconds: instance.timeout.as_secs(),
                })
            }),
            keep_previous: config.rotation.keep_previous,
            topic_arn: config.notify.as_ref().map(|_| names.topic_arn()),
        };
        let mut environment = settings.to_env();
        environment.insert(contract::LOG_LEVEL.to_owned(), config.function.log_level.to_string());
        Goal {
            role_arn: names.role_arn(),
            // Both are checked against Lambda's limits when the configuration is read.
            timeout_seconds: i32::try_from(config.function.timeout.as_secs()).unwrap_or(i32::MAX),
            memory_mb: i32::try_from(config.function.memory_mb).unwrap_or(i32::MAX),
            environment,
            architecture: config.function.architecture.to_string().as_str().into(),
        }
    }

    fn create(&self, goal: Goal, source: String) -> (Op, Call) {
        let tags = tags::owned(&self.0.config, &self.0.names);
        let op = Op::new(Verb::Create, "lambda:CreateFunction");
        let op = goal.fields().iter().fold(op, |op, (field, to)| with_field(op, field, None, to));
        let op = op
            .sets("architecture", goal.architecture.as_str())
            .sets("code", format!("handler {source}"))
            .sets("tags", tags::shown(&tags));
        (op, Call::Create { goal, source, tags })
    }

    async fn run_create(&self, context: &Context, goal: Goal, source: String, mut tags: Tags) -> Result<(), Error> {
        let name = &self.0.names.function;
        let zip = zip(context)?;
        tags.extend(code_tags(source, zip));
        eventually(&context.progress, role_usable_within(context), waits_for_role_or_update, || async {
            let code = FunctionCode::builder().zip_file(Blob::new(zip)).build();
            let request = context.aws.lambda.create_function().function_name(name).role(&goal.role_arn).code(code);
            let request =
                request.runtime(Runtime::Providedal2023).handler(HANDLER).architectures(goal.architecture.clone());
            let request = request.timeout(goal.timeout_seconds).memory_size(goal.memory_mb);
            let request = request.environment(goal.environment()).set_tags(Some(tags.clone().into_iter().collect()));
            let request = request.customize().config_override(upload());
            request.send().await.failed_to(|| format!("create function {name}")).map(drop)
        })
        .await?;
        self.wait_until_active(context).await
    }

    /// A function is usable once its state is Active and its last update is Successful.
    async fn wait_until_active(&self, context: &Context) -> Result<(), Error> {
        let name = &self.0.names.function;
        let mut pauses = Pauses::within(ACTIVE_WITHIN);
        loop {
            let answer = context.aws.lambda.get_function().function_name(name).send().await;
            let now = answer.failed_to(|| format!("read function {name}"))?.configuration;
            let now = now.unwrap_or_else(|| FunctionConfiguration::builder().build());
            let active = now.state().is_none_or(|state| matches!(state, State::Active | State::Inactive));
            let updated = now.last_update_status().is_none_or(|status| *status == LastUpdateStatus::Successful);
            if active && updated {
                return Ok(());
            }
            let failed = failure(&now);
            if failed.is_some() || !pauses.pause(&context.progress, "Lambda makes the function active").await {
                return Err(Error::new(format!("function {name} does not become active"))
                    .cause(failed.as_deref().unwrap_or("its update is still in progress"))
                    .hint("run apply again; if it stays like this, look at the function in the Lambda console"));
            }
        }
    }
}

impl Goal {
    fn fields(&self) -> Fields {
        Fields::from([
            ("environment", json!(self.environment)),
            ("handler", json!(HANDLER)),
            ("memory_size", json!(self.memory_mb)),
            ("role", json!(self.role_arn)),
            ("runtime", json!(RUNTIME)),
            ("timeout", json!(self.timeout_seconds)),
        ])
    }

    fn environment(&self) -> Environment {
        Environment::builder().set_variables(Some(self.environment.clone().into_iter().collect())).build()
    }
}

fn failure(configuration: &FunctionConfiguration) -> Option<String> {
    let failed = configuration.last_update_status() == Some(&LastUpdateStatus::Failed)
        || configuration.state() == Some(&State::Failed);
    let reason = configuration.last_update_status_reason().or(configuration.state_reason());
    failed.then(|| reason.unwrap_or("AWS gives no reason").to_owned())
}

fn observed_fields(configuration: &FunctionConfiguration) -> Fields {
    let environment: BTreeMap<_, _> =
        configuration.environment().and_then(|environment| environment.variables()).into_iter().flatten().collect();
    Fields::from([
        ("environment", json!(environment)),
        ("handler", json!(configuration.handler())),
        ("memory_size", json!(configuration.memory_size())),
        ("role", json!(configuration.role())),
        ("runtime", json!(configuration.runtime().map(Runtime::as_str))),
        ("timeout", json!(configuration.timeout())),
    ])
}

/// Shows an object's entries one by one: one changed variable is one line, not all of them.
fn with_field(op: Op, field: &str, from: Option<&Value>, to: &Value) -> Op {
    let Value::Object(goal) = to else { return op.with(field, from.cloned(), Some(to.clone())) };
    let empty = serde_json::Map::new();
    let now = from.and_then(Value::as_object).unwrap_or(&empty);
    let keys: std::collections::BTreeSet<_> = now.keys().chain(goal.keys()).collect();
    keys.into_iter()
        .fold(op, |op, key| op.with(&format!("{field}.{key}"), now.get(key).cloned(), goal.get(key).cloned()))
}

fn update_code(goal: &Goal, source: String, observed: &Observed) -> Vec<(Op, Call)> {
    let marked = |tag: &str| observed.tags.get(tag).cloned().map(Value::from);
    let architecture = Value::from(goal.architecture.as_str());
    let is_as_uploaded = marked(TAG_CODE) == Some(Value::from(observed.code_sha256.as_str()));
    let is_from_source = marked(TAG_SOURCE) == Some(Value::from(source.as_str()));
    let is_right_architecture = observed.architecture.as_deref() == Some(goal.architecture.as_str());
    if is_as_uploaded && is_from_source && is_right_architecture {
        return Vec::new();
    }
    let from = if is_as_uploaded {
        marked(TAG_SOURCE)
    } else {
        Some(format!("changed outside: {}", observed.code_sha256).into())
    };
    let update = Op::new(Verb::Update, "lambda:UpdateFunctionCode")
        .with("code", from, Some(format!("handler {source}").into()))
        .with("architecture", observed.architecture.clone().map(Value::from), Some(architecture));
    let mark = Op::new(Verb::Update, "lambda:TagResource")
        .with(&format!("tags.{TAG_SOURCE}"), marked(TAG_SOURCE), Some(source.as_str().into()))
        .with(&format!("tags.{TAG_CODE}"), marked(TAG_CODE), Some("(hash of the uploaded zip)".into()));
    vec![(update, Call::UpdateCode { architecture: goal.architecture.clone() }), (mark, Call::MarkCode { source })]
}

fn code_tags(source: String, zip: &[u8]) -> Tags {
    Tags::from([(TAG_SOURCE.to_owned(), source), (TAG_CODE.to_owned(), code_sha256(zip))])
}

/// Fifty megabytes, the most that Lambda takes, need minutes on a slow line.
fn upload() -> aws_sdk_lambda::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_mins(10)).build();
    aws_sdk_lambda::config::Builder::new().timeout_config(timeouts)
}

fn zip(context: &Context) -> Result<&[u8], Error> {
    let missing =
        || Error::new("the handler's zip was not built").hint("run apply again: the code changed since the plan");
    context.package.as_deref().map(Vec::as_slice).ok_or_else(missing)
}

/// Lambda's words for a role that it cannot assume *yet* are those for one that it never can.
fn waits_for_role_or_update(error: &Error) -> bool {
    let not_yet = ["cannot be assumed by Lambda", "does not have permissions", "KMS key is invalid for CreateGrant"];
    not_yet.iter().any(|part| error.is("InvalidParameterValueException", part)) || is_in_progress(error)
}

/// After this run changed the role, it takes as long as it takes; else, maybe, the run before did.
fn role_usable_within(context: &Context) -> Duration {
    if context.after_change { ROLE_USABLE_WITHIN } else { CONSISTENT_WITHIN }
}

/// Another update is under way. A bare ResourceConflictException may also be final.
fn is_in_progress(error: &Error) -> bool {
    error.is("ResourceConflictException", "in progress")
}
