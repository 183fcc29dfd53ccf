//! What follows from the facts: one finding per check, with its evidence and what to do. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aws_smithy_types::DateTime;
use contract::{AWSCURRENT, Command, KEYS_PER_USER, Next, Report, TOLD, Text, text};
use schemars::JsonSchema;
use serde::Serialize;

use super::facts::{Facts, Host};
use crate::{
    config::Config,
    date::rfc3339,
    deployment::{Deployment, names::Names},
    engine::op::ResourceKind,
    error::Error,
    kinds::{permissions, topic::Subscriber},
    overview::{nothing_is_deployed, unusable, why_no_mail},
    rotation::{
        diagnosis::{Diagnosis, Known, Way, diagnose, left_open_by_an_edit},
        function::is_not_there,
        log::{FailedStep, Failure, LastSign},
    },
    sending::{MaySend, Refused, SesAccount},
    simulation::{Denied, DeniedBy, Simulated},
    status::{Pending, State, of_apply},
    would_fail::{self, DeniedBySecret},
};

/// The result of one check.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) evidence: Text,
    /// What to do; empty if nothing has to be done.
    pub(crate) fix: Vec<Text>,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    Credentials,
    Permissions,
    Ses,
    Sender,
    User,
    Host,
    Script,
    InstanceRole,
    Function,
    Rotation,
    Upkeep,
    Notifications,
    Resources,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    /// It comes with the first apply.
    NotYet,
    /// The deployer cannot see it, and says where a person can.
    Unseen,
    /// A read failed.
    Unknown,
    Wrong,
}

impl Verdict {
    /// Whether somebody has to do something before all is well.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Self::Unknown | Self::Wrong)
    }
}

impl Finding {
    fn new(check: Check, verdict: Verdict, evidence: impl Into<Text>) -> Self {
        Self { check, verdict, evidence: evidence.into(), fix: Vec::new() }
    }

    fn fix(mut self, fix: impl Into<Text>) -> Self {
        self.fix.push(fix.into());
        self
    }

    fn of_refused(check: Check, Refused { found, ways }: &Refused) -> Self {
        ways.iter().cloned().fold(Self::new(check, Verdict::Wrong, found.clone()), Self::fix)
    }

    /// A read that failed, or a resource that is not as it must be.
    fn of(check: Check, verdict: Verdict, error: &Error) -> Self {
        Self { check, verdict, evidence: error.in_one_line().into(), fix: error.hints.clone() }
    }
}

/// Credentials that expire sooner may not last for an apply.
const SOON: Duration = Duration::from_mins(15);

/// The first agent that hands parameters over in the environment (`kinds/document.rs`).
const AGENT: [u32; 3] = [3, 3, 2746];

/// Decides. `now` is this machine's time.
pub(crate) fn findings(deployment: &Deployment, facts: &Facts, now: SystemTime) -> Vec<Finding> {
    let config = &deployment.config;
    let mut found = vec![credentials(facts, now), permissions(facts), ses(&facts.ses, config)];
    found.extend(facts.sender.as_ref().map(|sender| self::sender(sender, config)));
    found.extend(user(deployment, facts));
    found.extend(may_send(facts));
    found.extend(password(&deployment.names.user, &facts.has_password));
    // After a destroy, the secret in its recovery window is what the person asked for.
    let of_foreign = if nothing_is_deployed(&facts.status) { Verdict::NotYet } else { Verdict::Wrong };
    found.extend(facts.status.foreign.iter().map(|told| Finding::new(Check::User, of_foreign, told.clone())));
    found.extend(hosts(config, facts));
    found.extend(denied_by_secret(facts));
    found.extend(instance_role(deployment, facts));
    found.extend(function(deployment, facts));
    found.extend(value(deployment, facts));
    found.push(rotation(deployment, facts));
    found.push(upkeep(deployment, facts));
    found.extend(notifications(config, facts));
    found.push(resources(facts));
    // The sender and the function have checks of their own.
    let of_sender = facts.sender.as_ref().and_then(|sender| sender.as_ref().err());
    let of_function = facts.report.as_ref().and_then(|report| report.as_ref().err());
    let gone = is_not_there(&deployment.names.function, facts.status.function_before.as_deref());
    let told: Vec<_> = of_sender.into_iter().chain(of_function).chain([&gone]).map(|error| &error.what).collect();
    let others = facts.status.unread.iter().filter(|error| !told.contains(&&error.what));
    found.extend(others.map(|error| Finding::of(Check::Resources, verdict_of(error), error)));
    found
}

