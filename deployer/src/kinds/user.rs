//! The IAM user whose access keys become SMTP credentials.
//!
//! The deployer never makes a key. It deletes keys only with an owned user that is destroyed, and only with `--stop-mail`.
//! A deleted key cannot be restored: before the first one is deleted, nothing is left that would make IAM refuse DeleteUser.

use std::collections::BTreeSet;

use contract::{Command, TAG_DEPLOYMENT, TAG_SECRET, Text, text};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::policy::{only_denies, takes_senders_away},
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::{
        iam,
        powers::{self, Attached, Powers},
    },
    read_once,
};

pub(crate) struct User {
    pub(crate) name: String,
    /// Name of its inline policy.
    pub(crate) policy_name: String,
    /// The name of that policy under the former name of the deployment.
    pub(crate) former_policy: Option<String>,
    /// Whether it is to be deleted: what IAM wants removed before is read only then.
    pub(crate) going: bool,
    /// Whether a user that nobody owns is taken over: what it may do is read only then.
    pub(crate) adopts: bool,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    pub(crate) placement: iam::Placement,
    pub(crate) policy: Value,
    /// Value of its tag: `<region>/<secret name>`.
    pub(crate) serves: String,
    /// Policies and groups that others gave it on purpose.
    #[serde(skip)]
    pub(crate) known: BTreeSet<String>,
}

pub(crate) struct Observed {
    pub(super) placement: iam::Placement,
    pub(super) policy: Option<Value>,
    /// Whether it has the policy of the former name.
    pub(super) has_former_policy: bool,
    pub(super) key_ids: Vec<String>,
    /// None unless the user is to be taken over.
    pub(super) powers: Option<Powers>,
    /// What somebody else attached to our user. IAM wants it removed before DeleteUser (API reference of DeleteUser).
    pub(super) attached: Attached,
    /// Those of the inline policies of somebody else that only deny. Empty if the user is to be deleted.
    pub(super) denying: Attached,
    /// Other credentials than access keys, which IAM wants removed too. Empty unless the user is to be deleted.
    pub(super) credentials: Vec<Credential>,
}

/// A credential with which a person or a program, and not SMTP, uses the user.
pub(crate) struct Credential {
    /// For a sentence: `SSH key APKA…`.
    pub(super) name: String,
    /// The AWS CLI's command that removes it.
    pub(super) removal: Command,
}

pub(crate) enum Call {
    Create(iam::Placement, Tags),
    SetBoundary(String),
    PutPolicy(Value),
    DeletePolicy(String),
    DetachPolicy(String),
    LeaveGroup(String),
    DeleteKey(String),
    Delete,
}

impl Tagged for User {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["iam:TagUser", "iam:UntagUser"];
    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;
    const NAME_KEY: &'static str = "iam_user.name";

    fn address(&self) -> Address {
        Address::new(ResourceKind::User, &self.name)
    }

    fn hint_if_not_ours(&self) -> Text {
        "to rotate its keys without owning it, write existing: true under iam_user; else choose another name".into()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let name = &self.name;
        let Some(user) = read_once::user(aws, name).await? else {
            let spelled = if self.going { None } else { iam::user_in_other_letters(aws, name).await };
            let error = |spelled: String| iam::in_other_letters(&self.address().to_string(), &spelled, Self::NAME_KEY);
            return spelled.map_or(Ok(None), |spelled| Err(error(spelled)));
        };
        let former = async {
            match &self.former_policy {
                Some(former) => Ok(powers::read_policy(aws, name, former).await?.is_some()),
                None => Ok::<_, Error>(false),
            }
        };
        let tags = iam::read_tags(user.tags);
        let is_tagged = tags.contains_key(TAG_DEPLOYMENT);
        let (going, adopted) = (self.going, self.adopts && !is_tagged);
        let credentials = async { if going { Box::pin(self.read_credentials(aws)).await } else { Ok(Vec::new()) } };
        let attached =
            async { if going || is_tagged { self.read_attached(aws).await } else { Ok(Attached::default()) } };
        let powers = async { if adopted { powers::read(aws, name, &user.arn).await.map(Some) } else { Ok(None) } };
        let (keys, policy, has_former_policy, credentials, attached, powers) = tokio::join!(
            read_once::access_keys(aws, name),
            powers::read_policy(aws, name, &self.policy_name),
            former,
            credentials,
            Box::pin(attached),
            Box::pin(powers)
        );
        let keys = keys?.unwrap_or_default();
        let key_ids = keys.into_iter().filter_map(|key| key.access_key_id).collect();
        let (denying, attached) =
            if going { (Attached::default(), attached?) } else { self.split_denying(aws, attached?).await };
        let placement = iam::Placement {
            path: user.path,
            boundary: user.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        };
        let observed = Observed {
            placement,
            policy: policy?,
            has_former_policy: has_former_policy?,
            key_ids,
            powers: powers?,
            attached,
            denying,
            credentials: credentials?,
        };
        Ok(Some(Found { tags, observed }))
    }

