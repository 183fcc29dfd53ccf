//! Whether a step may run: a rotation that somebody ended or turned off goes no further.

use crate::{
    error::Error,
    event::Request,
    invocation::Rotation,
    services::secret::{self, Secret},
};
use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, Step, TOLD};

/// Refuses to go on with a rotation that somebody ended since this step began: waits are long enough for that. Returns the
/// labels as they are now.
pub(crate) async fn still_pending(rotation: &Rotation<'_>) -> Result<Secret, Error> {
    let Rotation { invocation, request } = *rotation;
    let secret = secret::describe(invocation.clients, invocation.settings, &request.secret_arn).await?;
    match guard(request, &secret)? {
        Standing::Pending => Ok(secret),
        Standing::Done => Err(not_pending(request, &secret)),
    }
}

fn not_pending(request: &Request, secret: &Secret) -> Error {
    let labels = secret.versions.get(&request.token).cloned().unwrap_or_default();
    Error::NotPending { version: request.token.clone(), labels }
}

/// What is left to do for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Pending,
    Done,
}

/// Refuses a secret whose rotation is turned off.
pub(crate) fn check_enabled(secret: &Secret) -> Result<(), Error> {
    if secret.rotation_enabled { Ok(()) } else { Err(Error::RotationDisabled { secret: secret.arn.clone() }) }
}

/// Refuses to go on with a version that was current before: its rotation had completed and left AWSPENDING behind, then an
/// operator moved AWSCURRENT back, and to finish it again would undo that.
pub(crate) fn check_not_rolled_back(secret: &Secret, pending: &str) -> Result<(), Error> {
    let was_current = secret.has(pending, AWSPREVIOUS) || secret.has(pending, DONE);
    if !was_current || secret.has(pending, AWSCURRENT) {
        Ok(())
    } else if secret.has(pending, DEPLOYING) {
        Err(Error::RolledBack(secret.crossed_labels(pending)))
    } else {
        Err(secret.not_marked_deploying(pending))
    }
}

/// Refuses a rotation that Secrets Manager did not begin, or that it or an operator has given up.
pub(crate) fn guard(request: &Request, secret: &Secret) -> Result<Standing, Error> {
    let version = || request.token.clone();
    check_enabled(secret)?;
    if !secret.versions.contains_key(&request.token) {
        return Err(Error::UnknownToken { version: version() });
    }
    let is_pending = secret.has(&request.token, AWSPENDING);
    // Secrets Manager tests the configuration by testSecret alone, with a pending version that can be the current one.
    // Where it comes to setSecret, somebody moved AWSCURRENT before the hosts were told, and they still have to be.
    let is_left = matches!(request.step, Step::Set | Step::Test) && is_pending;
    if secret.has(&request.token, AWSCURRENT) && !is_left {
        return Ok(Standing::Done);
    }
    if !is_pending {
        return Err(not_pending(request, secret));
    }
    check_not_rolled_back(secret, &request.token)?;
    // A host may be told only of a key that stays protected when somebody clears AWSPENDING.
    if request.step == Step::Set && !secret.has(&request.token, DEPLOYING) {
        return Err(secret.not_marked_deploying(&request.token));
    }
    // Whoever may invoke the function may skip a step.
    if request.step == Step::Finish && !secret.has(&request.token, TOLD) {
        let told = secret.version_labelled(TOLD).map(str::to_owned);
        return Err(Error::HostsNotTold { version: version(), told });
    }
    Ok(Standing::Pending)
}

#[cfg(test)]
mod tests {
    use contract::RefusalKind;

    use super::*;

