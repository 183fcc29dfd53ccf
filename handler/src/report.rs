//! The event `report`: how everything stands, and what createSecret would do. It changes nothing.

use std::collections::BTreeMap;

use contract::{HostReport, KeyReport, KeyVerdict, Login, Next, Report, VersionReport};
use tracing::warn;

use crate::{
    create_secret::{self, Decision},
    error::Error,
    host,
    invocation::Invocation,
    keys::{self, AccessKey, Situation, UsedKey, Verdict},
    overdue::overdue,
    retire, rotation,
    secret::{self, Secret, Version},
    situation,
    smtp::{Credential, Smtp},
    time::date,
    user,
};

/// What was read of every labelled version: its value, none where it is empty, or why it cannot be read.
type Values<'a> = BTreeMap<&'a str, Result<Option<Version>, Error>>;

/// Answers the event. What cannot be read is told as such, and the rest is still told.
pub async fn run(invocation: &Invocation<'_>, with_logins: bool) -> Result<Report, Error> {
    let Invocation { clients, settings, time } = *invocation;
    let secret = secret::find(clients, settings).await?;
    let mut values = Values::new();
    for (id, _) in secret.labelled() {
        values.insert(id, secret::read(clients, &secret, id).await);
    }
    let keys = user::keys(clients, settings).await.unwrap_or_else(|error| {
        // What createSecret would do begins with them, so the report says it there.
        warn!("{error}");
        vec![]
    });
    let situation = situation_of(invocation, &secret, &values, &keys).await;
    let logins = if with_logins { log_in(invocation, &values).await } else { vec![] };
    Ok(Report {
        user: settings.iam_user_name().to_owned(),
        rotation_enabled: secret.rotation_enabled && secret.schedule.is_some(),
        open: secret.open_rotation().map(str::to_owned),
        last_rotated: secret.last_rotated.map(date),
        next_rotation: secret.schedule.as_ref().and_then(|schedule| schedule.next).map(date),
        grace_ends: situation.as_ref().ok().and_then(Situation::grace_ends).map(date),
        overdue: overdue(&secret, time.began),
        versions: secret.labelled().map(|(id, labels)| version(id, labels, &values[id], &logins)).collect(),
        keys: key_reports(keys, &situation),
        hosts: hosts(invocation).await,
        next: next(invocation, &secret).await,
        secret: secret.arn,
    })
}

/// What `keys` decides on; else why no key can be judged.
async fn situation_of(
    invocation: &Invocation<'_>,
    secret: &Secret,
    values: &Values<'_>,
    keys: &[AccessKey],
) -> Result<Situation, String> {
    let mut readable = BTreeMap::new();
    for (id, value) in values {
        let value = value.as_ref().map_err(|_| format!("version {id} cannot be read, and it may name this key"))?;
        readable.insert(*id, value.clone());
    }
    let keys = situation::with_last_use(invocation, keys.to_vec()).await.map_err(|error| error.to_string())?;
    Ok(situation::of(invocation, secret, keys, &readable))
}

fn version(
    id: &str,
    labels: &[String],
    value: &Result<Option<Version>, Error>,
    logins: &[(Credential, Login)],
) -> VersionReport {
    let read = value.as_ref().ok().and_then(Option::as_ref);
    let login = |credential| logins.iter().find(|(it, _)| *it == credential).map(|(_, login)| login.clone());
    VersionReport {
        version: id.to_owned(),
        labels: labels.to_vec(),
        created: read.and_then(|version| version.created).map(date),
        key: read.map(|version| version.value.access_key_id.clone()).filter(|key| !key.is_empty()),
        problem: value.as_ref().err().map(|error| match error {
            Error::MalformedSecret { problem, .. } => problem.clone(),
            other => other.to_string(),
        }),
        login: read.and_then(|version| login(Credential::of(&version.value))),
    }
}

/// Tries each credential once, one after the other: SES counts connections.
async fn log_in(invocation: &Invocation<'_>, values: &Values<'_>) -> Vec<(Credential, Login)> {
    let mut logins: Vec<(Credential, Login)> = Vec::new();
    let smtp = Smtp::new(&invocation.settings.smtp_endpoint);
    for version in values.values().flatten().flatten().filter(|version| !version.value.is_placeholder()) {
        let credential = Credential::of(&version.value);
        if logins.iter().any(|(it, _)| *it == credential) {
            continue;
        }
        let answer = match &smtp {
            Ok(smtp) => smtp.log_in_once(&credential).await.map_err(|refusal| refusal.to_string()),
            Err(error) => Err(error.to_string()),
        };
        logins.push((credential, answer.map_or_else(Login::Refused, |()| Login::Accepted)));
    }
    logins
}

fn key_reports(keys: Vec<AccessKey>, situation: &Result<Situation, String>) -> Vec<KeyReport> {
    let mut reports: Vec<_> = match situation {
        Ok(situation) => situation.keys.iter().map(|used| key_report(used, verdict(situation, used))).collect(),
        Err(problem) => {
            let unused = keys.into_iter().map(|key| UsedKey { key, last_used: None });
            unused.map(|used| key_report(&used, stays(problem.clone()))).collect()
        }
    };
    reports.sort_by(|a, b| a.key.cmp(&b.key));
    reports
}

fn key_report(UsedKey { key, last_used }: &UsedKey, verdict: KeyVerdict) -> KeyReport {
    KeyReport {
        key: key.id.clone(),
        active: key.active,
        created: key.created.map(date),
        last_used: last_used.map(date),
        verdict,
    }
}

fn stays(reason: String) -> KeyVerdict {
    KeyVerdict::MustStay { reason, until: None, way_out: None }
}

fn verdict(situation: &Situation, key: &UsedKey) -> KeyVerdict {
    match keys::judge(situation, key) {
        Verdict::MayGo(reason) => KeyVerdict::MayGo(reason.to_string()),
        Verdict::MustStay(reason) => KeyVerdict::MustStay {
            reason: reason.to_string(),
            until: keys::until(situation, key).map(date),
            way_out: retire::way_out(situation, key),
        },
    }
}

async fn hosts(invocation: &Invocation<'_>) -> Vec<HostReport> {
    let Some(hosts) = &invocation.settings.hosts else { return vec![] };
    host::standing(invocation.clients, hosts).await.unwrap_or_else(|error| {
        let unknown = |instance: &String| HostReport {
            instance: instance.clone(),
            status: format!("unknown: {error}"),
            online: false,
        };
        hosts.instance_ids.iter().map(unknown).collect()
    })
}

/// What createSecret decides is asked of createSecret: for the open rotation, or for one that would begin now.
async fn next(invocation: &Invocation<'_>, secret: &Secret) -> Next {
    let decision = match rotation::check_enabled(secret) {
        Ok(()) => create_secret::decide(invocation, secret, secret.open_rotation()).await,
        Err(error) => Err(error),
    };
    match decision {
        Ok(Decision::MakeKey { frees, .. }) => Next::MakeKey { frees: frees.map(|(key, _)| key.key.id) },
        Ok(Decision::RollForward { version, value }) => Next::RollForward { version, key: value.access_key_id },
        Ok(Decision::Resume { key }) => Next::Resume { key },
        Err(error) => {
            Next::Fail { error: error.kind().to_owned(), until: error.until().map(date), message: error.to_string() }
        }
    }
}
