//! How a deployment stands: every resource, the labels, the keys. Reads only, and never a secret's value.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use contract::{AWSCURRENT, DEPLOYING, Report, Text};

use crate::{
    aws::Aws,
    config::Config,
    date::rfc3339,
    deployment::Deployment,
    engine::{
        op::{Address, Op, ResourceKind, Toward, Verb},
        plan::{ChangedBy, Decided, Planned},
    },
    error::{Error, ErrorKind, FailedTo as _, value_or_keep},
    planning, read_once,
    rotation::{
        diagnosis, function,
        labels::{self, Labels},
        log::LastSign,
        watch,
    },
    sending::{self, MaySend, Refused},
    stack::stack,
    would_fail,
};

/// How a deployment stands.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) resources: Vec<(Address, State)>,
    /// Those of the resources that differ in their tags alone.
    pub(crate) differ_in_tags: Vec<Address>,
    /// Whether the record names an apply that reached its goal.
    pub(crate) was_applied: bool,
    /// The name of the function that the record has.
    pub(crate) function_before: Option<String>,
    /// The deployment's former name, if the file gives it another one and was not applied yet.
    pub(crate) renamed_from: Option<String>,
    pub(crate) credential: CredentialStatus,
    pub(crate) keys: Vec<Key>,
    /// The last sign of the rotation that is open, if one is.
    pub(crate) sign: Option<LastSign>,
    /// The function's own report; none if it could not be asked.
    pub(crate) report: Option<Report>,
    /// Why a rotation would fail at what somebody changed outside of the function.
    pub(crate) would_fail: Vec<Error>,
    /// What needs a person.
    pub(crate) notes: Vec<Text>,
    /// Which access keys go soon.
    pub(crate) retirements: Vec<Text>,
    /// What somebody else gave a resource of ours, and no apply takes away.
    pub(crate) foreign: Vec<Text>,
    /// What a reviewer should know, and nobody has to act on.
    pub(crate) mentions: Vec<Text>,
    /// Whether the user may send; none if there is no user, or if that could not be read.
    pub(crate) may_send: Option<MaySend>,
    /// Whether SES has stopped the account.
    pub(crate) stopped: Option<Refused>,
    /// Why SES sends none of the user's mail, if the user sends as the file's sender alone and the last apply had that too. The error is among
    /// those of `unread`.
    pub(crate) sender_is_refused: Option<String>,
    /// What could not be read, or is not as it must be.
    pub(crate) unread: Vec<Error>,
}

/// A resource, compared with its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    AsDeclared,
    Differs,
    Missing,
    Unknown,
}

/// The resources that an apply makes, or uses because they exist: hosts and the sender are there whatever it does. A record that only has to
/// be written again does not count.
pub(crate) fn of_apply(resources: &[(Address, State)]) -> impl Iterator<Item = &(Address, State)> {
    let others = [ResourceKind::Hosts, ResourceKind::Sender];
    let is_old_record = |kind, state| kind == ResourceKind::Record && state == State::Differs;
    resources
        .iter()
        .filter(move |(address, state)| !others.contains(&address.kind) && !is_old_record(address.kind, *state))
}

/// Labels and dates of the secret; dates in RFC 3339, UTC.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct CredentialStatus {
    pub(crate) rotation_enabled: bool,
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    /// The version of an open rotation, or of a test of the configuration.
    pub(crate) pending: Option<String>,
    /// What the pending version is for.
    pub(crate) pending_is: Option<Pending>,
    pub(crate) last_rotated: Option<String>,
    /// The end of the next window: when the next rotation begins at the latest.
    pub(crate) next_rotation: Option<String>,
}

/// What a pending version is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pending {
    Rotation,
    /// Secrets Manager tests the configuration with it, and rotates nothing.
    Test,
    /// The function's log does not tell yet.
    Unclear,
}

/// An access key of the user. Its id is not secret.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) created: String,
    /// IAM may be behind by hours.
    pub(crate) last_used: Option<String>,
}

impl Status {
    /// Why SES sends none of the user's mail.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.stopped.as_ref().or_else(|| self.may_send.as_ref()?.refused())
    }
}

/// Whether AWSCURRENT's version has the credential that the hosts were told of: somebody edited another field.
fn was_only_edited(report: &Report) -> bool {
    let key = |label| report.labelled(label).and_then(|version| version.key.as_ref());
    key(AWSCURRENT).is_some() && key(AWSCURRENT) == key(DEPLOYING)
}

/// How each resource stands, and which of them differ in their tags alone.
fn states(resources: Vec<Decided>, unread: &mut Vec<Error>) -> (Vec<(Address, State)>, Vec<Address>) {
    let (mut states, mut differ_in_tags) = (Vec::new(), Vec::new());
    for Decided { address, ops } in resources {
        let state = match value_or_keep(ops, unread) {
            None => State::Unknown,
            Some(ops) => {
                differ_in_tags.extend(change_tags_alone(&ops).then(|| address.clone()));
                state(Planned { address: address.clone(), changed_by: None, ops }.verb())
            }
        };
        states.push((address, state));
    }
    (states, differ_in_tags)
}

