//! The rotation function: its code, its configuration, its tags.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_lambda::{
    operation::get_function::GetFunctionOutput,
    primitives::Blob,
    types::{FunctionCode, FunctionConfiguration, FunctionUrlConfig, LastUpdateStatus, Runtime, State},
};
use contract::{
    Command, Text, text, user_name,
    variable::{IAM_USER_ARN, SECRET_ARN_PREFIX},
};
use serde_json::{Map, Value};

use crate::{
    aws::Aws,
    engine::{
        eventually::{CONSISTENT_WITHIN, Pauses, eventually},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    package::description_of_version,
    read_once,
    rotation::function,
};

mod call;
mod code;
mod extras;
mod goal;
mod left_at_default;
mod observed;

pub(crate) use call::Call;
pub(super) use code::code_tags;
pub(crate) use code::{TAG_CODE, TAG_SOURCE};
pub(super) use extras::Extras;
pub(crate) use goal::{Goal, Vpc};
pub(super) use left_at_default::defaults;
pub(crate) use observed::Observed;

use self::{
    code::{keep_code, sdk, update_code, upload, zip},
    extras::{FunctionUrl, remove_extras},
    goal::HANDLER,
    left_at_default::FIELDS,
    observed::{failure, observed_fields},
};

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// Of the secret that it rotates, without the random characters.
    pub(crate) secret_arn_prefix: String,
}

/// What a new role may take until Lambda can assume it: seconds as a rule, minutes rarely.
const ROLE_USABLE_WITHIN: Duration = Duration::from_mins(15);
/// A function of a few megabytes is active within seconds, and in a VPC, for which Lambda makes a network interface, within minutes.
const ACTIVE_WITHIN: Duration = Duration::from_mins(5);