    fn further_tags(&self, goal: &Goal) -> Tags {
        Tags::from([(TAG_SECRET.to_owned(), goal.serves.clone())])
    }

    fn check_that_it_may_be_adopted(&self, goal: &Goal, found: &Found<Observed>) -> Result<(), Error> {
        if let Some(powers) = found.observed.powers.as_ref().filter(|powers| powers.is_administrator == Some(true)) {
            let error = powers::is_an_administrator(&self.name, powers);
            return Err(error.hint("take these permissions from the user, or use one that may only send"));
        }
        let other = found.tags.get(TAG_SECRET).filter(|secret| **secret != goal.serves);
        let Some(other) = other else { return Ok(()) };
        let cause = format!("its tag {TAG_SECRET} is {other}: a deployment declares the user existing");
        Err(iam::serves_another_secret(&self.name).cause(cause))
    }

    fn note_of_adoption(&self, found: &Found<Observed>) -> Option<Text> {
        let Observed { key_ids, powers, .. } = &found.observed;
        let powers = powers.iter().map(|powers| powers::told(&self.name, powers));
        let keys = (!key_ids.is_empty()).then(|| {
            let (keys, stay) = match key_ids.as_slice() {
                [key] => (format!("access key {key}"), "stays"),
                keys => (format!("access keys {}", keys.join(" and ")), "stay"),
            };
            format!(
                "{keys} {stay}. A later rotation may delete a key that was never used and that no version of the secret names"
            )
        });
        Some(powers.chain(keys).collect::<Vec<_>>().join("; ").into())
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let op = goal.placement.sets(Op::new(Verb::Create, "iam:CreateUser")).sets("tags", tags::shown(&tags));
        std::iter::once((op, Call::Create(goal.placement.clone(), tags))).chain(put_policy(None, goal)).collect()
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let now = &found.observed.placement;
        let boundary = goal.placement.set_boundary(&self.address(), "iam:PutUserPermissionsBoundary", now)?;
        let boundary = boundary.map(|(op, arn)| (op.effect(Effect::LimitsMail), Call::SetBoundary(arn)));
        // Last: until the user has the policy of the present name, it needs the other one.
        let former = self.former_policy.as_ref().filter(|_| found.observed.has_former_policy).map(|former| {
            let op = Op::new(Verb::Update, "iam:DeleteUserPolicy");
            (op.with("inline_policy", Some(former.as_str().into()), None), Call::DeletePolicy(former.clone()))
        });
        Ok(boundary.into_iter().chain(put_policy(found.observed.policy.as_ref(), goal)).chain(former).collect())
    }

    fn delete(&self, found: &Found<Observed>, going: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { policy, key_ids, attached, credentials, .. } = &found.observed;
        if !credentials.is_empty() {
            return Err(self.used_otherwise(credentials));
        }
        if !key_ids.is_empty() && !going.stop_mail {
            return Err(Error::new(format!("user {} has access keys that a host may be using", self.name))
                .cause(format!(
                    "mail stops that is sent with {}, which a destroy of the user deletes",
                    key_ids.join(" and ")
                ))
                .hint("give the hosts another credential first, then run the command again with --stop-mail"));
        }
        let keys = key_ids.iter().map(|id| {
            let op = Op::new(Verb::Update, "iam:DeleteAccessKey").effect(Effect::StopsMail);
            (op.with("access_key", Some(id.as_str().into()), None), Call::DeleteKey(id.clone()))
        });
        let policy = policy.as_ref().map(|_| {
            let op = Op::new(Verb::Update, "iam:DeleteUserPolicy");
            let op = if key_ids.is_empty() { op } else { op.effect(Effect::StopsMail) };
            (op, Call::DeletePolicy(self.policy_name.clone()))
        });
        let user = (Op::new(Verb::Delete, "iam:DeleteUser"), Call::Delete);
        Ok(removals(attached).into_iter().chain(policy).chain(keys).chain([user]).collect())
    }

