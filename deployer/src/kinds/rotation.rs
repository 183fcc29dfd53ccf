//! Rotation on the secret: the function, the schedule and the window. Editing it never rotates the credential; enabling it for
//! a new deployment does, unless the configuration says not to.
//!
//! The rotation carries no tags: it is ours if it invokes our function.

use std::sync::Arc;

use aws_sdk_secretsmanager::types::RotationRulesType;
use contract::{AWSPENDING, Command, DEPLOYING, TAG_DEPLOYMENT, Text, text};
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::{Deployment, TAG_ADOPTED, names::region_of},
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Aim, Context, Kind},
        op::{Address, Effect, Op, ResourceKind, Verb},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _},
    read_once,
    rotation::{
        function,
        labels::{self, Labels},
    },
};

pub(crate) struct Rotation {
    pub(crate) secret: String,
    pub(crate) function_arn: String,
    /// Whose function it asks before the rotation is enabled.
    pub(crate) deployment: Arc<Deployment>,
}

/// Fields that follow from what is there are no part of the digest in the record.
#[derive(Serialize)]
pub(crate) struct Goal {
    pub(crate) schedule: String,
    pub(crate) window: Option<String>,
    /// Whether enabling the rotation rotates the credential at once.
    #[serde(skip)]
    pub(crate) rotate_when_enabled: bool,
    /// Whether the secret is not there yet, so that no version names a key.
    #[serde(skip)]
    pub(crate) is_new: bool,
    /// The keys of an existing user that leave no slot for the first rotation; none if one is free.
    #[serde(skip)]
    pub(crate) no_free_slot: Vec<String>,
    /// The user's name.
    pub(crate) user: String,
    /// Names of functions that rotated this secret for the deployment before.
    #[serde(skip)]
    pub(crate) former_functions: Vec<String>,
}

pub(crate) struct Observed {
    function_arn: Option<String>,
    schedule: Option<String>,
    window: Option<String>,
    labels: Labels,
    /// The deployment took the secret over, or does so in this run.
    is_of_adopted_secret: bool,
    /// The deployment that owns the secret, if it is another one.
    of_another: Option<String>,
    /// The secret is scheduled for deletion: nothing of it can be changed before it is restored.
    deleted: bool,
}

pub(crate) enum Call {
    Enable {
        schedule: String,
        window: Option<String>,
        immediately: bool,
    },
    Cancel,
    /// Puts DEPLOYING on a version that another tool stored, and may have told hosts of: without a label its key would look
    /// unused.
    Protect(String),
    /// Takes AWSPENDING off a version whose rotation will not continue.
    ClearPending(String),
}

const MOVE_LABEL: &str = "secretsmanager:UpdateSecretVersionStage";

impl Rotation {
    pub(crate) fn of(deployment: &Arc<Deployment>) -> Self {
        let names = &deployment.names;
        Self { secret: names.secret.clone(), function_arn: names.function_arn(), deployment: Arc::clone(deployment) }
    }
}

