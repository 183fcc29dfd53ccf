//! The secret and its rotation, changed from outside.

use aws_sdk_secretsmanager::types::{RotationRulesType, Tag};

use super::Made;
use crate::support::{deployed::Deployed, example::SECRET};

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build();
    deployed.aws.secrets.tag_resource().secret_id(SECRET).tags(tag).send().await?;
    Ok(())
}

pub(super) async fn untag(deployed: &Deployed, key: &str) -> Made {
    deployed.aws.secrets.untag_resource().secret_id(SECRET).tag_keys(key).send().await?;
    Ok(())
}

pub(super) async fn another_kms_key(deployed: &Deployed) -> Made {
    let key = deployed.aws.kms.create_key().send().await?.key_metadata.unwrap().arn.unwrap();
    deployed.aws.secrets.update_secret().secret_id(SECRET).kms_key_id(key).send().await?;
    Ok(())
}

pub(super) async fn delete(deployed: &Deployed) -> Made {
    deployed.aws.secrets.delete_secret().secret_id(SECRET).send().await?;
    Ok(())
}

pub(super) async fn another_schedule(deployed: &Deployed) -> Made {
    let rules = RotationRulesType::builder().schedule_expression("rate(9 days)").build();
    let request = deployed.aws.secrets.rotate_secret().secret_id(SECRET).rotation_rules(rules);
    request.rotate_immediately(false).send().await?;
    Ok(())
}

pub(super) async fn cancel_rotation(deployed: &Deployed) -> Made {
    deployed.aws.secrets.cancel_rotate_secret().secret_id(SECRET).send().await?;
    Ok(())
}