/// Whether the user sends as nobody else than the sender of the test mail.
fn sends_as_one(config: &Config) -> bool {
    let sender = config.ses.test_mail.as_ref().map(|mail| &mail.sender);
    matches!((config.ses.from.as_slice(), sender), ([only], Some(sender)) if only.eq_ignore_ascii_case(sender))
}

/// Why SES does not accept mail from the sender, as far as that is known.
fn refused_sender(resources: &[Decided]) -> Option<String> {
    let sender = resources.iter().find(|it| it.address.kind == ResourceKind::Sender)?;
    let error = sender.ops.as_ref().err().filter(|error| error.kind() == ErrorKind::Failed && !error.cause_is_aws())?;
    Some(error.what.clone())
}

/// Whether a resource of this kind has the name of the deployment's, and belongs to somebody else.
fn is_somebody_elses(resources: &[Decided], kind: ResourceKind) -> bool {
    let is_refused = |it: &Decided| it.ops.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotOurs);
    resources.iter().any(|it| it.address.kind == kind && is_refused(it))
}

/// The senders that the file declares otherwise since the last apply are not yet those of the user's policy.
fn by_the_last_apply(may_send: MaySend, user: &str, changed_by: &BTreeMap<Address, ChangedBy>) -> MaySend {
    let was_changed = changed_by.get(&Address::new(ResourceKind::User, user)) == Some(&ChangedBy::File);
    if !was_changed || may_send.refused().is_none() {
        return may_send;
    }
    let unseen = format!(
        "whether user {user} may send cannot be seen: the file declares other senders than the last apply, and was not applied"
    );
    MaySend::Unseen(unseen.into())
}

/// Reads everything. A failed read is part of the status: people ask for the status when something is wrong.
pub(crate) async fn read(aws: &Aws, deployment: &Arc<Deployment>) -> Status {
    let aws = &aws.for_one_round();
    let nodes = stack(deployment, Toward::Present);
    let surveying = Box::pin(planning::survey(aws, deployment, nodes, Toward::Present));
    let (surveyed, labels, pending, keys, account, may_send, denied_to_hosts) = tokio::join!(
        surveying,
        labels::read(aws, &deployment.names.secret),
        Box::pin(watch::last_sign(aws, deployment)),
        keys(aws, deployment),
        sending::account(aws),
        Box::pin(sending::of_user(aws, deployment)),
        Box::pin(would_fail::denied_to_hosts(aws, deployment))
    );
    let survey = surveyed.survey;
    let moves = matches!(survey.facts.former_record, Ok(Some(_)));
    let renamed_from = deployment.config.moved_from.as_ref().filter(|_| moves).map(ToString::to_string);
    // What the file declares otherwise since the last apply, a rotation does not use yet.
    let is_others = |address: &Address| survey.changed_by.get(address) == Some(&ChangedBy::SomebodyElse);
    let stops = survey.stops_rotations.into_iter().filter(|(address, _)| is_others(address));
    let mut would_fail: Vec<_> = stops.map(|(_, error)| error).collect();
    let mut unread = Vec::new();
    // The function has the sender of the test mail in its environment.
    let function = Address::new(ResourceKind::Function, &deployment.names.function);
    let is_applied = survey.changed_by.get(&function) == Some(&ChangedBy::SomebodyElse);
    let sender_is_refused =
        refused_sender(&survey.resources).filter(|_| is_applied && sends_as_one(&deployment.config));
    let user_is_refused = is_somebody_elses(&survey.resources, ResourceKind::User);
    let (resources, differ_in_tags) = states(survey.resources, &mut unread);
    let labels = value_or_keep(labels, &mut unread).flatten().unwrap_or_default();
    let elsewhere = labels.told_elsewhere(&deployment.names.secret);
    let mut credential = CredentialStatus::from(labels);
    let mut sign = None;
    if credential.pending.is_some() {
        sign = value_or_keep(pending, &mut unread).flatten().map(|(_, sign)| sign);
        credential.pending_is = sign.as_ref().map(pending_is);
    }
    let keys = value_or_keep(keys, &mut unread).unwrap_or_default();
    // Whether somebody else's user may send is not the question.
    let may_send = value_or_keep(may_send, &mut unread).flatten().filter(|_| !user_is_refused);
    let may_send = may_send.map(|may_send| by_the_last_apply(may_send, &deployment.names.user, &survey.changed_by));
    let stopped = value_or_keep(account, &mut unread).and_then(|account| account.stopped());
    // The record of a former name is of another function.
    let was_applied = survey.facts.record().is_ok_and(|kept| kept.is_some_and(|kept| kept.record.applied.is_some()));
    let kept = survey.facts.record().ok().flatten();
    let function_before = kept.and_then(|kept| kept.record.name_of(ResourceKind::Function)).map(str::to_owned);
    let mut told = survey.notes;
    // A function of that name may be somebody else's: then its state is unknown.
    let is_ours = |(address, state): &(Address, State)| {
        address.kind == ResourceKind::Function && matches!(state, State::AsDeclared | State::Differs)
    };
    let asked = if resources.iter().any(is_ours) {
        Box::pin(function::notes(aws, deployment)).await
    } else {
        function::Notes::default()
    };
    let function::Notes { report, standing, retirements, unread: unasked } = asked;
    unread.extend(unasked);
    if let Some(refusal) = report.as_ref().and_then(diagnosis::unread) {
        let error = Error::new("the function could not read everything").of_kind(ErrorKind::NoAnswer);
        unread.push(error.refused(refusal));
    }
    let is_gone =
        |(address, state): &(Address, State)| address.kind == ResourceKind::Function && *state == State::Missing;
    if was_applied && resources.iter().any(is_gone) {
        unread.push(function::is_not_there(&deployment.names.function, function_before.as_deref()));
    }
    if report.as_ref().is_some_and(was_only_edited) {
        told.retain(|note| Some(note) != elsewhere.as_ref());
    }
    for note in standing {
        if !told.contains(&note) {
            told.push(note);
        }
    }
    // Nobody rotates before there is a function.
    if report.is_some() {
        would_fail.extend(survey.would_fail.into_iter().chain(denied_to_hosts));
    }
    let (mentions, foreign) = (survey.mentions, survey.foreign);
    Status {
        resources,
        differ_in_tags,
        was_applied,
        function_before,
        renamed_from,
        credential,
        keys,
        sign,
        report,
        would_fail,
        notes: told,
        mentions,
        retirements,
        foreign,
        may_send,
        stopped,
        sender_is_refused,
        unread,
    }
}

