//! The secret in Secrets Manager: versions, labels and dates.

use std::{collections::BTreeMap, sync::Arc};

use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretValue};
use serde_json::{Value, json};

use super::{ARN, Millis, date_of};
use crate::fake_http::Answer;

/// Versions without a label that are kept. AWS keeps about a hundred.
const DEPRECATED: usize = 30;

/// A version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: Arc<str>,
    /// None before createSecret.
    pub(super) value: Option<Arc<str>>,
    /// The access key that the value names.
    pub(super) key: Option<Arc<str>>,
    made: Millis,
}

/// Label → version.
pub(super) type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The secret.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    /// In the order of their making.
    pub(super) versions: Vec<Version>,
    pub(super) labels: Labels,
    pub(super) enabled: bool,
    pub(super) last_rotated: Option<Millis>,
    pub(super) last_changed: Millis,
    pub(super) next_rotation: Millis,
    /// Counts the changes of the world, to tell what a reader has seen.
    pub(super) seen: u64,
    made: u32,
    /// As it was before its last change, which stale reads still show.
    before: Option<Arc<Secret>>,
}

impl Secret {
    /// A secret without a version, whose first rotation is due then.
    pub(super) fn new(next_rotation: Millis) -> Self {
        Self {
            versions: vec![],
            labels: Labels::new(),
            enabled: true,
            last_rotated: None,
            last_changed: 0,
            next_rotation,
            seen: 0,
            made: 0,
            before: None,
        }
    }

