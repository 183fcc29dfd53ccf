//! `secret`: its name, its key of KMS, the fields of its value, and what does not fit a secret that exists already.

use std::collections::BTreeMap;

use contract::{Fields, Mapped, SecretValue};

use crate::config::{
    KmsKey, Region, Secret, SecretName,
    leaf::Leaf,
    node::{At, Found},
    raw::{self, RawSecret},
    reader::{Reader, if_given, or_default, required},
    text::InvalidValue,
};

/// What Secrets Manager accepts (API reference of DeleteSecret), and the way without.
const RECOVERY: &str = "7d to 30d; `deployer destroy --purge-secret` deletes a secret without a recovery window";

impl Reader<'_> {
    pub(super) fn secret(&mut self, raw: &RawSecret, region: Option<&Region>) -> Option<Secret> {
        let name = required(&raw.name, |leaf| self.parsed::<SecretName>("secret.name", leaf));
        let existing = or_default(&raw.existing, false, |leaf| self.flag("secret.existing", leaf));
        let kms_key = if_given(&raw.kms_key, |leaf| self.kms_key(leaf, region));
        if let (Some(name), Some(region), Some(leaf)) = (&name, region, raw.name.get()) {
            self.fits_into_the_users_tag(name, region, leaf.at);
        }
        let fields = or_default(&raw.fields, Fields::default(), |leaf| self.fields(leaf));
        let recovery =
            self.days("secret.recovery_window", &raw.recovery_window, raw::DEFAULT_RECOVERY_WINDOW, RECOVERY);
        let recovery_window_days = recovery.and_then(|(days, at)| {
            let kept = u8::try_from(days).ok().filter(|days| (7..=30).contains(days));
            let refused = format!("a deleted secret cannot be kept for {days}d");
            kept.or_else(|| self.refuse(at?, refused, format!("write whole days, {RECOVERY}")))
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
}

/// The name without its ending, if it ends in a hyphen and six letters or digits. AWS warns against such names: they
/// look like the end of a shorter name's ARN (Secrets Manager API reference, `CreateSecret`, "Name").
fn ends_like_an_arn(name: &str) -> Option<&str> {
    let (start, end) = name.rsplit_once('-')?;
    (end.len() == 6 && end.chars().all(|c| c.is_ascii_alphanumeric())).then_some(start)
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
