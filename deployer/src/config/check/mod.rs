//! Raw documents → [`Config`]s: every rule that a configuration must keep, and every default. A section with many rules has
//! a file of its own.
//!
//! Each function reads all of its values before it gives up (`?`), so that one run shows all mistakes.

use std::collections::BTreeMap;

use contract::Partition;

use super::{
    Config, Name, Notify, Region, ResourceNames,
    group::Value as _,
    leaf::Leaf,
    node::{Found, Node},
    problem::{Code, Place, Problems, Source},
    raw::{RawConfig, RawNames},
    reader::{Reader, group, if_given, or_default, required},
};

mod across_sections;
mod function;
mod iam_user;
mod instance;
mod rotation;
mod secret;
mod ses;
mod tags;

/// A deployment, and where its parts are declared.
pub(super) struct Placed {
    pub(super) config: Config,
    pub(super) places: Places,
}

/// The places that a mistake may be about that concerns more than one key, or more than one deployment.
pub(super) struct Places {
    pub(super) name: Place,
    pub(super) secret: Place,
    pub(super) user: Place,
    /// `ses.from`, if it is there.
    pub(super) senders: Option<Place>,
    /// `instance.ids`, if it is there.
    pub(super) instances: Option<Place>,
    /// `tags`, if they are there.
    pub(super) tags: Option<Place>,
    /// The names under `names`, by their keys.
    pub(super) names: BTreeMap<&'static str, Place>,
}

/// Checks one document. `None`: all of its problems were recorded.
pub(super) fn check(source: &Source<'_>, document: Node, problems: &mut Problems) -> Option<Placed> {
    let before = problems.count();
    let placed = Reader { source, problems }.deployment(document);
    placed.filter(|_| problems.count() == before)
}

/// The names that the file chooses, by their keys.
fn chosen(names: &RawNames) -> impl Iterator<Item = (&'static str, &Node)> {
    let RawNames { role, function, document, rule, topic, alarms } = names;
    let keys = ["role", "function", "document", "rule", "topic", "alarms"];
    let leaves = [role.get(), function.get(), document.get(), rule.get(), topic.get(), alarms.get()];
    keys.into_iter().zip(leaves).filter_map(|(key, leaf)| Some((key, &**leaf?)))
}

