//! What people do to a secret, to its labels and to the function, and what must not come of it.

use contract::Retired;

use crate::support::{
    controls::Upkeep,
    deployed::{Deployed, LONG_GRACE},
    example::{INSTANCES, RULE, host_script},
    rotation::{CREATE, FINISH, SET},
};

const DAY: u64 = 24 * 60 * 60;
const FAILS: &str = "#!/bin/sh\necho no disk >&2\nexit 3\n";
const PATIENT: (&str, &str) = ("keep_inactive: 0s", "keep_inactive: 72h");

/// Fires the daily rule.
fn upkeep(deployed: &Deployed) -> Retired {
    let [invocation] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();
    assert_eq!(invocation.error, None);
    serde_json::from_value(invocation.result).unwrap()
}

#[tokio::test]
async fn an_operator_moves_awscurrent_forward_while_the_host_still_has_the_old_key() {
    let deployed = Deployed::new().await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.script(INSTANCES[0], FAILS);
    deployed.rotate().await.failed(SET, "HostsFailed");
    let pending = deployed.labelled("AWSPENDING").await.unwrap();

    deployed.move_label("AWSCURRENT", Some(&pending)).await;
    for _ in 0..3 {
        deployed.let_pass(2 * DAY);
        assert_eq!(upkeep(&deployed).deleted, [""; 0]);
    }
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(old.clone()));
    deployed.mail_works().await;

    deployed.script(INSTANCES[0], &host_script());
    deployed.completes().await;
    assert_ne!(deployed.key_on(INSTANCES[0]), Some(old));
}

#[tokio::test]
async fn somebody_invokes_finish_secret_before_the_hosts_are_told() {
    let deployed = Deployed::new().await;
    let current = deployed.labelled("AWSCURRENT").await;
    deployed.script(INSTANCES[0], FAILS);
    deployed.rotate().await.failed(SET, "HostsFailed");
    let token = deployed.labelled("AWSPENDING").await.unwrap();

    let failure = deployed.step(FINISH, &token).await.unwrap_err();

    assert_eq!((failure.kind.as_str(), deployed.labelled("AWSCURRENT").await), ("HostsNotTold", current));
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn somebody_edits_another_field_within_the_grace() {
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    let mut value = deployed.sandbox.secret("AWSCURRENT").await;
    value.other.insert("note".into(), &"edited".into());
    deployed.put(&value.to_json()).await;

    assert_eq!(upkeep(&deployed).deleted, [""; 0], "the grace belongs to the key");
    // Only the function can tell an edit from another credential.
    let told = "somebody edited the secret, or hosts may have another credential";
    assert!(deployed.run(&["plan"]).expect(0).in_one_line().contains(told));
    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(!status.contains(told), "{status}");
    deployed.let_pass(2 * DAY);
    assert_eq!(upkeep(&deployed).deleted, [previous]);
    deployed.completes().await;
}

#[tokio::test]
async fn somebody_edits_the_secret_after_a_rollback() {
    let deployed = Deployed::new().await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.completes().await;
    deployed.roll_back().await;
    deployed.clear_what_looks_open().await;
    let mut value = deployed.sandbox.secret("AWSCURRENT").await;
    value.other.insert("note".into(), &"edited".into());
    deployed.put(&value.to_json()).await;

    deployed.rotate().await.failed(CREATE, "RolledBack");

    assert_eq!(deployed.key_labelled("AWSCURRENT").await, old, "the rollback is not undone");
}

#[tokio::test]
async fn a_superseded_key_is_inactive_for_days_and_can_be_brought_back() {
    let deployed = Deployed::with(&[PATIENT]).await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.completes().await;
    deployed.let_pass(2 * DAY);

    assert_eq!(upkeep(&deployed).deactivated, [old.as_str()]);
    assert_eq!(upkeep(&deployed).deleted, [""; 0]);
    deployed.set_active(&old, true).await;
    assert!(upkeep(&deployed).deleted.is_empty() && deployed.has_key(&old).await, "somebody brought it back");

    deployed.let_pass(2 * DAY);
    assert_eq!(upkeep(&deployed).deactivated, [old.as_str()]);
    deployed.let_pass(4 * DAY);
    assert_eq!(upkeep(&deployed).deleted, [old.as_str()]);
    deployed.completes().await;
}

/// What the function of an older version left: it set neither TOLD nor DONE.
async fn as_before(deployed: &Deployed) {
    for label in ["TOLD", "DONE"] {
        if deployed.labelled(label).await.is_some() {
            deployed.move_label(label, None).await;
        }
    }
}

#[tokio::test]
async fn a_deployment_of_an_older_version_is_labelled_by_the_daily_upkeep_without_a_rotation() {
    let deployed = Deployed::new().await;
    as_before(&deployed).await;
    let (current, before) = (deployed.labelled("AWSCURRENT").await, deployed.mark());

    upkeep(&deployed);

    deployed.touched_no_key(before);
    assert_eq!(deployed.labelled("AWSCURRENT").await, current);
    assert_eq!((deployed.labelled("TOLD").await, deployed.labelled("DONE").await), (current.clone(), current));
    deployed.completes().await;
}

#[tokio::test]
async fn a_deployment_of_an_older_version_is_in_the_middle_of_a_grace() {
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    as_before(&deployed).await;
    let before = deployed.mark();

    assert_eq!(upkeep(&deployed).deleted, [""; 0]);

    deployed.touched_no_key(before);
    assert_eq!(deployed.labelled("TOLD").await, deployed.labelled("AWSCURRENT").await);
    deployed.let_pass(2 * DAY);
    assert_eq!(upkeep(&deployed).deleted, [previous]);
    deployed.completes().await;
}

#[tokio::test]
async fn a_deployment_of_an_older_version_has_an_open_rotation_that_the_host_was_told_of() {
    let deployed = Deployed::new().await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.rotation_fails_after_the_host_was_told().await;
    as_before(&deployed).await;
    let pending = deployed.labelled("AWSPENDING").await;
    let before = deployed.mark();

    assert_eq!(upkeep(&deployed).deleted, [""; 0]);

    deployed.touched_no_key(before);
    assert_eq!(deployed.labelled("TOLD").await, None, "an open rotation labels what its hosts confirm");
    deployed.completes_when_tried_again().await;
    let now = deployed.labelled("AWSCURRENT").await;
    assert_eq!(
        (now.clone(), deployed.labelled("TOLD").await, deployed.labelled("DONE").await),
        (pending, now.clone(), now)
    );
    assert!(deployed.has_key(&old).await, "its grace begins");
}
