//! The IAM user whose access keys become SMTP credentials.
//!
//! The deployer never makes a key. It deletes keys only with an owned user that is destroyed, and
//! only with `--stop-mail`.

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

pub(crate) struct User(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    tags: Tags,
    policy: Option<Value>,
    key_ids: Vec<String>,
}

pub(crate) enum Call {
    Create(Tags),
    PutPolicy(Value),
    DeletePolicy,
    Tags(TagCall),
    DeleteKey(String),
    Delete,
}

impl Kind for User {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "user", name: self.0.names.user.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let (client, name) = (&aws.iam, &self.0.names.user);
        let answer = client.get_user().user_name(name).send().await.failed_to(|| format!("read user {name}"));
        let Some(user) = absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.user) else {
            return Ok(None);
        };
        let (keys, policy) = tokio::join!(
            client.list_access_keys().user_name(name).send(),
            client.get_user_policy().user_name(name).policy_name(&self.0.names.user_policy).send()
        );
        let keys = keys.failed_to(|| format!("list the access keys of user {name}"))?.access_key_metadata;
        let policy = policy.failed_to(|| format!("read the policy of user {name}"));
        Ok(Some(Observed {
            tags: tags::read(user.tags, |tag| (Some(tag.key), Some(tag.value))),
            policy: absent_is_none(policy, &["NoSuchEntity"])?.map(|answer| policy::parse(&answer.policy_document)),
            key_ids: keys.into_iter().filter_map(|key| key.access_key_id).collect(),
        }))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        match (self.0.config.iam_user.existing, toward, observed) {
            (false, Toward::Present, None) => Ok(self.create()),
            (false, Toward::Present, Some(observed)) => self.update(observed),
            (false, Toward::Absent { stop_mail }, Some(observed)) => self.delete(observed, stop_mail),
            (true, Toward::Present, None) => {
                Err(Error::new(format!("user {} is declared existing and does not exist", self.0.names.user))
                    .hint("correct iam_user.name, or leave out existing: true to have it made"))
            }
            (true, Toward::Present, Some(observed)) => self.claim(observed),
            (true, Toward::Absent { .. }, Some(observed)) => Ok(self.release(observed)),
            (_, Toward::Absent { .. }, None) => Ok(Vec::new()),
        }
    }

    fn note(&self, _: &Option<Observed>) -> Option<String> {
        let config = &self.0.config;
        let is_free = !config.iam_user.existing && config.ses.from.is_empty();
        is_free.then(|| "ses.from is empty, so the user may send as any verified identity".to_owned())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.0.names.user);
        match call {
            Call::Create(tags) => {
                let request = client.create_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("create user {name}")).map(drop)
            }
            Call::PutPolicy(document) => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_not_there_yet, || async {
                    let request = client.put_user_policy().user_name(name).policy_name(&self.0.names.user_policy);
                    let request = request.policy_document(document.to_string());
                    request.send().await.failed_to(|| format!("put the policy of user {name}")).map(drop)
                })
                .await
            }
            Call::DeletePolicy => {
                let request = client.delete_user_policy().user_name(name).policy_name(&self.0.names.user_policy);
                request.send().await.failed_to(|| format!("delete the policy of user {name}")).map(drop)
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = client.tag_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("tag user {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = client.untag_user().user_name(name).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag user {name}")).map(drop)
            }
            Call::DeleteKey(id) => {
                let request = client.delete_access_key().user_name(name).access_key_id(&id);
                request.send().await.failed_to(|| format!("delete access key {id} of user {name}")).map(drop)
            }
            Call::Delete => {
                // What was deleted before is seen with a delay.
                let conflict = |error: &Error| error.code() == Some("DeleteConflict");
                eventually(&context.progress, CONSISTENT_WITHIN, conflict, || async {
                    client
                        .delete_user()
                        .user_name(name)
                        .send()
                        .await
                        .failed_to(|| format!("delete user {name}"))
                        .map(drop)
                })
                .await
            }
        }
    }
}

