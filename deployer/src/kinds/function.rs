//! The rotation function: its code, its configuration, its tags.
//!
//! Two tags make code comparable without building it: the digest of the sources, and the hash of
//! the zip that was uploaded. Unchanged sources never rebuild and never upload again; live code
//! that is not what was uploaded is drift. Whoever may give the function another role or a layer may set these two tags too, so
//! then they are not believed.

mod left_at_default;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_lambda::{
    operation::get_function::GetFunctionOutput,
    primitives::Blob,
    types::{
        Architecture as SdkArchitecture, Environment, FunctionCode, FunctionConfiguration, FunctionUrlConfig,
        LastUpdateStatus, Runtime, State, VpcConfig, VpcConfigResponse,
    },
};
use aws_smithy_types::timeout::TimeoutConfig;
use contract::{
    Command, Consumer, TAG_DEPLOYMENT, Text, text, user_name,
    variable::{CONSUMER, IAM_USER_ARN, SECRET_ARN_PREFIX},
};
use left_at_default::{FIELDS, LAYERS};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    aws::Aws,
    config::Architecture,
    deployment::facts::Former,
    engine::{
        eventually::{CONSISTENT_WITHIN, Pauses, eventually},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    package::{code_sha256, description_of_version},
    read_once,
};

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// Of the secret that it rotates, without the random characters.
    pub(crate) secret_arn_prefix: String,
}

/// The code and the configuration that the function should have.
#[derive(Clone, Serialize)]
pub(crate) struct Goal {
    pub(crate) role_arn: String,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) architecture: Architecture,
    /// Empty outside a VPC.
    pub(crate) vpc: Vpc,
    /// Digest of the sources that the code is built from.
    pub(crate) source: String,
    #[serde(skip)]
    pub(crate) former: Former,
    /// What the role has to allow, if it exists without the deployment.
    #[serde(skip)]
    pub(crate) existing_role_needs: Option<Value>,
    /// Whether the secret is there already, and so names a user.
    #[serde(skip)]
    pub(crate) secret_is_there: bool,
}

/// The network that a function is in: ids of subnets and of security groups, each sorted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Vpc {
    subnets: Vec<String>,
    security_groups: Vec<String>,
}

impl Vpc {
    pub(crate) fn new(mut subnets: Vec<String>, mut security_groups: Vec<String>) -> Self {
        subnets.sort();
        security_groups.sort();
        Self { subnets, security_groups }
    }

    /// With empty lists, the function leaves its VPC.
    fn config(&self) -> VpcConfig {
        VpcConfig::builder()
            .set_subnet_ids(Some(self.subnets.clone()))
            .set_security_group_ids(Some(self.security_groups.clone()))
            .build()
    }

    /// None outside a VPC.
    fn shown(&self) -> Value {
        self.subnets.iter().chain(&self.security_groups).map(String::as_str).collect()
    }
}

pub(crate) struct Observed {
    pub(super) configuration: Fields,
    pub(super) architecture: Option<String>,
    pub(super) code_sha256: String,
    /// Why the last update did not take effect.
    pub(super) failed: Option<String>,
    /// The name of another secret that its environment names and whose rotation invokes it.
    pub(super) rotates_another: Option<String>,
    /// The name of the user whose keys it makes for the secret of the file, as its environment says.
    pub(super) user: Option<String>,
    pub(super) extras: Extras,
}

/// What others can attach to a function, and we never do.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Extras {
    /// The reserved concurrency. With 0 nothing can invoke the function.
    pub(super) concurrency: Option<i32>,
    /// The ARN of a code-signing configuration, which may refuse our code.
    pub(super) code_signing: Option<String>,
    /// Through these, whoever reaches the URL may invoke the function.
    pub(super) urls: Vec<FunctionUrl>,
}

#[derive(Debug, PartialEq)]
pub(super) struct FunctionUrl {
    pub(super) url: String,
    /// The alias that it invokes.
    pub(super) alias: Option<String>,
}

/// What UpdateFunctionConfiguration sets, by field; pure data that can be compared and shown.
type Fields = BTreeMap<&'static str, Value>;

pub(crate) enum Call {
    Create {
        goal: Goal,
        tags: Tags,
    },
    /// Sets the goal, and the defaults of the fields whose names are given.
    UpdateConfiguration(Goal, Vec<&'static str>),
    /// Of the alias, if it is one's.
    DeleteUrl(Option<String>),
    DeleteCodeSigning,
    DeleteConcurrency,
    /// Keeps the live code as a version, for `rollback`.
    KeepCode {
        source: String,
        code_sha256: String,
    },
    UpdateCode(Architecture),
    /// Records which sources and which zip the live code came from.
    MarkCode {
        source: String,
    },
    Delete,
}

pub(crate) const TAG_SOURCE: &str = "deployer:source";
pub(crate) const TAG_CODE: &str = "deployer:code-sha256";
const HANDLER: &str = "bootstrap";
const RUNTIME: &str = "provided.al2023";
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