    // Hosts may send by it, or somebody denies on purpose, so it stays.
    fn foreign(&self, goal: &Goal, found: &Found<Observed>) -> Vec<Text> {
        let Observed { attached, denying, placement, .. } = &found.observed;
        let (attached, denying) = (attached.without(&goal.known), denying.without(&goal.known));
        let of = |powers: &Attached, told: &str| {
            let removals = powers.removals(&self.name).into_iter().map(Text::from);
            let named = powers.named()?;
            let note = text![format!("somebody gave the user {named}{told}: ")].then(Text::join(removals, ", "));
            Some(note.then("; name under iam_user.known_policies what is meant"))
        };
        let given = of(
            &attached,
            ": every host's credential may use it, and hosts may send by it, or it denies them mail. Take away what no host needs",
        );
        let denied = of(
            &denying,
            ", which only denies: it may stop mail, whatever the user's own policy allows. If nobody wants that, take it away",
        );
        let removal = ["delete-user-permissions-boundary", "--user-name"];
        let key = "iam_user.permissions_boundary";
        let boundary = iam::foreign_boundary(&self.address(), &goal.placement, placement, key, removal);
        given.into_iter().chain(denied).chain(boundary).collect()
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name, policy) = (&context.aws.iam, &self.name, &self.policy_name);
        match call {
            Call::Create(placement, tags) => {
                let request = client.create_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                let request = request.path(placement.path).set_permissions_boundary(placement.boundary);
                request.send().await.failed_to(|| format!("create user {name}")).map(drop)
            }
            Call::SetBoundary(arn) => {
                let request = client.put_user_permissions_boundary().user_name(name).permissions_boundary(&arn);
                request.send().await.failed_to(|| format!("set the permissions boundary of user {name}")).map(drop)
            }
            Call::PutPolicy(document) => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_not_there_yet, || async {
                    let request = client.put_user_policy().user_name(name).policy_name(policy);
                    let request = request.policy_document(document.to_string());
                    request.send().await.failed_to(|| format!("put the policy of user {name}")).map(drop)
                })
                .await
            }
            Call::DeletePolicy(policy) => {
                let request = client.delete_user_policy().user_name(name).policy_name(&policy);
                request.send().await.failed_to(|| format!("delete policy {policy} of user {name}")).map(drop)
            }
            Call::DetachPolicy(arn) => {
                let request = client.detach_user_policy().user_name(name).policy_arn(&arn);
                request.send().await.failed_to(|| format!("detach policy {arn} from user {name}")).map(drop)
            }
            Call::LeaveGroup(group) => {
                let request = client.remove_user_from_group().user_name(name).group_name(&group);
                request.send().await.failed_to(|| format!("remove user {name} from group {group}")).map(drop)
            }
            Call::DeleteKey(id) => {
                let request = client.delete_access_key().user_name(name).access_key_id(&id);
                request.send().await.failed_to(|| format!("delete access key {id} of user {name}")).map(drop)
            }
            Call::Delete => {
                eventually(&context.progress, CONSISTENT_WITHIN, iam::is_still_in_use, || async {
                    let answer = client.delete_user().user_name(name).send().await;
                    answer.failed_to(|| format!("delete user {name}")).map(drop)
                })
                .await
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.iam.tag_user().user_name(&self.name).set_tags(Some(iam::tags(&tags)));
        request.send().await.failed_to(|| format!("tag user {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.iam.untag_user().user_name(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag user {}", self.name)).map(drop)
    }
}

impl User {
    /// Without the deployment's own policy. Of a user that stays, also without the policy of the former name, which `update` removes, and
    /// without AWS's own quarantine, which is told before everything else.
    async fn read_attached(&self, aws: &Aws) -> Result<Attached, Error> {
        let mut attached = powers::read_attached(aws, &self.name).await?;
        attached.inline_policies.retain(|policy| *policy != self.policy_name);
        if !self.going {
            attached.inline_policies.retain(|policy| Some(policy) != self.former_policy.as_ref());
            attached.managed_policies.retain(|arn| contract::quarantine([arn.clone()]).is_none());
        }
        Ok(attached)
    }

    /// Takes those inline policies out that only deny. One that cannot be read is not known to.
    async fn split_denying(&self, aws: &Aws, attached: Attached) -> (Attached, Attached) {
        let read = attached.inline_policies.into_iter().map(async |name| {
            let document = powers::read_policy(aws, &self.name, &name).await.ok().flatten();
            (name, document.as_ref().is_some_and(only_denies))
        });
        let (denying, others): (Vec<_>, Vec<_>) =
            join_all(read).await.into_iter().partition(|(_, only_denies)| *only_denies);
        let names = |policies: Vec<(String, bool)>| policies.into_iter().map(|(name, _)| name).collect();
        let denying = Attached { inline_policies: names(denying), ..Attached::default() };
        (denying, Attached { inline_policies: names(others), ..attached })
    }