impl Tagged for Function {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["lambda:TagResource", "lambda:UntagResource"];
    const CONFLICTS: &'static [&'static str] = &["ResourceConflictException", "ResourceNotFoundException"];
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];
    // After each update, `wait_until_active` reads that Lambda has made it.
    const IS_PROVEN_BY_ANSWERS: bool = true;
    const NAME_KEY: &'static str = "names.function";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Function, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let name = &self.name;
        let Some(function) = read_once::function(aws, name).await? else { return Ok(None) };
        // The credentials may read the function and not its tags. Without tags the function would look like somebody else's.
        if let Some(denied) = function.tags_error {
            return Err(Error::new(format!("failed to read the tags of function {name}"))
                .aws(Some(denied.error_code), Some(denied.message))
                .hint("allow lambda:ListTags for these credentials, then run the command again"));
        }
        let extras = self.extras(aws, &function).await?;
        let configuration = function.configuration.unwrap_or_else(|| FunctionConfiguration::builder().build());
        let observed = Observed {
            extras,
            rotates_another: self.rotates_another(aws, &configuration).await?,
            user: self.user(&configuration),
            architecture: configuration.architectures().first().map(|architecture| architecture.as_str().to_owned()),
            code_sha256: configuration.code_sha256().unwrap_or_default().to_owned(),
            failed: failure(&configuration),
            configuration: observed_fields(&configuration),
        };
        Ok(Some(Found { tags: function.tags.unwrap_or_default().into_iter().collect(), observed }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let op = Op::new(Verb::Create, "lambda:CreateFunction").effect(Effect::UploadsCode);
        let op = goal.fields().iter().fold(op, |op, (field, to)| with_field(op, field, None, to));
        let op = op
            .sets("architecture", goal.architecture.to_string())
            .sets("code", format!("handler {}", goal.source))
            .sets("tags", tags::shown(&tags));
        vec![(op, Call::Create { goal: goal.clone(), tags })]
    }

    /// The code goes before the configuration: between the two calls, new code meets the environment of the old one, and refuses
    /// it if it does not know it. Old code in a new environment could rotate without telling a host.
    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { configuration, failed, .. } = &found.observed;
        self.check_that_no_other_secret_needs_it(&found.observed, &goal.former.secrets)?;
        self.check_that_the_secret_keeps_its_user(&found.observed, goal)?;
        let (upload, mark) = update_code(goal, found).unzip();
        let mut ops = remove_extras(&found.observed.extras);
        ops.extend(upload.is_some().then(|| keep_code(goal, found)).flatten());
        ops.extend(upload);
        let mut fields = goal.fields();
        let changed: Vec<_> = defaults().filter(|(field, default)| configuration.get(field) != Some(default)).collect();
        let resets = changed.iter().map(|(field, _)| *field).collect();
        fields.extend(changed);
        let differs = fields.iter().any(|(field, to)| configuration.get(field) != Some(to));
        if differs || failed.is_some() {
            let failed = failed.as_deref().map(Value::from);
            let op = Op::new(Verb::Update, "lambda:UpdateFunctionConfiguration").with("failed_update", failed, None);
            let op = fields.iter().fold(op, |op, (field, to)| with_field(op, field, configuration.get(field), to));
            ops.push((op, Call::UpdateConfiguration(goal.clone(), resets)));
        }
        // Last: new code with the old environment refuses everything, so nothing may come between those two.
        ops.extend(mark);
        Ok(ops)
    }

    fn delete(&self, found: &Found<Observed>, going: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        self.check_that_no_other_secret_needs_it(&found.observed, &going.former.secrets)?;
        Ok(vec![(Op::new(Verb::Delete, "lambda:DeleteFunction"), Call::Delete)])
    }

    fn note(&self, goal: &Goal, found: Option<&Found<Observed>>) -> Option<Text> {
        let name = &self.name;
        let observed = found.map(|found| &found.observed);
        let stopped = observed.is_some_and(|it| it.extras.concurrency == Some(0)).then(|| self.is_stopped());
        let needs = goal.existing_role_needs.as_ref().filter(|_| observed.is_none_or(|it| it.differs(goal)));
        let needs = needs.map(|policy| {
            text![format!("{} exists without the deployment, and has to allow this: {policy}", goal.role_arn)]
        });
        let doubts = observed.into_iter().flat_map(|observed| observed.doubts(goal)).map(|doubt| {
            text![format!(
                "function {name} has {doubt}, which the deployer did not give it: find out who prepared or changed the function. \
                 Its code may be theirs too, so apply uploads the code again"
            )]
        });
        let of_change = observed.into_iter().flat_map(|observed| observed.notes_of_change(goal));
        let notes: Vec<_> = stopped.into_iter().chain(of_change).chain(needs).chain(doubts).collect();
        (!notes.is_empty()).then(|| Text::join(notes, "; "))
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (lambda, name) = (&context.aws.lambda, &self.name);
        match call {
            Call::Create { goal, tags } => self.run_create(context, goal, tags).await,
            Call::DeleteUrl(alias) => {
                let request = lambda.delete_function_url_config().function_name(name).set_qualifier(alias);
                request.send().await.failed_to(|| format!("delete the URL of function {name}")).map(drop)
            }
            Call::DeleteCodeSigning => {
                let answer = lambda.delete_function_code_signing_config().function_name(name).send().await;
                answer.failed_to(|| format!("delete the code-signing configuration of function {name}")).map(drop)
            }
            Call::DeleteConcurrency => {
                let answer = lambda.delete_function_concurrency().function_name(name).send().await;
                answer.failed_to(|| format!("delete the reserved concurrency of function {name}")).map(drop)
            }
            Call::UpdateConfiguration(goal, resets) => {
                eventually(&context.progress, role_usable_within(context), waits_for_role_or_update, || async {
                    let request = lambda.update_function_configuration().function_name(name).role(&goal.role_arn);
                    let request = request.runtime(Runtime::Providedal2023).handler(HANDLER);
                    let request = request.timeout(goal.timeout_seconds()).memory_size(goal.memory_size());
                    let request = request.environment(goal.environment()).vpc_config(goal.vpc.config());
                    let resets = FIELDS.iter().filter(|field| resets.contains(&field.name));
                    let request = resets.fold(request, |request, field| (field.reset)(request));
                    request.send().await.failed_to(|| format!("update function {name}")).map(drop)
                })
                .await?;
                self.wait_until_active(context).await
            }
            Call::KeepCode { source, code_sha256 } => {
                eventually(&context.progress, ACTIVE_WITHIN, is_in_progress, || async {
                    let request = lambda.publish_version().function_name(name).code_sha256(&code_sha256);
                    let request = request.description(description_of_version(&source));
                    request
                        .send()
                        .await
                        .failed_to(|| format!("keep the code of function {name} as a version"))
                        .map(drop)
                })
                .await
            }
            Call::UpdateCode(architecture) => {
                let zip = zip(context)?;
                eventually(&context.progress, ACTIVE_WITHIN, is_in_progress, || async {
                    let request = lambda.update_function_code().function_name(name).architectures(sdk(architecture));
                    let request = request.zip_file(Blob::new(zip)).customize().config_override(upload());
                    request.send().await.failed_to(|| format!("update the code of function {name}")).map(drop)
                })
                .await?;
                self.wait_until_active(context).await
            }
            Call::MarkCode { source } => self.set_tags(&context.aws, code_tags(source, zip(context)?)).await,
            Call::Delete => {
                let answer = lambda.delete_function().function_name(name).send().await;
                answer.failed_to(|| format!("delete function {name}")).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.lambda.tag_resource().resource(&self.arn).set_tags(Some(tags.into_iter().collect()));
        request.send().await.failed_to(|| format!("tag function {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.lambda.untag_resource().resource(&self.arn).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag function {}", self.name)).map(drop)
    }
}

impl Function {
    /// Two files may declare deployments of one name, each with its own secret: then both would own this function, and each
    /// `apply` would take it from the other.
    async fn rotates_another(&self, aws: &Aws, now: &FunctionConfiguration) -> Result<Option<String>, Error> {
        let variables = now.environment().and_then(|environment| environment.variables());
        let prefix = variables.and_then(|variables| variables.get(SECRET_ARN_PREFIX));
        let Some(prefix) = prefix.filter(|prefix| **prefix != self.secret_arn_prefix) else { return Ok(None) };
        let Some((_, name)) = prefix.split_once(":secret:") else { return Ok(None) };
        let still = read_once::secret(aws, name).await?.is_some_and(|secret| {
            secret.rotation_enabled == Some(true) && secret.rotation_lambda_arn.as_deref() == Some(&self.arn)
        });
        Ok(still.then(|| name.to_owned()))
    }

    fn user(&self, now: &FunctionConfiguration) -> Option<String> {
        let variables = now.environment()?.variables()?;
        let is_of_our_secret = variables.get(SECRET_ARN_PREFIX) == Some(&self.secret_arn_prefix);
        variables.get(IAM_USER_ARN).filter(|_| is_of_our_secret).map(|arn| user_name(arn).to_owned())
    }

    async fn extras(&self, aws: &Aws, function: &GetFunctionOutput) -> Result<Extras, Error> {
        let name = &self.name;
        let (urls, signing) = tokio::join!(
            aws.lambda.list_function_url_configs().function_name(name).into_paginator().items().send().try_collect(),
            aws.lambda.get_function_code_signing_config().function_name(name).send()
        );
        // Somebody may delete the function meanwhile.
        let gone = ["ResourceNotFoundException"];
        let urls: Vec<FunctionUrlConfig> =
            absent_is_none(urls.failed_to(|| format!("list the URLs of function {name}")), &gone)?.unwrap_or_default();
        let signing = signing.failed_to(|| format!("read the code-signing configuration of function {name}"));
        let signing = absent_is_none(signing, &gone)?.map(|answer| answer.code_signing_config_arn);
        Ok(Extras {
            concurrency: function.concurrency.as_ref().and_then(|it| it.reserved_concurrent_executions),
            code_signing: signing.filter(|arn| !arn.is_empty()),
            // arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:ALIAS]
            urls: urls
                .into_iter()
                .map(|it| FunctionUrl {
                    alias: it.function_arn.split(':').nth(7).map(str::to_owned),
                    url: it.function_url,
                })
                .collect(),
        })
    }

    fn is_stopped(&self) -> Text {
        let found =
            format!("function {} is stopped: its reserved concurrency is 0, so no rotation can run. ", self.name);
        Text::from(found).then(function::start_again(&self.arn))
    }

    fn check_that_no_other_secret_needs_it(&self, observed: &Observed, former: &[String]) -> Result<(), Error> {
        let Some(other) = observed.rotates_another.as_ref().filter(|other| !former.contains(other)) else {
            return Ok(());
        };
        Err(Error::new(format!("function {} rotates another secret: {other}", self.name))
            .of_kind(ErrorKind::NotOurs)
            .cause("a deployment of the same name and region made it, and that secret's rotation still invokes it")
            .hint(format!("if this is another deployment, change name in the configuration; if secret.name was changed, write {other} again")))
    }

    /// The secret's value names its user, and the deployer reads no value. With another user in its environment, the function would
    /// refuse each rotation, while hosts use a key of the user before.
    fn check_that_the_secret_keeps_its_user(&self, observed: &Observed, goal: &Goal) -> Result<(), Error> {
        let declared = goal.environment.get(IAM_USER_ARN).map(|arn| user_name(arn));
        let (Some(now), Some(declared)) = (observed.user.as_deref(), declared) else { return Ok(()) };
        if now == declared || !goal.secret_is_there {
            return Ok(());
        }
        let secret = self.secret_arn_prefix.rsplit(':').next().unwrap_or_default();
        Err(Error::new(format!("secret {secret} is that of user {now}, and the file names user {declared}"))
            .cause(format!("no rotation changes the user of a secret, and hosts may be using a key of {now}"))
            .hint(format!("write {now} as iam_user.name again"))
            .hint(text![
                "to send with another user, apply a second file with another name, secret.name and iam_user.name: its first rotation \
                 gives the hosts its credential. Once they use it, write this file as it was, and run ",
                Command::deployer("destroy --stop-mail")
            ])
            .hint("if the secret exists without the deployment and you changed its user by hand, destroy the deployment first: \
                   the secret stays"))
    }

    async fn run_create(&self, context: &Context, goal: Goal, mut tags: Tags) -> Result<(), Error> {
        let name = &self.name;
        let zip = zip(context)?;
        tags.extend(code_tags(goal.source.clone(), zip));
        eventually(&context.progress, role_usable_within(context), waits_for_role_or_update, || async {
            let code = FunctionCode::builder().zip_file(Blob::new(zip)).build();
            let request = context.aws.lambda.create_function().function_name(name).role(&goal.role_arn).code(code);
            let request =
                request.runtime(Runtime::Providedal2023).handler(HANDLER).architectures(sdk(goal.architecture));
            let request = request.timeout(goal.timeout_seconds()).memory_size(goal.memory_size());
            let request = request.environment(goal.environment()).set_tags(Some(tags.clone().into_iter().collect()));
            let request = request.vpc_config(goal.vpc.config());
            let request = request.customize().config_override(upload());
            request.send().await.failed_to(|| format!("create function {name}")).map(drop)
        })
        .await?;
        self.wait_until_active(context).await
    }

    /// A function is usable once its state is Active and its last update is Successful.
    async fn wait_until_active(&self, context: &Context) -> Result<(), Error> {
        let name = &self.name;
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
            if failed.is_some() || !pauses.pause(&context.progress, "Lambda makes the function active").await? {
                return Err(Error::new(format!("function {name} does not become active"))
                    .cause(failed.as_deref().unwrap_or("its update is still in progress"))
                    .hint("run apply again; if this repeats, check the function in the Lambda console"));
            }
        }
    }
}

