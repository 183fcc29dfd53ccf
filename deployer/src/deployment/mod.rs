//! What one YAML document declares, and what follows from it.

use self::names::Names;
use crate::config::Config;

pub(crate) mod facts;
pub(crate) mod names;
pub(crate) mod policy;

/// What one YAML document declares, with its names.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    /// The checked configuration.
    pub(crate) config: Config,
    /// Every name that follows from it.
    pub(crate) names: Names,
}
