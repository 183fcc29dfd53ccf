//! The event `retire`: make the keys Inactive that are past their grace and that nobody can be using, and delete them later.

use std::time::SystemTime;

use contract::{Command, Retired, parse_inactive_label};
use tracing::info;

use crate::{
    date::date,
    decide::{
        keys::{Consent, Removal, Situation, UsedKey, removal},
        settled::{Held, decide, unsettled},
    },
    error::Error,
    invocation::Invocation,
    services::{
        secret::{self, Secret},
        topic, user,
    },
    situation::{self, with_last_use},
    slot::{self, Freed, Goal},
};

/// Retires keys. `orphan` is a key that a person looked at.
pub(crate) async fn run(invocation: &Invocation<'_>, orphan: Option<&str>) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let secret = secret::find(clients, settings).await?;
    user::check(clients, settings).await?;
    retire(invocation, &secret, orphan).await
}

/// Race: a rotation may begin at any moment. It needs no key that is deleted here: it uses a key of its own or DEPLOYING's, and
/// both stay. Once it is open, every key stays. A rotation that begins between the last read and the deletion finds the key
/// Inactive or gone, as it would have made it for its slot. One race is left: a person moves a label onto the key in that moment.
async fn retire(invocation: &Invocation<'_>, secret: &Secret, orphan: Option<&str>) -> Result<Retired, Error> {
    let Invocation { clients, settings, .. } = *invocation;
    let keys = with_last_use(invocation, user::keys(clients, settings).await?).await?;
    let situation = situation::read(invocation, secret, keys).await?;
    let mut retired = Retired::default();
    retired.kept.extend(unsettled(&situation).map(|found| format!("no access key is deleted: {found}")));
    if let Some(orphan) = orphan.filter(|orphan| situation.keys.iter().all(|key| key.key.id != *orphan)) {
        retired.kept.push(no_such_key(settings.iam_user_name(), orphan));
    }
    for key in &situation.keys {
        let id = key.key.id.as_str();
        let consent = if orphan == Some(id) { Consent::Orphan } else { Consent::None };
        match decide(&situation, key, consent) {
            Ok(reason) => {
                let goal = match removal(&situation, key, &reason) {
                    Removal::Delete => Goal::Deleted,
                    Removal::Deactivate => Goal::Inactive,
                    Removal::Wait { since, until } => {
                        retired.kept.push(waits(id, since, until));
                        continue;
                    }
                };
                info!(key = id, "retiring an access key: {reason}");
                match remove(invocation, secret, key, goal, consent).await? {
                    Freed::Done if goal == Goal::Deleted => retired.deleted.push(id.to_owned()),
                    Freed::Done => retired.deactivated.push(id.to_owned()),
                    Freed::GoneAlready => {}
                    Freed::Kept(reason) => retired.kept.push(was_to_go(id, &reason)),
                }
            }
            Err(Held::Key(kept)) => retired.kept.push(kept.to_string()),
            Err(Held::Unsettled(_)) => {}
        }
    }
    drop_old_labels(invocation, secret, &situation).await?;
    announce(invocation, &situation, &retired).await?;
    Ok(retired)
}

/// Takes off the labels of keys that are gone, or that somebody made Active again: such a key has another grace, because to take
/// the label off is a change of the secret.
async fn drop_old_labels(invocation: &Invocation<'_>, secret: &Secret, situation: &Situation) -> Result<(), Error> {
    let is_inactive = |id: &str| situation.keys.iter().any(|key| key.key.id == id && !key.key.active);
    for (version, labels) in secret.labelled() {
        for label in labels {
            if parse_inactive_label(label).is_some_and(|(key, _)| !is_inactive(key)) {
                secret::drop_label(invocation.clients, secret, label, version).await?;
            }
        }
    }
    Ok(())
}

/// Tells the topic of the keys that are Inactive now, with the way back.
async fn announce(invocation: &Invocation<'_>, situation: &Situation, retired: &Retired) -> Result<(), Error> {
    for key in &retired.deactivated {
        let message = format!(
            "Access key {key} was superseded, and its grace is over. It is Inactive now, and will be deleted on {}.\n\nIf a host \
             cannot send since then, it still uses this key: make it Active with `{}`, then give the host the current credential.\n",
            date(situation.now + situation.keep_inactive),
            Command::activate_key(invocation.settings.iam_user_name(), key)
        );
        topic::publish(invocation, "an access key is Inactive and will be deleted", &message).await?;
    }
    Ok(())
}

fn waits(key: &str, since: SystemTime, until: SystemTime) -> String {
    format!("{key} is Inactive since {}, and is deleted on {} (rotation.keep_inactive)", date(since), date(until))
}

/// Deletes, or makes Inactive, a key that `retire` or `leaked` decided on.
pub(crate) async fn remove(
    invocation: &Invocation<'_>,
    secret: &Secret,
    key: &UsedKey,
    goal: Goal,
    consent: Consent,
) -> Result<Freed, Error> {
    slot::remove(invocation, secret, key, goal, &|situation, key| decide(situation, key, consent).map(drop)).await
}

