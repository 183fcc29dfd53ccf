//! The IAM user whose access keys become SMTP credentials.
//!
//! The deployer never makes a key. It deletes keys only with an owned user that is destroyed, and only with `--stop-mail`.

use contract::{TAG_SECRET, Text};
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::policy,
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::Context,
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::iam,
};

pub(crate) struct User {
    pub(crate) name: String,
    /// Name of its inline policy.
    pub(crate) policy_name: String,
}

pub(crate) struct Goal {
    pub(crate) policy: Value,
    /// Value of its tag: `<region>/<secret name>`.
    pub(crate) serves: String,
    /// Whether it may send as any verified identity.
    pub(crate) sends_as_anybody: bool,
}

pub(crate) struct Observed {
    pub(super) policy: Option<Value>,
    pub(super) key_ids: Vec<String>,
}

pub(crate) enum Call {
    Create(Tags),
    PutPolicy(Value),
    DeletePolicy,
    DeleteKey(String),
    Delete,
}

impl Tagged for User {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["iam:TagUser", "iam:UntagUser"];
    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;
    const NAME_KEY: &'static str = "iam_user.name";

    fn address(&self) -> Address {
        Address::new(ResourceKind::User, &self.name)
    }

    fn way_out(&self) -> Text {
        "to rotate its keys without owning it, write existing: true under iam_user; else choose another name".into()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let (client, name) = (&aws.iam, &self.name);
        let answer = client.get_user().user_name(name).send().await.failed_to(|| format!("read user {name}"));
        let Some(user) = absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.user) else {
            return Ok(None);
        };
        let (keys, policy) = tokio::join!(
            client.list_access_keys().user_name(name).send(),
            client.get_user_policy().user_name(name).policy_name(&self.policy_name).send()
        );
        let keys = keys.failed_to(|| format!("list the access keys of user {name}"))?.access_key_metadata;
        let policy = policy.failed_to(|| format!("read the policy of user {name}"));
        let policy = absent_is_none(policy, &["NoSuchEntity"])?.map(|answer| policy::parse(&answer.policy_document));
        let key_ids = keys.into_iter().filter_map(|key| key.access_key_id).collect();
        Ok(Some(Found { tags: iam::read_tags(user.tags), observed: Observed { policy, key_ids } }))
    }

    fn further_tags(&self, goal: &Goal) -> Tags {
        Tags::from([(TAG_SECRET.to_owned(), goal.serves.clone())])
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let op = Op::new(Verb::Create, "iam:CreateUser").sets("tags", tags::shown(&tags));
        std::iter::once((op, Call::Create(tags))).chain(put_policy(None, goal)).collect()
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        Ok(put_policy(found.observed.policy.as_ref(), goal).into_iter().collect())
    }

    fn delete(&self, found: &Found<Observed>, stop_mail: bool) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { policy, key_ids } = &found.observed;
        if !key_ids.is_empty() && !stop_mail {
            return Err(Error::new(format!("user {} has access keys that a host may be using", self.name))
                .cause(format!("destroying it deletes {}, and mail sent with them stops", key_ids.join(" and ")))
                .hint("give the hosts another credential first, then run the command again with --stop-mail"));
        }
        let keys = key_ids.iter().map(|id| {
            let op = Op::new(Verb::Update, "iam:DeleteAccessKey").effect(Effect::StopsMail);
            (op.with("access_key", Some(id.as_str().into()), None), Call::DeleteKey(id.clone()))
        });
        let policy = policy.as_ref().map(|_| (Op::new(Verb::Update, "iam:DeleteUserPolicy"), Call::DeletePolicy));
        let user = (Op::new(Verb::Delete, "iam:DeleteUser"), Call::Delete);
        Ok(keys.chain(policy).chain([user]).collect())
    }

    fn note(&self, goal: &Goal, _: Option<&Found<Observed>>) -> Option<Text> {
        goal.sends_as_anybody.then(|| "ses.from is empty, so the user may send as any verified identity".into())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name, policy) = (&context.aws.iam, &self.name, &self.policy_name);
        match call {
            Call::Create(tags) => {
                let request = client.create_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("create user {name}")).map(drop)
            }
            Call::PutPolicy(document) => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_not_there_yet, || async {
                    let request = client.put_user_policy().user_name(name).policy_name(policy);
                    let request = request.policy_document(document.to_string());
                    request.send().await.failed_to(|| format!("put the policy of user {name}")).map(drop)
                })
                .await
            }
            Call::DeletePolicy => {
                let request = client.delete_user_policy().user_name(name).policy_name(policy);
                request.send().await.failed_to(|| format!("delete the policy of user {name}")).map(drop)
            }
            Call::DeleteKey(id) => {
                let request = client.delete_access_key().user_name(name).access_key_id(&id);
                request.send().await.failed_to(|| format!("delete access key {id} of user {name}")).map(drop)
            }
            Call::Delete => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_still_in_use, || async {
                    let answer = client.delete_user().user_name(name).send().await;
                    answer.failed_to(|| format!("delete user {name}")).map(drop)
                })
                .await
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.iam.tag_user().user_name(&self.name).set_tags(Some(iam::tags(&tags)));
        request.send().await.failed_to(|| format!("tag user {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.iam.untag_user().user_name(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag user {}", self.name)).map(drop)
    }
}

fn put_policy(observed: Option<&Value>, goal: &Goal) -> Option<(Op, Call)> {
    iam::put_policy("iam:PutUserPolicy", observed, &goal.policy).map(|(op, goal)| (op, Call::PutPolicy(goal)))
}
