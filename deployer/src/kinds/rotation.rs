//! Rotation on the secret: the function, the schedule and the window. Editing it never rotates
//! the credential; switching it on for a new deployment does, unless the configuration says not to.

use std::sync::Arc;

use aws_sdk_secretsmanager::types::RotationRulesType;
use contract::DEPLOYING;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::{CONSISTENT_WITHIN, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    error::{Error, FailedTo as _, absent_is_none},
    rotation::watch::Credential,
};

pub(crate) struct Rotation(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    enabled: bool,
    function_arn: Option<String>,
    schedule: Option<String>,
    window: Option<String>,
    /// The version of an open rotation.
    pending: Option<String>,
    /// The version with our label DEPLOYING.
    deploying: Option<String>,
    current: Option<String>,
    /// The secret is scheduled for deletion: nothing of it can be changed before it is restored.
    deleted: bool,
}

pub(crate) enum Call {
    Enable {
        immediately: bool,
    },
    Cancel,
    /// Puts DEPLOYING on a version that another tool stored, and may have told hosts of: without a label its key would look
    /// unused.
    Protect(String),
    /// Takes AWSPENDING off a version whose rotation will not go on.
    ClearPending(String),
}

/// The action whose `rotate_immediately` tells whether the credential will rotate.
pub(crate) const ROTATE: &str = "secretsmanager:RotateSecret";
/// The field of [`ROTATE`] that says whether the credential rotates at once.
pub(crate) const IMMEDIATELY: &str = "rotate_immediately";

impl Rotation {
    fn schedule(&self) -> String {
        self.0.config.rotation.schedule.to_string()
    }

    fn window(&self) -> Option<String> {
        self.0.config.rotation.window.map(|window| format!("{}h", window.as_secs() / 3600))
    }
}