impl Reader<'_> {
    fn deployment(&mut self, document: Node) -> Option<Placed> {
        if matches!(document.found, Found::Nothing) {
            let hint = "remove the `---`, or write a deployment after it";
            self.refuse_as(Code::Empty, document.at, "this document is empty", hint);
            return None;
        }
        self.required_version(&document)?;
        let raw = RawConfig::of(document, "", self)?;
        let config = self.config(&raw)?;
        let place = |node: &Node| self.source.place(node.at);
        let (secret, user) = (raw.secret.get()?, raw.iam_user.get()?);
        let places = Places {
            name: place(raw.name.get()?),
            secret: place(secret.name.get()?),
            user: place(user.name.get()?),
            senders: raw.ses.get().and_then(|ses| ses.from.get()).map(|leaf| place(leaf)),
            instances: raw.instance.get().and_then(|instance| instance.ids.get()).map(|leaf| place(leaf)),
            tags: raw.tags.get().map(|leaf| place(leaf)),
            names: raw.names.get().map(chosen).into_iter().flatten().map(|(key, leaf)| (key, place(leaf))).collect(),
        };
        Some(Placed { config, places })
    }

    fn config(&mut self, raw: &RawConfig) -> Option<Config> {
        let name = required(&raw.name, |leaf| self.parsed("name", leaf));
        let moved_from = if_given(&raw.moved_from, |leaf| self.moved_from(leaf, name.as_ref()));
        let protect = or_default(&raw.protect, false, |leaf| self.flag("protect", leaf));
        let account_id = if_given(&raw.account_id, |leaf| self.parsed("account_id", leaf));
        let region = required(&raw.region, |leaf| self.region(leaf));
        let tags = or_default(&raw.tags, BTreeMap::new(), |leaf| self.tags(leaf));
        let secret = required(&raw.secret, |raw| self.secret(raw, region.as_ref()));
        let iam_user = required(&raw.iam_user, |raw| self.iam_user(raw));
        let instance = if_given(&raw.instance, |raw| self.instance(raw));
        let ses = group(&raw.ses, |raw| self.ses(raw, region.as_ref()));
        let rotation = group(&raw.rotation, |raw| self.rotation(raw));
        let function = group(&raw.function, |raw| self.function(raw));
        let notify = if_given(&raw.notify, |raw| {
            Some(Notify { email: required(&raw.email, |leaf| self.address("notify.email", leaf))? })
        });
        let names = group(&raw.names, |raw| self.names(raw));
        // The version itself was checked before everything else.
        if_given(&raw.required_version, |leaf| self.text("required_version", leaf).map(|_| ()));
        self.boundaries(raw, region.as_ref(), account_id.as_ref().and_then(Option::as_ref));
        self.time_limits(raw);
        self.private_endpoint(raw);
        self.senders_of_an_existing_user(raw);
        self.name_of_an_existing_role(raw);
        Some(Config {
            name: name?,
            moved_from: moved_from?,
            protect: protect?,
            account_id: account_id?,
            region: region?,
            tags: tags?,
            secret: secret?,
            iam_user: iam_user?,
            instance: instance?,
            ses: ses?,
            rotation: rotation?,
            function: function?,
            notify: notify?,
            names: names?,
            source: self.source.path.to_owned(),
        })
    }

    fn moved_from(&mut self, leaf: &Leaf<String>, name: Option<&Name>) -> Option<Name> {
        let former = self.parsed::<Name>("moved_from", leaf)?;
        if Some(&former) == name {
            let message = format!("`moved_from` is the deployment's own name, {former}");
            return self.conflict(leaf.at, message, "write the name that it had before, or remove the line");
        }
        Some(former)
    }

    fn names(&mut self, raw: &RawNames) -> Option<ResourceNames> {
        let role = if_given(&raw.role, |leaf| self.parsed("names.role", leaf));
        let function = if_given(&raw.function, |leaf| self.parsed("names.function", leaf));
        let document = if_given(&raw.document, |leaf| self.parsed("names.document", leaf));
        let upkeep_rule = if_given(&raw.rule, |leaf| self.parsed("names.rule", leaf));
        let topic = if_given(&raw.topic, |leaf| self.parsed("names.topic", leaf));
        let alarms = if_given(&raw.alarms, |leaf| self.parsed("names.alarms", leaf));
        Some(ResourceNames {
            role: role?,
            function: function?,
            document: document?,
            rule: upkeep_rule?,
            topic: topic?,
            alarms: alarms?,
        })
    }

    /// Refuses a document that is for another version of this program, before anything else of it: what else seems wrong
    /// may be right for that version.
    fn required_version(&mut self, document: &Node) -> Option<()> {
        let Found::Map(entries) = &document.found else { return Some(()) };
        let Some((_, value)) = entries.iter().find(|(key, _)| key.text() == Some("required_version")) else {
            return Some(());
        };
        let Some(text) = value.text().filter(|text| !text.is_empty()) else { return Some(()) };
        let required = match text.parse::<semver::VersionReq>() {
            Ok(required) => required,
            Err(error) => {
                let hint = "write one or more bounds in quotes: \">=0.1, <0.3\"";
                self.refuse::<()>(value.at, format!("`{text}` does not say which versions: {error}"), hint);
                return Some(());
            }
        };
        let own = env!("CARGO_PKG_VERSION");
        if own.parse().is_ok_and(|own| required.matches(&own)) {
            return Some(());
        }
        let message = format!("this file is for deployer {required}, and this is deployer {own}");
        let hint = "install a deployer of such a version, or correct required_version";
        self.refuse_as(Code::Version, value.at, message, hint);
        None
    }

    fn region(&mut self, leaf: &Leaf<String>) -> Option<Region> {
        let region = self.parsed::<Region>("region", leaf)?;
        let partition = Partition::of_region(&region);
        if partition.has_ses {
            return Some(region);
        }
        let message = format!("Amazon SES is not in {region}, nor in any region of the partition {}", partition.id);
        self.refuse(
            leaf.at,
            message,
            "name a region with SES, such as eu-west-1: the SMTP credential works in that region",
        )
    }
}