/// Nobody needs a password to send mail, and with one a person has the user's permissions.
fn password(user: &str, has_password: &Result<bool, Error>) -> Option<Finding> {
    match has_password {
        Ok(false) => None,
        Ok(true) => {
            let evidence =
                format!("user {user} has a console password: somebody can sign in as the user, and destroy is refused");
            let remove = Command::aws(&["iam", "delete-login-profile", "--user-name", user]);
            let finding = Finding::new(Check::User, Verdict::Wrong, evidence);
            Some(finding.fix(text!["if nobody signs in with the password, run ", remove]))
        }
        Err(error) => Some(Finding::of(Check::User, verdict_of(error), error)),
    }
}

fn apply() -> Text {
    text!["run ", Command::deployer("apply")]
}

fn credentials(Facts { caller, expires, .. }: &Facts, now: SystemTime) -> Finding {
    let Some(expires) = expires else {
        return Finding::new(Check::Credentials, Verdict::Ok, caller.as_str());
    };
    let evidence = format!("{caller}, until {}", rfc3339(DateTime::from(*expires)));
    if expires.duration_since(now).unwrap_or_default() < SOON {
        return Finding::new(Check::Credentials, Verdict::Wrong, evidence)
            .fix("renew the credentials: an apply that waits for a rotation takes minutes");
    }
    Finding::new(Check::Credentials, Verdict::Ok, evidence)
}

fn permissions(facts: &Facts) -> Finding {
    let check = Check::Permissions;
    match &facts.permissions {
        Err(error) => Finding::of(check, Verdict::Unknown, error),
        Ok(None) => Finding::new(check, Verdict::Unseen, "IAM simulates the policies of users and roles alone")
            .fix(text![Command::deployer("policy --for apply"), " prints what apply needs"]),
        Ok(Some(Simulated { asked, denied })) if denied.is_empty() => Finding::new(
            check,
            Verdict::Ok,
            format!(
                "IAM allows the {asked} actions of apply that it can simulate. It cannot simulate session policies, policies of \
                 resources such as a KMS key's, and conditions of service control policies"
            ),
        ),
        Ok(Some(Simulated { asked, denied })) => {
            let finding = Finding::new(
                check,
                Verdict::Wrong,
                match denied.len() {
                    1 => format!("1 of {asked} actions that apply needs is denied: {}", said(denied)),
                    count => format!("{count} of {asked} actions that apply needs are denied: {}", said(denied)),
                },
            );
            let finding =
                finding.fix(text![Command::deployer("policy --for apply"), " prints the policy to allow them"]);
            let limits = [
                (DeniedBy::Statement, "a statement denies them: no further policy allows what it denies"),
                (DeniedBy::PermissionsBoundary, "the permissions boundary denies them: it has to allow them too"),
                (DeniedBy::ServiceControlPolicy, "a service control policy of the organisation denies them"),
            ];
            let is_met = |by: DeniedBy| denied.iter().any(|denied| denied.by == by);
            limits.into_iter().filter(|(by, _)| is_met(*by)).fold(finding, |finding, (_, words)| finding.fix(words))
        }
    }
}

/// The most actions that a sentence names.
const NAMED: usize = 5;

