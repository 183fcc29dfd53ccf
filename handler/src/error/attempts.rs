//! How attempts to log in or to send went.

use std::{fmt, time::Duration};

/// What SES answered, or why it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmtpRefusal {
    /// The SMTP reply code.
    pub(crate) code: Option<u16>,
    /// The reply's text, or what went wrong on the way.
    pub(crate) text: String,
}

impl SmtpRefusal {
    /// SES's answer to a mail that the user may not send, or whose sender is not verified. The login before was accepted.
    const NOT_ALLOWED: u16 = 554;

    /// Whether the credential is right, and may not send this mail.
    pub(crate) fn is_not_allowed(&self) -> bool {
        self.code == Some(Self::NOT_ALLOWED)
    }
}

impl fmt::Display for SmtpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How the attempts went, if they were not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// How many were made.
    pub(crate) made: u32,
    /// How many were accepted.
    pub(crate) accepted: u32,
    /// For how long.
    pub(crate) lasted: Duration,
    /// The last refusal.
    pub(crate) last: Option<SmtpRefusal>,
}