/// A key that is gone is as good as deleted; the sentence shows a name that was mistyped.
pub(crate) fn no_such_key(user: &str, key: &str) -> String {
    format!("the IAM user {user} has no access key {key}, or none any more: there was nothing to delete")
}

fn was_to_go(key: &str, reason: &str) -> String {
    format!("access key {key} was not deleted: {reason}. It is unchanged")
}

#[cfg(test)]
mod tests {
    use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, RefusalKind, TOLD};

    use std::time::Duration;

    use super::*;
    use crate::{
        decide::keys::tests::DAY,
        fake_aws::{FakeAws, Fault},
    };

    fn long_rotated() -> FakeAws {
        FakeAws::new()
            .version("new", &[AWSCURRENT, DEPLOYING, TOLD, AWSPENDING], "NEW")
            .version("old", &[AWSPREVIOUS], "OLD")
            .keys(&["NEW", "OLD"])
    }

    async fn retire_in(aws: &FakeAws, orphan: Option<&str>) -> Result<Retired, Error> {
        aws.ask(async |invocation| run(invocation, orphan).await).await
    }

    #[tokio::test]
    async fn the_previous_key_goes_after_its_grace_and_the_current_one_is_told_as_kept() {
        let aws = long_rotated();
        let retired = retire_in(&aws, None).await.unwrap();
        assert_eq!(retired.deleted, ["OLD"]);
        assert!(retired.kept.len() == 1 && retired.kept[0].starts_with("NEW (Active"), "{retired:?}");
        assert_eq!(aws.changes(), ["UpdateAccessKey", "DeleteAccessKey"]);
        assert_eq!(aws.active_keys(), ["NEW"]);
    }

    /// As `long_rotated`, and a superseded key is Inactive for so long before it goes.
    fn patient() -> FakeAws {
        long_rotated().keep_inactive(Duration::from_hours(72)).topic()
    }

    #[tokio::test(start_paused = true)]
    async fn a_superseded_key_is_made_inactive_first_and_the_topic_has_the_way_back() {
        let aws = patient();
        let retired = retire_in(&aws, None).await.unwrap();
        assert_eq!((retired.deactivated, retired.deleted.len()), (vec!["OLD".to_owned()], 0));
        assert_eq!(aws.changes(), ["UpdateAccessKey", "UpdateSecretVersionStage", "Publish"]);
        assert!(aws.labels("old")[1].starts_with("INACTIVE/OLD/"), "{:?}", aws.labels("old"));
        assert!(aws.published()[0].1.contains("update-access-key"));
        let again = retire_in(&aws, None).await.unwrap();
        assert!(again.kept.iter().any(|it| it.contains("OLD is Inactive since")), "{again:?}");
        assert_eq!(aws.changes().len(), 3, "nothing is said or done twice");
    }

    /// It may have the previous key, which its image or an older rotation gave it.
    #[tokio::test]
    async fn no_key_goes_while_a_host_that_was_added_has_not_confirmed_the_one_in_use() {
        for aws in [long_rotated().label("new", "HOSTS/abcd"), long_rotated()] {
            let aws = aws.host();
            let retired = retire_in(&aws, None).await.unwrap();
            assert!(retired.deleted.is_empty() && retired.deactivated.is_empty(), "{retired:?}");
            assert_eq!(aws.active_keys().len(), 2);
        }
        assert_eq!(retire_in(&long_rotated().host().confirmed(), None).await.unwrap().deleted, ["OLD"]);
    }

    #[tokio::test]
    async fn a_key_that_was_inactive_for_long_is_deleted_and_its_label_goes_after_it() {
        let aws = patient().label("old", "INACTIVE/OLD/2023-11-20T00:00:00Z").inactive("OLD");
        assert_eq!(retire_in(&aws, None).await.unwrap().deleted, ["OLD"]);
        retire_in(&aws, None).await.unwrap();
        assert_eq!(aws.labels("old"), [AWSPREVIOUS]);
    }

    #[tokio::test]
    async fn a_key_that_somebody_made_active_again_stays_and_loses_its_label() {
        let aws = patient().label("old", "INACTIVE/OLD/2023-11-20T00:00:00Z");
        let retired = retire_in(&aws, None).await.unwrap();
        assert!(retired.kept.iter().any(|it| it.contains("somebody made it Active again")), "{retired:?}");
        assert_eq!((aws.labels("old"), aws.active_keys().len()), (vec![AWSPREVIOUS.to_owned()], 2));
    }

    #[tokio::test]
    async fn whoever_looked_at_an_orphan_vouches_for_no_key_that_a_version_names() {
        let aws = patient().label("old", "INACTIVE/OLD/2023-11-20T00:00:00Z");
        let retired = retire_in(&aws, Some("OLD")).await.unwrap();
        assert!(retired.deactivated.is_empty() && aws.active_keys().len() == 2, "{retired:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_who_moves_awscurrent_while_the_key_is_noted_as_inactive_costs_no_key_even_if_the_move_shows_late()
     {
        let moved = Fault::LabelMoved { to: "old", label: AWSCURRENT };
        for looks in 2..5 {
            let aws = patient().fault_after(looks, "DescribeSecret", moved);
            let retired = retire_in(&aws, None).await.unwrap();
            assert!(retired.deactivated.is_empty() && aws.active_keys().len() == 2, "{looks} {retired:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_who_moves_awscurrent_in_the_very_moment_costs_no_key() {
        let moved = Fault::LabelMoved { to: "old", label: AWSCURRENT };
        let aws = patient().fault("UpdateAccessKey", moved);
        retire_in(&aws, None).await.unwrap();
        assert_eq!((aws.active_keys().len(), aws.count("DeleteAccessKey")), (2, 0));
        let aws = patient().fault("UpdateSecretVersionStage", moved);
        retire_in(&aws, None).await.unwrap();
        assert_eq!(aws.count("DeleteAccessKey"), 0, "Inactive, and it can be made Active again");
    }

    #[tokio::test]
    async fn during_the_grace_nothing_goes() {
        let aws = long_rotated().keep_previous(100 * 365 * DAY);
        let retired = retire_in(&aws, None).await.unwrap();
        assert_eq!((retired.deleted.len(), retired.kept.len()), (0, 2));
        assert_eq!(aws.changes(), [""; 0]);
    }

    #[tokio::test]
    async fn while_a_rotation_is_open_nothing_goes_and_that_is_what_is_told() {
        let aws = long_rotated().empty_version("next", &[]).version("new", &[AWSCURRENT, DEPLOYING, TOLD], "NEW");
        let aws = aws.empty_version("next", &[AWSPENDING]);
        let retired = retire_in(&aws, None).await.unwrap();
        assert!(retired.deleted.is_empty() && retired.kept[0].contains("next is AWSPENDING"), "{retired:?}");
        assert_eq!((retired.kept.len(), aws.changes()), (1, vec![]));
    }

    #[tokio::test]
    async fn a_rotation_that_begins_meanwhile_brings_the_key_back() {
        let begins = Fault::LabelMoved { to: "next", label: AWSPENDING };
        let aws = long_rotated().empty_version("next", &["custom"]).fault("UpdateAccessKey", begins);
        let retired = retire_in(&aws, None).await.unwrap();
        assert_eq!(retired.deleted, [""; 0]);
        assert!(retired.kept[1].contains("a rotation is open"), "{retired:?}");
        assert_eq!(aws.changes(), ["UpdateAccessKey", "UpdateAccessKey"]);
        assert_eq!(aws.active_keys(), ["NEW", "OLD"]);
    }

    #[tokio::test]
    async fn after_a_rollback_nothing_goes() {
        let moved = Fault::LabelMoved { to: "old", label: AWSCURRENT };
        for aws in [
            long_rotated().version("new", &[AWSPREVIOUS, DEPLOYING, TOLD], "NEW").version("old", &[AWSCURRENT], "OLD"),
            long_rotated().fault_after(1, "DescribeSecret", moved),
        ] {
            let retired = retire_in(&aws, None).await.unwrap();
            assert_eq!((retired.deleted, aws.count("DeleteAccessKey")), (vec![], 0));
            assert_eq!(aws.active_keys(), ["NEW", "OLD"]);
        }
    }

    #[tokio::test]
    async fn an_orphan_on_a_referenced_user_goes_only_if_it_is_named() {
        let aws = || long_rotated().referenced_user().keys(&["NEW", "STRAY"]).made_later("STRAY", 60);
        assert_eq!(retire_in(&aws(), None).await.unwrap().deleted, [""; 0]);
        assert_eq!(retire_in(&aws(), Some("NEW")).await.unwrap().deleted, [""; 0]);
        assert_eq!(retire_in(&aws(), Some("STRAY")).await.unwrap().deleted, ["STRAY"]);
        let used = aws().used_at("STRAY", crate::fake_aws::LONG_AGO - 1);
        let retired = retire_in(&used, Some("STRAY")).await.unwrap();
        assert!(retired.deleted.is_empty() && retired.kept[1].contains("somebody else's"), "{retired:?}");
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_is_told_as_such() {
        let retired = retire_in(&long_rotated().keys(&["NEW"]), Some("GONE")).await.unwrap();
        assert!(retired.kept.iter().any(|sentence| sentence.contains("no access key GONE")), "{retired:?}");
    }

    #[tokio::test]
    async fn no_key_goes_of_a_user_that_serves_another_secret_or_whose_secret_cannot_be_read() {
        let aws = long_rotated().user_serves("eu-west-1/other");
        assert_eq!(retire_in(&aws, None).await.unwrap_err().kind(), RefusalKind::UserServesAnother);
        assert_eq!(aws.changes(), [""; 0]);
        let aws = long_rotated().malformed_version("odd", &["odd"]);
        assert_eq!(retire_in(&aws, None).await.unwrap_err().kind(), RefusalKind::MalformedSecret);
        assert_eq!(aws.changes(), [""; 0]);
    }
}