fn said(denied: &[Denied]) -> String {
    let mut actions: Vec<_> = denied.iter().map(|denied| denied.action.as_str()).collect();
    actions.dedup();
    let more = actions.len().saturating_sub(NAMED);
    actions.truncate(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", actions.join(", "))
}

fn ses(ses: &Result<SesAccount, Error>, config: &Config) -> Finding {
    let check = Check::Ses;
    let account = match ses {
        Ok(account) => account,
        Err(error) => return Finding::of(check, Verdict::Unknown, error),
    };
    let SesAccount { production, enforcement, sent_of_quota, .. } = account;
    let quota = sent_of_quota.map_or_else(String::new, |(sent, most)| format!(", {sent} of {most} mails in 24 hours"));
    if let Some(refused) = account.stopped() {
        return Finding::of_refused(check, &refused);
    }
    if !production {
        return Finding::new(
            check,
            Verdict::Wrong,
            format!(
                "this account is in SES's sandbox in {}: SES sends only to verified addresses{quota}",
                config.region
            ),
        )
        .fix("request production access in SES's console");
    }
    if sent_of_quota.is_some_and(|(sent, most)| most > 0.0 && sent >= most) {
        return Finding::new(check, Verdict::Wrong, format!("the quota of 24 hours is used up{quota}"))
            .fix("ask AWS for a higher quota, or send less");
    }
    Finding::new(check, Verdict::Ok, format!("production access, sending is on, {enforcement}{quota}"))
}

/// A read that failed tells nothing; what was read and may not be so is wrong.
fn verdict_of(error: &Error) -> Verdict {
    if error.cause_is_aws() { Verdict::Unknown } else { Verdict::Wrong }
}

fn sender(sender: &Result<(), Error>, config: &Config) -> Finding {
    match sender {
        Ok(()) => {
            let address = config.ses.test_mail.as_ref().map_or("", |mail| &mail.sender);
            Finding::new(Check::Sender, Verdict::Ok, format!("SES accepts mail from {address}"))
        }
        Err(error) => Finding::of(Check::Sender, verdict_of(error), error),
    }
}

fn user(deployment: &Deployment, facts: &Facts) -> Option<Finding> {
    let (user, keys) = (&deployment.names.user, &facts.status.keys);
    let state = facts.state_of(ResourceKind::User)?;
    Some(match state {
        // The error is among those of the reads.
        State::Unknown => return None,
        State::Missing if was_deployed(facts) => {
            let evidence = format!("there is no user {user}: somebody deleted it, and no host can send with its keys");
            Finding::new(Check::User, Verdict::Wrong, evidence).fix(apply()).fix(text![
                "then run ",
                Command::deployer("recover"),
                ", which gives the hosts a new access key"
            ])
        }
        State::Missing => Finding::new(Check::User, Verdict::NotYet, format!("there is no user {user}")),
        State::AsDeclared | State::Differs if keys.len() < KEYS_PER_USER => {
            Finding::new(Check::User, Verdict::Ok, format!("user {user} has {} of 2 access keys", keys.len()))
        }
        State::AsDeclared | State::Differs if facts.report.is_some() => {
            let evidence =
                format!("user {user} has 2 of 2 access keys; the function says below what the next rotation does");
            Finding::new(Check::User, Verdict::Ok, evidence)
        }
        State::AsDeclared | State::Differs => {
            let delete = keys.iter().map(|key| Command::delete_key(user, &key.id).into());
            let evidence = format!("user {user} has 2 access keys, and no slot for that of the first rotation");
            Finding::new(Check::User, Verdict::Wrong, evidence)
                .fix(text!["find out which one nobody uses, and run "].then(Text::join(delete, " or ")))
        }
    })
}

/// Whether SES sends the user's mail; nothing if it does.
fn may_send(facts: &Facts) -> Option<Finding> {
    match facts.status.may_send.as_ref()? {
        MaySend::Yes => None,
        MaySend::No(refused) => Some(Finding::of_refused(Check::User, refused)),
        MaySend::Unseen(why) | MaySend::Doubtful(why) => {
            let finding = Finding::new(Check::User, Verdict::Unseen, why.clone());
            Some(
                finding.fix(
                    "send a mail from a host: a rotation tests it only if the file has ses.sender and ses.recipient",
                ),
            )
        }
    }
}

fn hosts(config: &Config, facts: &Facts) -> Vec<Finding> {
    let (Some(instance), Some(hosts)) = (&config.instance, &facts.hosts) else { return Vec::new() };
    let known = match hosts {
        Ok(known) => known,
        Err(error) => return vec![Finding::of(Check::Host, Verdict::Unknown, error)],
    };
    let each = instance.ids.iter().map(|id| host(id, config, known));
    each.chain([script(config, facts)]).collect()
}

fn host(id: &str, config: &Config, known: &BTreeMap<String, Host>) -> Finding {
    let check = Check::Host;
    let Some(Host { ping, agent, platform }) = known.get(id) else {
        let evidence = format!("Systems Manager does not know {id} in {}", config.region);
        return Finding::new(check, Verdict::Wrong, evidence).fix(
            "correct instance.id or the region, or install the agent, and give the instance a role with the managed policy \
             AmazonSSMManagedInstanceCore",
        );
    };
    if ping != "Online" {
        let evidence = format!("Systems Manager does not reach {id}: {ping}");
        return Finding::new(check, Verdict::Wrong, evidence)
            .fix("start the instance or its agent: no rotation begins while a host is not reached");
    }
    if !platform.is_empty() && platform != "Linux" {
        return Finding::new(check, Verdict::Wrong, format!("{id} is {platform}"))
            .fix("name Linux instances alone: the document runs nothing on another platform");
    }
    let old =
        if is_before(agent, AGENT) { ", which gets parameters pasted into the script's text: update it" } else { "" };
    Finding::new(check, Verdict::Ok, format!("{id} is Online, with agent {agent}{old}"))
}

/// Whether a version, such as 3.3.987.0, is before that one. An unknown one is not.
fn is_before(version: &str, first: [u32; 3]) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').take(3).map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.len() == 3 && parts[..] < first[..])
}