impl User {
    fn goal_tags(&self) -> Tags {
        let mut tags = tags::owned(&self.0.config, &self.0.names);
        tags.insert(contract::TAG_SECRET.to_owned(), self.0.names.secret_of_user.clone());
        tags
    }

    fn goal_policy(&self) -> Value {
        policy::user_permissions(&self.0.config, &self.0.names)
    }

    fn create(&self) -> Vec<(Op, Call)> {
        let tags = self.goal_tags();
        let op = Op::new(Verb::Create, "iam:CreateUser").sets("tags", tags::shown(&tags));
        let mut ops = vec![(op, Call::Create(tags))];
        ops.extend(put_policy(None, self.goal_policy()));
        ops
    }

    fn update(&self, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        self.check_owner(observed)?;
        let mut ops: Vec<_> = put_policy(observed.policy.as_ref(), self.goal_policy()).into_iter().collect();
        let calls = tags::ops("iam:TagUser", "iam:UntagUser", &observed.tags, &self.goal_tags());
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        Ok(ops)
    }

    fn delete(&self, observed: &Observed, stop_mail: bool) -> Result<Vec<(Op, Call)>, Error> {
        self.check_owner(observed)?;
        if !observed.key_ids.is_empty() && !stop_mail {
            return Err(Error::new(format!("user {} has access keys that a host may be using", self.0.names.user))
                .cause(format!(
                    "destroying it deletes {}, and mail sent with them stops",
                    observed.key_ids.join(" and ")
                ))
                .hint("give the hosts another credential first, then run the command again with --stop-mail"));
        }
        let keys = observed.key_ids.iter().map(|id| {
            let op = Op::new(Verb::Update, "iam:DeleteAccessKey");
            (op.with("access_key", Some(id.as_str().into()), None), Call::DeleteKey(id.clone()))
        });
        let policy =
            observed.policy.as_ref().map(|_| (Op::new(Verb::Update, "iam:DeleteUserPolicy"), Call::DeletePolicy));
        let user = (Op::new(Verb::Delete, "iam:DeleteUser"), Call::Delete);
        Ok(keys.chain(policy).chain([user]).collect())
    }

    fn check_owner(&self, observed: &Observed) -> Result<(), Error> {
        let way_out =
            "to rotate its keys without owning it, write existing: true under iam_user; else choose another name";
        tags::check_owner(&self.address(), &observed.tags, &self.0.names, way_out)
    }

    /// A referenced user gets one tag of ours: the secret that it serves.
    fn claim(&self, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        let goal = &self.0.names.secret_of_user;
        match observed.tags.get(contract::TAG_SECRET) {
            Some(secret) if secret == goal => Ok(Vec::new()),
            Some(secret) => Err(Error::new(format!("user {} serves another secret", self.0.names.user))
                .cause(format!("its tag {} is {secret}, not {goal}", contract::TAG_SECRET))
                .hint("use a user of its own for each secret: two secrets on one user would delete each other's keys")),
            None => {
                let op = Op::new(Verb::Update, "iam:TagUser").sets("tags.deployer:secret", goal.as_str());
                let tags = Tags::from([(contract::TAG_SECRET.to_owned(), goal.clone())]);
                Ok(vec![(op, Call::Tags(TagCall::Set(tags)))])
            }
        }
    }

    fn release(&self, observed: &Observed) -> Vec<(Op, Call)> {
        let ours = observed.tags.get(contract::TAG_SECRET).filter(|secret| **secret == self.0.names.secret_of_user);
        let release = |secret: &String| {
            let op = Op::new(Verb::Update, "iam:UntagUser");
            let op = op.with("tags.deployer:secret", Some(secret.as_str().into()), None);
            (op, Call::Tags(TagCall::Unset(vec![contract::TAG_SECRET.to_owned()])))
        };
        ours.map(release).into_iter().collect()
    }
}

fn put_policy(observed: Option<&Value>, goal: Value) -> Option<(Op, Call)> {
    iam::put_policy("iam:PutUserPolicy", observed, goal).map(|(op, goal)| (op, Call::PutPolicy(goal)))
}
