//! The user, changed from outside.

use aws_sdk_iam::types::Tag;

use super::{Made, WIDE};
use crate::support::{deployed::Deployed, example::USER};

const POLICY: &str = "mail-prod-send";

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build()?;
    deployed.aws.iam.tag_user().user_name(USER).tags(tag).send().await?;
    Ok(())
}

pub(super) async fn widen_policy(deployed: &Deployed) -> Made {
    let request = deployed.aws.iam.put_user_policy().user_name(USER).policy_name(POLICY);
    request.policy_document(WIDE).send().await?;
    Ok(())
}

pub(super) async fn remove_policy(deployed: &Deployed) -> Made {
    deployed.aws.iam.delete_user_policy().user_name(USER).policy_name(POLICY).send().await?;
    Ok(())
}
