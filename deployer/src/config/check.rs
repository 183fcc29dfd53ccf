//! Raw documents → [`Config`]s: every rule that a configuration must keep, and every default.
//!
//! Each function reads all of its values before it gives up (`?`), so that one run shows all mistakes.

use std::{collections::BTreeMap, time::Duration};

use contract::{
    Fields, INVOCATION_MARGIN_SECONDS, Instances, KEYS_PER_USER, LOGIN_GATE_SECONDS, Mapped, Partition, SecretValue,
    SmtpEndpoint, SmtpEndpointError, TestMail, Tls,
};

use super::{
    AccountId, Architecture, Config, Function, IamUser, Instance, KmsKey, LOG_RETENTION_DAYS, LogLevel, Name, Notify,
    PolicyArn, Region, ResourceNames, Rotation, Schedule, Secret, SecretName, Ses, Vpc,
    duration::{self, DAY, HOUR, MINUTE, SECOND, spell},
    group::Value as _,
    leaf::{Leaf, Optional},
    mail,
    node::{At, Found, Node},
    problem::{Code, Place, Problems, Source},
    raw::{self, RawConfig, RawFunction, RawIamUser, RawInstance, RawNames, RawRotation, RawSecret, RawSes, RawVpc},
    reader::{Reader, group, if_given, or_default, required},
    text::InvalidValue,
};

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
}

