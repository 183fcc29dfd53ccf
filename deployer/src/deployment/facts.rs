//! Facts: what AWS alone knows and goals depend on. They are read in the same concurrent round as everything else, so that a
//! plan never says "known after apply".

use std::{collections::BTreeSet, fmt};

use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType};
use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Command, TAG_DEPLOYMENT, Text, is_quarantined, text};

use crate::{
    aws::Aws,
    config::Config,
    date::rfc3339,
    deployment::{
        Deployment,
        names::Names,
        policy::KmsKeys,
        record::{self, Kept, Record},
    },
    engine::op::{Address, ResourceKind, Toward},
    error::{Error, ErrorKind},
    package::Package,
    read_once,
    rotation::labels::{self, Labels},
};

/// What goals depend on beside the configuration and the names.
///
/// Each fact is a result of its own: one that cannot be read fails only the resources whose goals need it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) user_arn: Fact<String>,
    /// Ids of the user's access keys; none if there is no user.
    pub(crate) user_keys: Fact<Vec<String>>,
    pub(crate) kms_key_arn: Fact<Option<String>>,
    /// That key as the file names it: an alias may name another key tomorrow.
    pub(crate) kms_key_as_named: Option<String>,
    /// The labelled versions that stay encrypted under another key than that one.
    pub(crate) under_older_keys: Fact<Vec<UnderOlderKey>>,
    /// Labels of the secret; none if there is no secret.
    pub(crate) labels: Fact<Labels>,
    pub(crate) package: Fact<Package>,
    /// None if there is no record.
    pub(crate) record: Fact<Option<Kept>>,
    /// The record of the deployment under its former name.
    pub(crate) former_record: Fact<Option<Kept>>,
    pub(crate) former: Fact<Former>,
    /// ARN of the function's role.
    pub(crate) role_arn: Fact<String>,
    /// What a person has to know first: that AWS has put the user in quarantine, or that this is not known. No goal needs it.
    pub(crate) quarantine: Option<Text>,
}

/// Names of what this deployment had before, and of what it has, as its record says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Former {
    /// Those that it rotated. None if the record knows another user too: then the file is rather that of another deployment, which has
    /// the name of this one by mistake.
    pub(crate) secrets: Vec<String>,
    pub(crate) functions: Vec<String>,
    pub(crate) roles: Vec<String>,
}

/// A labelled version that is encrypted under a key that the secret does not use any more.
#[derive(Clone, Debug)]
pub(crate) struct UnderOlderKey {
    version: String,
    labels: Vec<String>,
    /// ARN.
    key: String,
}

impl fmt::Display for UnderOlderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({}) under {}", self.version, self.labels.join(", "), self.key)
    }
}

type Fact<T> = Result<T, Error>;

impl Facts {
    /// ARN of the user. A referenced one may have a path, which only IAM knows.
    pub(crate) fn user_arn(&self) -> Result<&str, Error> {
        self.user_arn.as_deref().map_err(Clone::clone)
    }

    pub(crate) fn user_has_keys(&self) -> Result<bool, Error> {
        self.user_keys().map(|keys| !keys.is_empty())
    }

    pub(crate) fn user_keys(&self) -> Result<&[String], Error> {
        self.user_keys.as_deref().map_err(Clone::clone)
    }

