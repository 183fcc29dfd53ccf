//! The topic that is told of rotations, and the one e-mail subscription to it that is ours.
//!
//! SNS's own encryption at rest stays off: a message names keys and says what happened, never a secret, and a customer's
//! KMS key would need a policy that lets the function use it.

use std::sync::Arc;

use aws_sdk_sns::types::Tag;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
    package,
};

pub(crate) struct Topic(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    tags: Tags,
    /// By e-mail only; what else subscribes is not ours.
    subscriptions: Vec<Subscription>,
}

struct Subscription {
    email: String,
    /// None until the address has confirmed. Without it a subscription cannot be ended; SNS drops it after two days.
    arn: Option<String>,
}

pub(crate) enum Call {
    Create(Tags),
    Subscribe(String),
    Unsubscribe { arn: String, email: String },
    Tags(TagCall),
    Delete,
}

/// Subscriptions take no tags, so the topic's tag tells which one is ours: a digest of its address, which itself may be
/// personal data and may hold characters that a tag cannot.
const TAG_EMAIL: &str = "deployer:email";

const PROTOCOL: &str = "email";
/// In place of an unconfirmed subscription's ARN.
const PENDING: &str = "PendingConfirmation";
/// In place of the ARN of one that the subscriber ended, which stays listed for a while.
const DELETED: &str = "Deleted";

impl Kind for Topic {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "topic", name: self.0.names.topic.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let (sns, name, arn) = (&aws.sns, &self.0.names.topic, self.0.names.topic_arn());
        let answer = sns.get_topic_attributes().topic_arn(&arn).send().await;
        if absent_is_none(answer.failed_to(|| format!("read topic {name}")), &["NotFound"])?.is_none() {
            return Ok(None);
        }
        let subscriptions = sns.list_subscriptions_by_topic().topic_arn(&arn).into_paginator().items().send();
        let (tags, subscriptions) = tokio::join!(
            sns.list_tags_for_resource().resource_arn(&arn).send(),
            subscriptions.collect::<Result<Vec<_>, _>>()
        );
        let tags = tags.failed_to(|| format!("read the tags of topic {name}"))?.tags;
        let subscriptions = subscriptions.failed_to(|| format!("list the subscriptions to topic {name}"))?;
        Ok(Some(Observed {
            tags: tags::read(tags, |tag| (Some(tag.key), Some(tag.value))),
            subscriptions: subscriptions.into_iter().filter_map(by_email).collect(),
        }))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Some(observed) = observed else {
            return Ok(match toward {
                Toward::Absent { .. } => Vec::new(),
                Toward::Present => self.create(),
            });
        };
        let way_out = "choose another deployment name, or delete the topic first if nothing uses it";
        tags::check_owner(&self.address(), &observed.tags, &self.0.names, way_out)?;
        Ok(match toward {
            // Its subscriptions go with it.
            Toward::Absent { .. } => vec![(Op::new(Verb::Delete, "sns:DeleteTopic"), Call::Delete)],
            Toward::Present => self.update(observed),
        })
    }

    fn note(&self, observed: &Option<Observed>) -> Option<String> {
        let email = self.email();
        match observed.as_ref().and_then(|observed| observed.subscription_of(email)) {
            Some(Subscription { arn: Some(_), .. }) => None,
            Some(_) => Some(format!(
                "{email} has not confirmed its subscription: no notification arrives before somebody follows the link \
                 in the mail from AWS Notifications (valid for two days; apply then sends another)"
            )),
            None => Some(format!(
                "{email} is asked by mail to confirm its subscription: no notification arrives before it has"
            )),
        }
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (sns, name, arn) = (&context.aws.sns, &self.0.names.topic, self.0.names.topic_arn());
        match call {
            Call::Create(tags) => {
                let request = sns.create_topic().name(name).set_tags(Some(sns_tags(&tags)));
                request.send().await.failed_to(|| format!("create topic {name}")).map(drop)
            }
            Call::Subscribe(email) => {
                let request = sns.subscribe().topic_arn(arn).protocol(PROTOCOL).endpoint(&email);
                request.send().await.failed_to(|| format!("subscribe {email} to topic {name}")).map(drop)
            }
            Call::Unsubscribe { arn, email } => {
                let request = sns.unsubscribe().subscription_arn(arn);
                request.send().await.failed_to(|| format!("unsubscribe {email} from topic {name}")).map(drop)
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = sns.tag_resource().resource_arn(arn).set_tags(Some(sns_tags(&tags)));
                request.send().await.failed_to(|| format!("tag topic {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = sns.untag_resource().resource_arn(arn).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag topic {name}")).map(drop)
            }
            Call::Delete => {
                let request = sns.delete_topic().topic_arn(arn);
                request.send().await.failed_to(|| format!("delete topic {name}")).map(drop)
            }
        }
    }
}

impl Topic {
    /// The topic is in the stack only where there is one.
    fn email(&self) -> &str {
        self.0.config.notify.as_ref().map_or("", |notify| &notify.email)
    }

    fn goal_tags(&self) -> Tags {
        let mut tags = tags::owned(&self.0.config, &self.0.names);
        tags.insert(TAG_EMAIL.to_owned(), package::digest([self.email()].iter()));
        tags
    }

    fn create(&self) -> Vec<(Op, Call)> {
        let tags = self.goal_tags();
        let op = Op::new(Verb::Create, "sns:CreateTopic").sets("tags", tags::shown(&tags));
        vec![(op, Call::Create(tags)), self.subscribe()]
    }

    fn subscribe(&self) -> (Op, Call) {
        let op = Op::new(Verb::Update, "sns:Subscribe").sets("protocol", PROTOCOL).sets("endpoint", self.email());
        (op, Call::Subscribe(self.email().to_owned()))
    }

    fn update(&self, observed: &Observed) -> Vec<(Op, Call)> {
        let mut ops = Vec::new();
        if observed.subscription_of(self.email()).is_none() {
            ops.push(self.subscribe());
        }
        ops.extend(self.unsubscribe_former(observed));
        // Last: until the former address is gone, the tag says which one it is.
        let calls = tags::ops("sns:TagResource", "sns:UntagResource", &observed.tags, &self.goal_tags());
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        ops
    }

    /// Ends the subscription that is ours and no longer declared. One that was never confirmed cannot be ended: it goes
    /// by itself.
    fn unsubscribe_former(&self, observed: &Observed) -> Option<(Op, Call)> {
        let ours = observed.tags.get(TAG_EMAIL)?;
        let is_former = |subscription: &&Subscription| {
            subscription.email != self.email() && package::digest([&subscription.email]) == *ours
        };
        let former = observed.subscriptions.iter().find(is_former)?;
        let (arn, email) = (former.arn.clone()?, former.email.clone());
        let op = Op::new(Verb::Update, "sns:Unsubscribe").with("endpoint", Some(email.as_str().into()), None);
        Some((op, Call::Unsubscribe { arn, email }))
    }
}

impl Observed {
    fn subscription_of(&self, email: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.email == email)
    }
}

fn by_email(subscription: aws_sdk_sns::types::Subscription) -> Option<Subscription> {
    let (protocol, arn) = (subscription.protocol?, subscription.subscription_arn?);
    (protocol == PROTOCOL && arn != DELETED)
        .then_some(Subscription { email: subscription.endpoint?, arn: Some(arn).filter(|arn| arn != PENDING) })
}

fn sns_tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}
