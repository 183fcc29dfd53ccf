//! The secret that holds the credential. The deployer never reads or writes a credential: an owned secret starts as a
//! placeholder that names the user, and the handler does the rest.

use std::time::Duration;

use aws_sdk_secretsmanager::types::SecretVersionsListEntry;
use aws_smithy_types::DateTime;
use contract::{AWSCURRENT, Command, Text, text};
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    date::rfc3339,
    deployment::facts::is_aws_managed_key,
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _},
    kinds::secret_policy::{self, SecretPolicy},
    read_once,
    rotation::labels,
};

pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) region: String,
    /// For how long a deleted secret can be restored; none to delete it for good.
    pub(crate) recovery_window_days: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    /// Name of the user that the placeholder names.
    pub(crate) user: String,
    /// ARN of the customer-managed key; none for `aws/secretsmanager`.
    pub(crate) kms_key_arn: Option<String>,
    /// The key as the configuration names it: an id, an alias or an ARN.
    pub(crate) kms_key: Option<String>,
    /// The labelled versions that stay encrypted under another key, in words.
    #[serde(skip)]
    pub(crate) under_older_keys: Vec<String>,
}

pub(crate) struct Observed {
    pub(super) kms_key: Option<String>,
    /// Scheduled for deletion: it is still there, and its name is not free. Some time after this date, it is deleted.
    pub(super) deleted: Option<DateTime>,
    /// The regions of its replicas.
    pub(super) replicas: Vec<String>,
    pub(super) policy: SecretPolicy,
}

pub(crate) enum Call {
    Create {
        user: String,
        kms_key: Option<String>,
        tags: Tags,
    },
    Restore,
    /// An empty key stands for AWS's own (API reference of UpdateSecret).
    SetKey(String),
    Delete,
}