/// The deployer runs nothing on a host. That every host has confirmed a rotation's credential shows that the script ran.
fn script(config: &Config, facts: &Facts) -> Finding {
    let script = config.instance.as_ref().map_or("", |instance| &instance.script);
    let report = facts.report.as_ref().and_then(|report| report.as_ref().ok());
    let labelled = |label| report.and_then(|report| report.labelled(label));
    if let Some((failed, code)) = cannot_run(facts) {
        let evidence = format!(
            "the open rotation {}, on a host with exit code {code}, with which a shell says that a command is not there, or not executable",
            failed.when()
        );
        return Finding::new(Check::Script, Verdict::Wrong, evidence).fix(test_script(script));
    }
    if let Some(version) = labelled(TOLD) {
        let is_in_use = labelled(AWSCURRENT).is_some_and(|current| current.key == version.key);
        let but = if is_in_use { "" } else { ", which has another access key than AWSCURRENT" };
        let evidence = format!("every host ran {script} and confirmed version {}{but}", version.version);
        return Finding::new(Check::Script, Verdict::Ok, evidence);
    }
    let has_rotated = facts.status.credential.last_rotated.is_some();
    let why = match &facts.report {
        Some(Ok(_)) if has_rotated => "cannot be seen before every host has confirmed a credential",
        Some(Err(_)) | None if has_rotated => {
            "cannot be seen, since the function did not say what the hosts have confirmed"
        }
        _ => "cannot be seen before the first rotation",
    };
    let evidence = format!("whether the hosts have {script} {why}");
    Finding::new(Check::Script, Verdict::Unseen, evidence).fix(test_script(script))
}

fn test_script(script: &str) -> String {
    format!("run `test -x {script}` on each host: it fails if the script is not there, or not executable")
}

/// The exit code with which a host's shell said that it could not run the script, or what the script runs; none if the open rotation, if there
/// is one, did not fail so.
fn cannot_run(facts: &Facts) -> Option<(&FailedStep, i32)> {
    let Some(LastSign::Failure(failed)) = &facts.status.sign else { return None };
    let Failure::Refused(refusal) = &failed.failure else { return None };
    // POSIX, "Exit Status for Commands": 126 is not executable, 127 is not found.
    let code = [127, 126].into_iter().find(|code| refusal.exit_codes.contains(code))?;
    Some((failed, code))
}

/// What IAM's simulator does not know.
fn denied_by_secret(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.denied_by_secret.iter().map(|DeniedBySecret { hosts, error }| {
        Finding::of(if *hosts { Check::InstanceRole } else { Check::Function }, Verdict::Wrong, error)
    })
}

fn instance_role(deployment: &Deployment, facts: &Facts) -> Option<Finding> {
    let check = Check::InstanceRole;
    let instance = deployment.config.instance.as_ref()?;
    let is_denied = facts.denied_by_secret.iter().any(|denied| denied.hosts);
    let policy = || text![Command::deployer("policy --for instance"), " prints what it needs"];
    let (Some(role), Some(simulated)) = (&instance.role, &facts.instance_role) else {
        let evidence = "the file names no instance.role: whether the hosts may read the secret cannot be seen";
        return Some(Finding::new(check, Verdict::Unseen, evidence).fix(policy()));
    };
    let access = facts.state_of(ResourceKind::InstanceAccess);
    Some(match simulated {
        Err(error) => Finding::of(check, Verdict::Unknown, error),
        Ok(None) => Finding::new(check, Verdict::Wrong, format!("there is no role {role}"))
            .fix("correct instance.role, or create the role and give it to the instances"),
        Ok(Some(simulated)) if simulated.denied.is_empty() && is_denied => return None,
        Ok(Some(simulated)) if simulated.denied.is_empty() => {
            Finding::new(check, Verdict::Ok, format!("role {role} may read secret {}", deployment.names.secret))
        }
        Ok(Some(_)) if access == Some(State::Missing) => {
            let secret = &deployment.names.secret;
            if was_deployed(facts) {
                let evidence = format!("role {role} may not read secret {secret}: its policy is not there");
                Finding::new(check, Verdict::Wrong, evidence).fix(apply())
            } else {
                Finding::new(check, Verdict::NotYet, format!("role {role} may not read secret {secret} yet"))
            }
        }
        Ok(Some(simulated)) => {
            let seen = || {
                let evidence = format!("role {role} is denied {}", said(&simulated.denied));
                Finding::new(check, Verdict::Wrong, evidence).fix(policy())
            };
            let certain = would_fail::certain(simulated);
            certain.map_or_else(seen, |by| Finding::of(check, Verdict::Wrong, &would_fail::may_not_read(role, by)))
        }
    })
}