impl Kind for Rotation {
    /// None where there is no secret.
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "rotation", name: self.0.names.secret.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.secret;
        let answer = aws.secretsmanager.describe_secret().secret_id(name).send().await;
        let answer = answer.failed_to(|| format!("read the rotation of secret {name}"));
        let secret = absent_is_none(answer, &["ResourceNotFoundException"])?;
        Ok(secret.map(|secret| {
            let deleted = secret.deleted_date.is_some();
            let function_arn = secret.rotation_lambda_arn.clone().filter(|arn| !arn.is_empty());
            let rules = secret.rotation_rules.clone();
            let credential = Credential::from(secret);
            let days = rules.as_ref().and_then(|rules| rules.automatically_after_days);
            let expression = rules.as_ref().and_then(|rules| rules.schedule_expression.clone());
            Observed {
                enabled: credential.rotation_enabled,
                function_arn,
                schedule: expression.or_else(|| days.map(|days| format!("rate({days} days)"))),
                window: rules.and_then(|rules| rules.duration),
                deleted,
                pending: credential.pending().map(str::to_owned),
                deploying: credential.labelled(DEPLOYING).map(str::to_owned),
                current: credential.current().map(str::to_owned),
            }
        }))
    }

    /// A rotation that was given up is open no more, so that nothing else would tell of it.
    fn note(&self, observed: &Option<Observed>) -> Option<String> {
        let rotation = observed.as_ref().filter(|rotation| rotation.pending.is_none())?;
        let deploying = rotation.deploying.as_ref().filter(|deploying| rotation.current.as_ref() != Some(deploying))?;
        Some(format!(
            "version {deploying} of secret {} is labelled {DEPLOYING} and not AWSCURRENT: hosts may have been told of it; \
             `deployer recover` shows how that stands",
            self.0.names.secret
        ))
    }

    fn decide(&self, toward: Toward, facts: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let function = self.0.names.function_arn();
        let other =
            observed.as_ref().filter(|rotation| rotation.enabled).and_then(|rotation| rotation.function_arn.as_ref());
        if let Some(other) = other.filter(|other| **other != function) {
            if toward != Toward::Present {
                return Ok(Vec::new());
            }
            return Err(Error::new(format!("secret {} is rotated by another function", self.0.names.secret))
                .cause(format!("its rotation invokes {other}"))
                .hint(format!(
                    "if that is to end, run `aws secretsmanager cancel-rotate-secret --secret-id {}`, then apply",
                    self.0.names.secret
                )));
        }
        let is_enabled = observed.as_ref().is_some_and(|rotation| rotation.enabled);
        // CancelRotateSecret leaves AWSPENDING, and with it no rotation can be started or enabled.
        let clear = |pending: &str| {
            let op = Op::new(Verb::Update, "secretsmanager:UpdateSecretVersionStage");
            (op.with("AWSPENDING", Some(pending.into()), None), Call::ClearPending(pending.to_owned()))
        };
        let pending = observed.as_ref().and_then(|rotation| rotation.pending.as_deref()).map(clear);
        if toward == Toward::Present {
            let enable = self.enable(facts, observed.as_ref());
            let protect = observed.as_ref().filter(|rotation| rotation.deploying.is_none()).and_then(|rotation| {
                let version = rotation.pending.clone()?;
                let op = Op::new(Verb::Update, "secretsmanager:UpdateSecretVersionStage");
                Some((op.with(DEPLOYING, None, Some(version.clone().into())), Call::Protect(version)))
            });
            let end = protect.into_iter().chain(pending).filter(|_| !is_enabled);
            return Ok(end.chain(enable).collect());
        }
        let deleted = observed.as_ref().is_none_or(|rotation| rotation.deleted);
        let cancel = |rotation: &Observed| {
            let op = Op::new(Verb::Delete, "secretsmanager:CancelRotateSecret");
            (op.with("schedule", rotation.schedule.clone().map(Value::from), None), Call::Cancel)
        };
        let cancel = observed.iter().filter(|rotation| rotation.enabled).map(cancel).chain(pending);
        Ok(if deleted { Vec::new() } else { cancel.collect() })
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.secretsmanager, &self.0.names.secret);
        match call {
            Call::Enable { immediately } => {
                // Secrets Manager checks that it may invoke the function; the permission is seen with a delay.
                let cannot_invoke = |error: &Error| error.is("AccessDeniedException", "cannot invoke");
                let rules =
                    RotationRulesType::builder().schedule_expression(self.schedule()).set_duration(self.window());
                let rules = rules.build();
                eventually(&context.progress, CONSISTENT_WITHIN, cannot_invoke, || async {
                    let request =
                        client.rotate_secret().secret_id(name).rotation_lambda_arn(self.0.names.function_arn());
                    let request = request.rotation_rules(rules.clone()).rotate_immediately(immediately);
                    let request = request.client_request_token(&*context.rotation_token);
                    request.send().await.failed_to(|| format!("enable the rotation of secret {name}")).map(drop)
                })
                .await
            }
            Call::Protect(version) => {
                let request = client.update_secret_version_stage().secret_id(name).version_stage(DEPLOYING);
                let request = request.move_to_version_id(version);
                request.send().await.failed_to(|| format!("label a version of secret {name} {DEPLOYING}")).map(drop)
            }
            Call::ClearPending(version) => {
                let request = client.update_secret_version_stage().secret_id(name).version_stage("AWSPENDING");
                let request = request.remove_from_version_id(version);
                request.send().await.failed_to(|| format!("clear AWSPENDING of secret {name}")).map(drop)
            }
            Call::Cancel => {
                let request = client.cancel_rotate_secret().secret_id(name);
                request.send().await.failed_to(|| format!("cancel the rotation of secret {name}")).map(drop)
            }
        }
    }
}

impl Rotation {
    fn enable(&self, facts: &Facts, observed: Option<&Observed>) -> Option<(Op, Call)> {
        let (function, schedule, window) = (self.0.names.function_arn(), self.schedule(), self.window());
        let is_enabled = observed.is_some_and(|rotation| rotation.enabled);
        // Where the rotation of a credential of ours was only switched off, it is switched on again, and that is all.
        let has_ours = facts.credential.labelled(DEPLOYING).is_some() && facts.user_has_keys;
        let immediately = self.0.config.rotation.rotate_on_create && !has_ours;
        let verb = if is_enabled { Verb::Update } else { Verb::Create };
        let now = observed.filter(|_| is_enabled);
        let op = Op::new(verb, ROTATE)
            .with("function", now.and_then(|r| r.function_arn.clone()).map(Value::from), Some(function.into()))
            .with("schedule", now.and_then(|r| r.schedule.clone()).map(Value::from), Some(schedule.into()))
            .with("window", now.and_then(|r| r.window.clone()).map(Value::from), window.map(Value::from));
        if op.changes.is_empty() {
            return None;
        }
        let immediately = immediately && !is_enabled;
        Some((op.sets(IMMEDIATELY, json!(immediately)), Call::Enable { immediately }))
    }
}