impl Tagged for Secret {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["secretsmanager:TagResource", "secretsmanager:UntagResource"];
    const CONFLICTS: &'static [&'static str] = &["ResourceExistsException", "ResourceNotFoundException"];
    // A secret that was just restored answers so for a moment.
    const CONFLICTS_IN_WORDS: &'static [(&'static str, &'static str)] =
        &[("InvalidRequestException", "marked for deletion")];
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];
    const NAME_KEY: &'static str = "secret.name";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.name)
    }

    fn hint_if_not_ours(&self) -> Text {
        "to rotate it without owning it, write existing: true under secret; else choose another name".into()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let Some(secret) = read_once::secret(aws, &self.name).await? else { return Ok(None) };
        let policy = secret_policy::read(aws, &self.name).await?;
        Ok(Some(Found {
            tags: tags::read(secret.tags, |tag| (tag.key, tag.value)),
            observed: Observed {
                kms_key: secret.kms_key_id,
                deleted: secret.deleted_date,
                replicas: secret
                    .replication_status
                    .into_iter()
                    .flatten()
                    .filter_map(|replica| replica.region)
                    .collect(),
                policy,
            },
        }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let kms_key = goal.kms_key_arn.clone();
        let op = Op::new(Verb::Create, "secretsmanager:CreateSecret")
            .with("kms_key_id", None, kms_key.clone().map(Value::from))
            .sets("secret_string", "(a placeholder that names the user; no credential)")
            .sets("tags", tags::shown(&tags));
        vec![(op, Call::Create { user: goal.user.clone(), kms_key, tags })]
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let restore = found.observed.deleted.map(|_| {
            let op = Op::new(Verb::Update, "secretsmanager:RestoreSecret");
            (op.with("scheduled_for_deletion", Some(true.into()), Some(false.into())), Call::Restore)
        });
        Ok(restore.into_iter().chain(set_key(goal, &found.observed)).collect())
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let op = Op::new(Verb::Delete, "secretsmanager:DeleteSecret").effect(Effect::HidesSecret);
        let op = match self.recovery_window_days {
            Some(days) => op.sets("recovery_window_in_days", days),
            None => op.sets("force_delete_without_recovery", true).effect(Effect::PurgesSecret),
        };
        let replicas: Vec<&str> = found.observed.replicas.iter().map(String::as_str).collect();
        if !replicas.is_empty() {
            let words = ["secretsmanager", "remove-regions-from-replication", "--secret-id", &self.name];
            let remove = [&words[..], &["--remove-replica-regions"], &replicas].concat();
            return Err(Error::new(format!("secret {} is replicated to {}", self.name, replicas.join(" and ")))
                .cause("Secrets Manager deletes no secret that has replicas, and the deployer did not make them")
                .hint(text![
                    "if nobody reads the replicas, run ",
                    Command::aws_in(&self.region, &remove),
                    ", then this command again"
                ]));
        }
        let is_done = found.observed.deleted.is_some() && self.recovery_window_days.is_some();
        Ok(if is_done { Vec::new() } else { vec![(op, Call::Delete)] })
    }

    fn note(&self, goal: &Goal, found: Option<&Found<Observed>>) -> Option<Text> {
        note_of_key(goal, &found?.observed)
    }

    fn mention(&self, found: &Found<Observed>) -> Option<Text> {
        found.observed.policy.mention(&self.name)
    }

    fn foreign(&self, _: &Goal, found: &Found<Observed>) -> Vec<Text> {
        let told = |date| {
            text![
                format!(
                    "secret {} is scheduled for deletion: nobody can read it, and after {} Secrets Manager deletes it for good. ",
                    self.name,
                    rfc3339(date)
                ),
                Command::deployer("apply"),
                " restores it"
            ]
        };
        found.observed.deleted.map(told).into_iter().collect()
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.secretsmanager, &self.name);
        match call {
            Call::Create { user, kms_key, tags } => {
                let value = contract::SecretValue::placeholder(&user).to_json();
                // One token for every attempt: a create whose reply was lost is then not made twice.
                let token = uuid::Uuid::new_v4().to_string();
                eventually(&context.progress, CONSISTENT_WITHIN, is_being_purged, || async {
                    let request =
                        client.create_secret().name(name).secret_string(&value).set_kms_key_id(kms_key.clone());
                    let request = request.client_request_token(&token).set_tags(Some(sm_tags(&tags)));
                    request.send().await.failed_to(|| format!("create secret {name}")).map(drop)
                })
                .await
            }
            Call::Restore => {
                let answer = client.restore_secret().secret_id(name).send().await;
                answer.failed_to(|| format!("restore secret {name}")).map(drop)
            }
            Call::SetKey(key) => {
                let former = key_of_current(&context.aws, name).await?;
                let request = client.update_secret().secret_id(name).kms_key_id(&key);
                request.send().await.failed_to(|| format!("set the KMS key of secret {name}"))?;
                let not_yet = |error: &Error| error.kind() == ErrorKind::Refused;
                eventually(&context.progress, ENCRYPTED_AGAIN_WITHIN, not_yet, || async {
                    self.check_that_all_are_encrypted_again(&context.aws, &key, former.as_deref()).await
                })
                .await
            }
            Call::Delete => {
                let request = client.delete_secret().secret_id(name);
                // Secrets Manager takes one of the two (API reference of DeleteSecret).
                let request = match self.recovery_window_days {
                    Some(days) => request.recovery_window_in_days(days),
                    None => request.force_delete_without_recovery(true),
                };
                request.send().await.failed_to(|| format!("delete secret {name}")).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.secretsmanager.tag_resource().secret_id(&self.name).set_tags(Some(sm_tags(&tags)));
        request.send().await.failed_to(|| format!("tag secret {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.secretsmanager.untag_resource().secret_id(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag secret {}", self.name)).map(drop)
    }
}

/// Secrets Manager's lists may be old.
const ENCRYPTED_AGAIN_WITHIN: Duration = Duration::from_secs(20);

impl Secret {
    /// Without kms:Encrypt on the new key, Secrets Manager sets the key, and silently encrypts no version again. Then what depends on
    /// this secret is not changed, so that its readers keep the older key.
    async fn check_that_all_are_encrypted_again(
        &self,
        aws: &Aws,
        key: &str,
        former: Option<&str>,
    ) -> Result<(), Error> {
        let name = &self.name;
        let now = key_of_current(aws, name).await?;
        let Some(now) = now.filter(|now| is_not_yet(now, key, former)) else { return Ok(()) };
        let (named, needs) = if key.is_empty() {
            (AWS_OWN_KEY, "to call kms:Decrypt with the older key")
        } else {
            (key, "to call kms:Encrypt with the new key, and kms:Decrypt with the older one")
        };
        Err(Error::new(format!("secret {name} has the KMS key {named}, and AWSCURRENT is still encrypted under {now}"))
            .of_kind(ErrorKind::Refused)
            .cause(format!("Secrets Manager encrypts no version again if the caller is not allowed {needs}"))
            .hint(text![
                format!("mail goes on, and readers keep the older key. Allow yourself {needs}, then run "),
                Command::aws_in(
                    &self.region,
                    &["secretsmanager", "update-secret", "--secret-id", name, "--kms-key-id", key]
                ),
                " and apply again"
            ]))
    }
}

/// The KMS key that encrypts AWSCURRENT, as Secrets Manager lists it.
async fn key_of_current(aws: &Aws, secret: &str) -> Result<Option<String>, Error> {
    let versions = labels::encrypted(aws, secret).await?;
    let is_current =
        |version: &&SecretVersionsListEntry| version.version_stages().iter().any(|label| label == AWSCURRENT);
    Ok(versions.iter().find(is_current).and_then(|version| version.kms_key_ids().first()).cloned())
}

/// Whether a version that is encrypted under a key now is not yet under the new one, or AWS's own if that is empty. How AWS lists its own
/// key is not documented for every case, so that one is also told from the former key.
fn is_not_yet(now: &str, key: &str, former: Option<&str>) -> bool {
    if key.is_empty() {
        former == Some(now) && !is_aws_managed_key(now)
    } else {
        now != key && !key.ends_with(&format!(":key/{now}"))
    }
}

/// What a change of the key does to the versions, and which of them need the older key.
fn note_of_key(goal: &Goal, observed: &Observed) -> Option<Text> {
    let changes = set_key(goal, observed).is_some();
    let older = goal.under_older_keys.join(", ");
    let again = match &goal.kms_key_arn {
        Some(_) => {
            "the new KMS key encrypts the versions labelled AWSCURRENT, AWSPENDING and AWSPREVIOUS again, if you may call kms:Encrypt with it"
        }
        None => "AWS's own key encrypts the versions labelled AWSCURRENT, AWSPENDING and AWSPREVIOUS again",
    };
    let kept = format!(
        "stays encrypted as it is: {older}. Its readers keep kms:Decrypt; keep that key as long as somebody needs the version. \
         DEPLOYING and TOLD leave it with the next rotation; any other label stays until you take it off"
    );
    match (changes, older.is_empty()) {
        (true, true) => Some(again.into()),
        (true, false) => Some(format!("{again}. This {kept}").into()),
        (false, false) => Some(format!("this {kept}").into()),
        (false, true) => None,
    }
}

/// How a plan names the key that Secrets Manager uses where nobody names one.
const AWS_OWN_KEY: &str = "aws/secretsmanager";

/// The key may be written as an id, an alias or an ARN; what is compared is the key that each names.
fn set_key(goal: &Goal, observed: &Observed) -> Option<(Op, Call)> {
    // Secrets Manager returns an alias as it was given.
    let is_as_configured = |now: &String| goal.kms_key.as_ref() == Some(now);
    let same = match (&observed.kms_key, &goal.kms_key_arn) {
        (None, None) => true,
        (Some(now), Some(arn)) => now == arn || arn.ends_with(&format!(":key/{now}")) || is_as_configured(now),
        (Some(now), None) => is_aws_managed_key(now),
        (None, Some(_)) => false,
    };
    if same {
        return None;
    }
    let key = goal.kms_key_arn.clone();
    let to = key.clone().unwrap_or_else(|| AWS_OWN_KEY.to_owned());
    let from = observed.kms_key.clone().map(Value::from);
    let op = Op::new(Verb::Update, "secretsmanager:UpdateSecret").with("kms_key_id", from, Some(to.into()));
    Some((op, Call::SetKey(key.unwrap_or_default())))
}

/// A secret that was deleted without a recovery window is purged a while later, and blocks its name until then.
fn is_being_purged(error: &Error) -> bool {
    error.is("InvalidRequestException", "scheduled for deletion") || error.is("InvalidRequestException", "was deleted")
}

fn sm_tags(tags: &Tags) -> Vec<aws_sdk_secretsmanager::types::Tag> {
    tags.iter()
        .map(|(key, value)| aws_sdk_secretsmanager::types::Tag::builder().key(key).value(value).build())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_under_the_former_key_is_not_encrypted_again_yet() {
        let (old, new) = ("arn:aws:kms:r:1:key/old", "arn:aws:kms:r:1:key/new");
        for (now, key, is_expected) in [
            (old, new, true),
            (new, new, false),
            ("new", new, false),
            (old, "", true),
            ("DefaultEncryptionKey", "", false),
        ] {
            assert_eq!(is_not_yet(now, key, Some(old)), is_expected, "{now} {key:?}");
        }
        assert!(!is_not_yet("DefaultEncryptionKey", "", Some("DefaultEncryptionKey")), "it never had the older one");
    }

    #[test]
    fn a_version_that_stays_under_an_older_key_is_named_with_how_long_that_key_is_needed() {
        let secret = Secret { name: "s".into(), region: "eu-west-1".into(), recovery_window_days: None };
        let goal = Goal {
            user: "u".into(),
            kms_key_arn: None,
            kms_key: None,
            under_older_keys: vec!["version v (mine) under arn:key".into()],
        };
        let observed = Observed { kms_key: None, deleted: None, replicas: Vec::new(), policy: SecretPolicy::None };
        let found = Found { tags: Tags::new(), observed };
        let note = secret.note(&goal, Some(&found)).unwrap().to_string();
        assert!(note.contains("version v (mine) under arn:key"), "{note}");
        assert!(note.contains("keep that key as long as somebody needs the version"), "{note}");
    }
}