/// Checks one document. `None`: all of its problems were recorded.
pub(super) fn check(source: &Source<'_>, document: Node, problems: &mut Problems) -> Option<Placed> {
    let before = problems.count();
    let placed = Reader { source, problems }.deployment(document);
    placed.filter(|_| problems.count() == before)
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
        let upkeep = if_given(&raw.rule, |leaf| self.parsed("names.rule", leaf));
        let topic = if_given(&raw.topic, |leaf| self.parsed("names.topic", leaf));
        let alarms = if_given(&raw.alarms, |leaf| self.parsed("names.alarms", leaf));
        Some(ResourceNames {
            role: role?,
            function: function?,
            document: document?,
            rule: upkeep?,
            topic: topic?,
            alarms: alarms?,
        })
    }

    fn name_of_an_existing_role(&mut self, raw: &RawConfig) {
        let existing = raw.function.get().and_then(|function| function.role.get()?.text());
        let given = raw.names.get().and_then(|names| names.role.get());
        if let (Some(role), Some(leaf)) = (existing, given) {
            let hint = "remove one of the two: function.role names a role that exists already";
            self.no_effect(leaf.at, "names.role", &format!("beside `function.role: {role}`"), hint);
        }
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

    fn tags(&mut self, leaf: &Leaf<BTreeMap<String, String>>) -> Option<BTreeMap<String, String>> {
        let Found::Map(entries) = &leaf.found else {
            let hint = "write {team: platform}, or one `team: platform` line per tag";
            return self.refuse_type("tags", leaf, "keys and values", hint);
        };
        if entries.len() > raw::MAX_TAGS {
            let message = format!("`tags` has {} keys", entries.len());
            let hint = format!(
                "write at most {}: AWS allows 50 tags on a resource, and the deployer needs some of them",
                raw::MAX_TAGS
            );
            return self.refuse(leaf.at, message, hint);
        }
        let mut tags = BTreeMap::<String, String>::new();
        for (key_leaf, value_leaf) in self.distinct("tags", entries.iter().map(|(key, value)| (key, value))) {
            let label = format!("tags.{}", self.source.verbatim(key_leaf.at));
            let key = self.text_or_empty(&label, key_leaf);
            let (Some(key), Some(value)) = (key, self.text_or_empty(&label, value_leaf)) else { continue };
            if let Some(other) = tags.keys().find(|other| other.eq_ignore_ascii_case(key)) {
                let message = format!("the tags `{other}` and `{key}` differ only in case");
                self.refuse::<()>(key_leaf.at, message, "remove one of the two: to IAM they are the same tag");
            }
            self.accept(key_leaf.at, check_tag_key(key));
            self.accept(value_leaf.at, check_tag_value(value));
            tags.insert(key.to_owned(), value.to_owned());
        }
        Some(tags)
    }

    fn secret(&mut self, raw: &RawSecret, region: Option<&Region>) -> Option<Secret> {
        let name = required(&raw.name, |leaf| self.parsed::<SecretName>("secret.name", leaf));
        let existing = or_default(&raw.existing, false, |leaf| self.flag("secret.existing", leaf));
        let kms_key = if_given(&raw.kms_key, |leaf| self.kms_key(leaf, region));
        if let (Some(name), Some(region), Some(leaf)) = (&name, region, raw.name.get()) {
            self.fits_into_the_users_tag(name, region, leaf.at);
        }
        let fields = or_default(&raw.fields, Fields::default(), |leaf| self.fields(leaf));
        let recovery = self.days("secret.recovery_window", &raw.recovery_window, raw::DEFAULT_RECOVERY_WINDOW);
        let recovery_window_days = recovery.and_then(|(days, at)| {
            let kept = u8::try_from(days).ok().filter(|days| (7..=30).contains(days));
            let refused = format!("a deleted secret cannot be kept for {days}d");
            kept.or_else(|| self.refuse(at?, refused, "write 7d to 30d, the range that Secrets Manager accepts"))
        });

        if existing == Some(true) {
            self.unused_with_existing_secret("kms_key", raw.kms_key.get().map(|leaf| leaf.at));
            self.unused_with_existing_secret("recovery_window", raw.recovery_window.get().map(|leaf| leaf.at));
        } else if let (Some(false), Some(name), Some(leaf)) = (existing, &name, raw.name.get())
            && let Some(shorter) = ends_like_an_arn(name)
        {
            self.refuse::<()>(
                leaf.at,
                format!("the secret's name `{name}` ends in a hyphen and six characters"),
                format!(
                    "choose another name, such as {shorter}: an ARN ends like this name, so AWS may take the name for the \
                     ARN of `{shorter}`"
                ),
            );
        }
        Some(Secret {
            name: name?,
            existing: existing?,
            kms_key: kms_key?,
            fields: fields?,
            recovery_window_days: recovery_window_days?,
        })
    }

    fn fields(&mut self, leaf: &Leaf<BTreeMap<String, String>>) -> Option<Fields> {
        let Found::Map(entries) = &leaf.found else {
            let hint = "write {SMTP_USERNAME: access_key_id, SMTP_PASSWORD: smtp_password}";
            return self.refuse_type("secret.fields", leaf, "names and what each holds", hint);
        };
        if entries.is_empty() || entries.len() > raw::MAX_FIELDS {
            let message = format!("`secret.fields` has {} names", entries.len());
            return self.refuse(leaf.at, message, format!("write 1 to {}, or remove the key", raw::MAX_FIELDS));
        }
        let mut fields = BTreeMap::new();
        for (name_leaf, value_leaf) in self.distinct("secret.fields", entries.iter().map(|(key, value)| (key, value))) {
            let label = format!("secret.fields.{}", self.source.verbatim(name_leaf.at));
            let name = self.text("secret.fields", name_leaf);
            let name = name.and_then(|name| self.accept(name_leaf.at, check_field(name)).map(|()| name.to_owned()));
            let mapped = self.choice(&label, value_leaf, &Mapped::ALL);
            fields.extend(name.zip(mapped));
        }
        (fields.len() == entries.len()).then(|| Fields::new(fields))
    }

    /// The user's tag says which secret it serves: `<region>/<secret name>`.
    fn fits_into_the_users_tag(&mut self, name: &SecretName, region: &Region, at: At) {
        let longest = raw::MAX_TAG_VALUE - region.len() - 1;
        if name.len() > longest {
            let message = format!("the secret's name is {} characters long", name.len());
            let hint = format!(
                "choose a name of at most {longest} characters: the user's tag {} is <region>/<secret name>, and the value \
                 of a tag has at most {}",
                contract::TAG_SECRET,
                raw::MAX_TAG_VALUE
            );
            self.refuse::<()>(at, message, hint);
        }
    }

    fn unused_with_existing_secret(&mut self, key: &str, at: Option<At>) {
        if let Some(at) = at {
            let hint = format!("remove `{key}`: the deployer never re-encrypts or deletes an existing secret");
            self.no_effect(at, &format!("secret.{key}"), "on a secret with `existing: true`", hint);
        }
    }

    fn kms_key(&mut self, leaf: &Leaf<String>, region: Option<&Region>) -> Option<KmsKey> {
        let key = self.parsed::<KmsKey>("secret.kms_key", leaf)?;
        self.partition_fits(leaf, region)?;
        match (key.region(), region) {
            (Some(of_key), Some(region)) if of_key != &**region => {
                let message = format!("this key is in {of_key}, but the secret is in {region}");
                let hint = format!("name a key in {region}: Secrets Manager cannot use a key of another region");
                self.conflict(leaf.at, message, hint)
            }
            _ => Some(key),
        }
    }

    fn iam_user(&mut self, raw: &RawIamUser) -> Option<IamUser> {
        let name = required(&raw.name, |leaf| self.parsed("iam_user.name", leaf));
        let existing = or_default(&raw.existing, false, |leaf| self.flag("iam_user.existing", leaf));
        let allow_privileged =
            or_default(&raw.allow_privileged, false, |leaf| self.flag("iam_user.allow_privileged", leaf));
        if let (Some(false), Some(true), Some(leaf)) = (existing, allow_privileged, raw.allow_privileged.get()) {
            let hint = "remove it: the user that the deployer creates may only send";
            self.no_effect(leaf.at, "iam_user.allow_privileged", "without `existing: true`", hint);
        }
        let replaces = or_default(&raw.replaces, Vec::new(), |leaf| {
            self.list("iam_user.replaces", leaf, KEYS_PER_USER, str::parse)
        });
        let path = if_given(&raw.path, |leaf| self.parsed("iam_user.path", leaf));
        let permissions_boundary =
            if_given(&raw.permissions_boundary, |leaf| self.parsed("iam_user.permissions_boundary", leaf));
        if existing == Some(true) {
            let given = [("path", &raw.path), ("permissions_boundary", &raw.permissions_boundary)];
            for (key, leaf) in given.into_iter().filter_map(|(key, leaf)| Some((key, leaf.get()?))) {
                let hint = format!("remove `{key}`: the deployer never changes an existing user");
                self.no_effect(leaf.at, &format!("iam_user.{key}"), "on a user with `existing: true`", hint);
            }
        }
        Some(IamUser {
            name: name?,
            existing: existing?,
            allow_privileged: allow_privileged?,
            replaces: replaces?,
            path: path?,
            permissions_boundary: permissions_boundary?,
        })
    }

    fn instance(&mut self, raw: &RawInstance) -> Option<Instance> {
        let ids = match (&raw.id, &raw.ids) {
            (Optional::Given(id), Optional::Missing) => self.parsed("instance.id", id).map(|id| vec![id]),
            (Optional::Missing, Optional::Given(ids)) => self.list("instance.ids", ids, raw::MAX_INSTANCES, str::parse),
            (Optional::Given(_), Optional::Given(ids)) => {
                let hint = "remove one of the two: `ids` takes several instances";
                self.conflict(ids.at, "`instance` has both `id` and `ids`", hint)
            }
            (Optional::Missing, Optional::Missing) => {
                let hint = "add `id: i-0123456789abcdef0`, or remove `instance` if no host needs to be told";
                if let Some(script) = raw.script.get() {
                    self.refuse_as(Code::MissingKey, script.at, "`instance` has neither `id` nor `ids`", hint);
                }
                None
            }
            _ => None,
        };
        let script = required(&raw.script, |leaf| {
            let script = self.text("instance.script", leaf)?;
            self.accept(leaf.at, check_script(script)).map(|()| script.to_owned())
        });
        let timeout = self.duration_or("instance.timeout", &raw.timeout, raw::DEFAULT_INSTANCE_TIMEOUT);
        let timeout = timeout.and_then(|timeout| match raw.timeout.get() {
            Some(leaf) if timeout < raw::SHORTEST_SCRIPT => {
                let message = format!("`instance.timeout` cannot be {}", spell(timeout));
                let hint = "write 5s or more: for a shorter limit, Systems Manager's agent silently takes an hour";
                self.refuse(leaf.at, message, hint)
            }
            _ => Some(timeout),
        });
        let role = if_given(&raw.role, |leaf| self.parsed("instance.role", leaf));
        let document = if_given(&raw.document, |leaf| self.parsed("instance.document", leaf));
        Some(Instance { ids: ids?, script: script?, timeout: timeout?, role: role?, document: document? })
    }

    fn ses(&mut self, raw: &RawSes, region: Option<&Region>) -> Option<Ses> {
        let from = if_given(&raw.from, |leaf| self.senders(leaf));
        let sender = if_given(&raw.sender, |leaf| self.address("ses.sender", leaf));
        let recipient = if_given(&raw.recipient, |leaf| self.address("ses.recipient", leaf));
        let endpoint = if_given(&raw.endpoint, |leaf| self.endpoint(leaf, region));

        let from = from.map(|from| from.unwrap_or_else(|| domain_of(sender.as_ref().and_then(Option::as_deref))));
        if let (Some(from), Some(Some(sender)), Some(leaf)) = (&from, &sender, raw.sender.get())
            && !from.is_empty()
            && !from.iter().any(|pattern| mail::covers(pattern, sender))
        {
            let message = format!("`ses.from` does not allow the sender {sender}");
            let hint = format!("add \"{sender}\" to `ses.from`, or choose a sender that it allows");
            self.refuse_as(Code::Conflict, leaf.at, message, hint);
        }
        self.half_a_test_mail(raw);
        let test_mail = sender?.zip(recipient?).map(|(sender, recipient)| TestMail { sender, recipient });
        let endpoint = endpoint?.unwrap_or(SmtpEndpoint::of_region(region?));
        Some(Ses { from: from?, test_mail, endpoint })
    }

    fn half_a_test_mail(&mut self, raw: &RawSes) {
        match (&raw.sender, &raw.recipient) {
            (Optional::Given(sender), Optional::Missing) => {
                let hint = "add `recipient: success@simulator.amazonses.com`, which always accepts";
                self.refuse_as(Code::MissingKey, sender.at, "`ses` has `sender` but no `recipient`", hint);
            }
            (Optional::Missing, Optional::Given(recipient)) => {
                let hint = "add `sender: no-reply@example.com`, or remove `recipient` to test by a login only";
                self.refuse_as(Code::MissingKey, recipient.at, "`ses` has `recipient` but no `sender`", hint);
            }
            _ => {}
        }
    }

    fn senders(&mut self, leaf: &Leaf<Vec<String>>) -> Option<Vec<String>> {
        let checked = |text: &str| mail::check_pattern(text).map(|()| text.to_owned());
        let from = self.list("ses.from", leaf, usize::MAX, checked)?;
        match from.iter().any(|text| text == mail::ANY) {
            true if from.len() > 1 => {
                let hint = "write [\"*\"] alone, or remove \"*\"";
                self.conflict(leaf.at, "`ses.from` allows any verified identity, and names others beside", hint)
            }
            // An empty list is any verified identity.
            true => Some(Vec::new()),
            false => Some(from),
        }
    }

    fn address(&mut self, key: &str, leaf: &Leaf<String>) -> Option<String> {
        let text = self.text(key, leaf)?;
        self.accept(leaf.at, mail::check_address(text)).map(|()| text.to_owned())
    }

    fn endpoint(&mut self, leaf: &Leaf<String>, region: Option<&Region>) -> Option<SmtpEndpoint> {
        let parsed = self.text("ses.endpoint", leaf)?.parse::<SmtpEndpoint>();
        let endpoint = self.accept(leaf.at, parsed.map_err(|error| not_an_endpoint(&error)))?;
        let usual = SmtpEndpoint { port: usual_port(endpoint.tls), ..endpoint.clone() };
        if endpoint.port == 25 {
            let message = "a Lambda function cannot connect to port 25: AWS blocks it";
            return self.refuse(leaf.at, message, format!("write {usual}: SES listens there too"));
        }
        if let Some(tls) = tls_of_ses(&endpoint).filter(|tls| *tls != endpoint.tls) {
            let message = format!("SES does not listen on port {} with {}", endpoint.port, in_words(endpoint.tls));
            let same_port = SmtpEndpoint { tls, ..endpoint };
            let hint = format!("write {same_port} ({}) or {usual} ({})", in_words(tls), in_words(usual.tls));
            return self.refuse(leaf.at, message, hint);
        }
        match (region_of_host(&endpoint.host), region) {
            (Some(of_host), Some(region)) if of_host != &**region => {
                let message = format!("this endpoint is in {of_host}, but the deployment is in {region}");
                let hint = "remove `endpoint` to use the region's own: an SMTP password works in one region only";
                self.conflict(leaf.at, message, hint)
            }
            _ => Some(endpoint),
        }
    }

    fn rotation(&mut self, raw: &RawRotation) -> Option<Rotation> {
        let schedule = match raw.schedule.get() {
            Some(leaf) => self.parsed::<Schedule>("rotation.schedule", leaf),
            None => raw::DEFAULT_SCHEDULE.parse().ok(),
        };
        let window = if_given(&raw.window, |leaf| {
            let window = self.duration("rotation.window", leaf)?;
            if !window.as_secs().is_multiple_of(HOUR.as_secs()) {
                return self.refuse(leaf.at, "`rotation.window` is not in whole hours", "write 1h to 24h");
            }
            Some((window, leaf.at))
        });
        let rotate_on_create = or_default(&raw.rotate_on_create, raw::DEFAULT_ROTATE_ON_CREATE, |leaf| {
            self.flag("rotation.rotate_on_create", leaf)
        });
        let keep = if_given(&raw.keep_previous, |leaf| self.duration("rotation.keep_previous", leaf));

        let keep_inactive = if_given(&raw.keep_inactive, |leaf| match &leaf.found {
            Found::Text(text) if text == "0s" => Some((Duration::ZERO, leaf.at)),
            _ => self.duration("rotation.keep_inactive", leaf).map(|keep| (keep, leaf.at)),
        });

        // Several of these may not fit together. In place of one that is wrong by itself stands the least that it could be.
        let schedule = schedule?;
        let window = window.and_then(|window| match window {
            Some((window, at)) => self.window_fits(&schedule, window, at).map(|()| Some(window)),
            None => Some(None),
        });
        let (least_window, least_keep) = (window.unwrap_or(Some(HOUR)), keep.unwrap_or(Some(Duration::ZERO)));
        let (fitting, keep_previous) = defaults_that_fit(&schedule, least_window, least_keep);
        let grace = self.grace_fits(raw, &schedule, fitting, keep_previous);
        let least_keep = if grace.is_some() { keep_previous } else { Duration::ZERO };
        let keep_inactive = keep_inactive.and_then(|asked| self.inactive_fits(&schedule, least_keep, asked));
        let is_wrong = window.is_none() || keep.is_none() || grace.is_none();
        let (window, rotate_on_create, keep_inactive) = (fitting, rotate_on_create?, keep_inactive?);
        (!is_wrong).then_some(Rotation { schedule, window, rotate_on_create, keep_previous, keep_inactive })
    }

    /// The rules for a window's length: not into the next window, not into the next UTC day.
    fn window_fits(&mut self, schedule: &Schedule, window: Duration, at: At) -> Option<()> {
        let longest = longest_window(schedule);
        if window > longest {
            let message = format!("a window of {} does not fit the schedule {schedule}", spell(window));
            let hint = format!(
                "write at most {}: a window must end before the next one opens and before midnight UTC",
                hours(longest)
            );
            return self.conflict(at, message, hint);
        }
        Some(())
    }

    /// The previous key occupies the slot that the next rotation needs, so its grace must be over when a window opens.
    ///
    /// A rotation may begin at any time of its window, and the next one when the next window opens.
    fn grace_fits(
        &mut self,
        raw: &RawRotation,
        schedule: &Schedule,
        window: Option<Duration>,
        keep: Duration,
    ) -> Option<()> {
        let period = schedule.shortest_period();
        let open = window.unwrap_or(schedule.default_window());
        let longest = period.saturating_sub(open);
        if keep <= longest {
            return Some(());
        }
        let at = raw.keep_previous.get().map(|leaf| leaf.at).or(raw.schedule.get().map(|leaf| leaf.at))?;
        let message = format!(
            "the previous key would still be kept when the next window opens: `keep_previous` is {}, a rotation may begin up \
             to {} after its window opens, and the next window opens {} after the last one",
            spell(keep),
            spell(open),
            spell(period),
        );
        let mut ways = Vec::new();
        if let Some(shorter) = period.checked_sub(keep).filter(|window| *window >= HOUR) {
            ways.push(format!("set `rotation.window` to {} or less", hours(shorter)));
        }
        if !longest.is_zero() {
            ways.push(format!("set `rotation.keep_previous` to {} or less", spell(longest)));
        }
        if ways.is_empty() {
            ways.push("set a shorter `rotation.keep_previous`, and a `rotation.window`".to_owned());
        }
        self.conflict(at, message, ways.join(", or "))
    }

    /// How long a key is Inactive. The daily upkeep makes it so up to a day after its grace, and deletes it up to a day late: both
    /// have to fit in before the next rotation. Without a value it is [`raw::DEFAULT_KEEP_INACTIVE`], or nothing if that does not fit.
    fn inactive_fits(
        &mut self,
        schedule: &Schedule,
        keep_previous: Duration,
        asked: Option<(Duration, At)>,
    ) -> Option<Duration> {
        let room = schedule.shortest_period().saturating_sub(keep_previous + 2 * DAY);
        match asked {
            None if room >= raw::DEFAULT_KEEP_INACTIVE => Some(raw::DEFAULT_KEEP_INACTIVE),
            None => Some(Duration::ZERO),
            Some((keep, _)) if keep <= room => Some(keep),
            Some((keep, at)) => self.conflict(
                at,
                format!("the next rotation would come before a key has been Inactive for {}", spell(keep)),
                format!("write at most {}: `keep_previous` and two days for the daily upkeep come before", spell(room)),
            ),
        }
    }

    fn function(&mut self, raw: &RawFunction) -> Option<Function> {
        let memory_mb = or_default(&raw.memory, raw::DEFAULT_MEMORY, |leaf| {
            self.number("function.memory", leaf, raw::MIN_MEMORY..=raw::MAX_MEMORY)
        });
        let timeout = self.duration_or("function.timeout", &raw.timeout, raw::DEFAULT_FUNCTION_TIMEOUT);
        let timeout = timeout.and_then(|timeout| match raw.timeout.get() {
            Some(leaf) if timeout > raw::LONGEST_INVOCATION => {
                self.refuse(leaf.at, "a Lambda function may run for 15 minutes at most", "write 15m or less")
            }
            _ => Some(timeout),
        });
        let architecture = or_default(&raw.architecture, raw::DEFAULT_ARCHITECTURE, |leaf| {
            self.choice("function.architecture", leaf, &Architecture::ALL)
        });
        let log_level = or_default(&raw.log_level, raw::DEFAULT_LOG_LEVEL, |leaf| {
            self.choice("function.log_level", leaf, &LogLevel::ALL)
        });
        let retention = self.days("function.log_retention", &raw.log_retention, raw::DEFAULT_LOG_RETENTION);
        let log_retention_days = retention.and_then(|(days, at)| self.log_retention(days, at));
        let role = if_given(&raw.role, |leaf| self.parsed("function.role", leaf));
        let role_path = if_given(&raw.role_path, |leaf| self.parsed("function.role_path", leaf));
        let role_permissions_boundary =
            if_given(&raw.role_permissions_boundary, |leaf| self.parsed("function.role_permissions_boundary", leaf));
        if raw.role.get().is_some() {
            let given = [("role_path", &raw.role_path), ("role_permissions_boundary", &raw.role_permissions_boundary)];
            for (key, leaf) in given.into_iter().filter_map(|(key, leaf)| Some((key, leaf.get()?))) {
                let hint = format!("remove `{key}`: the deployer never changes an existing role");
                self.no_effect(leaf.at, &format!("function.{key}"), "beside `function.role`", hint);
            }
        }
        let vpc = if_given(&raw.vpc, |raw| self.vpc(raw));
        let package = if_given(&raw.package, |leaf| self.text("function.package", leaf).map(str::to_owned));

        Some(Function {
            memory_mb: memory_mb?,
            timeout: timeout?,
            architecture: architecture?,
            log_level: log_level?,
            log_retention_days: log_retention_days?,
            role: role?,
            role_path: role_path?,
            role_permissions_boundary: role_permissions_boundary?,
            vpc: vpc?,
            package: package?.map(|path| self.source.path.with_file_name("").join(path)),
        })
    }

    fn vpc(&mut self, raw: &RawVpc) -> Option<Vpc> {
        let subnets =
            required(&raw.subnets, |leaf| self.list("function.vpc.subnets", leaf, raw::MAX_SUBNETS, str::parse));
        let groups = required(&raw.security_groups, |leaf| {
            self.list("function.vpc.security_groups", leaf, raw::MAX_SECURITY_GROUPS, str::parse)
        });
        Some(Vpc { subnets: subnets?, security_groups: groups? })
    }

    fn log_retention(&mut self, days: u64, at: Option<At>) -> Option<u32> {
        if let Some(accepted) = LOG_RETENTION_DAYS.into_iter().find(|accepted| u64::from(*accepted) == days) {
            return Some(accepted);
        }
        let longer = LOG_RETENTION_DAYS.into_iter().find(|accepted| u64::from(*accepted) > days);
        let longest = LOG_RETENTION_DAYS[LOG_RETENTION_DAYS.len() - 1];
        let message = format!("CloudWatch Logs cannot keep a log for {days}d");
        let hint =
            format!("write {}d: CloudWatch Logs accepts only certain numbers of days", longer.unwrap_or(longest));
        self.refuse(at?, message, hint)
    }

    /// A boundary is a policy of AWS or of the same account.
    fn boundaries(&mut self, raw: &RawConfig, region: Option<&Region>, account_id: Option<&AccountId>) {
        let of_user = raw.iam_user.get().and_then(|user| user.permissions_boundary.get());
        let of_role = raw.function.get().and_then(|function| function.role_permissions_boundary.get());
        for leaf in of_user.into_iter().chain(of_role) {
            let Some(text) = leaf.text().filter(|text| text.parse::<PolicyArn>().is_ok()) else { continue };
            if self.partition_fits(leaf, region).is_none() {
                continue;
            }
            let of_policy = text.split(':').nth(4).filter(|account| *account != "aws");
            if let (Some(of_policy), Some(own)) = (of_policy, account_id)
                && of_policy != &**own
            {
                let message = format!("this policy is in account {of_policy}, but `account_id` is {own}");
                let hint = format!("name a policy of account {own}, or one of AWS: IAM attaches no others");
                self.refuse_as(Code::Conflict, leaf.at, message, hint);
            }
        }
    }

    /// Refuses an ARN of another partition than the region's. Partitions share nothing.
    fn partition_fits(&mut self, leaf: &Node, region: Option<&Region>) -> Option<()> {
        let of_arn = leaf.text().and_then(|text| text.strip_prefix("arn:")?.split(':').next());
        match (of_arn, region.map(|region| (region, Partition::of_region(region).id))) {
            (Some(of_arn), Some((region, own))) if of_arn != own => {
                let message = format!("this ARN is of the partition {of_arn}, but {region} is in the partition {own}");
                self.conflict(leaf.at, message, format!("write an ARN that begins with arn:{own}:"))
            }
            _ => Some(()),
        }
    }

    /// One invocation may have to wait for all of these, one after the other.
    fn time_limits(&mut self, raw: &RawConfig) {
        let script = if_given(&raw.instance, |raw| valid(&raw.timeout, raw::DEFAULT_INSTANCE_TIMEOUT));
        let limit = group(&raw.function, |raw| valid(&raw.timeout, raw::DEFAULT_FUNCTION_TIMEOUT));
        let (Some(script), Some(limit)) = (script, limit) else { return };
        let fixed = SECOND * u32::try_from(LOGIN_GATE_SECONDS + INVOCATION_MARGIN_SECONDS).unwrap_or(u32::MAX);
        let mut parts = vec![
            format!("{} for the new key to be accepted", spell(Duration::from_secs(LOGIN_GATE_SECONDS))),
            format!("{} margin", spell(Duration::from_secs(INVOCATION_MARGIN_SECONDS))),
        ];
        let mut needed = fixed;
        if let Some(script) = script {
            let tell = Instances::time_needed(script);
            needed += tell;
            parts.insert(0, format!("{} `instance.timeout`", spell(script)));
            parts
                .insert(0, format!("{} to deliver the command and to see its end", spell(tell.saturating_sub(script))));
        }
        let function_at = raw.function.get().and_then(|function| function.timeout.get()).map(|leaf| leaf.at);
        let script_at = raw.instance.get().and_then(|instance| instance.timeout.get()).map(|leaf| leaf.at);
        // The defaults fit. If the sum does not, the file sets at least one of the two.
        let Some(at) = function_at.or(script_at).filter(|_| needed > limit) else { return };

        let message = format!(
            "a rotation may need more time than `function.timeout` allows: {} = {}, more than {}",
            parts.join(" + "),
            spell(needed),
            spell(limit),
        );
        let mut ways = Vec::new();
        let enough = MINUTE * u32::try_from(needed.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        if enough <= raw::LONGEST_INVOCATION {
            ways.push(format!("set `function.timeout` to {}", spell(enough)));
        }
        if let Some(script) = script
            && let Some(rest) = (limit + script).checked_sub(needed).filter(|rest| !rest.is_zero())
        {
            ways.push(format!("set `instance.timeout` to {} or less", spell(rest)));
        }
        self.refuse_as(Code::Conflict, at, message, ways.join(", or "));
    }

    /// The function alone logs in at the endpoint: the hosts have their own.
    fn private_endpoint(&mut self, raw: &RawConfig) {
        let Some(leaf) = raw.ses.get().and_then(|ses| ses.endpoint.get()) else { return };
        let endpoint = leaf.text().and_then(|text| text.parse::<SmtpEndpoint>().ok());
        let is_private = endpoint.is_some_and(|endpoint| endpoint.host.split('.').any(|label| label == "vpce"));
        let is_in_no_vpc = group(&raw.function, |function| Some(matches!(function.vpc, Optional::Missing)));
        if is_private && is_in_no_vpc == Some(true) {
            let message = "this endpoint is private to a VPC, and the function is in no VPC";
            let hint = "put the function into that VPC with `function.vpc`, or remove `endpoint` to use the region's public one";
            self.refuse_as(Code::Conflict, leaf.at, message, hint);
        }
    }

    fn senders_of_an_existing_user(&mut self, raw: &RawConfig) {
        let from = raw.ses.get().and_then(|ses| ses.from.get());
        let existing = raw.iam_user.get().and_then(|user| user.existing.get());
        if let Some(leaf) = from.filter(|_| existing.is_some_and(|leaf| matches!(leaf.found, Found::Flag(true)))) {
            let hint = "remove `from`: the user's own policies decide what it may send from";
            self.no_effect(leaf.at, "ses.from", "on a user with `existing: true`", hint);
        }
    }

    /// Records that a key has no effect, because of what the file says elsewhere.
    fn no_effect(&mut self, at: At, key: &str, because: &str, hint: impl Into<String>) {
        self.refuse_as(Code::NoEffect, at, format!("`{key}` has no effect {because}"), hint);
    }

    /// Records that a value does not fit another one.
    fn conflict<V>(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) -> Option<V> {
        self.refuse_as(Code::Conflict, at, message, hint);
        None
    }

    /// A duration that may be left out.
    fn duration_or(
        &mut self,
        key: &str,
        leaf: &Optional<Leaf<duration::DurationText>>,
        default: &str,
    ) -> Option<Duration> {
        leaf.get().map_or_else(|| duration::parse(default).ok(), |leaf| self.duration(key, leaf))
    }

    /// Whole days, and where they were given.
    fn days(
        &mut self,
        key: &str,
        leaf: &Optional<Leaf<duration::DurationText>>,
        default: &str,
    ) -> Option<(u64, Option<At>)> {
        let duration = self.duration_or(key, leaf, default)?;
        let at = leaf.get().map(|leaf| leaf.at);
        if !duration.as_secs().is_multiple_of(DAY.as_secs()) {
            return self.refuse(at?, format!("`{key}` is not in whole days"), "write whole days, such as 30d");
        }
        Some((duration.as_secs() / DAY.as_secs(), at))
    }
}

/// A duration, without its problem if it has one: that was recorded where it was read.
fn valid(key: &Optional<Leaf<duration::DurationText>>, default: &str) -> Option<Duration> {
    or_default(key, duration::parse(default).ok()?, |leaf| duration::parse(leaf.text()?).ok())
}

/// The window and the grace, with defaults for those that the file leaves out: one that fits the other, if there is one.
///
/// Within a day, programs that cache the credential fetch the new one. The other half of a short period is left for a late
/// rotation, which needs a free slot. AWS's own default of a window may last as long as the period (`rate(1 day)`), and
/// leave no time for a grace; then the window gets the half that the grace leaves.
fn defaults_that_fit(
    schedule: &Schedule,
    window: Option<Duration>,
    keep: Option<Duration>,
) -> (Option<Duration>, Duration) {
    let period = schedule.shortest_period();
    let wanted = keep.unwrap_or(raw::DEFAULT_KEEP_PREVIOUS.min(period / 2));
    match window {
        None if schedule.default_window() + wanted > period => {
            let left = (period / 2).min(period.saturating_sub(wanted)).min(longest_window(schedule));
            let whole_hours = HOUR * u32::try_from(left.as_secs() / HOUR.as_secs()).unwrap_or(u32::MAX);
            (Some(whole_hours).filter(|window| !window.is_zero()), wanted)
        }
        Some(window) if keep.is_none() && window < period => (Some(window), wanted.min(period.saturating_sub(window))),
        window => (window, wanted),
    }
}

/// A window ends before the next one opens, and before the next UTC day.
fn longest_window(schedule: &Schedule) -> Duration {
    schedule.shortest_period().min(DAY.saturating_sub(schedule.latest_opening()))
}

/// Whole hours, rounded down.
fn hours(duration: Duration) -> String {
    format!("{}h", duration.as_secs() / HOUR.as_secs())
}

/// The name without its ending, if it ends in a hyphen and six letters or digits. AWS warns against such names: they
/// look like the end of a shorter name's ARN (Secrets Manager API reference, `CreateSecret`, "Name").
fn ends_like_an_arn(name: &str) -> Option<&str> {
    let (start, end) = name.rsplit_once('-')?;
    (end.len() == 6 && end.chars().all(|c| c.is_ascii_alphanumeric())).then_some(start)
}

fn check_script(text: &str) -> Result<(), InvalidValue> {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if text.len() <= 256 && text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment)) {
        return Ok(());
    }
    let hint = if text.starts_with('/') {
        "write a path such as /usr/local/bin/rotate_smtp.sh, without arguments; each part has only letters, digits, `.`, \
         `_` and `-`, and begins with another character than `.`"
    } else {
        "write the absolute path on the host: /usr/local/bin/rotate_smtp.sh"
    };
    Err(InvalidValue::new(format!("`{text}` is not a plain absolute path"), hint))
}

