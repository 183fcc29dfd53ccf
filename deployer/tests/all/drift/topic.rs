//! The topic and its subscriptions, changed from outside.

use aws_sdk_sns::types::Tag;

use super::Made;
use crate::support::{
    controls::Subscriptions,
    deployed::Deployed,
    example::{EMAIL, TOPIC},
};

pub(super) async fn delete(deployed: &Deployed) -> Made {
    deployed.aws.sns.delete_topic().topic_arn(TOPIC).send().await?;
    Ok(())
}

/// Somebody with access to the account ends the subscription, once it is confirmed.
pub(super) async fn unsubscribe(deployed: &Deployed) -> Made {
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    let listed = deployed.aws.sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await?;
    let arn = listed.subscriptions()[0].subscription_arn().unwrap();
    deployed.aws.sns.unsubscribe().subscription_arn(arn).send().await?;
    Ok(())
}

/// The subscriber ends the subscription, once it is confirmed.
pub(super) fn subscriber_leaves(deployed: &Deployed) {
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    deployed.sandbox.control(&Subscriptions::End(EMAIL));
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build()?;
    deployed.aws.sns.tag_resource().resource_arn(TOPIC).tags(tag).send().await?;
    Ok(())
}
