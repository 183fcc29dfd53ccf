//! The inline policy on the instance's role that lets the host read this one secret. The role is referenced.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    deployment::policy,
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    error::{Error, FailedTo as _, absent_is_none},
    kinds::iam,
};

pub(crate) struct InstanceAccess(pub(crate) Arc<Deployment>);

pub(crate) enum Observed {
    NoRole,
    Role { policy: Option<Value> },
}

pub(crate) enum Call {
    Put(Value),
    Delete,
}

impl InstanceAccess {
    fn role(&self) -> &str {
        self.0.config.instance.as_ref().and_then(|instance| instance.role.as_deref()).unwrap_or_default()
    }
}

impl Kind for InstanceAccess {
    type Observed = Observed;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "instance access", name: format!("{}/{}", self.role(), self.0.names.instance_policy) }
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        let (role, policy) = (self.role(), &self.0.names.instance_policy);
        let (found, policy) = tokio::join!(
            aws.iam.get_role().role_name(role).send(),
            aws.iam.get_role_policy().role_name(role).policy_name(policy).send()
        );
        if absent_is_none(found.failed_to(|| format!("read role {role}")), &["NoSuchEntity"])?.is_none() {
            return Ok(Observed::NoRole);
        }
        let policy = absent_is_none(policy.failed_to(|| format!("read the policy of role {role}")), &["NoSuchEntity"])?;
        Ok(Observed::Role { policy: policy.map(|answer| policy::parse(&answer.policy_document)) })
    }

    fn decide(&self, toward: Toward, facts: &Facts, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        let put = |policy: Option<&Value>| {
            let goal = policy::instance_permissions(&self.0.names, facts);
            iam::put_policy("iam:PutRolePolicy", policy, goal).map(|(op, goal)| (op, Call::Put(goal)))
        };
        match (toward, observed) {
            (Toward::Present, Observed::NoRole) => {
                Err(Error::new(format!("the instance's role {} does not exist", self.role()))
                    .hint("correct instance.role, or leave it out and give the instance access to the secret yourself"))
            }
            (Toward::Present, Observed::Role { policy: None }) => {
                let create = |(op, call): (Op, Call)| (Op { verb: Verb::Create, ..op }, call);
                Ok(put(None).into_iter().map(create).collect())
            }
            (Toward::Present, Observed::Role { policy }) => Ok(put(policy.as_ref()).into_iter().collect()),
            (Toward::Absent { .. }, Observed::Role { policy: Some(_) }) => {
                Ok(vec![(Op::new(Verb::Delete, "iam:DeleteRolePolicy"), Call::Delete)])
            }
            (Toward::Absent { .. }, _) => Ok(Vec::new()),
        }
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (iam, role, policy) = (&context.aws.iam, self.role(), &self.0.names.instance_policy);
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
