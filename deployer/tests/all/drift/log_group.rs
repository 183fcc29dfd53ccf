//! The log group, changed from outside.

use super::Made;
use crate::support::{
    deployed::Deployed,
    example::{LOG_GROUP, LOG_GROUP_ARN},
};

pub(super) async fn another_retention(deployed: &Deployed) -> Made {
    deployed.aws.logs.put_retention_policy().log_group_name(LOG_GROUP).retention_in_days(1).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    deployed.aws.logs.tag_resource().resource_arn(LOG_GROUP_ARN).tags(key, "x").send().await?;
    Ok(())
}