    fn verdict(step: Step, enabled: bool, versions: &[(&str, &[&str])]) -> Result<Standing, RefusalKind> {
        let request = Request { step, secret_arn: "arn".into(), token: "new".into(), rotation_token: None };
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.into()).collect();
        let secret = Secret {
            arn: "arn".into(),
            rotation_enabled: enabled,
            last_rotated: None,
            told_to_others: None,
            schedule: None,
            versions: versions.iter().map(|(id, list)| ((*id).to_owned(), labels(list))).collect(),
        };
        guard(&request, &secret).map_err(|error| error.kind())
    }

    #[test]
    fn a_rotation_that_is_turned_off_is_refused_in_every_step() {
        for step in Step::ALL {
            let versions: [(&str, &[&str]); 1] = [("new", &[AWSPENDING, DEPLOYING, TOLD])];
            assert_eq!(verdict(step, false, &versions), Err(RefusalKind::RotationDisabled));
            assert_eq!(verdict(step, true, &versions), Ok(Standing::Pending));
        }
    }

    #[test]
    fn a_token_that_no_version_has_is_refused_in_every_step() {
        for step in Step::ALL {
            assert_eq!(verdict(step, true, &[("old", &[AWSCURRENT, AWSPENDING])]), Err(RefusalKind::UnknownToken));
        }
    }

    #[test]
    fn a_version_that_is_not_pending_is_refused_in_every_step() {
        for step in Step::ALL {
            for labels in [&[][..], &[DEPLOYING], &["AWSPREVIOUS"]] {
                assert_eq!(verdict(step, true, &[("new", labels)]), Err(RefusalKind::NotPending));
            }
        }
    }

    #[test]
    fn a_version_that_is_current_is_done() {
        for step in Step::ALL {
            assert_eq!(verdict(step, true, &[("new", &[AWSCURRENT, DEPLOYING])]), Ok(Standing::Done));
        }
    }

    #[test]
    fn a_version_that_is_current_and_pending_still_runs_set_and_test() {
        for step in Step::ALL {
            let left = if matches!(step, Step::Set | Step::Test) { Standing::Pending } else { Standing::Done };
            let versions: [(&str, &[&str]); 1] = [("new", &[AWSCURRENT, AWSPENDING, DEPLOYING])];
            assert_eq!(verdict(step, true, &versions), Ok(left));
        }
    }

    #[test]
    fn a_version_that_was_current_before_is_not_made_current_again() {
        for step in Step::ALL {
            let versions: [(&str, &[&str]); 1] = [("new", &[AWSPENDING, DEPLOYING, AWSPREVIOUS])];
            assert_eq!(verdict(step, true, &versions), Err(RefusalKind::RolledBack));
            let versions: [(&str, &[&str]); 1] = [("new", &[AWSPENDING, AWSPREVIOUS])];
            assert_eq!(verdict(step, true, &versions), Err(RefusalKind::NotMarkedDeploying));
        }
    }

    #[test]
    fn a_version_that_finishsecret_made_current_once_is_not_made_current_again_wherever_awsprevious_is() {
        for step in Step::ALL {
            let versions: [(&str, &[&str]); 1] = [("new", &[AWSPENDING, DEPLOYING, TOLD, DONE])];
            assert_eq!(verdict(step, true, &versions), Err(RefusalKind::RolledBack));
        }
    }

    #[test]
    fn awscurrent_is_not_moved_before_every_host_has_confirmed() {
        let not_told: [(&str, &[&str]); 1] = [("new", &[AWSPENDING, DEPLOYING])];
        let another: [(&str, &[&str]); 2] = [("new", &[AWSPENDING, DEPLOYING]), ("old", &[AWSCURRENT, TOLD])];
        for versions in [&not_told[..], &another] {
            assert_eq!(verdict(Step::Finish, true, versions), Err(RefusalKind::HostsNotTold));
            assert_eq!(verdict(Step::Test, true, versions), Ok(Standing::Pending));
        }
    }

    #[test]
    fn a_configuration_is_tested_with_a_version_that_is_not_marked_deploying() {
        assert_eq!(verdict(Step::Test, true, &[("new", &[AWSCURRENT, AWSPENDING])]), Ok(Standing::Pending));
    }

    #[test]
    fn hosts_are_not_told_of_a_version_without_the_deploying_label() {
        let versions: [(&str, &[&str]); 1] = [("new", &[AWSPENDING])];
        assert_eq!(verdict(Step::Set, true, &versions), Err(RefusalKind::NotMarkedDeploying));
        assert_eq!(verdict(Step::Create, true, &versions), Ok(Standing::Pending));
    }
}