    fn address(&self) -> Address {
        Address::new(ResourceKind::Function, &self.name)
    }

    fn way_out(&self) -> Text {
        "choose another deployment name, or delete the function first if nothing uses it".into()
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
        let untold = observed.and_then(|observed| observed.no_longer_tells(goal));
        let added = observed.and_then(|observed| observed.does_not_tell_yet(goal));
        let notes: Vec<_> = stopped.into_iter().chain(untold).chain(added).chain(needs).chain(doubts).collect();
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
        text![
            format!(
                "function {} is stopped: its reserved concurrency is 0, so no rotation can run. If nobody stopped it on \
                 purpose, apply lifts that, or ",
                self.name
            ),
            Command::start_function(&self.arn)
        ]
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

impl Observed {
    /// Whether the function is not configured as the goal says.
    fn differs(&self, goal: &Goal) -> bool {
        goal.fields().iter().any(|(field, to)| self.configuration.get(field) != Some(to))
    }

    /// Which instances get no further credential. The key that they use is retired all the same.
    fn no_longer_tells(&self, goal: &Goal) -> Option<Text> {
        let now = self.configuration.get("environment").map(hosts).unwrap_or_default();
        let gone: Vec<_> = now.difference(&hosts(&json!(goal.environment))).cloned().collect();
        let (hosts, them, they_have) = match gone.as_slice() {
            [] => return None,
            [host] => (format!("host {host}"), "it", "it has"),
            hosts => (format!("hosts {}", hosts.join(", ")), "them", "they have"),
        };
        Some(text![format!(
            "the file no longer names {hosts}: no rotation tells {them} of a new credential. The one that {they_have} stops working after \
             the next rotation, once its grace is over, so replace it by hand before"
        )])
    }

    /// Which instances have not confirmed the credential in use, since they were not asked. No key is retired before they have.
    fn does_not_tell_yet(&self, goal: &Goal) -> Option<Text> {
        let now = self.configuration.get("environment").map(hosts).filter(|_| goal.secret_is_there)?;
        let added: Vec<_> = hosts(&json!(goal.environment)).difference(&now).cloned().collect();
        let (hosts, have, them) = match added.as_slice() {
            [] => return None,
            [host] => (format!("host {host}"), "has", "it"),
            hosts => (format!("hosts {}", hosts.join(", ")), "have", "them"),
        };
        Some(text![
            format!(
                "{hosts} {have} not confirmed the credential in use. After the apply, the daily upkeep gives {them} that credential, or "
            ),
            Command::deployer("rotate"),
            " does at once; until then no access key is retired"
        ])
    }

    /// What lets somebody else's code run in the function, or as somebody else: then its tags prove nothing about its code.
    fn doubts(&self, goal: &Goal) -> impl Iterator<Item = String> {
        let now = |field| self.configuration.get(field);
        let is_former = |role: &str| goal.former.roles.iter().any(|former| role.rsplit('/').next() == Some(former));
        let role = now("role").and_then(Value::as_str).filter(|role| *role != goal.role_arn && !is_former(role));
        let layers = now(LAYERS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        role.map(|role| format!("the role {role}")).into_iter().chain(layers.map(|arn| format!("the layer {arn}")))
    }
}

impl Goal {
    /// The configuration is checked against Lambda's limits, for the memory too.
    fn timeout_seconds(&self) -> i32 {
        i32::try_from(self.timeout.as_secs()).unwrap_or(i32::MAX)
    }

    fn memory_size(&self) -> i32 {
        i32::try_from(self.memory_mb).unwrap_or(i32::MAX)
    }

    pub(super) fn fields(&self) -> Fields {
        Fields::from([
            ("environment", json!(self.environment)),
            ("handler", json!(HANDLER)),
            ("memory_size", json!(self.memory_size())),
            ("role", json!(self.role_arn)),
            ("runtime", json!(RUNTIME)),
            ("timeout", json!(self.timeout_seconds())),
            ("vpc", self.vpc.shown()),
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

/// The ids of the instances that a function with this environment tells of a new credential.
fn hosts(environment: &Value) -> BTreeSet<String> {
    let consumer = environment[CONSUMER].as_str().and_then(|json| json.parse().ok());
    consumer.into_iter().flat_map(|Consumer::Instances(instances)| instances.ids).collect()
}

fn observed_fields(configuration: &FunctionConfiguration) -> Fields {
    let environment: BTreeMap<_, _> =
        configuration.environment().and_then(|environment| environment.variables()).into_iter().flatten().collect();
    let set = [
        ("environment", json!(environment)),
        ("handler", json!(configuration.handler())),
        ("memory_size", json!(configuration.memory_size())),
        ("role", json!(configuration.role())),
        ("runtime", json!(configuration.runtime().map(Runtime::as_str))),
        ("timeout", json!(configuration.timeout())),
        ("vpc", observed_vpc(configuration).shown()),
    ];
    set.into_iter().chain(FIELDS.iter().map(|field| (field.name, (field.observe)(configuration)))).collect()
}

fn observed_vpc(configuration: &FunctionConfiguration) -> Vpc {
    let vpc = configuration.vpc_config();
    let ids = |ids: Option<&[String]>| ids.unwrap_or_default().to_vec();
    Vpc::new(ids(vpc.map(VpcConfigResponse::subnet_ids)), ids(vpc.map(VpcConfigResponse::security_group_ids)))
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

/// First of all: a URL is open to others, and a code-signing configuration may refuse the code that is uploaded next.
fn remove_extras(extras: &Extras) -> Vec<(Op, Call)> {
    let op = |call, field, from: Option<Value>| Op::new(Verb::Update, call).with(field, from, None);
    let urls = extras.urls.iter().map(|FunctionUrl { url, alias }| {
        let delete = op("lambda:DeleteFunctionUrlConfig", "url", Some(url.as_str().into()));
        (delete, Call::DeleteUrl(alias.clone()))
    });
    let signing = extras.code_signing.iter().map(|arn| {
        let delete = op("lambda:DeleteFunctionCodeSigningConfig", "code_signing", Some(arn.as_str().into()));
        (delete, Call::DeleteCodeSigning)
    });
    let concurrency = extras.concurrency.iter().map(|reserved| {
        let delete = op("lambda:DeleteFunctionConcurrency", "reserved_concurrency", Some((*reserved).into()));
        (delete, Call::DeleteConcurrency)
    });
    urls.chain(signing).chain(concurrency).collect()
}

/// The op that keeps the live code; none if it is not what a deployer uploaded.
fn keep_code(goal: &Goal, found: &Found<Observed>) -> Option<(Op, Call)> {
    let Found { tags, observed } = found;
    let source = tags.get(TAG_SOURCE).filter(|_| is_as_uploaded(goal, found))?;
    let op = Op::new(Verb::Update, "lambda:PublishVersion").sets("kept_for_rollback", format!("handler {source}"));
    Some((op, Call::KeepCode { source: source.clone(), code_sha256: observed.code_sha256.clone() }))
}

/// Whether the live code is what the tags say.
fn is_as_uploaded(goal: &Goal, Found { tags, observed }: &Found<Observed>) -> bool {
    // Whoever made a function that is taken over could set these tags too.
    let is_ours = tags.contains_key(TAG_DEPLOYMENT);
    let is_believed = is_ours && observed.doubts(goal).next().is_none();
    is_believed && tags.get(TAG_CODE) == Some(&observed.code_sha256)
}

/// The op that uploads the code, and the one that marks it as uploaded; none if the live code is the goal's.
fn update_code(goal: &Goal, found: &Found<Observed>) -> Option<((Op, Call), (Op, Call))> {
    let Found { tags, observed } = found;
    let marked = |tag: &str| tags.get(tag).cloned().map(Value::from);
    let architecture = goal.architecture.to_string();
    let is_as_uploaded = is_as_uploaded(goal, found);
    let is_from_source = tags.get(TAG_SOURCE) == Some(&goal.source);
    if is_as_uploaded && is_from_source && observed.architecture.as_ref() == Some(&architecture) {
        return None;
    }
    let from = if is_as_uploaded {
        marked(TAG_SOURCE)
    } else {
        Some(format!("changed outside: {}", observed.code_sha256).into())
    };
    let update = Op::new(Verb::Update, "lambda:UpdateFunctionCode")
        .effect(Effect::UploadsCode)
        .with("code", from, Some(format!("handler {}", goal.source).into()))
        .with("architecture", observed.architecture.clone().map(Value::from), Some(architecture.into()));
    let mark = Op::new(Verb::Update, "lambda:TagResource")
        .with(&format!("tags.{TAG_SOURCE}"), marked(TAG_SOURCE), Some(goal.source.as_str().into()))
        .with(&format!("tags.{TAG_CODE}"), marked(TAG_CODE), Some("(hash of the uploaded zip)".into()));
    Some(((update, Call::UpdateCode(goal.architecture)), (mark, Call::MarkCode { source: goal.source.clone() })))
}

/// The fields that stay at Lambda's defaults.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, Value)> {
    FIELDS.iter().map(|field| (field.name, (field.default)()))
}

fn sdk(architecture: Architecture) -> SdkArchitecture {
    architecture.to_string().as_str().into()
}

pub(super) fn code_tags(source: String, zip: &[u8]) -> Tags {
    Tags::from([(TAG_SOURCE.to_owned(), source), (TAG_CODE.to_owned(), code_sha256(zip))])
}

/// Fifty megabytes, the most that Lambda accepts, need minutes on a slow line.
fn upload() -> aws_sdk_lambda::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_mins(10)).build();
    aws_sdk_lambda::config::Builder::new().timeout_config(timeouts)
}

fn zip(context: &Context) -> Result<&[u8], Error> {
    let missing =
        || Error::new("the handler's zip was not built").hint("run apply again: the code changed since the plan");
    context.package.as_deref().map(Vec::as_slice).ok_or_else(missing)
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
