//! How the program ends: the exit codes. They are frozen: a code never gets another meaning.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

/// Why the program ended, as a script sees it. The value is the exit code; from 10 on, each has one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    Changes = 2,
    Declined = 10,
    Partial = 11,
    LeaseHeld = 12,
    Credentials = 13,
    RotationFailed = 14,
    Unread = 15,
    Interrupted = 16,
    ChangedSincePlan = 17,
}

impl Exit {
    pub(crate) const ALL: [Self; 11] = [
        Self::Success,
        Self::Failed,
        Self::Changes,
        Self::Declined,
        Self::Partial,
        Self::LeaseHeld,
        Self::Credentials,
        Self::RotationFailed,
        Self::Unread,
        Self::Interrupted,
        Self::ChangedSincePlan,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for `--help` and the documentation.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "error, also in the command line or the file",
            Self::Changes => {
                "there are changes, or some were made, or status does not say that mail is safe (--detailed-exitcode); drift: something drifted"
            }
            Self::Declined => "nobody approved, and nothing was changed",
            Self::Partial => "something was changed, and then something failed; run the command again",
            Self::LeaseHeld => "another run works on the deployment, and nothing was changed",
            Self::Credentials => "the credentials are missing, expired, or of another account",
            Self::RotationFailed => "a rotation failed, did not end, is open and in the way, or would fail",
            Self::Unread => "something could not be read",
            Self::Interrupted => {
                "Ctrl-C, SIGTERM or SIGHUP; a rotation that began goes on by itself, and the same command continues everything else"
            }
            Self::ChangedSincePlan => "AWS, the file or the function changed since the plan, and nothing was changed",
        }
    }

    /// The codes with their meanings, for `--help`.
    pub(crate) fn help() -> String {
        let rows = Self::ALL.map(|exit| format!("  {:>2}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", rows.join("\n"))
    }

    /// How a run ends that changed something before it ended like this.
    pub(crate) fn after_changes(self) -> Self {
        match self {
            // Whoever reads these codes expects that something may have changed.
            Self::RotationFailed | Self::Interrupted => self,
            _ => Self::Partial,
        }
    }

    /// How reading ends that met these errors.
    pub(crate) fn of_reading(errors: &[Error]) -> Self {
        let meets = |kinds: &[ErrorKind]| errors.iter().any(|error| kinds.contains(&error.kind()));
        match errors.last() {
            _ if meets(&[ErrorKind::Credentials]) => Self::Credentials,
            _ if meets(&[ErrorKind::Denied, ErrorKind::NoAnswer, ErrorKind::Unread])
                || errors.iter().any(Error::cause_is_aws) =>
            {
                Self::Unread
            }
            Some(last) => last.into(),
            None => Self::Success,
        }
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ChangedSincePlan => Self::ChangedSincePlan,
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::Declined => Self::Declined,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::LeaseHeld => Self::LeaseHeld,
            ErrorKind::Partial => Self::Partial,
            ErrorKind::RotationFailed | ErrorKind::RotationOpen => Self::RotationFailed,
            ErrorKind::Unread => Self::Unread,
            ErrorKind::CommandLine
            | ErrorKind::Denied
            | ErrorKind::Failed
            | ErrorKind::NoAnswer
            | ErrorKind::NotOurs
            | ErrorKind::Protected
            | ErrorKind::Refused => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers stand here a second time: whoever changes one breaks the scripts of others.
    #[test]
    fn the_exit_codes_are_frozen_and_the_page_says_what_each_means() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17]);
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json-and-exit-codes.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = Exit::ALL.map(|exit| format!("| {} | {} |\n", exit.code(), exit.meaning()));
        assert!(page.contains(&rows.concat()), "the page has to say:\n{}", rows.concat());
    }

    #[test]
    fn an_error_after_a_change_is_partial_but_a_rotation_or_a_signal_keeps_its_code() {
        for (exit, after) in [
            (Exit::Failed, Exit::Partial),
            (Exit::Declined, Exit::Partial),
            (Exit::Credentials, Exit::Partial),
            (Exit::ChangedSincePlan, Exit::Partial),
            (Exit::RotationFailed, Exit::RotationFailed),
            (Exit::Interrupted, Exit::Interrupted),
        ] {
            assert_eq!(exit.after_changes(), after);
        }
    }

    #[test]
    fn what_could_not_be_read_has_a_code_of_its_own_unless_the_credentials_are_why() {
        let aws = |code: &str| Error::new("failed").aws(Some(code.to_owned()), None);
        let of = |codes: &[&str]| Exit::of_reading(&codes.iter().map(|code| aws(code)).collect::<Vec<_>>());
        for code in ["AccessDenied", "ThrottlingException", "ValidationError"] {
            assert_eq!(of(&[code]), Exit::Unread, "{code}");
        }
        assert_eq!(Exit::of_reading(&[Error::new("somebody else's").of_kind(ErrorKind::NotOurs)]), Exit::Failed);
        assert_eq!(Exit::of_reading(&[Error::new("the function crashed").of_kind(ErrorKind::Unread)]), Exit::Unread);
        assert_eq!(of(&["ExpiredToken", "AccessDenied"]), Exit::Credentials);
        assert_eq!(of(&[]), Exit::Success);
    }
}