    /// The version that carries a label.
    pub(super) fn labelled(&self, label: &str) -> Option<&Version> {
        self.version(self.labels.get(label)?)
    }

    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| &*version.id == id)
    }

    /// The key that a label's version names.
    pub(super) fn key_of(&self, label: &str) -> Option<&Arc<str>> {
        self.labelled(label)?.key.as_ref()
    }

    /// The version of an open rotation.
    pub(super) fn open(&self) -> Option<&Version> {
        let current = self.labels.get(AWSCURRENT);
        self.labelled(AWSPENDING).filter(|version| Some(&version.id) != current)
    }

    /// As a reader sees it whose answer lags.
    pub(super) fn stale(&self, now: Millis, lag: Millis) -> &Self {
        self.before.as_deref().filter(|_| now < self.last_changed + lag).unwrap_or(self)
    }

    /// Every change begins so.
    fn change(&mut self, now: Millis) {
        let before = Self { before: None, ..self.clone() };
        self.before = Some(Arc::new(before));
        self.last_changed = now;
    }

    fn make(&mut self, value: Option<String>, now: Millis) -> Arc<str> {
        self.made += 1;
        let id: Arc<str> = format!("v{}", self.made).into();
        self.versions.push(Version { id: id.clone(), key: None, value: None, made: now });
        if let Some(value) = value {
            self.store(&id, value, now);
        }
        if self.versions.len() > DEPRECATED {
            let labels = &self.labels;
            let is_labelled = |version: &Version| labels.values().any(|id| *id == version.id);
            if let Some(oldest) = self.versions.iter().position(|version| !is_labelled(version)) {
                self.versions.remove(oldest);
            }
        }
        id
    }

    fn store(&mut self, id: &str, value: String, now: Millis) {
        let key = SecretValue::parse(&value).ok().map(|value| value.access_key_id).filter(|key| !key.is_empty());
        let version = self.versions.iter_mut().find(|version| &*version.id == id).unwrap();
        version.key = key.map(Into::into);
        version.value = Some(value.into());
        version.made = now;
    }

    fn attach(&mut self, label: &str, to: &str) {
        let old = self.labels.insert(label.into(), to.into());
        if let Some(old) = old.filter(|old| label == AWSCURRENT && &**old != to) {
            self.labels.insert(AWSPREVIOUS.into(), old);
        }
        if label == AWSCURRENT && self.labels.get(AWSPREVIOUS).is_some_and(|previous| &**previous == to) {
            self.labels.remove(AWSPREVIOUS);
        }
    }

    /// Secrets Manager opens a rotation: an empty version, and AWSPENDING on it. Returns its token.
    pub(super) fn begin(&mut self, now: Millis) -> Arc<str> {
        self.change(now);
        let id = self.make(None, now);
        self.attach(AWSPENDING, &id);
        id
    }

    /// Secrets Manager tests a configuration with the existing value. Returns the token.
    pub(super) fn begin_test(&mut self, now: Millis) -> Option<Arc<str>> {
        let value = self.labelled(AWSCURRENT)?.value.clone()?;
        self.change(now);
        let id = self.make(Some((*value).to_owned()), now);
        self.attach(AWSPENDING, &id);
        Some(id)
    }

    /// Secrets Manager finds that AWSCURRENT is on the version of the rotation.
    pub(super) fn complete(&mut self, cleans: bool, now: Millis) {
        self.change(now);
        self.last_rotated = Some(now + 30);
        if cleans {
            self.labels.remove(AWSPENDING);
        }
    }

    /// Takes a label off.
    pub(super) fn detach(&mut self, label: &str, now: Millis) {
        self.change(now);
        self.labels.remove(label);
    }

    /// CancelRotateSecret, and to enable it again.
    pub(super) fn enable(&mut self, enabled: bool, now: Millis) {
        self.change(now);
        self.enabled = enabled;
    }

    /// UpdateSecretVersionStage.
    pub(super) fn update_stage(
        &mut self,
        label: &str,
        from: Option<&str>,
        to: Option<&str>,
        now: Millis,
    ) -> Result<(), &'static str> {
        let is_on = self.labels.get(label).map(|id| &**id);
        if to.is_some_and(|to| self.version(to).is_none()) {
            return Err("ResourceNotFoundException");
        }
        if to.is_some() && to == is_on && from.is_none() {
            return Ok(());
        }
        if from != is_on {
            return Err("InvalidParameterException");
        }
        self.change(now);
        match to {
            Some(to) => self.attach(label, to),
            None => drop(self.labels.remove(label)),
        }
        Ok(())
    }

    /// PutSecretValue with a token.
    pub(super) fn put(&mut self, token: &str, value: &str, labels: &[&str], now: Millis) -> Result<(), &'static str> {
        match self.version(token) {
            // AWS would make the version. The function cannot come there: the guard knows the token.
            None => return Err("ResourceNotFoundException"),
            Some(Version { value: Some(stored), .. }) if **stored == *value => return Ok(()),
            Some(Version { value: Some(_), .. }) => return Err("ResourceExistsException"),
            Some(Version { value: None, .. }) => {}
        }
        self.change(now);
        self.store(token, value.to_owned(), now);
        for label in labels {
            self.attach(label, token);
        }
        Ok(())
    }

    /// PutSecretValue by a person: AWSCURRENT moves, and an open rotation is abandoned.
    pub(super) fn put_by_hand(&mut self, value: String, now: Millis) -> Arc<str> {
        self.change(now);
        let is_open = self.open().is_some();
        let id = self.make(Some(value), now);
        if is_open {
            self.labels.remove(AWSPENDING);
        }
        self.attach(AWSCURRENT, &id);
        id
    }

    /// The labels of a version.
    fn labels_of(&self, version: &str) -> Vec<&str> {
        self.labels.iter().filter(|(_, id)| &***id == version).map(|(label, _)| &**label).collect()
    }

    /// DescribeSecret.
    pub(super) fn describe(&self) -> Answer {
        let mut stages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (label, version) in &self.labels {
            stages.entry(version).or_default().push(label);
        }
        Ok(json!({
            "ARN": ARN,
            "Name": "mail",
            "RotationEnabled": self.enabled,
            "RotationRules": {"ScheduleExpression": "rate(30 days)", "Duration": "4h"},
            "VersionIdsToStages": stages,
            "LastChangedDate": date_of(self.last_changed),
            "LastRotatedDate": self.last_rotated.filter(|_| self.enabled).map(date_of),
            "NextRotationDate": self.enabled.then(|| date_of(self.next_rotation)),
        }))
    }

    /// GetSecretValue: the version by its id, by a label, or by both.
    pub(super) fn get(&self, version: Option<&str>, label: Option<&str>) -> Answer {
        let label = label.or(version.is_none().then_some(AWSCURRENT));
        let on = label.map(|label| self.labels.get(label).ok_or("ResourceNotFoundException")).transpose()?;
        if let (Some(version), Some(on)) = (version, on)
            && *version != **on
        {
            return Err("InvalidRequestException");
        }
        let id = version.or(on.map(|on| &**on)).unwrap();
        let version = self.version(id).ok_or("ResourceNotFoundException")?;
        let value = version.value.as_deref().ok_or("ResourceNotFoundException")?;
        Ok(json!({
            "ARN": ARN,
            "SecretString": value,
            "VersionId": id,
            "VersionStages": self.labels_of(id),
            "CreatedDate": date_of(version.made),
        }))
    }

    /// ListSecretVersionIds.
    pub(super) fn list(&self, deprecated: bool) -> Answer {
        let entry = |version: &Version| {
            let labels = self.labels_of(&version.id);
            let is_listed = deprecated || !labels.is_empty();
            is_listed.then(
                || json!({"VersionId": version.id, "VersionStages": labels, "CreatedDate": date_of(version.made)}),
            )
        };
        let versions: Vec<Value> = self.versions.iter().filter_map(entry).collect();
        Ok(json!({"ARN": ARN, "Name": "mail", "Versions": versions}))
    }
}