/// Shows an object's entries one by one: one changed variable is one line, not all of them.
fn with_field(op: Op, field: &str, from: Option<&Value>, to: &Value) -> Op {
    let Value::Object(goal) = to else { return op.with(field, from.cloned(), Some(to.clone())) };
    let empty = Map::new();
    let now = from.and_then(Value::as_object).unwrap_or(&empty);
    let keys: BTreeSet<_> = now.keys().chain(goal.keys()).collect();
    keys.into_iter()
        .fold(op, |op, key| op.with(&format!("{field}.{key}"), now.get(key).cloned(), goal.get(key).cloned()))
}

/// Lambda's message is the same for a role that it cannot assume *yet* and for one that it never can.
fn waits_for_role_or_update(error: &Error) -> bool {
    let not_yet = ["cannot be assumed by Lambda", "does not have permissions", "KMS key is invalid for CreateGrant"];
    not_yet.iter().any(|part| error.is("InvalidParameterValueException", part)) || is_in_progress(error)
}

/// If this run changed the role, wait as long as Lambda may need. Otherwise only a run just before this one may have.
fn role_usable_within(context: &Context) -> Duration {
    if context.after_change { ROLE_USABLE_WITHIN } else { CONSISTENT_WITHIN }
}

/// Another update is under way. A bare ResourceConflictException may also be final.
fn is_in_progress(error: &Error) -> bool {
    error.is("ResourceConflictException", "in progress")
}