/// Whether a function of the deployment was there: an apply reached its goal, or the secret's rotation still invokes the function.
fn was_deployed(facts: &Facts) -> bool {
    facts.status.was_applied || facts.state_of(ResourceKind::Rotation) == Some(State::AsDeclared)
}

fn function(deployment: &Deployment, facts: &Facts) -> Vec<Finding> {
    let (check, name) = (Check::Function, &deployment.names.function);
    let report = match (facts.state_of(ResourceKind::Function), &facts.report) {
        (Some(State::Missing), _) => {
            let gone = is_not_there(&deployment.names.function, facts.status.function_before.as_deref());
            return vec![if was_deployed(facts) {
                Finding::of(check, Verdict::Wrong, &gone)
            } else {
                Finding::new(check, Verdict::NotYet, format!("there is no function {name}"))
            }];
        }
        // The error is among those of the reads.
        (_, None) => return Vec::new(),
        (_, Some(Err(error))) => return vec![Finding::of(check, Verdict::Unknown, error)],
        (_, Some(Ok(report))) => report,
    };
    let notes = report.notes.iter().map(|note| Finding::new(check, Verdict::Wrong, note.clone()));
    let begins = !matches!(report.next, Next::Fail { .. });
    // That has a line of its own.
    let is_left_open = left_open_by_an_edit(report).is_some();
    let next = needs_a_person(report).filter(|_| begins).or_else(|| (!is_left_open).then(|| next(name, report)));
    unusable_key(report).into_iter().chain(next).chain(notes).collect()
}

fn unusable_key(report: &Report) -> Option<Finding> {
    let fix = text![Command::deployer("recover"), " shows what to do"];
    // Before the first rotation, no credential is as it should be.
    let found = unusable(report).or_else(|| why_no_mail(report).filter(|_| report.last_rotated.is_some()))?;
    Some(Finding::new(Check::User, Verdict::Wrong, found).fix(fix))
}

/// What is wrong although a rotation would begin, as `status` tells it too. An open rotation, or one that is off, has a check of its own.
fn needs_a_person(report: &Report) -> Option<Finding> {
    if !report.rotation_enabled || report.open.is_some() || why_no_mail(report).is_some() {
        return None;
    }
    let wrong = |found| Finding::new(Check::Function, Verdict::Wrong, found);
    match diagnose(report, Known::default()) {
        Diagnosis::Healthy { .. } => None,
        Diagnosis::Curable { found, first, .. } => Some(wrong(found).fix(first.offered())),
        Diagnosis::Person { found, ways } => Some(
            ways.into_iter()
                .fold(wrong(found), |it, Way { when, command, .. }| it.fix(text![format!("{when}: "), command])),
        ),
    }
}

/// What the next rotation would do.
fn next(name: &str, report: &Report) -> Finding {
    let said = |words: String| Finding::new(Check::Function, Verdict::Ok, format!("function {name} answers: {words}"));
    match &report.next {
        Next::MakeKey { frees } if frees.is_empty() => said("a rotation would make a new access key".to_owned()),
        Next::MakeKey { frees } => {
            said(format!("a rotation would make a new access key, and delete {}", frees.join(", ")))
        }
        Next::RollForward { key, .. } => {
            said(format!("a rotation would continue with access key {key}, which hosts may know"))
        }
        Next::Resume { key } => {
            said(format!("a rotation would continue with access key {key}, which is stored already"))
        }
        Next::Fail { refusal } => {
            match diagnose(report, Known::default()) {
                // A grace ends by itself before the next rotation.
                Diagnosis::Healthy { note: Some(note) } => return Finding::new(Check::Function, Verdict::Ok, note),
                // The refusal's own steps are for who has no `recover`.
                Diagnosis::Curable { found, first, .. } => {
                    return Finding::new(Check::Function, Verdict::Wrong, found).fix(first.offered());
                }
                Diagnosis::Healthy { note: None } | Diagnosis::Person { .. } => {}
            }
            let fix = refusal.next.iter().cloned();
            let finding =
                Finding::new(Check::Function, Verdict::Wrong, format!("a rotation would fail: {}", refusal.finding()));
            fix.fold(finding, Finding::fix)
        }
    }
}

