/// AWSCURRENT on one version, DEPLOYING on another, and only a person knows which of them the hosts use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrossedLabels {
    pub(crate) secret: String,
    /// AWSCURRENT's version.
    pub(crate) current: String,
    /// DEPLOYING's version.
    pub(crate) deploying: String,
    /// Whether DEPLOYING's version is AWSPENDING as well, as a completed rotation may leave it.
    pub(crate) is_pending: bool,
}