    /// ARN of the customer-managed key that encrypts the secret; none for `aws/secretsmanager`.
    pub(crate) fn kms_key_arn(&self) -> Result<Option<&str>, Error> {
        self.kms_key_arn.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// These facts without what somebody else may change in AWS: what a digest of the file's own declaration is made from.
    pub(crate) fn as_declared(&self) -> Self {
        let named = self.kms_key_arn.clone().map(|_| self.kms_key_as_named.clone());
        let none_older = self.under_older_keys.clone().map(|_| Vec::new());
        Self { kms_key_arn: named, under_older_keys: none_older, ..self.clone() }
    }

    /// Every key that the secret's readers need.
    pub(crate) fn kms_keys(&self) -> Result<KmsKeys, Error> {
        let older: BTreeSet<_> = self.under_older_keys()?.iter().map(|version| version.key.clone()).collect();
        Ok(KmsKeys { current: self.kms_key_arn()?.map(str::to_owned), older: older.into_iter().collect() })
    }

    pub(crate) fn under_older_keys(&self) -> Result<&[UnderOlderKey], Error> {
        self.under_older_keys.as_deref().map_err(Clone::clone)
    }

    pub(crate) fn labels(&self) -> Result<&Labels, Error> {
        self.labels.as_ref().map_err(Clone::clone)
    }

    /// Keys of tags that the configuration named at an earlier apply.
    pub(crate) fn recorded_tags(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.recorded()?.map(|record| record.tags).unwrap_or_default())
    }