impl Kind for Rotation {
    type Goal = Goal;
    /// None if there is no secret.
    type Observed = Option<Observed>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &["ResourceExistsException", "ResourceNotFoundException"];
    // A secret that was just restored answers so for a moment; and another run may have begun a rotation since the last look.
    const CONFLICTS_IN_WORDS: &'static [(&'static str, &'static str)] = &[
        ("InvalidRequestException", "marked for deletion"),
        ("InvalidRequestException", "previous rotation isn't complete"),
    ];
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];

    fn address(&self) -> Address {
        Address::new(ResourceKind::Rotation, &self.secret)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        Ok(read_once::secret(aws, &self.secret).await?.map(|secret| {
            let rules = secret.rotation_rules.clone();
            let days = rules.as_ref().and_then(|rules| rules.automatically_after_days);
            let expression = rules.as_ref().and_then(|rules| rules.schedule_expression.clone());
            let tags = tags::read(secret.tags.clone(), |tag| (tag.key, tag.value));
            let owner = self.deployment.owner();
            Observed {
                is_of_adopted_secret: self.adopts(&tags),
                of_another: tags.get(TAG_DEPLOYMENT).filter(|id| !owner.is(id)).cloned(),
                function_arn: secret.rotation_lambda_arn.clone().filter(|arn| !arn.is_empty()),
                schedule: expression
                    .or_else(|| days.map(|days| format!("rate({days} {})", if days == 1 { "day" } else { "days" }))),
                window: rules.and_then(|rules| rules.duration),
                deleted: secret.deleted_date.is_some(),
                labels: Labels::from(secret),
            }
        }))
    }

    fn decide(&self, aim: Aim<'_, Goal>, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let observed = observed.as_ref();
        let enabled = observed.filter(|rotation| rotation.labels.rotation_enabled);
        let former = match aim {
            Aim::Present(goal) => &goal.former_functions,
            Aim::Absent(going) => &going.former.functions,
        };
        let checked = self.check_function(observed, former);
        let goal = match aim {
            Aim::Absent(_) if checked.is_err() => return Ok(Vec::new()),
            Aim::Absent(_) => return Ok(observed.map(disable).unwrap_or_default()),
            Aim::Present(goal) => goal,
        };
        checked?;
        if goal.is_new && goal.rotate_when_enabled && !goal.no_free_slot.is_empty() {
            return Err(has_no_free_slot(goal));
        }
        let end = observed.filter(|_| enabled.is_none()).map(end_left_behind).unwrap_or_default();
        Ok(end.into_iter().chain(self.enable(goal, observed)).collect())
    }

    /// Three notes, the first that applies: no free slot; a first rotation is still owed; hosts have another version than AWSCURRENT's.
    fn note(&self, goal: Option<&Goal>, observed: &Option<Observed>) -> Option<Text> {
        if let Some(goal) = goal.filter(|goal| !goal.no_free_slot.is_empty()) {
            let error = has_no_free_slot(goal);
            return Some(Text::from(format!("{}; ", error.in_one_line())).then(Text::join(error.hints, "; ")));
        }
        let is_owed = goal.is_some_and(|goal| goal.rotate_when_enabled);
        let waits = |rotation: &&Observed| rotation.is_of_adopted_secret || rotation.labels.rotation_enabled;
        if is_owed && let Some(rotation) = observed.as_ref().filter(waits).filter(|it| was_never_rotated(it)) {
            let secret = &self.secret;
            let (why, starts) = if rotation.is_of_adopted_secret {
                (format!("the deployment took secret {secret} over, and has not rotated it yet; "), "rotate")
            } else {
                let why = "has completed yet, and rotation.rotate_on_create asks for one";
                (format!("no rotation of secret {secret} {why}; "), "apply")
            };
            return Some(text![why, Command::deployer(starts), " starts it"]);
        }
        observed.as_ref()?.labels.told_elsewhere(&self.secret)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.secretsmanager, &self.secret);
        match call {
            Call::Enable { schedule, window, immediately } => {
                function::wait_until_ready(&context.aws, &self.deployment, &context.progress).await?;
                // Secrets Manager checks that it may invoke the function; it sees the permission with a delay.
                let cannot_invoke = |error: &Error| error.is("AccessDeniedException", "cannot invoke");
                let rules = RotationRulesType::builder().schedule_expression(schedule).set_duration(window).build();
                eventually(&context.progress, CONSISTENT_WITHIN, cannot_invoke, || async {
                    let request = client.rotate_secret().secret_id(name).rotation_lambda_arn(&self.function_arn);
                    let request = request.rotation_rules(rules.clone()).rotate_immediately(immediately);
                    let request = request.client_request_token(&*context.rotation_token);
                    request.send().await.failed_to(|| format!("enable the rotation of secret {name}")).map(drop)
                })
                .await
            }
            Call::Protect(version) => {
                let request = client.update_secret_version_stage().secret_id(name).version_stage(DEPLOYING);
                let answer = request.move_to_version_id(version).send().await;
                answer.failed_to(|| format!("label a version of secret {name} {DEPLOYING}")).map(drop)
            }
            Call::ClearPending(version) => labels::move_label(&context.aws, name, AWSPENDING, &version, None).await,
            Call::Cancel => {
                let request = client.cancel_rotate_secret().secret_id(name);
                request.send().await.failed_to(|| format!("cancel the rotation of secret {name}")).map(drop)
            }
        }
    }
}

impl Rotation {
    /// Refuses a secret that another function rotates. That of a former name of the deployment is none.
    pub(crate) fn check_function(&self, observed: Option<&Observed>, former: &[String]) -> Result<(), Error> {
        let enabled = observed.filter(|rotation| rotation.labels.rotation_enabled);
        let function = enabled.and_then(|rotation| rotation.function_arn.as_ref());
        match function.filter(|arn| !self.is_ours(arn, former)) {
            Some(foreign) => {
                Err(self.is_rotated_by(foreign, enabled.and_then(|rotation| rotation.of_another.as_deref())))
            }
            None => Ok(()),
        }
    }

    /// Whether the function of this ARN is the deployment's, or was it under a former name. It may be a version or an alias of it.
    fn is_ours(&self, arn: &str, former: &[String]) -> bool {
        let is_it = |suffix: &str| suffix.is_empty() || suffix.starts_with(':');
        arn.strip_prefix(self.function_arn.as_str()).is_some_and(is_it)
            || former.iter().any(|name| arn.ends_with(&format!(":function:{name}")))
    }

