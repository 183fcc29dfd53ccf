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

impl Ses {
    pub(crate) fn is_the_network(&self) -> bool {
        matches!(self, Self::Network)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::{
        fmt::Debug,
        pin::Pin,
        sync::{Arc, Mutex, MutexGuard},
    };

    use crate::error::SmtpRefusal;

    pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), SmtpRefusal>> + Send + 'a>>;

    /// SES in memory. Each call is a connection of its own.
    pub(crate) trait Ses: Debug + Send + Sync {
        /// Connects, and greets.
        fn greet(&self) -> Answer<'_>;

        /// Logs in, and sends a mail if there is one to be sent.
        fn log_in<'a>(&'a self, user: &'a str, password: &'a str, sends: bool) -> Answer<'a>;
    }

    /// What SES was asked.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Count {
        pub(crate) greetings: u32,
        pub(crate) logins: u32,
        pub(crate) mails: u32,
    }

    /// Accepts everything but one password, and counts it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Accepting {
        count: Arc<Mutex<Count>>,
        but: Option<&'static str>,
    }

    impl Accepting {
        pub(crate) fn but(password: &'static str) -> Self {
            Self { but: Some(password), ..Self::default() }
        }

        pub(crate) fn count(&self) -> Count {
            *self.locked()
        }

        fn locked(&self) -> MutexGuard<'_, Count> {
            self.count.lock().unwrap()
        }
    }

    impl Ses for Accepting {
        fn greet(&self) -> Answer<'_> {
            self.locked().greetings += 1;
            Box::pin(async { Ok(()) })
        }

        fn log_in<'a>(&'a self, _: &'a str, password: &'a str, sends: bool) -> Answer<'a> {
            let mut count = self.locked();
            let counted = if sends { &mut count.mails } else { &mut count.logins };
            *counted += 1;
            let refusal = || SmtpRefusal { code: Some(535), text: "535 Authentication Credentials Invalid".to_owned() };
            let answer = if self.but == Some(password) { Err(refusal()) } else { Ok(()) };
            Box::pin(async { answer })
        }
    }
}