fn pending_is(sign: &LastSign) -> Pending {
    match sign {
        LastSign::Tested => Pending::Test,
        LastSign::Opened => Pending::Unclear,
        LastSign::Failure(_) | LastSign::Fresh | LastSign::Old => Pending::Rotation,
    }
}

impl From<Labels> for CredentialStatus {
    fn from(labels: Labels) -> Self {
        Self {
            rotation_enabled: labels.rotation_enabled,
            pending: labels.pending().map(str::to_owned),
            pending_is: None,
            last_rotated: labels.last_rotated.map(rfc3339),
            next_rotation: labels.next_rotation.map(rfc3339),
            versions: labels.versions,
        }
    }
}

/// Whether there are ops, and each one changes tags and nothing else.
fn change_tags_alone(ops: &[Op]) -> bool {
    let is_of_tags = |op: &Op| !op.changes.is_empty() && op.changes.iter().all(|it| it.field.starts_with("tags."));
    !ops.is_empty() && ops.iter().all(is_of_tags)
}

fn state(verb: Option<Verb>) -> State {
    match verb {
        None => State::AsDeclared,
        Some(Verb::Create) => State::Missing,
        Some(_) => State::Differs,
    }
}

async fn keys(aws: &Aws, deployment: &Deployment) -> Result<Vec<Key>, Error> {
    let user = &deployment.names.user;
    let listed = read_once::access_keys(aws, user).await?.unwrap_or_default();
    let read = listed.into_iter().map(|key| async move {
        let id = key.access_key_id.unwrap_or_default();
        let answer = aws.iam.get_access_key_last_used().access_key_id(&id).send().await;
        let last = answer.failed_to(|| format!("read when access key {id} was last used"))?.access_key_last_used;
        Ok(Key {
            id,
            status: key.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            created: key.create_date.map(rfc3339).unwrap_or_default(),
            last_used: last.and_then(|last| last.last_used_date).map(rfc3339),
        })
    });
    futures_util::future::try_join_all(read).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_would_be_created_is_missing_and_one_that_would_be_changed_differs() {
        let states = [None, Some(Verb::Create), Some(Verb::Update), Some(Verb::Delete)].map(state);
        assert_eq!(states, [State::AsDeclared, State::Missing, State::Differs, State::Differs]);
    }

    #[test]
    fn only_ops_of_tags_change_tags_alone() {
        let tags = || Op::new(Verb::Update, "events:TagResource").sets("tags.team", "x");
        let rule = || Op::new(Verb::Update, "events:PutRule").sets("state", "ENABLED");
        assert!(change_tags_alone(&[tags()]));
        assert!(!change_tags_alone(&[]) && !change_tags_alone(&[tags(), rule()]));
        assert!(!change_tags_alone(&[Op::new(Verb::Delete, "events:DeleteRule")]));
    }
}
