//! The topic that is told of rotations, and the one e-mail subscription to it that is ours.
//!
//! SNS's own encryption at rest stays off: a message names keys and says what happened, never a secret, and a customer's
//! KMS key would need a policy that lets the function use it.

use aws_sdk_sns::types::Tag;
use contract::{Command, Text, text};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::{names::Names, policy},
    digest,
    engine::{
        kind::{Context, Going},
        op::{Address, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::resource_policy::{self, Denial},
};

pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) arn: String,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    /// The address that is told.
    pub(crate) email: String,
}

pub(crate) struct Observed {
    /// By e-mail only; other subscriptions are not ours.
    pub(super) subscriptions: Vec<Subscription>,
    /// Everything that is subscribed, as `email ops@example.com`: it goes with the topic.
    pub(super) subscribed: Vec<String>,
    /// The KMS key of its encryption at rest, if somebody turned that on.
    pub(super) kms_key: Option<String>,
    /// Its policy; null if it has none.
    pub(super) policy: Value,
}

/// Who is told by e-mail.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    /// Whether the address has confirmed its subscription.
    pub(crate) has_confirmed: bool,
    /// Why nothing arrives, although it has.
    pub(crate) silenced: Vec<Error>,
}

pub(super) struct Subscription {
    pub(super) email: String,
    /// None until the address has confirmed. Without it a subscription cannot be ended; SNS drops it after two days.
    pub(super) arn: Option<String>,
}

pub(crate) enum Call {
    Create(Tags),
    Subscribe(String),
    Unsubscribe { arn: String, email: String },
    Delete,
}

/// Subscriptions take no tags, so the topic's tag tells which one is ours: a digest of its address, which itself may be
/// personal data and may hold characters that a tag cannot.
pub(crate) const TAG_EMAIL: &str = "deployer:email";

const PROTOCOL: &str = "email";
/// The attribute that names the key of the encryption at rest.
const KMS_KEY: &str = "KmsMasterKeyId";
/// The attribute of a topic that says who may do what with it.
const POLICY: &str = "Policy";
/// The attribute of a subscription that says which messages it gets.
const FILTER: &str = "FilterPolicy";
/// AWS's own key for it.
const AWS_KEY: &str = "alias/aws/sns";
/// Listed in place of an unconfirmed subscription's ARN.
const PENDING: &str = "PendingConfirmation";
/// Listed for a while in place of the ARN of a subscription that the subscriber ended.
const DELETED: &str = "Deleted";

impl Topic {
    /// The deployment's.
    pub(crate) fn of(names: &Names) -> Self {
        Self { name: names.topic.clone(), arn: names.topic_arn() }
    }
}

