//! What is refused about access keys: those that hosts may use, those that were to be deleted, and those that are new.

use contract::{AWSCURRENT, Command, DEPLOYING, Login, Text, text};

use super::parts::{Parts, clear_pending, list, parts, rotate, wait};
use crate::{
    decide::{
        keys::{KeptKey, MustStay, UsedKey},
        settled::Unsettled,
    },
    error::{Cause, CrossedLabels, Error, KeyFate, KeyState},
};

const NO_KEY_TOUCHED: &str = "no key was made or deleted";

pub(super) fn pending_key_gone(user: &str, key: &str, state: KeyState, secret: &str, version: &str) -> Parts {
    let (clear, rotate) = (clear_pending(secret, version), rotate());
    let next = match state {
        KeyState::Deleted => vec![text!["clear AWSPENDING with ", clear, " and run ", rotate]],
        KeyState::Inactive => vec![
            text![
                "if a host uses the key, make it Active with ",
                Command::activate_key(user, key),
                ": the rotation then continues"
            ],
            text![
                "if no host uses it, delete it with ",
                Command::delete_key(user, key),
                ", clear AWSPENDING with ",
                clear,
                " and run ",
                rotate
            ],
        ],
    };
    let found = format!("access key {key} of AWSPENDING's version {version} is {state}, and SES refuses it");
    parts(found, "no key was made", next)
}

pub(super) fn rolled_back(labels: &CrossedLabels) -> Parts {
    let found = format!(
        "AWSCURRENT was moved back from version {}, which hosts were told of (it has AWSPREVIOUS and DEPLOYING)",
        labels.deploying
    );
    crossed(found, labels)
}

pub(super) fn was_complete(version: &str, is_closed: bool) -> Parts {
    let found = format!(
        "the rotation to version {version} had completed before somebody edited another field of the secret, and AWSPENDING was left \
         on it"
    );
    if is_closed {
        let next = text!["if a new rotation is wanted, run ", rotate()];
        return parts(found, "no key was made; AWSPENDING was taken off", [next]);
    }
    let next = text!["run ", Command::deployer("recover"), ", or wait for the daily upkeep: both take AWSPENDING off"];
    parts(found, "no rotation can begin", [next])
}

/// To roll forward would take the newer credential away again. A new key would move DEPLOYING, and only DEPLOYING protects the
/// key that hosts may have been told of.
pub(super) fn current_is_newer(labels: &CrossedLabels) -> Parts {
    let found = format!(
        "AWSCURRENT's version {} holds a credential that somebody stored after version {}, which hosts may have been told of (it \
         has DEPLOYING)",
        labels.current, labels.deploying
    );
    crossed(found, labels)
}

fn crossed(found: String, CrossedLabels { secret, current, deploying, is_pending }: &CrossedLabels) -> Parts {
    let to_deploying = Command::move_label(secret, AWSCURRENT, Some(current), Some(deploying));
    let to_current = Command::move_label(secret, DEPLOYING, Some(deploying), Some(current));
    let after = if *is_pending {
        text!["then clear AWSPENDING with ", clear_pending(secret, deploying), " and run ", rotate()]
    } else {
        "the rotation then continues".into()
    };
    let next = [
        text!["if the hosts use DEPLOYING's version, move AWSCURRENT to it with ", to_deploying],
        text!["if every host uses AWSCURRENT's version, move DEPLOYING to it with ", to_current],
        after,
    ];
    parts(found, "no key was made or deleted: hosts may use either version", next)
}

pub(super) fn key_state_unclear(key: &str, version: &str, state: KeyState, ses: &Login) -> Parts {
    let ses = match ses {
        Login::Accepted => "but SES accepts it".to_owned(),
        Login::Refused(words) | Login::Unclear(words) => {
            format!("and SES does not say whether it accepts it ({words})")
        }
    };
    let found = format!("IAM lists access key {key} of version {version} as {state}, {ses}: IAM's list may be old");
    parts(found, "no key was made or deleted: hosts may use the key", [wait()])
}

pub(super) fn no_safe_slot(user: &str, keys: &[KeptKey]) -> Parts {
    let found = match keys.len() {
        0..=2 => format!(
            "the IAM user {user} has two access keys, the most that IAM allows, and neither may be deleted: {}",
            list(keys)
        ),
        _ => format!(
            "the IAM user {user} has more than two access keys, and too many may not be deleted: {}",
            list(keys)
        ),
    };
    // While AWSCURRENT's key cannot be used, the other one may be what the hosts send with.
    let unusable = keys.iter().find(|kept| is_current(kept) && !kept.key.key.active);
    let ways = keys.iter().filter(|kept| unusable.is_none() || !kept.key.key.active);
    let ways = unusable
        .map(|kept| reactivate(user, &kept.key.key.id))
        .into_iter()
        .chain(ways.filter_map(|key| way_to_free(user, key, keys)));
    // Never the key that hosts send with.
    let may_go =
        |kept: &&KeptKey| unusable.map_or(!is_current(kept), |unusable| kept.key.key.id == unusable.key.key.id);
    let ids: Vec<_> = keys.iter().filter(may_go).map(|kept| kept.key.key.id.as_str()).collect();
    let continues = format!("rotation is possible again as soon as {} is deleted, or may be deleted", ids.join(" or "));
    let next: Vec<Text> = ways.chain((!ids.is_empty()).then(|| continues.into())).collect();
    parts(found, NO_KEY_TOUCHED, next)
}

