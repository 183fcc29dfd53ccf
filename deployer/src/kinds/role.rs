//! The function's execution role and its one inline policy.

use std::sync::Arc;

use contract::{Command, Text, text};
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    date,
    deployment::{Deployment, TAG_KEPT_SINCE, policy},
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::{iam, network_interfaces},
    read_once,
    rotation::function,
};

pub(crate) struct Role {
    pub(crate) name: String,
    /// Name of its one inline policy.
    pub(crate) policy_name: String,
    /// Whether it is to be deleted: what IAM wants removed before is read only then.
    pub(crate) going: bool,
    /// The deployment whose function has another role from this run on. It is asked whether it may read what a rotation reads, before
    /// this role loses anything. None if the function goes, or keeps the role.
    pub(crate) replaced_in: Option<Arc<Deployment>>,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    pub(crate) placement: iam::Placement,
    pub(crate) trust: Value,
    pub(crate) policy: Value,
}

pub(crate) struct Observed {
    pub(super) placement: iam::Placement,
    pub(super) trust: Value,
    /// Our policy. Any other inline policy is listed by name.
    pub(super) policy: Option<Value>,
    pub(super) other_policies: Vec<String>,
    pub(super) attached_policies: Vec<String>,
    /// IAM deletes no role that is in one. Empty unless the role is to be deleted.
    pub(super) instance_profiles: Vec<String>,
}

pub(crate) enum Call {
    Create {
        placement: iam::Placement,
        trust: Value,
        tags: Tags,
    },
    SetBoundary(String),
    SetTrust(Value),
    PutPolicy(Value),
    DeletePolicy(String),
    DetachPolicy(String),
    LeaveInstanceProfile(String),
    /// Keeps the role as it is until Lambda has removed the network interfaces of the function, which went at that time; none: now.
    KeepForLambda(Option<String>),
    Delete,
}

impl Tagged for Role {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["iam:TagRole", "iam:UntagRole"];
    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];
    const NAME_KEY: &'static str = "names.role";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Role, &self.name)
    }

    fn foreign(&self, goal: &Goal, found: &Found<Observed>) -> Vec<Text> {
        let (address, key) = (self.address(), "function.role_permissions_boundary");
        let removal = ["delete-role-permissions-boundary", "--role-name"];
        let now = &found.observed.placement;
        iam::foreign_boundary(&address, &goal.placement, now, key, removal).into_iter().collect()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let name = &self.name;
        let Some(role) = read_once::role(aws, name).await? else {
            let spelled = if self.going { None } else { iam::role_in_other_letters(aws, name).await };
            let error = |spelled: String| iam::in_other_letters(&self.address().to_string(), &spelled, Self::NAME_KEY);
            return spelled.map_or(Ok(None), |spelled| Err(error(spelled)));
        };
        let inline = aws.iam.list_role_policies().role_name(name).into_paginator().items().send();
        let attached = aws.iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
        let (inline, attached) =
            tokio::join!(inline.collect::<Result<Vec<_>, _>>(), attached.collect::<Result<Vec<_>, _>>());
        let inline = inline.failed_to(|| format!("list the policies of role {name}"))?;
        let attached = attached.failed_to(|| format!("list the policies attached to role {name}"))?;

        let (ours, other_policies): (Vec<_>, Vec<_>) =
            inline.into_iter().partition(|policy| *policy == self.policy_name);
        let policy = if ours.is_empty() { None } else { self.read_policy(aws).await? };
        let observed = Observed {
            placement: iam::Placement {
                path: role.path,
                boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
            },
            trust: policy::parse(&role.assume_role_policy_document.unwrap_or_default()),
            policy,
            other_policies,
            attached_policies: attached.into_iter().filter_map(|policy| policy.policy_arn).collect(),
            instance_profiles: if self.going { self.read_instance_profiles(aws).await? } else { Vec::new() },
        };
        Ok(Some(Found { tags: iam::read_tags(role.tags), observed }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let create = goal
            .placement
            .sets(Op::new(Verb::Create, "iam:CreateRole"))
            .sets("assume_role_policy", policy::normalized(&goal.trust))
            .sets("tags", tags::shown(&tags));
        let create = (create, Call::Create { placement: goal.placement.clone(), trust: goal.trust.clone(), tags });
        std::iter::once(create).chain(put_policy(None, goal)).collect()
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { trust, policy, .. } = &found.observed;
        let now = &found.observed.placement;
        let boundary = goal.placement.set_boundary(&self.address(), "iam:PutRolePermissionsBoundary", now)?;
        let mut ops = strangers(&found.observed);
        ops.extend(boundary.map(|(op, arn)| (op, Call::SetBoundary(arn))));
        let goal_trust = policy::normalized(&goal.trust);
        if *trust != goal_trust {
            let op = Op::new(Verb::Update, "iam:UpdateAssumeRolePolicy");
            let op = op.with("assume_role_policy", Some(trust.clone()), Some(goal_trust));
            ops.push((op, Call::SetTrust(goal.trust.clone())));
        }
        ops.extend(put_policy(policy.as_ref(), goal));
        Ok(ops)
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let mut ops: Vec<_> = keep_for_lambda(found).into_iter().chain(strangers(&found.observed)).collect();
        ops.extend(found.observed.instance_profiles.iter().map(|profile| {
            let op = Op::new(Verb::Update, "iam:RemoveRoleFromInstanceProfile");
            let op = op.with("instance_profile", Some(profile.as_str().into()), None);
            (op, Call::LeaveInstanceProfile(profile.clone()))
        }));
        if found.observed.policy.is_some() {
            let call = Call::DeletePolicy(self.policy_name.clone());
            ops.push((Op::new(Verb::Update, "iam:DeleteRolePolicy"), call));
        }
        ops.push((Op::new(Verb::Delete, "iam:DeleteRole"), Call::Delete));
        Ok(ops)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.name);
        if let Some(deployment) = &self.replaced_in {
            let answered = function::wait_until_allowed(&context.aws, deployment, &context.progress).await?;
            if answered.is_none() {
                let function = &deployment.names.function;
                return Err(Error::new(format!(
                    "function {function} does not say what its other role may do, so role {name} stays"
                ))
                .hint(text![Command::deployer("status"), " shows why it does not answer"]));
            }
        }
        match call {
            Call::Create { placement, trust, tags } => {
                let request = client.create_role().role_name(name).assume_role_policy_document(trust.to_string());
                let request = request.path(placement.path).set_permissions_boundary(placement.boundary);
                let request = request.set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("create role {name}")).map(drop)
            }
            Call::SetBoundary(arn) => {
                let request = client.put_role_permissions_boundary().role_name(name).permissions_boundary(&arn);
                request.send().await.failed_to(|| format!("set the permissions boundary of role {name}")).map(drop)
            }
            Call::SetTrust(trust) => {
                let request = client.update_assume_role_policy().role_name(name).policy_document(trust.to_string());
                request.send().await.failed_to(|| format!("set the trust policy of role {name}")).map(drop)
            }
            Call::PutPolicy(document) => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_not_there_yet, || async {
                    let request = client.put_role_policy().role_name(name).policy_name(&self.policy_name);
                    let request = request.policy_document(document.to_string());
                    request.send().await.failed_to(|| format!("put the policy of role {name}")).map(drop)
                })
                .await
            }
            Call::DeletePolicy(policy) => {
                let request = client.delete_role_policy().role_name(name).policy_name(&policy);
                request.send().await.failed_to(|| format!("delete policy {policy} of role {name}")).map(drop)
            }
            Call::DetachPolicy(arn) => {
                let request = client.detach_role_policy().role_name(name).policy_arn(&arn);
                request.send().await.failed_to(|| format!("detach policy {arn} from role {name}")).map(drop)
            }
            Call::LeaveInstanceProfile(profile) => {
                let request = client.remove_role_from_instance_profile().instance_profile_name(&profile);
                let request = request.role_name(name);
                request.send().await.failed_to(|| format!("remove role {name} from {profile}")).map(drop)
            }
            Call::KeepForLambda(since) => {
                let since = since.unwrap_or_else(date::now);
                self.set_tags(&context.aws, Tags::from([(TAG_KEPT_SINCE.to_owned(), since.clone())])).await?;
                network_interfaces::wait_until_removed(&context.progress, &since).await
            }
            Call::Delete => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_still_in_use, || async {
                    let answer = client.delete_role().role_name(name).send().await;
                    answer.failed_to(|| format!("delete role {name}")).map(drop)
                })
                .await
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.iam.tag_role().role_name(&self.name).set_tags(Some(iam::tags(&tags)));
        request.send().await.failed_to(|| format!("tag role {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.iam.untag_role().role_name(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag role {}", self.name)).map(drop)
    }
}

