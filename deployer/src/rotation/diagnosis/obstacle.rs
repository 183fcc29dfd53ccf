//! What is in the way of a rotation: what each refusal of the function means for the remedy.

use contract::{Next, Refusal, RefusalKind, Report, Text};

use crate::rotation::log::Failure;

/// What is in the way of a rotation, as far as it decides on the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// AWSCURRENT is on one version, DEPLOYING on another, and hosts may use either.
    CrossedLabels,
    /// The open rotation's own version: it is gone once that rotation is given up.
    PendingVersion,
    /// No key may be deleted for a new one.
    NoSafeSlot,
    /// Something was not answered, or not clearly: nothing may be concluded from what the report lacks.
    Unread,
    /// Something else, which has to be corrected first.
    Other,
}

/// What `recover` makes of each refusal. A new kind of refusal does not compile until it is decided here.
fn obstacle_of(kind: RefusalKind) -> Obstacle {
    use RefusalKind as Kind;
    match kind {
        Kind::RolledBack | Kind::CurrentIsNewer => Obstacle::CrossedLabels,
        Kind::PendingEmpty | Kind::PendingKeyGone | Kind::NotMarkedDeploying => Obstacle::PendingVersion,
        Kind::NoSafeSlot => Obstacle::NoSafeSlot,
        Kind::Aws | Kind::KeyStateUnclear => Obstacle::Unread,
        Kind::Settings
        | Kind::EventFieldMissing
        | Kind::UnknownStep
        | Kind::EventMalformed
        | Kind::WrongSecret
        | Kind::RotationDisabled
        | Kind::UnknownToken
        | Kind::NotPending
        | Kind::HostsNotTold
        | Kind::EndpointUnresolved
        | Kind::EndpointUnreachable
        | Kind::TlsUnusable
        | Kind::UserMissing
        | Kind::UserServesAnother
        | Kind::NoCurrentValue
        | Kind::TooManyLabels
        | Kind::ValueTooLong
        | Kind::MalformedSecret
        | Kind::SecretOfAnotherUser
        | Kind::HostsOffline
        | Kind::DocumentChanged
        | Kind::RotationOpen
        | Kind::HostsNotOnCurrent
        | Kind::CurrentKeyNotActive
        | Kind::LeakedInUse
        | Kind::LabelsMoved
        | Kind::WasComplete
        | Kind::KeyLeftInactive
        | Kind::KeyLimitReached
        | Kind::KeyCreationUnclear
        | Kind::StoreRefused
        | Kind::TokenTaken
        | Kind::StoreUnclear
        | Kind::LoginRefused
        | Kind::HostsFailed
        | Kind::HostDidNotConfirm
        | Kind::TestMailMalformed
        | Kind::TestMailRefused
        | Kind::CurrentMoved
        | Kind::NotEnoughTime
        | Kind::DeadlineReached => Obstacle::Other,
    }
}

pub(super) fn refusal(report: &Report) -> Option<&Refusal> {
    match &report.next {
        Next::Fail { refusal } => Some(refusal),
        _ => None,
    }
}

/// What is in the way of a rotation that begins now, or of the open one.
pub(crate) fn obstacle(report: &Report) -> Option<Obstacle> {
    refusal(report).map(|refusal| obstacle_of(refusal.kind))
}

/// What the function could not read. Nothing may be concluded from what its report lacks.
pub(crate) fn unread(report: &Report) -> Option<&Refusal> {
    refusal(report).filter(|refusal| obstacle_of(refusal.kind) == Obstacle::Unread)
}

/// Whether a rotation failed at what the function looks at again for each report, and a rotation would not fail at now.
pub(crate) fn is_no_longer_in_the_way(report: &Report, failure: &Failure) -> bool {
    use RefusalKind as Kind;
    let is_looked_at =
        |kind| matches!(kind, Kind::HostsOffline | Kind::DocumentChanged | Kind::UserMissing | Kind::NoSafeSlot);
    matches!(failure, Failure::Refused(refusal) if is_looked_at(refusal.kind)) && refusal(report).is_none()
}

/// Why a new rotation would fail, whatever becomes of the open one.
pub(super) fn why_a_new_one_would_fail(report: &Report) -> Option<Text> {
    let refusal = refusal(report).filter(|refusal| obstacle_of(refusal.kind) != Obstacle::PendingVersion)?;
    let until = refusal.until.as_ref().map_or_else(String::new, |until| format!(" (it cannot run before {until})"));
    Some(refusal.in_full().then(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_the_same_to_the_function_and_here() {
        for kind in RefusalKind::ALL {
            assert_eq!(obstacle_of(*kind) == Obstacle::Unread, kind.is_of_a_read(), "{kind}");
        }
    }
}