fn check_field(name: &str) -> Result<(), InvalidValue> {
    if SecretValue::FIELDS.contains(&name) {
        let message = format!("`{name}` is a field that every rotation writes");
        return Err(InvalidValue::new(message, "remove it: what it holds cannot be changed"));
    }
    if (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Ok(());
    }
    let message = format!("`{name}` cannot be a field of the secret");
    Err(InvalidValue::new(message, "use at most 64 letters, digits, `_`, `.` and `-`"))
}

/// Lower-case beginnings of tags that a configuration may not set: those of AWS, and those that show the owner.
const RESERVED_TAG_PREFIXES: [&str; 2] = ["aws:", super::OUR_TAGS];

fn check_tag_key(key: &str) -> Result<(), InvalidValue> {
    let lower = key.to_ascii_lowercase();
    if let Some(prefix) = RESERVED_TAG_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        let message = format!("the tag `{key}` begins with `{prefix}`, which is reserved");
        return Err(InvalidValue::new(message, "choose another key"));
    }
    check_tag_text(key, "key", 1, 128)
}

fn check_tag_value(value: &str) -> Result<(), InvalidValue> {
    check_tag_text(value, "value", 0, raw::MAX_TAG_VALUE)
}

/// What IAM, Lambda, Secrets Manager, Systems Manager and CloudWatch Logs all accept (IAM is the strictest).
fn check_tag_text(text: &str, part: &str, min: usize, max: usize) -> Result<(), InvalidValue> {
    let length = text.chars().count();
    if length < min {
        return Err(InvalidValue::new(format!("this tag's {part} is empty"), format!("write a {part}")));
    }
    if length > max {
        let message = format!("this tag's {part} is {length} characters long");
        return Err(InvalidValue::new(message, format!("write at most {max} characters")));
    }
    match text.chars().find(|c| !(c.is_alphanumeric() || *c == ' ' || "_.:/=+-@".contains(*c))) {
        Some(c) => Err(InvalidValue::new(
            format!("a tag's {part} cannot contain `{c}`"),
            "use letters, digits, spaces and _.:/=+-@",
        )),
        None => Ok(()),
    }
}

