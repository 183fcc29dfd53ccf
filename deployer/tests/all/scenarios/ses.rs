//! SES that accepts a new key late, refuses, or is down.

use std::fs;

use serde::Deserialize;

use crate::support::{
    controls::{Answer, Functions, Rotations, Ses, Smtp},
    deployed::Deployed,
    example::{INSTANCES, USER},
    rotation::{CREATE, SET},
};

/// A line of the sandbox's `smtp.jsonl`.
#[derive(Deserialize)]
struct Answered {
    verb: String,
    code: u16,
}

/// The codes of SES's answers to every login so far, oldest first.
fn logins(deployed: &Deployed) -> Vec<u16> {
    let log = fs::read_to_string(deployed.sandbox.path("smtp.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Answered>(line).unwrap());
    lines.filter(|line| line.verb == "AUTH").map(|line| line.code).collect()
}

#[tokio::test]
async fn a_key_is_accepted_only_after_60_seconds() {
    let deployed = Deployed::new().await;
    deployed.sandbox.control(&Smtp { key_propagation_seconds: Some(60), ..Smtp::default() });
    let (before, logins_before) = (deployed.mark(), logins(&deployed).len());

    deployed.completes().await;

    let logins = &logins(&deployed)[logins_before..];
    let refused = logins.iter().take_while(|code| **code == 535).count();
    assert!(refused > 3, "the function tried too rarely: {logins:?}");
    assert_eq!(deployed.done(before, "ssm:SendCommand"), 1, "the host was told once");
}

#[tokio::test]
async fn a_key_is_accepted_then_refused_then_accepted() {
    let deployed = Deployed::new().await;
    deployed.sandbox.control(&Smtp { key_propagation_seconds: Some(0), ..Smtp::default() });
    deployed.held_before(SET).await;
    let before = logins(&deployed).len();
    deployed.answer(&[Answer::to("AUTH", 535, "ordered by the test").after(2)]);
    deployed.release();

    deployed.completes_by_itself().await;

    assert_eq!(
        logins(&deployed)[before..][..6],
        [235, 235, 535, 235, 235, 235],
        "SES has to accept the key three times in a row"
    );
}

#[tokio::test]
async fn ses_answers_421_454_451_then_accepts() {
    let deployed = Deployed::new().await;
    deployed.answer(&[
        Answer::to("CONNECT", 421, "Too many concurrent SMTP connections"),
        Answer::to("AUTH", 454, "Temporary authentication failure"),
        Answer::to("AUTH", 451, "Temporary service failure").after(3),
        Answer::to("DATA", 451, "Temporary service failure"),
        Answer::to("DATA", 454, "Throttling failure: Maximum sending rate exceeded."),
    ]);

    let rotation = deployed.completes().await;

    assert_eq!(rotation.errors().iter().filter(|(_, error)| error.is_some()).count(), 0);
}

#[tokio::test]
async fn ses_is_down_for_the_whole_window_from_before_a_key_is_made() {
    let deployed = Deployed::new().await;
    deployed.sandbox.control(&Rotations { attempts: Some(2), ..Rotations::default() });
    deployed.sandbox.control(&Smtp { down: Some(true), ..Smtp::default() });
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "EndpointUnreachable");

    failure.says(&["no key was made"]);
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    deployed.shows("ses_is_down").await;
    deployed.sandbox.control(&Smtp { down: Some(false), ..Smtp::default() });
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn ses_is_down_for_the_whole_window_from_after_the_key_was_made() {
    let deployed = Deployed::new().await;
    let (before, on_host) = (deployed.mark(), deployed.key_on(INSTANCES[0]));
    deployed.sandbox.control(&Rotations { attempts: Some(2), ..Rotations::default() });
    deployed.held_before(SET).await;
    // The function keeps free the time that hosts may need, so a few of these seconds are left for the login gate.
    deployed.sandbox.control(&Functions { deadline_seconds: Some(95), ..Functions::default() });
    deployed.answer(&[Answer::to("CONNECT", 421, "ordered by the test").times(1000)]);
    deployed.release();

    let ended = deployed.ended().await;

    let failure = ended.failed(SET, "LoginRefused");
    assert_eq!(ended.errors().iter().filter(|step| **step == (SET, Some("LoginRefused"))).count(), 2);
    failure.says(&["AWSCURRENT was not moved", "421"]);
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1);
    deployed.told_no_host(before);
    assert_eq!(deployed.key_on(INSTANCES[0]), on_host);
    deployed.sandbox.control(&Functions::default());
    deployed.shows("ses_answers_nobody_after_the_key_was_made").await;
    deployed.answer(&[]);
    deployed.mail_works().await;
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1);
}

#[tokio::test]
async fn a_credential_that_may_not_send_is_found_out_before_any_host_is_told() {
    let from_the_hosts_only = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}}"#;
    let deployed = Deployed::new().await;
    let (iam, before, on_host) = (&deployed.aws.iam, deployed.mark(), deployed.key_on(INSTANCES[0]));
    let inline = iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names.remove(0);
    let theirs = iam.get_user_policy().user_name(USER).policy_name(&inline).send().await.unwrap().policy_document;
    let theirs = percent_encoding::percent_decode_str(&theirs).decode_utf8().unwrap();
    let put =
        |document: &str| iam.put_user_policy().user_name(USER).policy_name(&inline).policy_document(document).send();
    put(from_the_hosts_only).await.unwrap();

    let failure = deployed.rotate().await.failed(SET, "TestMailRefused");

    failure.says(&["accepted the login", "554", "no host was told", "aws:SourceIp", "the test is then a login"]);
    assert!(!failure.text.contains("verify the identity"), "{failure:?}");
    deployed.told_no_host(before);
    assert_eq!(deployed.key_on(INSTANCES[0]), on_host);
    put(&theirs).await.unwrap();
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1, "the rotation continues with the key that it made");
}

#[tokio::test]
async fn a_rotation_whose_test_mail_ses_would_not_take_is_not_started() {
    let only = ("from: [\"*@example.com\"]", "from: [no-reply@example.com]");
    let deployed = Deployed::with(&[only]).await;
    let (before, keys) = (deployed.mark(), deployed.keys().await);
    deployed.aws.sesv2.delete_email_identity().email_identity("example.com").send().await.unwrap();
    let key = deployed.key_on(INSTANCES[0]).unwrap();
    for verb in [&["rotate"][..], &["rotate", "--auto-approve", "--leaked", &key]] {
        let refused = deployed.run(verb).expect(14).in_one_line();
        assert!(
            refused.contains("SES does not accept mail from") && refused.contains("so none was started"),
            "{refused}"
        );
    }
    let recover = deployed.run(&["recover", "--auto-approve"]).expect(14).in_one_line();
    assert!(recover.contains("a rotation would fail: SES does not accept mail from"), "{recover}");
    let status = deployed.run(&["status"]).in_one_line();
    assert!(status.contains("Is mail safe? no: SES does not accept mail from"), "{status}");
    deployed.sandbox.control(&Ses { sending: false });
    assert!(deployed.run(&["rotate"]).expect(14).in_one_line().contains("SES sends nothing for this account"));
    assert_eq!(deployed.keys().await, keys);
    assert_eq!(deployed.sandbox.mutations(before).len(), 1, "the test's own");
}
