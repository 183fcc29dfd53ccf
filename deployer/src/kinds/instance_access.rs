//! The inline policy on the instance's role that lets the host read this one secret.
//!
//! The role is referenced. An inline policy carries no tags: the deployment owns it by its name, which names the deployment.

use contract::{Command, text};
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::policy,
    engine::{
        kind::{Aim, Context, Kind, StopsRotations},
        op::{Address, Op, ResourceKind, Verb},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::iam,
    read_once,
};

pub(crate) struct InstanceAccess {
    pub(crate) role: String,
    pub(crate) policy_name: String,
}

pub(crate) enum Observed {
    /// `spelled`: how a role is spelled that differs only in case.
    NoRole {
        spelled: Option<String>,
    },
    Role {
        policy: Option<Value>,
    },
}

pub(crate) enum Call {
    Put(Value),
    Delete,
}

impl Kind for InstanceAccess {
    /// The policy.
    type Goal = Value;
    type Observed = Observed;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;
    const STOPS_ROTATIONS: Option<StopsRotations<Self>> = Some(Self::stops_rotations);

    fn address(&self) -> Address {
        Address::new(ResourceKind::InstanceAccess, format!("{}/{}", self.role, self.policy_name))
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        let Self { role, policy_name } = self;
        let policy = aws.iam.get_role_policy().role_name(role).policy_name(policy_name).send().await;
        let policy = policy.failed_to(|| format!("read the policy of role {role}"));
        if let Some(policy) = absent_is_none(policy, &["NoSuchEntity"])? {
            return Ok(Observed::Role { policy: Some(policy::parse(&policy.policy_document)) });
        }
        // The policy is absent, or the role.
        match read_once::role(aws, role).await? {
            Some(_) => Ok(Observed::Role { policy: None }),
            None => Ok(Observed::NoRole { spelled: iam::role_in_other_letters(aws, role).await }),
        }
    }

    /// The policy's name makes it ours.
    fn absent(&self) -> Option<Observed> {
        Some(Observed::Role { policy: None })
    }

    fn decide(&self, aim: Aim<'_, Value>, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        match (aim, observed) {
            (Aim::Present(_), Observed::NoRole { spelled: Some(spelled) }) => {
                Err(iam::in_other_letters(&format!("role {}", self.role), spelled, "instance.role"))
            }
            (Aim::Present(_), Observed::NoRole { spelled: None }) => Err(self.has_no_role()),
            (Aim::Present(goal), Observed::Role { policy }) => {
                let verb = if policy.is_none() { Verb::Create } else { Verb::Update };
                let put = iam::put_policy("iam:PutRolePolicy", policy.as_ref(), goal);
                Ok(put.map(|(op, goal)| (Op { verb, ..op }, Call::Put(goal))).into_iter().collect())
            }
            (Aim::Absent(_), Observed::Role { policy: Some(_) }) => {
                Ok(vec![(Op::new(Verb::Delete, "iam:DeleteRolePolicy"), Call::Delete)])
            }
            (Aim::Absent(_), _) => Ok(Vec::new()),
        }
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (iam, role, policy) = (&context.aws.iam, &self.role, &self.policy_name);
        match call {
            Call::Put(document) => {
                let request =
                    iam.put_role_policy().role_name(role).policy_name(policy).policy_document(document.to_string());
                request.send().await.failed_to(|| format!("put policy {policy} on role {role}")).map(drop)
            }
            Call::Delete => {
                let request = iam.delete_role_policy().role_name(role).policy_name(policy);
                request.send().await.failed_to(|| format!("delete policy {policy} of role {role}")).map(drop)
            }
        }
    }
}

impl InstanceAccess {
    fn has_no_role(&self) -> Error {
        Error::new(format!("the instance's role {} does not exist", self.role))
            .hint("correct instance.role, or remove it and let the instance read the secret yourself")
    }

    /// The host's script reads the secret as this role. The function cannot see whether it may.
    fn stops_rotations(&self, goal: &Value, observed: &Observed) -> Option<Error> {
        let Self { role, policy_name } = self;
        let policy = match observed {
            Observed::NoRole { .. } => return Some(self.has_no_role()),
            Observed::Role { policy } => policy.as_ref(),
        };
        let lacks = match policy {
            None => format!("role {role} lacks policy {policy_name}"),
            Some(policy) if !policy::allows(policy, goal) => {
                format!("policy {policy_name} of role {role} no longer allows it")
            }
            Some(_) => return None,
        };
        Some(
            Error::new(format!("the hosts may not read the secret: {lacks}"))
                .hint(text![Command::deployer("apply"), " puts the policy back"]),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rotation_fails_if_the_hosts_may_not_read_the_secret() {
        let access = InstanceAccess { role: "host".into(), policy_name: "read".into() };
        let policy = |action: &str, resource: &str| json!({"Statement": {"Effect": "Allow", "Action": action, "Resource": resource}});
        let goal = policy("sqs:ReceiveMessage", "arn:aws:secretsmanager:eu-west-1:1:secret:m/smtp-??????");
        let said =
            |policy: Option<Value>| access.stops_rotations(&goal, &Observed::Role { policy }).map(|error| error.what);
        for enough in [
            goal.clone(),
            policy("*", "*"),
            policy("sqs:Receive*", "arn:aws:secretsmanager:*:secret:m/*"),
            json!({"Statement": [policy("kms:Decrypt", "*")["Statement"], goal["Statement"]]}),
        ] {
            assert_eq!(said(Some(enough.clone())), None, "{enough}");
        }
        for too_little in [
            policy("sqs:SendMessage", "*"),
            policy("sqs:ReceiveMessage", "arn:aws:secretsmanager:eu-west-1:1:secret:other-??????"),
            json!({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}),
        ] {
            assert!(said(Some(too_little.clone())).unwrap().contains("no longer allows it"), "{too_little}");
        }
        assert!(said(None).unwrap().contains("role host lacks policy read"));
        assert!(access.stops_rotations(&goal, &Observed::NoRole { spelled: None }).is_some());
    }
}
