//! What is so, as far as it can be read. A failed read is a fact too.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use aws_sdk_ssm::types::InstanceInformation;
use contract::Report;

use crate::{
    aws::{Aws, Identity},
    cli::PolicyFor,
    deployment::{Deployment, caller},
    engine::{
        kind::{Aim, Kind as _},
        op::ResourceKind,
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::{
        sender::Sender,
        topic::{Subscriber, Topic},
    },
    read_once,
    rotation::function,
    sending::{self, SesAccount},
    simulation::{self, Simulated, principal, simulate},
    status::{self, State, Status},
    would_fail::{self, DeniedBySecret},
};

/// Everything that the findings follow from.
#[derive(Debug)]
pub(crate) struct Facts {
    /// ARN.
    pub(crate) caller: String,
    /// When the caller's credentials expire, if that is known.
    pub(crate) expires: Option<SystemTime>,
    /// What `apply` needs and the caller may not do; none if no policy limits the caller, or none that IAM simulates.
    pub(crate) permissions: Result<Option<Simulated>, Error>,
    pub(crate) ses: Result<SesAccount, Error>,
    /// Whether SES accepts the test mail's sender; none without a sender.
    pub(crate) sender: Option<Result<(), Error>>,
    pub(crate) status: Status,
    /// With SES's answer to each credential that a host may be using. None if the function is not there, or is not ours.
    pub(crate) report: Option<Result<Report, Error>>,
    /// The hosts that Systems Manager knows, by their ids; none without hosts.
    pub(crate) hosts: Option<Result<BTreeMap<String, Host>, Error>>,
    /// What a host needs and the instances' role may not do; none if the file names no role.
    pub(crate) instance_role: Option<Result<Option<Simulated>, Error>>,
    /// What the secret's resource policy denies.
    pub(crate) denied_by_secret: Vec<DeniedBySecret>,
    /// Whether somebody can sign in to the console as the user that the deployment owns; false for an existing one.
    pub(crate) has_password: Result<bool, Error>,
    /// Whether the address of `notify` is told; none if there is no subscription.
    pub(crate) subscriber: Result<Option<Subscriber>, Error>,
}

/// An instance as Systems Manager knows it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// AWS's word, such as `Online` or `ConnectionLost`.
    pub(crate) ping: String,
    pub(crate) agent: String,
    pub(crate) platform: String,
}

impl Facts {
    pub(crate) fn state_of(&self, kind: ResourceKind) -> Option<State> {
        self.status.resources.iter().find(|(address, _)| address.kind == kind).map(|(_, state)| *state)
    }
}

/// Reads everything.
pub(crate) async fn read(aws: &Aws, deployment: &Arc<Deployment>, identity: &Identity) -> Facts {
    let round = &aws.for_one_round();
    let (status, permissions, ses, sender, hosts, instance_role, denied_by_secret, has_password, subscriber) = tokio::join!(
        Box::pin(status::read(round, deployment)),
        Box::pin(permissions(round, deployment, identity)),
        sending::account(round),
        sender(round, deployment),
        hosts(round, deployment),
        Box::pin(instance_role(round, deployment)),
        Box::pin(would_fail::denied_by_the_secret(round, deployment)),
        has_password(round, deployment),
        subscriber(round, deployment)
    );
    let (caller, expires) = (identity.arn.clone(), identity.expires);
    let report = None;
    let mut facts = Facts {
        caller,
        expires,
        permissions,
        ses,
        sender,
        status,
        report,
        hosts,
        instance_role,
        // A read that failed is an error of the status.
        denied_by_secret: denied_by_secret.unwrap_or_default(),
        has_password,
        subscriber,
    };
    if matches!(facts.state_of(ResourceKind::Function), Some(State::AsDeclared | State::Differs)) {
        facts.report = Some(Box::pin(function::report(aws, deployment, true)).await);
    }
    facts
}

async fn permissions(aws: &Aws, deployment: &Deployment, identity: &Identity) -> Result<Option<Simulated>, Error> {
    let Some(principal) = principal(aws, &identity.arn).await else { return Ok(None) };
    let needed = caller::permissions(&deployment.config, &deployment.names, Some(PolicyFor::Apply));
    simulate(aws, &principal, &needed, &deployment.owner().tags()).await.map(Some)
}

async fn sender(aws: &Aws, deployment: &Deployment) -> Option<Result<(), Error>> {
    let sender = Sender::of(&deployment.config)?;
    Some(async { sender.decide(Aim::Present(&()), &Box::pin(sender.observe(aws)).await?).map(drop) }.await)
}

async fn hosts(aws: &Aws, deployment: &Deployment) -> Option<Result<BTreeMap<String, Host>, Error>> {
    let ids: Vec<_> = deployment.config.instance.as_ref()?.ids.iter().map(ToString::to_string).collect();
    let known = read_once::instances(aws, &ids).await;
    let host = |it: InstanceInformation| {
        let ping = it.ping_status.map(|status| status.as_str().to_owned()).unwrap_or_default();
        let (agent, platform) = (it.agent_version.unwrap_or_default(), it.platform_type);
        let platform = platform.map(|platform| platform.as_str().to_owned()).unwrap_or_default();
        Some((it.instance_id?, Host { ping, agent, platform }))
    };
    Some(known.map(|known| known.into_iter().filter_map(host).collect()))
}

/// What the host's script needs. The rest of the role is Systems Manager's.
async fn instance_role(aws: &Aws, deployment: &Deployment) -> Option<Result<Option<Simulated>, Error>> {
    let role = deployment.config.instance.as_ref()?.role.as_ref()?;
    Some(simulation::of_instance_role(aws, role, &deployment.names).await)
}

/// Whether the user has a password. A plan does not ask: it costs a call, and nothing of the plan follows from it.
async fn has_password(aws: &Aws, deployment: &Deployment) -> Result<bool, Error> {
    if deployment.config.iam_user.existing {
        return Ok(false);
    }
    let user = &deployment.names.user;
    let answer = aws.iam.get_login_profile().user_name(user).send().await;
    let answer = answer.failed_to(|| format!("read whether user {user} has a console password"));
    Ok(absent_is_none(answer, &["NoSuchEntity"])?.is_some())
}

async fn subscriber(aws: &Aws, deployment: &Deployment) -> Result<Option<Subscriber>, Error> {
    let Some(notify) = &deployment.config.notify else { return Ok(None) };
    Topic::of(&deployment.names).subscriber(aws, &notify.email, &deployment.names.role).await
}