fn not_an_endpoint(error: &SmtpEndpointError) -> InvalidValue {
    InvalidValue::new(
        format!("`{}` is not an SMTP endpoint", error.text),
        "write smtps://HOST:465 (TLS) or smtp://HOST:587 (STARTTLS)",
    )
}

/// How SES encrypts on the endpoint's port; none if the host is not SES's, or SES does not listen there.
///
/// Source: SES guide, "Connecting to an Amazon SES SMTP endpoint". It is not part of what an endpoint is: the function has to read
/// every endpoint that an older deployer wrote.
fn tls_of_ses(SmtpEndpoint { host, port, .. }: &SmtpEndpoint) -> Option<Tls> {
    region_of_host(host)?;
    match port {
        465 | 2465 => Some(Tls::Implicit),
        25 | 587 | 2587 => Some(Tls::StartTls),
        _ => None,
    }
}

/// The port that every mail server has for this encryption.
fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::Implicit => 465,
        Tls::StartTls => 587,
    }
}

fn in_words(tls: Tls) -> &'static str {
    match tls {
        Tls::Implicit => "TLS from the first byte",
        Tls::StartTls => "STARTTLS",
    }
}

/// The pattern of all addresses of the sender's domain; none without a sender: then any verified identity may send.
fn domain_of(sender: Option<&str>) -> Vec<String> {
    let domain = sender.and_then(|sender| sender.rsplit_once('@')).map(|(_, domain)| format!("*@{domain}"));
    domain.into_iter().collect()
}

/// The region in the name of an SES endpoint, private ones included (`….email-smtp.REGION.vpce.amazonaws.com`).
fn region_of_host(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    labels.find(|label| ["email-smtp", "email-smtp-fips"].contains(label))?;
    labels.next().filter(|label| label.parse::<Region>().is_ok())
}
