//! The way to SES's SMTP endpoint, which tests replace.

/// How the endpoint is reached.
#[derive(Clone, Debug)]
pub(crate) enum Ses {
    /// Over the network.
    Network,
    /// A test plays it in memory.
    #[cfg(test)]
    Fake(std::sync::Arc<dyn fake::Ses>),
}

#[cfg(test)]
pub(crate) mod fake {
    use std::{fmt::Debug, pin::Pin};

    use crate::error::SmtpRefusal;

    pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), SmtpRefusal>> + Send + 'a>>;

    /// SES in memory. Each call is a connection of its own.
    pub(crate) trait Ses: Debug + Send + Sync {
        /// Connects, and says nothing.
        fn connect(&self) -> Answer<'_>;

        /// Logs in, and sends a mail if there is one to be sent.
        fn log_in<'a>(&'a self, user: &'a str, password: &'a str, sends: bool) -> Answer<'a>;
    }
}