/// Only the function reads a secret's value, and before the first apply there is none.
fn value(deployment: &Deployment, facts: &Facts) -> Option<Finding> {
    let is_before = facts.state_of(ResourceKind::Function) == Some(State::Missing);
    (deployment.config.secret.existing && is_before).then(|| {
        let Names { secret, user, .. } = &deployment.names;
        let evidence = format!("what secret {secret} holds cannot be seen: the function reads it, and apply makes the function");
        Finding::new(Check::Rotation, Verdict::Unseen, evidence).fix(format!(
            "its value has to be a JSON object with \"username\": \"{user}\": else apply makes everything, and does not enable the rotation"
        ))
    })
}

fn rotation(deployment: &Deployment, facts: &Facts) -> Finding {
    let (check, secret) = (Check::Rotation, &deployment.names.secret);
    let credential = &facts.status.credential;
    let overdue =
        facts.report.as_ref().and_then(|report| report.as_ref().ok()).and_then(|report| report.overdue.clone());
    if facts.state_of(ResourceKind::Rotation) == Some(State::Missing) && credential.last_rotated.is_none() {
        return Finding::new(check, Verdict::NotYet, format!("secret {secret} does not rotate"));
    }
    // After a destroy, the secret is scheduled for deletion, and still tells its last rotation.
    if nothing_is_deployed(&facts.status) {
        let evidence = format!("nothing is deployed, so secret {secret} does not rotate");
        return Finding::new(check, Verdict::NotYet, evidence);
    }
    if !credential.rotation_enabled && facts.state_of(ResourceKind::Rotation) == Some(State::Unknown) {
        return Finding::new(
            check,
            Verdict::Unknown,
            format!("how secret {secret} rotates could not be read: see the error below"),
        );
    }
    if !credential.rotation_enabled {
        return Finding::new(check, Verdict::Wrong, format!("somebody turned the rotation of secret {secret} off"))
            .fix(apply());
    }
    if let Some(overdue) = overdue {
        return Finding::new(check, Verdict::Wrong, overdue);
    }
    let report = facts.report.as_ref().and_then(|report| report.as_ref().ok());
    if let Some(left) = report.and_then(left_open_by_an_edit) {
        let evidence = format!(
            "a completed rotation left AWSPENDING on version {}, since somebody edited the secret: no other begins before it is taken off",
            left.version
        );
        return Finding::new(check, Verdict::Wrong, evidence)
            .fix(text![Command::deployer("recover"), " takes it off, and so does the daily upkeep"]);
    }
    if let Some(pending) = credential.pending.as_ref().filter(|_| credential.pending_is == Some(Pending::Rotation)) {
        let failed = match &facts.status.sign {
            Some(LastSign::Failure(failed)) => format!("; it {}", failed.sentence()),
            _ => String::new(),
        };
        let evidence = format!("a rotation is open: version {pending} is AWSPENDING, and not {AWSCURRENT}{failed}");
        return Finding::new(check, Verdict::Wrong, evidence)
            .fix(text![Command::deployer("recover"), " shows why it does not end, and how to end it"]);
    }
    if let Some(error) =
        facts.status.would_fail.iter().find(|error| error.what.starts_with(permissions::MAY_NOT_INVOKE))
    {
        return Finding::of(check, Verdict::Wrong, error);
    }
    let date = |date: &Option<String>, none: &str| date.clone().unwrap_or_else(|| none.to_owned());
    let (last, next) = (date(&credential.last_rotated, "never"), date(&credential.next_rotation, "an unknown date"));
    Finding::new(check, Verdict::Ok, format!("enabled; last completed {last}, next by {next}"))
}

