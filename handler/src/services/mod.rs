//! The services that the function calls.

pub(crate) mod aws;
pub(crate) mod consumer;
pub(crate) mod endpoint;
pub(crate) mod password;
pub(crate) mod secret;
pub(crate) mod ses;
pub(crate) mod smtp;
pub(crate) mod test_mail;
pub(crate) mod topic;
pub(crate) mod user;