fn is_current(kept: &KeptKey) -> bool {
    matches!(kept.reason, MustStay::Protected { label } if label == AWSCURRENT)
}

/// A leaked key makes room itself: nobody can send with it, and there is no slot for its successor.
fn reactivate(user: &str, id: &str) -> Text {
    text![
        format!(
            "{AWSCURRENT}'s access key {id} is Inactive, and hosts that have it cannot send: if that was an accident, "
        ),
        Command::reactivate(id),
        "; if it leaked, delete it with ",
        Command::delete_key(user, id),
        ", and ",
        Command::deployer("recover"),
        " gives the hosts a new one"
    ]
}

/// What a person may do so that a key becomes free; none if only the clock or a label can do that.
fn way_to_free(
    user: &str,
    KeptKey { key: UsedKey { key, .. }, reason, .. }: &KeptKey,
    keys: &[KeptKey],
) -> Option<Text> {
    let id = &key.id;
    let delete = || Command::delete_key(user, id);
    Some(match reason {
        MustStay::Protected { label } if *label == AWSCURRENT || key.active => return None,
        MustStay::Protected { .. } => {
            let activate = Command::activate_key(user, id);
            text![
                format!("if a host uses {id}, make it Active with "),
                activate,
                "; if none does, delete it with ",
                delete()
            ]
        }
        MustStay::InGrace { .. } => text![
            format!("if {id} leaked, or no host uses it: "),
            Command::rotate_leaked(id),
            " deletes it. If a rotation is open, run ",
            Command::deployer("recover"),
            " first"
        ],
        MustStay::StillUsed { .. } | MustStay::NobodyTold => {
            text![format!("give whoever uses {id} the current credential, then delete it with "), delete()]
        }
        MustStay::OnlyActiveKey => {
            let other = &keys.iter().map(|kept| &kept.key.key).find(|other| other.id != *id)?.id;
            text![
                format!("if a host uses {other}, make it Active with "),
                Command::activate_key(user, other),
                "; if none does, delete it with ",
                Command::delete_key(user, other)
            ]
        }
        MustStay::NoSuccessorYet => text![format!("if {id} is the key that no host uses, delete it with "), delete()],
        MustStay::Foreign | MustStay::UserNotOwned => {
            text![
                format!("if nobody needs {id}, delete it with "),
                delete(),
                ", or list it under iam_user.replaces and run ",
                Command::deployer("apply")
            ]
        }
        MustStay::BroughtBack => {
            format!("give the host that needs {id} the current credential; the daily upkeep then goes on with it")
                .into()
        }
        MustStay::TooYoung => format!("wait a few minutes: {id} is then old enough").into(),
    })
}

pub(super) fn labels_moved(key: &str, reason: &str) -> Parts {
    let next = [
        "Secrets Manager tries a rotation again; run any other command again".into(),
        "do not move labels meanwhile".into(),
    ];
    let found = format!("access key {key} has to stay now: {reason}");
    parts(found, "it was not deleted and is unchanged", next)
}

pub(super) fn overtaken_before_store(key: &str, reason: &str, fate: &KeyFate) -> Parts {
    let found = format!("this changed before the credential with access key {key} was stored: {reason}");
    let next: Vec<Text> = way_of(key, fate).into_iter().chain([wait()]).collect();
    parts(found, format!("it was not stored, and no host was told; {fate}"), next)
}

pub(super) fn unsettled(key: &str, secret: &str, found: &Unsettled) -> Parts {
    let next = match found {
        Unsettled::RotationOpen { version } => {
            let clear = clear_pending(secret, version);
            text!["wait until the rotation has ended, or end it with ", clear]
        }
        Unsettled::HostsNotOnCurrent { .. } => {
            text!["run ", rotate(), ": it continues with the credential that hosts may know, or says why it cannot"]
        }
        Unsettled::CurrentKeyNotActive { .. } => {
            text!["make AWSCURRENT's key Active if a host needs it, or run ", rotate(), " for a new one"]
        }
    };
    parts(found.to_string(), format!("access key {key} was not deleted"), [next, "then ask again".into()])
}

pub(super) fn leaked_in_use(kept: &KeptKey) -> Parts {
    let again = Command::rotate_leaked(&kept.key.key.id);
    let next = text![again, " replaces it, and deletes it as soon as every host has the new one"];
    parts(format!("hosts may need access key {kept}"), "the key was not deleted", [next])
}

