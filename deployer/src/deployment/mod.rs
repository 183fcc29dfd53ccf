//! What one YAML document declares, and what follows from it.

use std::collections::BTreeSet;

use contract::TAG_DEPLOYMENT;

use self::names::Names;
use crate::{
    config::Config,
    engine::tags::Tags,
    error::{Error, ErrorKind},
    package::Package,
};

pub(crate) mod caller;
pub(crate) mod facts;
pub(crate) mod key_life;
pub(crate) mod names;
pub(crate) mod policy;
pub(crate) mod record;

/// What one YAML document declares, with its names.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) config: Config,
    /// Every name that follows from it.
    pub(crate) names: Names,
    /// ARN of who runs the deployer.
    pub(crate) caller: String,
    pub(crate) allowed: Allowed,
    /// The function's code, if it is not what the configuration and this deployer give: `rollback` brings it back.
    pub(crate) code: Option<Package>,
}

/// What a person has allowed this run to do beyond what the configuration declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// `--stop-mail`: delete access keys that a host may use.
    pub(crate) stop_mail: bool,
    /// `--purge-secret`: delete the secret without a recovery window.
    pub(crate) purge_secret: bool,
    /// `--adopt`: take over resources that no deployment owns.
    pub(crate) adopt: bool,
}

impl Deployment {
    /// What a configuration declares, with nothing allowed beyond it.
    pub(crate) fn new(config: Config, names: Names, caller: String) -> Self {
        Self { config, names, caller, allowed: Allowed::default(), code: None }
    }

    /// The code that the function should have.
    ///
    /// # Errors
    /// As of [`Package::locate`].
    pub(crate) fn package(&self) -> Result<Package, Error> {
        self.code.as_ref().map_or_else(|| Package::locate(&self.config), |code| Ok(code.clone()))
    }

    /// For how long a secret that this run deletes can be restored; none if a person has allowed to delete it for good.
    pub(crate) fn recovery_window_days(&self) -> Option<i64> {
        (!self.allowed.purge_secret).then_some(i64::from(self.config.secret.recovery_window_days))
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner {
            id: self.names.owner.clone(),
            former_id: self.names.former.as_ref().map(|former| former.owner.clone()),
            tags: self.config.tags.clone(),
            protects: self.config.protect,
            adopts: self.allowed.adopt,
        }
    }
}

/// Tag on what a deployment owns and did not make. An adopted secret keeps its credential until somebody or the schedule rotates it.
pub(crate) const TAG_ADOPTED: &str = "deployer:adopted";

/// Tag on everything of a deployment that is protected from deletion: it protects also where the line is gone from the file, and where
/// there is no file.
pub(crate) const TAG_PROTECT: &str = "deployer:protect";

/// On a function's role that a run is about to delete: since when it has been kept for Lambda alone.
pub(crate) const TAG_KEPT_SINCE: &str = "deployer:kept-since";

/// Whose a resource is, as its tags say.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    id: String,
    /// Under its former name.
    former_id: Option<String>,
    tags: Tags,
    /// Whether everything that it owns is protected from deletion.
    protects: bool,
    /// Whether this run takes over what no deployment owns.
    adopts: bool,
}

impl Owner {
    /// Value of the ownership tag: `<region>/<deployment name>`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The deployment's region.
    pub(crate) fn region(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Whether this value of the ownership tag is the deployment's, or was.
    pub(crate) fn is(&self, id: &str) -> bool {
        self.id == id || self.former_id.as_deref() == Some(id)
    }

    /// The tags of everything that the deployment owns: those of the configuration, and the ownership tag.
    pub(crate) fn tags(&self) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert(TAG_DEPLOYMENT.to_owned(), self.id.clone());
        if self.protects {
            tags.insert(TAG_PROTECT.to_owned(), "true".to_owned());
        }
        tags
    }

    /// Whether a resource with these tags must not be deleted. Only an apply of a file without `protect` takes the tag off, and it deletes
    /// nothing that still has the tag: so to lift the protection and to delete are two runs.
    pub(crate) fn keeps(&self, tags: &Tags) -> bool {
        self.protects || tags.contains_key(TAG_PROTECT)
    }

    /// In the same words for every resource, so that it is told once.
    pub(crate) fn is_protected(&self) -> Error {
        let why = if self.protects {
            "the file says protect: true".to_owned()
        } else {
            format!("its resources carry the tag {TAG_PROTECT} from an apply of a file with protect: true")
        };
        let (id, without) = match &self.former_id {
            Some(former) => (former, "under its former name, without moved_from and without protect: true"),
            None => (&self.id, "but without protect: true"),
        };
        Error::new(format!("deployment {id} is protected"))
            .of_kind(ErrorKind::Protected)
            .cause(why)
            .hint(format!("apply the file as it was applied last, {without}; then run this command again"))
    }

    /// The tags that an apply has set on a resource that the file declares existing now. None if the deployment does not own it.
    pub(crate) fn own(&self, tags: &Tags, of_file: &BTreeSet<String>) -> Tags {
        if !tags.get(TAG_DEPLOYMENT).is_some_and(|id| self.is(id)) {
            return Tags::new();
        }
        let ours = [TAG_DEPLOYMENT, TAG_ADOPTED, TAG_PROTECT];
        let is_ours = |key: &String| ours.contains(&key.as_str()) || of_file.contains(key);
        tags.iter().filter(|(key, _)| is_ours(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether this run takes over a resource with these tags: only what no deployment owns.
    pub(crate) fn takes_over(&self, tags: &Tags) -> bool {
        self.adopts && !tags.contains_key(TAG_DEPLOYMENT)
    }

    #[cfg(test)]
    pub(crate) fn of(id: &str) -> Self {
        let (former_id, tags) = (None, Tags::new());
        Self { id: id.to_owned(), former_id, tags, protects: false, adopts: false }
    }

    #[cfg(test)]
    #[must_use]
    pub(crate) fn who_adopts(self) -> Self {
        Self { adopts: true, ..self }
    }
}