    pub(crate) fn record(&self) -> Result<Option<&Kept>, Error> {
        self.record.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Whether an apply has made this resource, as the record says.
    pub(crate) fn was_made(&self, address: &Address) -> bool {
        self.record().ok().flatten().is_some_and(|kept| kept.record.made(address))
    }

    pub(crate) fn former(&self) -> Result<&Former, Error> {
        self.former.as_ref().map_err(Clone::clone)
    }

    /// ARN of the function's role. An existing one may have a path, which only IAM knows.
    pub(crate) fn role_arn(&self) -> Result<&str, Error> {
        self.role_arn.as_deref().map_err(Clone::clone)
    }

    /// What the deployment may own by its record, and by that of its former name.
    pub(crate) fn recorded(&self) -> Result<Option<Record>, Error> {
        let former = self.former_record.as_ref().map_err(Clone::clone)?.as_ref().map(|kept| &kept.record);
        let own = self.record()?.map(|kept| &kept.record);
        Ok(match (former, own) {
            (Some(former), Some(own)) => {
                let both = Record::between(Some(former), own);
                Some(Record { applied: own.applied.clone().or(both.applied), ..both })
            }
            (former, own) => own.or(former).cloned(),
        })
    }

    /// The code that the function should have.
    pub(crate) fn package(&self) -> Result<&Package, Error> {
        self.package.as_ref().map_err(Clone::clone)
    }
}

/// Reads the facts. On the way to absent no goal is made, so only the labels are read, and whether the user has keys.
pub(crate) async fn read(aws: &Aws, deployment: &Deployment, toward: Toward) -> Facts {
    let Deployment { config, names, .. } = deployment;
    if toward != Toward::Present {
        let (user_keys, labels, (record, former_record)) =
            tokio::join!(user_keys(aws, names), read_labels(aws, names), records(aws, names));
        return with_former(Facts { user_keys, labels, record, former_record, ..unread() }, names);
    }
    let (user_arn, role_arn, quarantine, user_keys, (kms_key_arn, under_older_keys), labels, (record, former_record)) = tokio::join!(
        user_arn(aws, config, names),
        role_arn(aws, config, names),
        quarantine(aws, names),
        user_keys(aws, names),
        kms_keys(aws, config, names),
        read_labels(aws, names),
        records(aws, names)
    );
    let facts = Facts {
        user_arn,
        user_keys,
        kms_key_arn,
        kms_key_as_named: config.secret.kms_key.as_ref().map(ToString::to_string),
        under_older_keys,
        labels,
        package: deployment.package(),
        quarantine,
        former: Ok(Former::default()),
        former_record,
        role_arn,
        record,
    };
    with_former(facts, names)
}

/// The facts with which a goal is the least that a rotation needs: of KMS's keys the one that the secret has now. One that may not be
/// read is left out.
pub(crate) async fn least(aws: &Aws, names: &Names) -> Result<Facts, Error> {
    let key = read_once::secret(aws, &names.secret).await?.and_then(|secret| secret.kms_key_id);
    let kms_key_arn = match key {
        None => Ok(None),
        Some(key) => match arn_of_key(aws, names, key).await {
            Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
            arn => arn,
        },
    };
    Ok(Facts { kms_key_arn, under_older_keys: Ok(Vec::new()), ..unread() })
}

/// No fact at all.
pub(crate) fn unread() -> Facts {
    fn unread<T>() -> Fact<T> {
        Err(Error::new("this fact was not read"))
    }
    Facts {
        user_arn: unread(),
        user_keys: unread(),
        kms_key_arn: unread(),
        kms_key_as_named: None,
        under_older_keys: unread(),
        labels: unread(),
        package: unread(),
        quarantine: None,
        record: unread(),
        former: unread(),
        former_record: unread(),
        role_arn: unread(),
    }
}

/// The record, and that of the former name.
async fn records(aws: &Aws, names: &Names) -> (Fact<Option<Kept>>, Fact<Option<Kept>>) {
    let former = async {
        let Some(former) = &names.former else { return Ok(None) };
        let is_its_own = |kept: &Kept| kept.tags.get(TAG_DEPLOYMENT) == Some(&former.owner);
        match record::read(aws, &former.record).await?.filter(is_its_own) {
            Some(kept) if !is_of_the_same_credential(&kept.record, names) => {
                Err(is_another(&former.owner, &kept.record))
            }
            found => Ok(found),
        }
    };
    tokio::join!(record::read(aws, &names.record), former)
}

/// Whether a record of the former name is that of this deployment. Once the move is done, somebody may give the name to another one.
fn is_of_the_same_credential(record: &Record, names: &Names) -> bool {
    let has = |kind, name: &String| record.resources.iter().any(|entry| entry.kind == kind && entry.name == *name);
    has(ResourceKind::Rotation, &names.secret) && has(ResourceKind::User, &names.user)
}

fn is_another(owner: &str, record: &Record) -> Error {
    let name = |kind| record.name_of(kind).unwrap_or("none");
    Error::new(format!("moved_from names deployment {owner}, which is another deployment"))
        .of_kind(ErrorKind::NotOurs)
        .cause(format!("its secret is {}, and its user is {}", name(ResourceKind::Rotation), name(ResourceKind::User)))
        .hint("if this deployment has its new name already, remove the line moved_from: it does nothing any more")
        .hint("to give a deployment another name, keep its secret.name and iam_user.name")
}

fn with_former(facts: Facts, names: &Names) -> Facts {
    let former = facts.recorded().map(|record| record.map(|record| former(&record, names)).unwrap_or_default());
    Facts { former, ..facts }
}

fn former(record: &Record, names: &Names) -> Former {
    let of_kind = |kind| {
        let entries = record.resources.iter().filter(move |entry| entry.kind == kind);
        entries.map(|entry| entry.name.clone()).collect::<Vec<_>>()
    };
    let is_of_our_user = of_kind(ResourceKind::User).contains(&names.user);
    Former {
        secrets: if is_of_our_user { of_kind(ResourceKind::Rotation) } else { Vec::new() },
        functions: of_kind(ResourceKind::Function),
        roles: of_kind(ResourceKind::Role),
    }
}

async fn read_labels(aws: &Aws, names: &Names) -> Fact<Labels> {
    Ok(labels::read(aws, &names.secret).await?.unwrap_or_default())
}

async fn user_keys(aws: &Aws, names: &Names) -> Fact<Vec<String>> {
    if read_once::user(aws, &names.user).await?.is_none() {
        return Ok(Vec::new());
    }
    let keys = read_once::access_keys(aws, &names.user).await?.unwrap_or_default();
    Ok(keys.into_iter().filter_map(|key| key.access_key_id).collect())
}

async fn quarantine(aws: &Aws, names: &Names) -> Option<Text> {
    let user = &names.user;
    if let Ok(None) = read_once::user(aws, user).await {
        return None;
    }
    match read_once::attached_user_policies(aws, user).await {
        Ok(attached) => contract::quarantine(attached).map(|policy| is_quarantined(user, &policy)),
        Err(error) => {
            Some(format!("it is not known whether AWS has put {user} in quarantine: {}", error.in_one_line()).into())
        }
    }
}

async fn user_arn(aws: &Aws, config: &Config, names: &Names) -> Fact<String> {
    if !config.iam_user.existing {
        return Ok(names.owned_user_arn());
    }
    let user = read_once::user(aws, &names.user).await?;
    // If a referenced user is absent, its kind reports that with a hint, and no goal is used.
    Ok(user.map_or_else(|| names.owned_user_arn(), |user| user.arn))
}

async fn role_arn(aws: &Aws, config: &Config, names: &Names) -> Fact<String> {
    if config.function.role.is_none() {
        return Ok(names.owned_role_arn());
    }
    let role = read_once::role(aws, &names.role).await?;
    // If the role is absent, its kind reports that with a hint, and no goal is used.
    Ok(role.map_or_else(|| names.owned_role_arn(), |role| role.arn))
}

/// The key that the secret is to have, and the versions that do not have it.
async fn kms_keys(aws: &Aws, config: &Config, names: &Names) -> (Fact<Option<String>>, Fact<Vec<UnderOlderKey>>) {
    let secret = match read_once::secret(aws, &names.secret).await {
        Ok(secret) => secret,
        Err(error) => return (Err(error.clone()), Err(error)),
    };
    let now = secret.as_ref().and_then(|secret| secret.kms_key_id.clone());
    let configured = config.secret.kms_key.as_ref().map(ToString::to_string);
    let wanted = if config.secret.existing { now.clone() } else { configured };
    let wanted = usable_key(aws, wanted).await;
    let under_older = match (&wanted, secret) {
        (Err(error), _) => Err(error.clone()),
        (Ok(_), None) => Ok(Vec::new()),
        (Ok(wanted), Some(_)) => under_older_keys(aws, names, now, wanted.as_deref()).await,
    };
    (wanted, under_older)
}

/// The labelled versions that are not encrypted under the key that the secret is to have, once it has this key.
async fn under_older_keys(
    aws: &Aws,
    names: &Names,
    now: Option<String>,
    wanted: Option<&str>,
) -> Fact<Vec<UnderOlderKey>> {
    let has = match &now {
        Some(key) => arn_of_key(aws, names, key.clone()).await?,
        None => None,
    };
    let changes = has.as_deref() != wanted;
    if changes {
        // Secrets Manager reads the versions with this key, to encrypt them again.
        match usable_key(aws, now).await {
            // A file that names no key is no reason to allow kms:DescribeKey.
            Err(error) if error.kind() != ErrorKind::Denied => return Err(error),
            _ => {}
        }
    }
    let mut older = Vec::new();
    for version in labels::encrypted(aws, &names.secret).await? {
        let mut labels = version.version_stages.unwrap_or_default();
        labels.retain(|label| labels::is_shown(label));
        // Secrets Manager encrypts these again when the key changes (API reference, UpdateSecret).
        let is_encrypted_again = changes && labels.iter().any(|label| AWS_LABELS.contains(&label.as_str()));
        if is_encrypted_again {
            continue;
        }
        for key in version.kms_key_ids.unwrap_or_default() {
            let key = arn_of_key(aws, names, key).await?;
            let id = version.version_id.clone().unwrap_or_default();
            let of_older = key.filter(|key| wanted != Some(key.as_str()));
            older.extend(of_older.map(|key| UnderOlderKey { version: id, labels: labels.clone(), key }));
        }
    }
    Ok(older)
}

/// Labels that Secrets Manager knows.
const AWS_LABELS: [&str; 3] = [AWSCURRENT, AWSPENDING, AWSPREVIOUS];

/// Whether this names the key that Secrets Manager uses where nobody names one.
pub(crate) fn is_aws_managed_key(key: &str) -> bool {
    key.ends_with("alias/aws/secretsmanager") || key == "DefaultEncryptionKey" || key.is_empty()
}

/// The ARN of a customer-managed key that is named by its id, its alias or its ARN; none for AWS's own key.
async fn arn_of_key(aws: &Aws, names: &Names, key: String) -> Fact<Option<String>> {
    if is_aws_managed_key(&key) {
        return Ok(None);
    }
    if key.contains(":key/") {
        return Ok(Some(key));
    }
    let arn = described(aws, &key).await?.and_then(|metadata| metadata.arn);
    Ok(Some(arn.unwrap_or_else(|| names.kms_key_arn(&key))))
}

/// As [`arn_of_key`], of a key that Secrets Manager has to use.
///
/// # Errors
/// KMS uses it for nothing: it is disabled, say. Then the secret can neither be read nor stored.
async fn usable_key(aws: &Aws, key: Option<String>) -> Fact<Option<String>> {
    let Some(key) = key.filter(|key| !is_aws_managed_key(key)) else { return Ok(None) };
    let Some(metadata) = described(aws, &key).await? else { return Ok(Some(key)) };
    check_that_it_encrypts(&key, &metadata)?;
    let arn = metadata.arn.clone().unwrap_or_else(|| key.clone());
    // Updating: the primary region of a multi-region key changes, and the key is used meanwhile (KMS guide, "Key states").
    let Some(state) = metadata.key_state.as_ref().filter(|it| !matches!(it, KeyState::Enabled | KeyState::Updating))
    else {
        return Ok(Some(arn));
    };
    let when = metadata.deletion_date.map_or_else(String::new, |date| format!("; KMS deletes it at {}", rfc3339(date)));
    let error = Error::new(format!("KMS key {key} cannot be used: its state is {}", state.as_str())).cause(format!(
        "with this key, nobody can read or store the secret{when}. Hosts that have the credential go on sending"
    ));
    let enable = Command::aws_on(&arn, &["kms", "enable-key", "--key-id", &arn]);
    Err(match state {
        KeyState::Disabled => error.hint(text!["if nobody meant to lock the secret, run ", enable]),
        KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => error.hint(text![
            "keep the key: run ",
            Command::aws_on(&arn, &["kms", "cancel-key-deletion", "--key-id", &arn]),
            ", then ",
            enable
        ]),
        _ => error.hint("wait until the key is Enabled, or correct secret.kms_key"),
    })
}

/// Secrets Manager takes only symmetric keys that encrypt (Secrets Manager guide, "Secret encryption and decryption").
fn check_that_it_encrypts(key: &str, metadata: &KeyMetadata) -> Result<(), Error> {
    let is_symmetric = metadata.key_spec.as_ref().is_none_or(|spec| *spec == KeySpec::SymmetricDefault);
    let encrypts = metadata.key_usage.as_ref().is_none_or(|usage| *usage == KeyUsageType::EncryptDecrypt);
    if is_symmetric && encrypts {
        return Ok(());
    }
    let spec = metadata.key_spec.as_ref().map_or("unknown", KeySpec::as_str);
    let usage = metadata.key_usage.as_ref().map_or("unknown", KeyUsageType::as_str);
    Err(Error::new(format!("KMS key {key} cannot encrypt a secret"))
        .cause(format!(
            "Secrets Manager needs a SYMMETRIC_DEFAULT key for ENCRYPT_DECRYPT, and this is a {spec} key for {usage}"
        ))
        .hint("name another key under secret.kms_key"))
}

async fn described(aws: &Aws, key: &str) -> Fact<Option<KeyMetadata>> {
    read_once::kms_key(aws, key).await.map_err(|error| match error.code() {
        Some("NotFoundException") => error.hint("correct secret.kms_key, or create the key or its alias first"),
        _ => error,
    })
}