    /// Whether the deployment owns a secret with these tags that it did not make, or owns it after this run. It keeps its credential,
    /// whatever `rotation.rotate_on_create` says. Of one that the file declares existing, a run takes the tag off, so the tag decides
    /// nothing.
    fn adopts(&self, tags: &Tags) -> bool {
        let is_owned = !self.deployment.config.secret.existing;
        is_owned && (tags.contains_key(TAG_ADOPTED) || self.deployment.owner().takes_over(tags))
    }

    /// A hint to end the rotation would stop that of a deployment.
    fn is_rotated_by(&self, function: &str, deployment: Option<&str>) -> Error {
        let error = Error::new(format!("secret {} is rotated by another function", self.secret))
            .of_kind(ErrorKind::NotOurs)
            .cause(format!("its rotation invokes {function}"));
        if let Some(deployment) = deployment {
            return error
                .hint(format!("deployment {deployment} owns and rotates the secret: use the file of that deployment"));
        }
        let region = region_of(&self.function_arn);
        error
            .hint(text![
                "if a deployment rotates it (",
                Command::complete(&["list", "--region", region]),
                "), use its file"
            ])
            .hint(text![
                "else, to end that rotation, run ",
                Command::aws_in(region, &["secretsmanager", "cancel-rotate-secret", "--secret-id", &self.secret]),
                ", then apply"
            ])
    }

    fn enable(&self, goal: &Goal, observed: Option<&Observed>) -> Option<(Op, Call)> {
        let Goal { schedule, window, rotate_when_enabled, .. } = goal;
        let now = observed.filter(|rotation| rotation.labels.rotation_enabled);
        let value = |text: &Option<String>| text.as_deref().map(Value::from);
        let verb = if now.is_some() { Verb::Update } else { Verb::Create };
        let op = Op::new(verb, "secretsmanager:RotateSecret")
            .with("function", now.and_then(|r| value(&r.function_arn)), Some(self.function_arn.as_str().into()))
            .with("schedule", now.and_then(|r| value(&r.schedule)), Some(schedule.as_str().into()))
            .with("window", now.and_then(|r| value(&r.window)), value(window));
        let keeps = observed.is_some_and(|rotation| rotation.is_of_adopted_secret);
        let immediately = *rotate_when_enabled && !keeps && now.is_none_or(was_never_rotated);
        if op.changes.is_empty() && !immediately {
            return None;
        }
        let effect = if immediately { Effect::RotatesNow } else { Effect::TestsConfiguration };
        let op = op.sets("rotate_immediately", immediately).effect(effect);
        Some((op, Call::Enable { schedule: schedule.clone(), window: window.clone(), immediately }))
    }
}

/// IAM allows two keys, and before the first rotation nothing shows which of them nobody needs.
fn has_no_free_slot(Goal { user, no_free_slot, .. }: &Goal) -> Error {
    let keys = no_free_slot.join(" and ");
    let delete = no_free_slot.iter().map(|key| Command::delete_key(user, key).into());
    Error::new(format!("user {user} has the access keys {keys}, and no free slot for that of the first rotation"))
        .of_kind(ErrorKind::RotationFailed)
        .cause("IAM allows two, and the function deletes none of an existing user that it did not make")
        .hint(text!["find out which one nobody uses, and run "].then(Text::join(delete, " or ")))
}

/// Whether the function never stored a credential, and no rotation is about to: the first one failed, and somebody ended it.
fn was_never_rotated(observed: &Observed) -> bool {
    let labels = &observed.labels;
    labels.last_rotated.is_none() && labels.pending().is_none() && labels.labelled(DEPLOYING).is_none()
}

/// CancelRotateSecret leaves AWSPENDING, and with it no rotation can be started or enabled.
fn clear_pending(observed: &Observed) -> Option<(Op, Call)> {
    let pending = observed.labels.pending()?;
    let op = Op::new(Verb::Update, MOVE_LABEL).with(AWSPENDING, Some(pending.into()), None);
    Some((op, Call::ClearPending(pending.to_owned())))
}

/// Ends a rotation that another tool, or a rotation that was turned off, left open.
fn end_left_behind(observed: &Observed) -> Vec<(Op, Call)> {
    let protect = observed.labels.pending().filter(|_| observed.labels.labelled(DEPLOYING).is_none()).map(|version| {
        let op = Op::new(Verb::Update, MOVE_LABEL).with(DEPLOYING, None, Some(version.into()));
        (op, Call::Protect(version.to_owned()))
    });
    protect.into_iter().chain(clear_pending(observed)).collect()
}

fn disable(observed: &Observed) -> Vec<(Op, Call)> {
    if observed.deleted {
        return Vec::new();
    }
    let cancel = observed.labels.rotation_enabled.then(|| {
        let op = Op::new(Verb::Delete, "secretsmanager:CancelRotateSecret");
        (op.with("schedule", observed.schedule.clone().map(Value::from), None), Call::Cancel)
    });
    cancel.into_iter().chain(clear_pending(observed)).collect()
}
