//! What one YAML document declares, and what follows from it.

use contract::TAG_DEPLOYMENT;

use self::names::Names;
use crate::{config::Config, engine::tags::Tags};

pub(crate) mod facts;
pub(crate) mod names;
pub(crate) mod policy;

/// What one YAML document declares, with its names.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) config: Config,
    /// Every name that follows from it.
    pub(crate) names: Names,
    /// Keys of tags that this run removes, if the configuration does not name them.
    pub(crate) removed_tags: Vec<String>,
}

impl Deployment {
    pub(crate) fn owner(&self) -> Owner {
        Owner { id: self.names.owner.clone(), tags: self.config.tags.clone(), removed_tags: self.removed_tags.clone() }
    }
}

/// Whose a resource is, as its tags say.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    id: String,
    tags: Tags,
    removed_tags: Vec<String>,
}

impl Owner {
    /// Value of the ownership tag: `<region>/<deployment name>`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The tags of everything that the deployment owns: those of the configuration, and the ownership tag.
    pub(crate) fn tags(&self) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert(TAG_DEPLOYMENT.to_owned(), self.id.clone());
        tags
    }

    /// Whether this run removes the tag.
    pub(crate) fn removes(&self, key: &str) -> bool {
        self.removed_tags.iter().any(|removed| removed == key)
    }

    #[cfg(test)]
    pub(crate) fn of(id: &str) -> Self {
        Self { id: id.to_owned(), tags: Tags::new(), removed_tags: Vec::new() }
    }
}