    /// No user has more of a kind than fit into one answer: two certificates and credentials per service, five SSH keys,
    /// eight MFA devices (IAM quotas).
    async fn read_credentials(&self, aws: &Aws) -> Result<Vec<Credential>, Error> {
        let (client, name) = (&aws.iam, &self.name);
        let (password, devices, ssh_keys, certificates, of_services) = tokio::join!(
            client.get_login_profile().user_name(name).send(),
            client.list_mfa_devices().user_name(name).send(),
            client.list_ssh_public_keys().user_name(name).send(),
            client.list_signing_certificates().user_name(name).send(),
            client.list_service_specific_credentials().user_name(name).send()
        );
        let failed = |what: &str| format!("list the {what} of user {name}");
        let password = password.failed_to(|| format!("read whether user {name} has a console password"));
        let password = absent_is_none(password, &["NoSuchEntity"])?.map(|_| self.credential("console password", &[]));
        let devices = devices.failed_to(|| failed("MFA devices"))?.mfa_devices.into_iter().map(|device| {
            self.credential("MFA device", &["deactivate-mfa-device", "--serial-number", &device.serial_number])
        });
        let ssh_keys = ssh_keys.failed_to(|| failed("SSH keys"))?.ssh_public_keys.unwrap_or_default().into_iter();
        let ssh_keys = ssh_keys.map(|key| {
            self.credential("SSH key", &["delete-ssh-public-key", "--ssh-public-key-id", &key.ssh_public_key_id])
        });
        let certificates = certificates.failed_to(|| failed("signing certificates"))?.certificates.into_iter();
        let certificates = certificates.map(|one| {
            let words = ["delete-signing-certificate", "--certificate-id", &one.certificate_id];
            self.credential("signing certificate", &words)
        });
        let of_services = of_services.failed_to(|| failed("service-specific credentials"))?;
        let of_services = of_services.service_specific_credentials.unwrap_or_default().into_iter().map(|one| {
            let id = &one.service_specific_credential_id;
            let words = ["delete-service-specific-credential", "--service-specific-credential-id", id];
            self.credential("service-specific credential", &words)
        });
        let others = devices.chain(ssh_keys).chain(certificates).chain(of_services);
        Ok(password.into_iter().chain(others).collect())
    }

    /// `removal`: the AWS CLI's command, its option, and the credential's id; none for the password, of which there is one.
    fn credential(&self, kind: &str, removal: &[&str]) -> Credential {
        let (command, option_and_id) = removal.split_first().unwrap_or((&"delete-login-profile", &[]));
        let name = option_and_id.last().map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}"));
        let words = [&["iam", command, "--user-name", &self.name], option_and_id].concat();
        Credential { name, removal: Command::aws(&words) }
    }

    /// Somebody signs in as this user: that is no one's to end but theirs.
    fn used_otherwise(&self, credentials: &[Credential]) -> Error {
        let names: Vec<&str> = credentials.iter().map(|credential| credential.name.as_str()).collect();
        let error = Error::new(format!("user {} has other credentials than access keys", self.name)).cause(format!(
            "IAM deletes no user that has one, and the deployer made none of them: {}",
            names.join(", ")
        ));
        let error = credentials.iter().fold(error, |error, credential| {
            error.hint(text!["if nobody uses the ", credential.name.as_str(), ", run ", credential.removal.clone()])
        });
        error.hint("then run the command again; until then nothing is deleted")
    }
}

/// The calls that remove what may be removed: each can be undone, and the user goes anyway.
fn removals(attached: &Attached) -> Vec<(Op, Call)> {
    let op = |call, field, name: &String| Op::new(Verb::Update, call).with(field, Some(name.as_str().into()), None);
    let groups = attached.groups.iter();
    let groups = groups.map(|it| (op("iam:RemoveUserFromGroup", "group", it), Call::LeaveGroup(it.clone())));
    let managed = attached.managed_policies.iter();
    let managed = managed.map(|it| (op("iam:DetachUserPolicy", "managed_policy", it), Call::DetachPolicy(it.clone())));
    let inline = attached.inline_policies.iter();
    let inline = inline.map(|it| (op("iam:DeleteUserPolicy", "inline_policy", it), Call::DeletePolicy(it.clone())));
    groups.chain(managed).chain(inline).collect()
}

fn put_policy(observed: Option<&Value>, goal: &Goal) -> Option<(Op, Call)> {
    let (op, policy) = iam::put_policy("iam:PutUserPolicy", observed, &goal.policy)?;
    let limits = observed.is_some_and(|now| takes_senders_away(now, &policy));
    Some((if limits { op.effect(Effect::LimitsMail) } else { op }, Call::PutPolicy(policy)))
}