impl Tagged for Topic {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["sns:TagResource", "sns:UntagResource"];
    const CONFLICTS: &'static [&'static str] = &["ConcurrentAccess", "NotFound", "ResourceNotFound", "StaleTag"];
    const NAME_KEY: &'static str = "names.topic";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Topic, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let (sns, name, arn) = (&aws.sns, &self.name, &self.arn);
        let subscriptions = sns.list_subscriptions_by_topic().topic_arn(arn).into_paginator().items().send();
        let subscriptions = subscriptions.collect::<Result<Vec<_>, _>>().await;
        let subscriptions = subscriptions.failed_to(|| format!("list the subscriptions to topic {name}"));
        let Some(subscriptions) = absent_is_none(subscriptions, &["NotFound"])? else { return Ok(None) };
        let tags = sns.list_tags_for_resource().resource_arn(arn).send().await;
        let tags = tags.failed_to(|| format!("read the tags of topic {name}"))?.tags;
        let attributes = sns.get_topic_attributes().topic_arn(arn).send().await;
        let attributes = attributes.failed_to(|| format!("read the attributes of topic {name}"))?.attributes;
        let mut attributes = attributes.unwrap_or_default();
        let kms_key = attributes.remove(KMS_KEY).filter(|key| !key.is_empty());
        let policy =
            attributes.remove(POLICY).and_then(|policy| serde_json::from_str(&policy).ok()).unwrap_or_default();
        let what = |it: &aws_sdk_sns::types::Subscription| {
            format!("{} {}", it.protocol.as_deref().unwrap_or_default(), it.endpoint.as_deref().unwrap_or_default())
        };
        let subscribed = subscriptions.iter().map(what).collect();
        let subscriptions = subscriptions.into_iter().filter_map(by_email).collect();
        let tags = tags::read(tags, |tag| (Some(tag.key), Some(tag.value)));
        Ok(Some(Found { tags, observed: Observed { subscriptions, subscribed, kms_key, policy } }))
    }

    fn further_tags(&self, goal: &Goal) -> Tags {
        Tags::from([(TAG_EMAIL.to_owned(), digest::digest([&goal.email]))])
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let op = Op::new(Verb::Create, "sns:CreateTopic").sets("tags", tags::shown(&tags));
        vec![(op, Call::Create(tags)), subscribe(goal)]
    }

    /// The tags change after this: until the former address is unsubscribed, the tag says which one it is.
    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let subscribe = found.observed.subscription_of(&goal.email).is_none().then(|| subscribe(goal));
        Ok(subscribe.into_iter().chain(unsubscribe_former(goal, found)).collect())
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let op = Op::new(Verb::Delete, "sns:DeleteTopic");
        let Observed { subscribed, .. } = &found.observed;
        let op = if subscribed.is_empty() { op } else { op.with("subscriptions", Some(json!(subscribed)), None) };
        Ok(vec![(op, Call::Delete)])
    }

    fn note(&self, goal: &Goal, found: Option<&Found<Observed>>) -> Option<Text> {
        let of_email = note_of_email(goal, found);
        let notes: Vec<_> =
            of_email.into_iter().chain(found.into_iter().flat_map(|found| self.notes_of(&found.observed))).collect();
        (!notes.is_empty()).then(|| Text::join(notes, "; "))
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (sns, name) = (&context.aws.sns, &self.name);
        match call {
            Call::Create(tags) => {
                let request = sns.create_topic().name(name).set_tags(Some(sns_tags(&tags)));
                request.send().await.failed_to(|| format!("create topic {name}")).map(drop)
            }
            Call::Subscribe(email) => {
                let request = sns.subscribe().topic_arn(&self.arn).protocol(PROTOCOL).endpoint(&email);
                request.send().await.failed_to(|| format!("subscribe {email} to topic {name}")).map(drop)
            }
            Call::Unsubscribe { arn, email } => {
                let request = sns.unsubscribe().subscription_arn(arn);
                request.send().await.failed_to(|| format!("unsubscribe {email} from topic {name}")).map(drop)
            }
            Call::Delete => {
                let request = sns.delete_topic().topic_arn(&self.arn);
                request.send().await.failed_to(|| format!("delete topic {name}")).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.sns.tag_resource().resource_arn(&self.arn).set_tags(Some(sns_tags(&tags)));
        request.send().await.failed_to(|| format!("tag topic {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.sns.untag_resource().resource_arn(&self.arn).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag topic {}", self.name)).map(drop)
    }
}

impl Topic {
    /// AWS's own key for SNS lets CloudWatch use it for nothing (CloudWatch guide, "Notifying users on alarm changes").
    fn note_of_key(&self, observed: &Observed) -> Option<Text> {
        let key = observed.kms_key.as_ref().filter(|key| key.ends_with(AWS_KEY))?;
        let words = [
            "sns",
            "set-topic-attributes",
            "--topic-arn",
            &self.arn,
            "--attribute-name",
            KMS_KEY,
            "--attribute-value",
            "",
        ];
        Some(text![
            format!("topic {} is encrypted with {key}, and with that key no alarm can publish to it: ", self.name),
            Command::aws_on(&self.arn, &words),
            " turns the encryption off"
        ])
    }

    /// ARN of the subscription of this address; none until the address has confirmed.
    pub(crate) async fn subscription_arn(&self, aws: &Aws, email: &str) -> Result<Option<String>, Error> {
        let found = Box::pin(self.observe(aws)).await?;
        Ok(found.and_then(|found| found.observed.subscription_of(email)?.arn.clone()))
    }

    /// Whether what a role publishes arrives at this address; none if it has no subscription.
    pub(crate) async fn subscriber(&self, aws: &Aws, email: &str, role: &str) -> Result<Option<Subscriber>, Error> {
        let Some(found) = Box::pin(self.observe(aws)).await? else { return Ok(None) };
        let Some(subscription) = found.observed.subscription_of(email) else { return Ok(None) };
        let Some(arn) = &subscription.arn else {
            return Ok(Some(Subscriber { has_confirmed: false, silenced: Vec::new() }));
        };
        let denied = self.denial(&found.observed, Some(role)).map(|denial| self.is_denied(&denial));
        let filtered = filter_policy(aws, arn).await?.map(|policy| is_filtered(email, arn, &policy));
        Ok(Some(Subscriber { has_confirmed: true, silenced: denied.into_iter().chain(filtered).collect() }))
    }

    fn notes_of(&self, observed: &Observed) -> impl Iterator<Item = Text> {
        let denied = self.denial(observed, None).map(|denial| self.is_denied(&denial));
        let denied = denied.map(|error| Text::join([error.in_one_line().into()].into_iter().chain(error.hints), ". "));
        self.note_of_key(observed).into_iter().chain(denied)
    }

    /// What denies a role to publish; none for any role of the account. An alarm is denied by what denies everybody.
    fn denial(&self, observed: &Observed, role: Option<&str>) -> Option<Denial> {
        let account = self.arn.split(':').nth(4).unwrap_or_default();
        resource_policy::denial(&observed.policy, &self.arn, &[policy::PUBLISH], account, role)
    }

    fn is_denied(&self, denial: &Denial) -> Error {
        let show = Command::aws_on(&self.arn, &["sns", "get-topic-attributes", "--topic-arn", &self.arn]);
        Error::new(format!(
            "the function may not publish to topic {}: the topic's policy denies {}",
            self.name,
            policy::PUBLISH
        ))
        .cause(&denial.statement)
        .hint(text![
            "take the statement out of the policy: ",
            show,
            " shows it. Then write the policy again without it"
        ])
    }
}

/// Which messages a subscription gets; none if it gets all.
async fn filter_policy(aws: &Aws, subscription: &str) -> Result<Option<String>, Error> {
    let answer = aws.sns.get_subscription_attributes().subscription_arn(subscription).send().await;
    let answer = answer.failed_to(|| format!("read the attributes of subscription {subscription}"));
    let attributes = absent_is_none(answer, &["NotFound"])?.and_then(|answer| answer.attributes);
    let policy = attributes.and_then(|mut attributes| attributes.remove(FILTER));
    Ok(policy.filter(|policy| !matches!(policy.trim(), "" | "{}")))
}

/// The function's messages are text and have no attributes, by which SNS filters.
fn is_filtered(email: &str, subscription: &str, policy: &str) -> Error {
    let words = ["sns", "set-subscription-attributes", "--subscription-arn", subscription];
    let remove = [&words[..], &["--attribute-name", FILTER, "--attribute-value", "{}"]].concat();
    Error::new(format!("{email} is told only what the filter policy of its subscription lets through"))
        .cause(format!("SNS filters by {policy}, and the function's messages have no attributes"))
        .hint(text!["take the filter policy away: ", Command::aws_on(subscription, &remove)])
}

fn note_of_email(Goal { email }: &Goal, found: Option<&Found<Observed>>) -> Option<Text> {
    match found.and_then(|found| found.observed.subscription_of(email)) {
        Some(Subscription { arn: Some(_), .. }) => None,
        Some(_) => Some(Text::from(format!(
            "{email} has not confirmed its subscription: no notification arrives before somebody follows the link \
             in the mail from AWS Notifications (valid for two days; apply then sends another)"
        ))),
        None => Some(text![
            format!("{email} has no subscription to the topic: "),
            Command::deployer("apply"),
            " asks it by mail to confirm, and no notification arrives before it has confirmed"
        ]),
    }
}

impl Observed {
    fn subscription_of(&self, email: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.email == email)
    }
}

fn subscribe(Goal { email }: &Goal) -> (Op, Call) {
    let op = Op::new(Verb::Update, "sns:Subscribe").sets("protocol", PROTOCOL).sets("endpoint", email.as_str());
    (op, Call::Subscribe(email.clone()))
}

/// Ends the subscription that is ours and no longer declared. One that was never confirmed cannot be ended: SNS drops it.
fn unsubscribe_former(goal: &Goal, found: &Found<Observed>) -> Option<(Op, Call)> {
    let ours = found.tags.get(TAG_EMAIL)?;
    let is_former = |subscription: &&Subscription| {
        subscription.email != goal.email && digest::digest([&subscription.email]) == *ours
    };
    let former = found.observed.subscriptions.iter().find(is_former)?;
    let (arn, email) = (former.arn.clone()?, former.email.clone());
    let op = Op::new(Verb::Update, "sns:Unsubscribe").with("endpoint", Some(email.as_str().into()), None);
    Some((op, Call::Unsubscribe { arn, email }))
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
