//! The function's execution role and its one inline policy.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    deployment::policy,
    engine::eventually::{CONSISTENT_WITHIN, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
    kinds::iam,
};

pub(crate) struct Role(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    trust: Value,
    /// Our policy; any other inline policy is listed by name.
    policy: Option<Value>,
    other_policies: Vec<String>,
    attached_policies: Vec<String>,
    tags: Tags,
}

pub(crate) enum Call {
    Create { trust: Value, tags: Tags },
    SetTrust(Value),
    PutPolicy(Value),
    DeletePolicy(String),
    DetachPolicy(String),
    Tags(TagCall),
    Delete,
}

impl Kind for Role {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "role", name: self.0.names.role.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.role;
        let answer = aws.iam.get_role().role_name(name).send().await.failed_to(|| format!("read role {name}"));
        let Some(role) = absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.role) else {
            return Ok(None);
        };
        let inline = aws.iam.list_role_policies().role_name(name).into_paginator().items().send();
        let attached = aws.iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
        let (inline, attached) =
            tokio::join!(inline.collect::<Result<Vec<_>, _>>(), attached.collect::<Result<Vec<_>, _>>());
        let inline = inline.failed_to(|| format!("list the policies of role {name}"))?;
        let attached = attached.failed_to(|| format!("list the policies attached to role {name}"))?;

        let ours = &self.0.names.role_policy;
        let (ours, other_policies): (Vec<_>, Vec<_>) = inline.into_iter().partition(|policy| policy == ours);
        let policy = match ours.first() {
            Some(policy) => self.read_policy(aws, policy).await?,
            None => None,
        };
        Ok(Some(Observed {
            trust: policy::parse(&role.assume_role_policy_document.unwrap_or_default()),
            policy,
            other_policies,
            attached_policies: attached.into_iter().filter_map(|policy| policy.policy_arn).collect(),
            tags: tags::read(role.tags, |tag| (Some(tag.key), Some(tag.value))),
        }))
    }

    fn decide(&self, toward: Toward, facts: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Deployment { config, names } = &*self.0;
        let Some(observed) = observed else {
            return Ok(match toward {
                Toward::Absent { .. } => Vec::new(),
                Toward::Present => self.create(facts),
            });
        };
        let way_out = "choose another deployment name, or delete the role first if nothing uses it";
        tags::check_owner(&self.address(), &observed.tags, names, way_out)?;
        let mut ops = strangers(observed);
        if toward == Toward::Present {
            let trust = policy::normalized(&policy::role_trust());
            if observed.trust != trust {
                let op = Op::new(Verb::Update, "iam:UpdateAssumeRolePolicy");
                let op = op.with("assume_role_policy", Some(observed.trust.clone()), Some(trust));
                ops.push((op, Call::SetTrust(policy::role_trust())));
            }
            let permissions = policy::role_permissions(config, names, facts);
            ops.extend(put_policy(observed.policy.as_ref(), permissions));
            let calls = tags::ops("iam:TagRole", "iam:UntagRole", &observed.tags, &tags::owned(config, names));
            ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        } else {
            if observed.policy.is_some() {
                let call = Call::DeletePolicy(names.role_policy.clone());
                ops.push((Op::new(Verb::Update, "iam:DeleteRolePolicy"), call));
            }
            ops.push((Op::new(Verb::Delete, "iam:DeleteRole"), Call::Delete));
        }
        Ok(ops)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.0.names.role);
        match call {
            Call::Create { trust, tags } => {
                let tags = iam::tags(&tags);
                let request = client.create_role().role_name(name).assume_role_policy_document(trust.to_string());
                request.set_tags(Some(tags)).send().await.failed_to(|| format!("create role {name}")).map(drop)
            }
            Call::SetTrust(trust) => {
                let request = client.update_assume_role_policy().role_name(name).policy_document(trust.to_string());
                request.send().await.failed_to(|| format!("set the trust policy of role {name}")).map(drop)
            }
            Call::PutPolicy(document) => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_not_there_yet, || async {
                    let request = client.put_role_policy().role_name(name).policy_name(&self.0.names.role_policy);
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
            Call::Tags(TagCall::Set(tags)) => {
                let request = client.tag_role().role_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("tag role {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = client.untag_role().role_name(name).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag role {name}")).map(drop)
            }
            Call::Delete => {
                // Deleting the policies is seen by IAM with a delay.
                eventually(
                    &context.progress,
                    CONSISTENT_WITHIN,
                    |error| error.code() == Some("DeleteConflict"),
                    || async {
                        client
                            .delete_role()
                            .role_name(name)
                            .send()
                            .await
                            .failed_to(|| format!("delete role {name}"))
                            .map(drop)
                    },
                )
                .await
            }
        }
    }
}

impl Role {
    async fn read_policy(&self, aws: &Aws, policy: &str) -> Result<Option<Value>, Error> {
        let name = &self.0.names.role;
        let answer = aws.iam.get_role_policy().role_name(name).policy_name(policy).send().await;
        let answer = answer.failed_to(|| format!("read policy {policy} of role {name}"));
        // It may go between the list and this read.
        Ok(absent_is_none(answer, &["NoSuchEntity"])?.map(|answer| policy::parse(&answer.policy_document)))
    }

    fn create(&self, facts: &Facts) -> Vec<(Op, Call)> {
        let Deployment { config, names } = &*self.0;
        let tags = tags::owned(config, names);
        let create = Op::new(Verb::Create, "iam:CreateRole")
            .sets("assume_role_policy", policy::normalized(&policy::role_trust()))
            .sets("tags", tags::shown(&tags));
        let mut ops = vec![(create, Call::Create { trust: policy::role_trust(), tags })];
        ops.extend(put_policy(None, policy::role_permissions(config, names, facts)));
        ops
    }
}

/// Whatever else was put on the role would let the function do more than a rotation.
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

fn put_policy(observed: Option<&Value>, goal: Value) -> Option<(Op, Call)> {
    iam::put_policy("iam:PutRolePolicy", observed, goal).map(|(op, goal)| (op, Call::PutPolicy(goal)))
}
