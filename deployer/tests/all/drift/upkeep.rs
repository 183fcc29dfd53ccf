//! The upkeep rule, changed from outside.

use aws_sdk_eventbridge::types::{RetryPolicy, Tag, Target};

use super::Made;
use crate::support::{
    deployed::Deployed,
    example::{FUNCTION_ARN, RULE, RULE_ARN},
};

pub(super) async fn delete(deployed: &Deployed) -> Made {
    remove_target(deployed).await?;
    deployed.aws.events.delete_rule().name(RULE).send().await?;
    Ok(())
}

pub(super) async fn another_schedule(deployed: &Deployed) -> Made {
    deployed.aws.events.put_rule().name(RULE).schedule_expression("rate(9 days)").send().await?;
    Ok(())
}

pub(super) async fn disable(deployed: &Deployed) -> Made {
    deployed.aws.events.disable_rule().name(RULE).send().await?;
    Ok(())
}

pub(super) async fn remove_target(deployed: &Deployed) -> Made {
    deployed.aws.events.remove_targets().rule(RULE).ids("function").send().await?;
    Ok(())
}

/// Puts a target that asks for something else than upkeep.
pub(super) async fn put_target(deployed: &Deployed, id: &str) -> Made {
    let target = Target::builder().id(id).arn(FUNCTION_ARN).input(r#"{"event":"report"}"#).build()?;
    deployed.aws.events.put_targets().rule(RULE).targets(target).send().await?;
    Ok(())
}

/// Puts the same target, which EventBridge does not invoke a second time.
pub(super) async fn try_once(deployed: &Deployed) -> Made {
    let once = RetryPolicy::builder().maximum_retry_attempts(0).build();
    let target = Target::builder().id("function").arn(FUNCTION_ARN).input(r#"{"event":"upkeep"}"#).retry_policy(once);
    deployed.aws.events.put_targets().rule(RULE).targets(target.build()?).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build()?;
    deployed.aws.events.tag_resource().resource_arn(RULE_ARN).tags(tag).send().await?;
    Ok(())
}
