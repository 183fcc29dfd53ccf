//! The network interfaces of a function in a VPC. Lambda removes them only after the function is gone, and does it as the function's role:
//! without the role they stay, and with them their subnets and security groups cannot be deleted.

use std::time::{Duration, SystemTime};

use aws_smithy_types::{DateTime, date_time::Format};

use crate::{
    engine::{events::Progress, eventually::Pauses},
    error::Error,
};

/// What AWS's Lambda team told the authors of Terraform's provider (its documentation of `aws_subnet`). Usually it takes 20 minutes (AWS Knowledge
/// Center, "find and delete the ENIs of a Lambda function"). To see them, the deployer would need EC2's API.
const REMOVED_WITHIN: Duration = Duration::from_mins(45);

/// What a plan says of the role.
pub(super) const REASON: &str =
    "for 45 minutes, in which Lambda removes the function's network interfaces as this role";

/// Waits until Lambda has removed what a function had that was deleted at this time.
///
/// # Errors
/// The run is to end. The next one waits for what is left.
pub(super) async fn wait_until_removed(progress: &Progress, deleted: &str) -> Result<(), Error> {
    let mut pauses = Pauses::within(left(deleted, SystemTime::now()));
    while pauses.pause(progress, "Lambda removes the function's network interfaces as this role").await? {}
    Ok(())
}

/// If a clock is wrong, or somebody wrote the time, it waits no longer than Lambda may take.
fn left(deleted: &str, now: SystemTime) -> Duration {
    let deleted = DateTime::from_str(deleted, Format::DateTime).ok().and_then(|date| SystemTime::try_from(date).ok());
    let since = deleted.map_or(Duration::ZERO, |deleted| now.duration_since(deleted).unwrap_or_default());
    REMOVED_WITHIN.saturating_sub(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waits_for_what_is_left_of_the_time_that_lambda_may_take() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(2);
        let minutes = |deleted: &str| left(deleted, now).as_secs() / 60;
        assert_eq!(minutes("1970-01-01T02:00:00Z"), 45);
        assert_eq!(minutes("1970-01-01T01:30:00Z"), 15);
        assert_eq!(minutes("1970-01-01T00:00:00Z"), 0);
        assert_eq!((minutes("2970-01-01T00:00:00Z"), minutes("yesterday")), (45, 45));
    }
}
