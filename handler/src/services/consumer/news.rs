use crate::services::smtp::Credential;

/// What a consumer is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News<'a> {
    pub(crate) secret_arn: &'a str,
    /// The version to fetch.
    pub(crate) version: &'a str,
    /// The label that it carries.
    pub(crate) stage: &'static str,
    /// Its credential, which the consumer fetches itself.
    pub(crate) credential: &'a Credential,
}
