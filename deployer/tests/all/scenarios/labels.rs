//! Labels that an operator moves, and versions that are tried with a new token.

use std::fs;

use serde_json::json;

use crate::deployed::{CREATE, Deployed, INSTANCES, SET, TEST};

#[tokio::test]
async fn an_operator_clears_awspending_after_set_secret_succeeded_then_rotates() {
    let deployed = Deployed::new().await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.held_before(TEST).await;
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    assert_ne!(told, current);
    deployed.clear_pending().await;
    deployed.release();
    let ended = deployed.ended().await;
    assert_eq!(ended.status, "abandoned");
    ended.ended_with(TEST, "NotPending").says(&["goes on with the credential that hosts may have been told of"]);

    let before = deployed.mark();
    deployed.completes().await;

    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told, "the host's key is the one that becomes current");
    deployed.touched_no_key(before);
}

#[tokio::test]
async fn test_secret_fails_and_is_retried_with_a_new_token_and_succeeds() {
    let deployed = Deployed::new().await;
    deployed.sandbox.control("rotation", &json!({"attempts": 2, "retry_token": "new"}));
    deployed.refuse_mails(1);
    let before = deployed.mark();

    let rotation = deployed.completes().await;

    assert_eq!(
        rotation.errors(),
        [
            (CREATE, None),
            (SET, None),
            (TEST, Some("TestMailRefused")),
            (CREATE, None),
            (SET, None),
            (TEST, None),
            ("finishSecret", None)
        ]
    );
    assert_ne!(rotation.history[0].token, rotation.token);
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1, "the host's key is taken, not a third one");
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
}

/// A rotation is done, and an operator has moved AWSCURRENT back. Answers the keys: first the one that is current again.
async fn rolled_back(deployed: &Deployed) -> (String, String) {
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.key_labelled("AWSCURRENT").await);
    let previous = deployed.labelled("AWSPREVIOUS").await.unwrap();
    deployed.move_label("AWSCURRENT", &previous).await;
    deployed.clear_what_looks_open().await;
    (old, new)
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_while_the_hosts_stay_where_they_are() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "RolledBack");
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(new.clone()));

    deployed.sandbox.operator(&failure.command("--version-stage AWSCURRENT"));
    deployed.completes_when_tried_again().await;

    assert!(deployed.has_key(&new).await && !deployed.has_key(&old).await, "only the superseded key made way");
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_and_the_hosts_with_it() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let file = deployed.folder(INSTANCES[0]).join("etc/mail/smtp-credentials");
    fs::copy(file.with_extension("previous"), &file).unwrap();
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(old.clone()));
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "RolledBack");
    deployed.touched_no_key(before);

    deployed.sandbox.operator(&failure.command("--version-stage DEPLOYING"));
    deployed.completes_when_tried_again().await;

    assert!(
        deployed.has_key(&old).await && !deployed.has_key(&new).await,
        "only the key that was rolled back made way"
    );
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_before_retire() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let before = deployed.mark();

    let retired = deployed.invoke(&json!({"event": "retire"})).await.unwrap();

    assert_eq!(retired["deleted"], json!([]));
    assert!(retired["kept"][0].as_str().unwrap().contains("DEPLOYING"), "{retired}");
    deployed.touched_no_key(before);
    assert!(deployed.has_key(&old).await && deployed.has_key(&new).await);
    deployed.mail_works().await;
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_while_retire_takes_the_previous_key() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.key_labelled("AWSCURRENT").await);
    let previous = deployed.labelled("AWSPREVIOUS").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    deployed.sandbox.faults(&json!([{"kind": "hold", "action": "iam:UpdateAccessKey"}]));
    let before = deployed.mark();

    let event = json!({"event": "retire"});
    let (retired, ()) = tokio::join!(deployed.invoke(&event), async {
        deployed.held_calls("iam:UpdateAccessKey", 1).await;
        deployed.move_label("AWSCURRENT", &previous).await;
        deployed.sandbox.faults(&json!([]));
    });

    let retired = retired.unwrap();
    assert_eq!(retired["deleted"], json!([]), "{retired}");
    assert_eq!(deployed.done(before, "iam:UpdateAccessKey"), 2, "deactivated, and Active again");
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
    assert!(deployed.has_key(&old).await && deployed.has_key(&new).await);
    deployed.mail_works().await;
}