impl Role {
    async fn read_policy(&self, aws: &Aws) -> Result<Option<Value>, Error> {
        let Self { name, policy_name, .. } = self;
        let answer = aws.iam.get_role_policy().role_name(name).policy_name(policy_name).send().await;
        let answer = answer.failed_to(|| format!("read policy {policy_name} of role {name}"));
        // It may be deleted between the list and this read.
        Ok(absent_is_none(answer, &["NoSuchEntity"])?.map(|answer| policy::parse(&answer.policy_document)))
    }

    async fn read_instance_profiles(&self, aws: &Aws) -> Result<Vec<String>, Error> {
        let request = aws.iam.list_instance_profiles_for_role().role_name(&self.name);
        let profiles = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let profiles = profiles.failed_to(|| format!("list the instance profiles of role {}", self.name))?;
        Ok(profiles.into_iter().map(|profile| profile.instance_profile_name).collect())
    }
}

/// Lambda removes the network interfaces of a function in a VPC after the function is gone, and does it as this role.
fn keep_for_lambda(found: &Found<Observed>) -> Option<(Op, Call)> {
    let is_of_a_vpc = found.observed.policy.as_ref().is_some_and(policy::allows_network);
    let op = Op::new(Verb::Update, "iam:TagRole").sets("kept", network_interfaces::REASON);
    is_of_a_vpc.then(|| (op, Call::KeepForLambda(found.tags.get(TAG_KEPT_SINCE).cloned())))
}

/// Removes every other policy on the role: it would let the function do more than a rotation.
fn strangers(observed: &Observed) -> Vec<(Op, Call)> {
    let inline = observed.other_policies.iter().map(|name| {
        let op = Op::new(Verb::Update, "iam:DeleteRolePolicy");
        (op.with("inline_policy", Some(name.as_str().into()), None), Call::DeletePolicy(name.clone()))
    });
    let attached = observed.attached_policies.iter().map(|arn| {
        let op = Op::new(Verb::Update, "iam:DetachRolePolicy");
        (op.with("managed_policy", Some(arn.as_str().into()), None), Call::DetachPolicy(arn.clone()))
    });
    inline.chain(attached).collect()
}

fn put_policy(observed: Option<&Value>, goal: &Goal) -> Option<(Op, Call)> {
    iam::put_policy("iam:PutRolePolicy", observed, &goal.policy).map(|(op, goal)| (op, Call::PutPolicy(goal)))
}
