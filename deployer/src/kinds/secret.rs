//! The secret that holds the credential. This file never reads or writes a credential: an owned
//! secret starts as a placeholder that names the user, and the handler does the rest.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::{CONSISTENT_WITHIN, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Secret(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    kms_key: Option<String>,
    tags: Tags,
    /// Set where it is scheduled for deletion: it is still there, and its name is not free.
    deleted: bool,
}

pub(crate) enum Call {
    Create { kms_key: Option<String>, tags: Tags },
    Restore,
    SetKey(String),
    Tags(TagCall),
    Delete { recovery_window_days: i64 },
}

impl Kind for Secret {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "secret", name: self.0.names.secret.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.secret;
        let answer = aws.secretsmanager.describe_secret().secret_id(name).send().await;
        let answer = answer.failed_to(|| format!("read secret {name}"));
        Ok(absent_is_none(answer, &["ResourceNotFoundException"])?.map(|secret| Observed {
            kms_key: secret.kms_key_id,
            tags: tags::read(secret.tags, |tag| (tag.key, tag.value)),
            deleted: secret.deleted_date.is_some(),
        }))
    }

    fn decide(&self, toward: Toward, facts: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        if self.0.config.secret.existing {
            return self.check_referenced(toward, observed.as_ref()).map(|()| Vec::new());
        }
        let Deployment { config, names } = &*self.0;
        let Some(observed) = observed else {
            return Ok(match toward {
                Toward::Absent { .. } => Vec::new(),
                Toward::Present => vec![self.create(facts)],
            });
        };
        let way_out = "to rotate it without owning it, write existing: true under secret; else choose another name";
        tags::check_owner(&self.address(), &observed.tags, names, way_out)?;
        if toward != Toward::Present {
            let days = i64::from(config.secret.recovery_window_days);
            let op = Op::new(Verb::Delete, "secretsmanager:DeleteSecret").sets("recovery_window_in_days", days);
            let call = Call::Delete { recovery_window_days: days };
            return Ok(if observed.deleted { Vec::new() } else { vec![(op, call)] });
        }
        let mut ops = Vec::new();
        if observed.deleted {
            let op = Op::new(Verb::Update, "secretsmanager:RestoreSecret");
            ops.push((op.with("scheduled_for_deletion", Some(true.into()), Some(false.into())), Call::Restore));
        }
        ops.extend(self.set_key(facts, observed));
        let (set, unset) = ("secretsmanager:TagResource", "secretsmanager:UntagResource");
        let calls = tags::ops(set, unset, &observed.tags, &tags::owned(config, names));
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        Ok(ops)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.secretsmanager, &self.0.names.secret);
        match call {
            Call::Create { kms_key, tags } => {
                let value = contract::SecretValue::placeholder(&self.0.names.user).to_json();
                // One token for every try: a create whose reply was lost is then not made twice.
                let token = uuid::Uuid::new_v4().to_string();
                eventually(&context.progress, CONSISTENT_WITHIN, is_being_purged, || async {
                    let request =
                        client.create_secret().name(name).secret_string(&value).set_kms_key_id(kms_key.clone());
                    let request = request.client_request_token(&token).set_tags(Some(sm_tags(&tags)));
                    request.send().await.failed_to(|| format!("create secret {name}")).map(drop)
                })
                .await
            }
            Call::Restore => client
                .restore_secret()
                .secret_id(name)
                .send()
                .await
                .failed_to(|| format!("restore secret {name}"))
                .map(drop),
            Call::SetKey(key) => {
                let request = client.update_secret().secret_id(name).kms_key_id(key);
                request.send().await.failed_to(|| format!("set the KMS key of secret {name}")).map(drop)
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = client.tag_resource().secret_id(name).set_tags(Some(sm_tags(&tags)));
                request.send().await.failed_to(|| format!("tag secret {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = client.untag_resource().secret_id(name).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag secret {name}")).map(drop)
            }
            Call::Delete { recovery_window_days } => {
                let request = client.delete_secret().secret_id(name).recovery_window_in_days(recovery_window_days);
                request.send().await.failed_to(|| format!("delete secret {name}")).map(drop)
            }
        }
    }
}

impl Secret {
    fn check_referenced(&self, toward: Toward, observed: Option<&Observed>) -> Result<(), Error> {
        let missing = match observed {
            None => "does not exist",
            Some(observed) if observed.deleted => "is scheduled for deletion",
            Some(_) => return Ok(()),
        };
        if toward != Toward::Present {
            return Ok(());
        }
        Err(Error::new(format!("secret {} is declared existing and {missing}", self.0.names.secret))
            .hint("correct secret.name, restore it, or leave out existing: true to have it made"))
    }

    fn create(&self, facts: &Facts) -> (Op, Call) {
        let tags = tags::owned(&self.0.config, &self.0.names);
        let key = facts.kms_key_arn.clone();
        let op = Op::new(Verb::Create, "secretsmanager:CreateSecret")
            .with("kms_key_id", None, key.clone().map(Value::from))
            .sets("secret_string", "(a placeholder that names the user; no credential)")
            .sets("tags", tags::shown(&tags));
        (op, Call::Create { kms_key: key, tags })
    }

    /// The key may be written as an id, an alias or an ARN; what is compared is where it leads.
    fn set_key(&self, facts: &Facts, observed: &Observed) -> Option<(Op, Call)> {
        let same = match (&observed.kms_key, &facts.kms_key_arn) {
            (None, None) => true,
            (Some(now), Some(goal)) => {
                now == goal || goal.ends_with(&format!(":key/{now}")) || self.is_configured_key(now)
            }
            (Some(now), None) => now.ends_with("alias/aws/secretsmanager"),
            (None, Some(_)) => false,
        };
        if same {
            return None;
        }
        // Empty stands for AWS's own key (API reference of UpdateSecret).
        let goal = facts.kms_key_arn.clone().unwrap_or_default();
        let from = observed.kms_key.clone().map(Value::from);
        let op =
            Op::new(Verb::Update, "secretsmanager:UpdateSecret").with("kms_key_id", from, Some(goal.clone().into()));
        Some((op, Call::SetKey(goal)))
    }

    /// Secrets Manager answers an alias as it was given.
    fn is_configured_key(&self, key: &str) -> bool {
        self.0.config.secret.kms_key.as_ref().is_some_and(|configured| &**configured == key)
    }
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