pub(super) fn key_left_inactive(user: &str, key: &str, found: &str, problem: &Error) -> Parts {
    let found = format!(
        "access key {key} was made Inactive before its deletion, but has to stay: {found}. Making it Active again failed ({})",
        problem.refusal().finding()
    );
    let not_done = "the key may be Inactive, and then a host that uses it cannot send";
    parts(found, not_done, [text!["run ", Command::activate_key(user, key), " now"]])
}

pub(super) fn key_not_deleted(key: &str, cause: &Cause) -> Parts {
    let state = if cause.refused { "is Inactive" } else { "is Inactive, or deleted" };
    let not_done = format!("access key {key} {state}: it may be deleted, and no host needs it");
    parts(format!("iam:DeleteAccessKey failed: {cause}"), not_done, after_cause(cause))
}

pub(super) fn key_limit_reached(user: &str, cause: &Cause) -> Parts {
    let found = format!(
        "IAM refused another access key for {user} ({cause}), although it listed fewer than two: another invocation was faster, \
         or the list was old"
    );
    parts(found, "no key was made", [wait()])
}

pub(super) fn key_creation_unclear(user: &str, cause: &Cause) -> Parts {
    let found = format!("IAM may have made an access key for {user}: its answer is lost ({cause})");
    let next = [
        "if the deployment owns the user, a later rotation deletes that key: nobody knows its secret".into(),
        "else delete the newest key that was never used".into(),
    ];
    parts(found, "the call was not repeated, and nothing was stored", next)
}

pub(super) fn store_refused(key: &str, cause: &Cause, fate: &KeyFate) -> Parts {
    let found = format!("Secrets Manager refused to store the credential with the new access key {key} ({cause})");
    let next: Vec<Text> = way_of(key, fate).into_iter().chain(after_cause(cause)).collect();
    parts(found, format!("no host was told; {fate}"), next)
}

pub(super) fn store_unclear(key: &str, cause: &Cause) -> Parts {
    let found = format!("it is not known whether the credential with access key {key} was stored ({cause})");
    parts(found, "the key was not deleted: its credential may be stored", [wait()])
}

pub(super) fn token_taken(key: &str, fate: &KeyFate) -> Parts {
    let found = "another invocation of createSecret stored another credential under this token first";
    let next: Vec<Text> = way_of(key, fate)
        .into_iter()
        .chain(["wait: Secrets Manager tries again with the stored credential".into()])
        .collect();
    parts(found, format!("the credential with access key {key} was not stored; {fate}"), next)
}

fn way_of(key: &str, fate: &KeyFate) -> Option<Text> {
    match fate {
        KeyFate::Deleted | KeyFate::NotMade => None,
        KeyFate::NotDeleted { user, .. } => {
            Some(text!["delete the key with ", Command::delete_key(user, key), ": nobody uses it"])
        }
    }
}

pub(super) fn aws(action: &str, cause: &Cause) -> Parts {
    // IAM compares the name with Secrets Manager's six characters, which a secret that is gone does not have.
    let is_gone = cause.is_denied() && action == "secretsmanager:DescribeSecret";
    let gone =
        is_gone.then(|| text!["if somebody deleted the secret, run ", Command::deployer("apply"), " to make it anew"]);
    let next: Vec<_> = gone.into_iter().chain(after_cause(cause)).collect();
    parts(format!("{action} failed: {cause}"), "nothing further was done", next)
}

/// Secrets Manager passes on why KMS does not decrypt or encrypt (API reference of GetSecretValue and PutSecretValue).
fn is_about_kms(cause: &Cause) -> bool {
    let is_own = ["DecryptionFailure", "EncryptionFailure"].iter().any(|code| cause.is(code));
    is_own || cause.message.contains("KMS") || cause.message.contains("kms")
}

fn after_cause(cause: &Cause) -> Vec<Text> {
    if cause.message.contains("service control policy") {
        vec!["ask whoever runs the organisation to let the function's role make the call".into()]
    } else if cause.message.contains("permissions boundary") {
        vec!["allow the call in the permissions boundary of the function's role".into()]
    } else if cause.message.contains("marked for deletion") {
        vec![text![
            "if the deployment owns the secret, run ",
            Command::deployer("apply"),
            ", which restores it; else restore it in Secrets Manager"
        ]]
    } else if cause.message.contains("resource-based policy") {
        vec!["find the resource policy that denies the call to the function's role: that of the secret, or of its KMS key".into()]
    } else if cause.is("InvalidDocument") {
        vec![text![
            "if the deployment owns the document, run ",
            Command::deployer("apply --during-rotation"),
            " to make it again"
        ]]
    } else if cause.is_denied() {
        let apply = Command::deployer("apply --during-rotation");
        vec![
            text!["run ", apply, " to give the function's role its policy again"],
            "if that does not help, look for another policy that denies the call".into(),
        ]
    } else if is_about_kms(cause) {
        vec![
            "see in KMS whether the secret's key is enabled and is not to be deleted; enable it, or cancel its deletion".into(),
        ]
    } else if cause.refused && !cause.is_throttling() {
        vec![]
    } else {
        vec![wait()]
    }
}
