//! Why a rotation that begins now would fail, beside what the function's report tells. Reads only.

use std::sync::Arc;

use contract::{Command, text};
use futures_util::future::join_all;

use crate::{
    aws::Aws,
    config::RoleName,
    deployment::{
        Deployment,
        facts::{self, Facts},
        names::Names,
        policy,
    },
    engine::{
        kind::{Aim, Kind as _},
        op::{ResourceKind, Toward},
    },
    error::{Error, ErrorKind},
    kinds::{
        resource_policy::Denial,
        rotation::Rotation,
        secret_policy::{self, SecretPolicy},
        sender::Sender,
    },
    sending::{self, MaySend},
    simulation::{self, Denied, DeniedBy, Simulated},
    stack::stack,
};

/// Why a rotation that begins now would fail at what the hosts, Secrets Manager and the test mail need, which the function's report does
/// not tell. What may not be read is left out: who may only rotate still rotates.
///
/// # Errors
/// A read that failed otherwise.
pub(crate) async fn reasons(aws: &Aws, deployment: &Arc<Deployment>) -> Result<Vec<Error>, Error> {
    let (way, policy, mail) = tokio::join!(
        Box::pin(stops_before_the_hosts(aws, deployment)),
        Box::pin(denied_by_the_secret(aws, deployment)),
        Box::pin(refuses_the_test_mail(aws, deployment))
    );
    let policy = policy?.into_iter().map(|denied| denied.error).collect();
    Ok([way?, policy, mail?].concat())
}

/// What the secret's resource policy denies, and IAM's simulator does not know.
#[derive(Clone, Debug)]
pub(crate) struct DeniedBySecret {
    /// Whether it denies the hosts.
    pub(crate) hosts: bool,
    pub(crate) error: Error,
}

/// What the secret's resource policy certainly denies the function and the hosts. Nothing if it may not be read.
///
/// # Errors
/// A read that failed otherwise.
pub(crate) async fn denied_by_the_secret(aws: &Aws, deployment: &Deployment) -> Result<Vec<DeniedBySecret>, Error> {
    Ok(denied_by(&secret_policy::read(aws, &deployment.names.secret).await?, deployment))
}