fn upkeep(deployment: &Deployment, facts: &Facts) -> Finding {
    let (check, rule) = (Check::Upkeep, &deployment.names.upkeep);
    let works = || Finding::new(check, Verdict::Ok, format!("rule {rule} invokes the function every day"));
    match facts.state_of(ResourceKind::Upkeep) {
        Some(State::AsDeclared) if facts.state_of(ResourceKind::Function) == Some(State::Missing) => {
            Finding::new(check, Verdict::Wrong, format!("rule {rule} invokes a function that is not there"))
                .fix(apply())
        }
        Some(State::AsDeclared) => works(),
        Some(State::Missing) => {
            let is_deployed = facts.state_of(ResourceKind::Function) != Some(State::Missing);
            let evidence = format!("there is no rule {rule}");
            if is_deployed || was_deployed(facts) {
                Finding::new(check, Verdict::Wrong, evidence).fix(apply())
            } else {
                Finding::new(check, Verdict::NotYet, evidence)
            }
        }
        Some(State::Differs) if facts.status.differ_in_tags.iter().any(|it| it.kind == ResourceKind::Upkeep) => works(),
        Some(State::Differs) => {
            let evidence = format!(
                "rule {rule} is not as it was made: the daily upkeep may not run, or something may run beside it"
            );
            Finding::new(check, Verdict::Wrong, evidence).fix(apply())
        }
        Some(State::Unknown) | None => {
            Finding::new(check, Verdict::Unknown, format!("rule {rule} could not be read: see the error below"))
        }
    }
}

fn notifications(config: &Config, facts: &Facts) -> Option<Finding> {
    let (check, email) = (Check::Notifications, &config.notify.as_ref()?.email);
    Some(match &facts.subscriber {
        Err(error) => Finding::of(check, Verdict::Unknown, error),
        Ok(Some(Subscriber { has_confirmed: true, silenced })) if silenced.is_empty() => {
            Finding::new(check, Verdict::Ok, format!("{email} is told"))
        }
        Ok(Some(Subscriber { has_confirmed: true, silenced })) => {
            let found: Vec<_> = silenced.iter().map(Error::in_one_line).collect();
            let fixes = silenced.iter().flat_map(|error| error.hints.iter().cloned());
            fixes.fold(Finding::new(check, Verdict::Wrong, found.join("; ")), Finding::fix)
        }
        Ok(Some(Subscriber { has_confirmed: false, .. })) => Finding::new(
            check,
            Verdict::Wrong,
            format!("{email} has not confirmed its subscription, and is told nothing"),
        )
        .fix("follow the link in the mail from AWS Notifications; it is valid for two days, and apply sends another"),
        Ok(None) if facts.state_of(ResourceKind::Topic) == Some(State::Missing) => {
            Finding::new(check, Verdict::NotYet, format!("{email} is not subscribed"))
        }
        Ok(None) => Finding::new(check, Verdict::Wrong, format!("{email} is not subscribed")).fix(apply()),
    })
}

fn resources(facts: &Facts) -> Finding {
    // Hosts and the sender have checks of their own.
    let states: Vec<State> = of_apply(&facts.status.resources).map(|(_, state)| *state).collect();
    let count = |state| states.iter().filter(|it| **it == state).count();
    let (all, missing, differ) = (states.len(), count(State::Missing), count(State::Differs));
    let check = Check::Resources;
    let plan = || text![Command::deployer("plan"), " shows what apply would do"];
    if facts.state_of(ResourceKind::Function) == Some(State::Missing) && !was_deployed(facts) {
        let do_not = if missing == 1 { "does not" } else { "do not" };
        let evidence = format!("{missing} of {all} resources {do_not} exist");
        return Finding::new(check, Verdict::NotYet, evidence).fix(plan());
    }
    if missing + differ > 0 {
        let (differs, are) = (if differ == 1 { "differs" } else { "differ" }, if missing == 1 { "is" } else { "are" });
        let evidence = format!("{differ} of {all} resources {differs} from the file, and {missing} {are} missing");
        return Finding::new(check, Verdict::Wrong, evidence)
            .fix(text![Command::deployer("drift"), " shows what somebody else changed; "].then(plan()));
    }
    match count(State::Unknown) {
        0 => Finding::new(check, Verdict::Ok, format!("all {all} resources are as the file declares")),
        unknown => Finding::new(
            check,
            Verdict::Unknown,
            format!("{unknown} of {all} resources could not be read, or are refused"),
        ),
    }
}

#[cfg(test)]
mod tests;
