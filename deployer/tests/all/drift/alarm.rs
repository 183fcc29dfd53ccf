use aws_sdk_cloudwatch::types::Tag;

use super::{Deployed, Made};

const ALARM: &str = "mail-prod-silence";

pub(super) async fn delete(deployed: &Deployed) -> Made {
    deployed.aws.cloudwatch.delete_alarms().alarm_names(ALARM).send().await?;
    Ok(())
}

pub(super) async fn disable_actions(deployed: &Deployed) -> Made {
    deployed.aws.cloudwatch.disable_alarm_actions().alarm_names(ALARM).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{ALARM}");
    let tag = Tag::builder().key(key).value("changed").build();
    deployed.aws.cloudwatch.tag_resource().resource_arn(arn).tags(tag).send().await?;
    Ok(())
}