fn denied_by(policy: &SecretPolicy, deployment: &Deployment) -> Vec<DeniedBySecret> {
    let names = &deployment.names;
    let denial = |actions: &[&'static str], role| policy.denial(actions, names.account_id(), role);
    let function = denial(&policy::ON_SECRET, Some(names.role.as_str()));
    let hosts = deployment.config.instance.as_ref();
    let hosts = hosts.and_then(|hosts| denial(&[policy::READ_SECRET], hosts.role.as_deref()));
    let of = |who, hosts, denial: &Denial| DeniedBySecret { hosts, error: is_denied(who, denial, names) };
    match (function, hosts) {
        // A statement that denies one of the two a read, and everything else the other one, is told once.
        (Some(function), Some(hosts)) if function.statement == hosts.statement => {
            vec![of("the function and the hosts", true, &hosts)]
        }
        (function, hosts) => {
            let function = function.map(|denial| of("the function", false, &denial));
            function.into_iter().chain(hosts.map(|denial| of("the hosts", true, &denial))).collect()
        }
    }
}

fn is_denied(who: &str, Denial { action, statement, is_alone }: &Denial, names: &Names) -> Error {
    let secret = &names.secret;
    let command = |verb: &str| Command::aws_in(names.region(), &["secretsmanager", verb, "--secret-id", secret]);
    let way = if *is_alone {
        text!["if nobody needs this policy, delete it: ", command("delete-resource-policy")]
    } else {
        text![
            "take the statement out of the policy: ",
            command("get-resource-policy"),
            " shows it. Then write the policy again without it"
        ]
    };
    Error::new(format!("the resource policy of secret {secret} denies {who} {action}")).cause(statement).hint(way)
}

async fn stops_before_the_hosts(aws: &Aws, deployment: &Arc<Deployment>) -> Result<Vec<Error>, Error> {
    let nodes = stack(deployment, Toward::Present);
    let needed: Vec<_> = nodes.iter().filter(|node| node.resource.may_stop_rotations()).collect();
    let facts = facts::least(aws, &deployment.names).await?;
    let rotation = Rotation::of(deployment);
    let observed = rotation.observe(aws).await?;
    let mut found: Vec<Error> = rotation.check_function(observed.as_ref(), &[]).err().into_iter().collect();
    let observed = join_all(needed.iter().map(|node| node.resource.observe(aws))).await;
    for (node, observed) in needed.into_iter().zip(observed) {
        let stops = match observed {
            Err(error) if error.kind() == ErrorKind::Denied => None,
            observed => observed?.stops_rotations(&facts),
        };
        found.extend(match node.resource.address().kind {
            ResourceKind::InstanceAccess => by_all_policies(aws, deployment, &facts, stops).await,
            _ => stops,
        });
    }
    Ok(found)
}

/// What our policy alone says of the hosts' role is not all: another policy may allow the same, or deny it.
async fn by_all_policies(aws: &Aws, deployment: &Deployment, facts: &Facts, ours: Option<Error>) -> Option<Error> {
    let Some(role) = role_of_hosts(deployment) else { return ours };
    match simulation::of_instance_role(aws, role, &deployment.names).await {
        // IAM's simulator is not asked about the key.
        Ok(Some(simulated)) if simulated.denied.is_empty() => ours.filter(|_| !matches!(facts.kms_key_arn(), Ok(None))),
        Ok(Some(simulated)) => ours.or_else(|| Some(may_not_read(role, certain(&simulated)?))),
        Ok(None) | Err(_) => ours,
    }
}

/// What keeps the hosts' role from reading the secret, although our policy allows it. None if that cannot be asked.
pub(crate) async fn denied_to_hosts(aws: &Aws, deployment: &Deployment) -> Option<Error> {
    let role = role_of_hosts(deployment)?;
    let simulated = simulation::of_instance_role(aws, role, &deployment.names).await.ok()??;
    let by = certain(&simulated)?;
    (by != DeniedBy::NoPolicy).then(|| may_not_read(role, by))
}

/// What denies, whatever the request has: a policy may ask for the network of the host, which IAM's simulator is not told.
pub(crate) fn certain(simulated: &Simulated) -> Option<DeniedBy> {
    // Our own policy asks about the use of the key, which is another call.
    let is_certain = |denied: &&Denied| denied.unknown_keys.iter().all(|key| key.starts_with("kms:"));
    simulated.denied.iter().find(is_certain).map(|denied| denied.by)
}

fn role_of_hosts(deployment: &Deployment) -> Option<&RoleName> {
    deployment.config.instance.as_ref()?.role.as_ref()
}

/// Why the hosts may not read the secret, and what changes that.
pub(crate) fn may_not_read(role: &str, by: DeniedBy) -> Error {
    let why = match by {
        DeniedBy::PermissionsBoundary => "its permissions boundary does not allow it",
        DeniedBy::ServiceControlPolicy => "a service control policy denies it",
        DeniedBy::Statement => "a policy denies it",
        DeniedBy::NoPolicy => "no policy allows it",
    };
    let action = policy::READ_SECRET;
    let way = match by {
        DeniedBy::NoPolicy => text![Command::deployer("policy --for instance"), " prints what the role needs"],
        DeniedBy::PermissionsBoundary => format!("allow {action} in the boundary of role {role}").into(),
        DeniedBy::Statement => format!("find the policy of role {role} that denies {action}, and take it away").into(),
        DeniedBy::ServiceControlPolicy => simulation::ask_the_organisation(action),
    };
    Error::new(format!("the hosts may not read the secret as role {role}: {why}")).hint(way)
}

/// A rotation whose test mail SES would not take makes a key, and tells no host. The function may not ask SES.
async fn refuses_the_test_mail(aws: &Aws, deployment: &Deployment) -> Result<Vec<Error>, Error> {
    let Some(sender) = Sender::of(&deployment.config) else { return Ok(Vec::new()) };
    let observed = match sender.observe(aws).await {
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(Vec::new()),
        observed => observed?,
    };
    if let Some(refused) = observed.account.stopped() {
        return Ok(vec![refused.into()]);
    }
    let mut found: Vec<Error> = sender.decide(Aim::Present(&()), &observed).err().into_iter().collect();
    match sending::of_user(aws, deployment).await {
        Err(error) if error.kind() == ErrorKind::Denied => {}
        may_send => found.extend(may_send?.as_ref().and_then(MaySend::refused).cloned().map(Error::from)),
    }
    Ok(found)
}
