//! The record of a deployment: what the configuration no longer declares is planned as a deletion, and deleted.

use aws_sdk_ssm::types::{ParameterType, Tag};

use crate::support::{
    aws::Aws,
    calls::NOTHING,
    deployed::Deployed,
    example::{
        self, DOCUMENT, EXISTING_SECRET, EXISTING_USER, INSTANCE_ROLE, INSTANCES, RECORD, REGION, ROTATE_LATER, SECRET,
        USER,
    },
    faults::Fault,
    sandbox::Sandbox,
    shown::assert_shown,
};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const PLAN: [&str; 2] = ["plan", "--detailed-exitcode"];

/// What is in the account and was not there before.
fn added(sandbox: &Sandbox, before: &[String]) -> Vec<String> {
    sandbox.inventory().into_iter().filter(|line| !before.contains(line)).collect()
}

#[tokio::test]
async fn what_is_taken_out_of_the_file_is_planned_as_a_deletion_and_nothing_of_it_is_left() {
    let deployed = Deployed::example(&[]).await;
    for (block, gone, call) in [
        (
            "notify",
            [
                "alarm mail-prod-dropped",
                "alarm mail-prod-errors",
                "alarm mail-prod-silence",
                "topic mail-prod-rotation",
            ]
            .map(str::to_owned)
            .to_vec(),
            "sns:DeleteTopic",
        ),
        (
            "instance",
            vec![
                format!("document {DOCUMENT}"),
                format!("role {INSTANCE_ROLE} policy mail-prod-read-secret-eu-west-1"),
            ],
            "ssm:DeleteDocument",
        ),
    ] {
        let before = deployed.sandbox.inventory();
        assert!(gone.iter().all(|line| before.contains(line)), "{gone:?}: {before:?}");
        deployed.sandbox.file("config.yaml", &example::without(block));

        let planned = deployed.run(&PLAN).expect(2).stdout;
        assert!(planned.contains(call) && planned.contains(&format!("{} to destroy", gone.len())), "{planned}");
        assert!(!planned.contains("The credential rotates"), "{planned}");
        deployed.run(&APPLY).expect(0);

        let after = deployed.sandbox.inventory();
        let missing: Vec<_> = before.iter().filter(|line| !after.contains(line)).cloned().collect();
        assert_eq!(missing, gone);
        deployed.run(&PLAN).expect(0);
        deployed.mail_works().await;
        // The next block is taken out of the whole example.
        deployed.sandbox.config(&[]);
        deployed.run(&APPLY).expect(0);
    }
}

#[tokio::test]
async fn another_role_of_the_instance_takes_the_access_from_the_one_before() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let trust = crate::support::aws::TRUST_OF_LAMBDA;
    deployed.aws.iam.create_role().role_name("other").assume_role_policy_document(trust).send().await.unwrap();
    let policies =
        async |role: &str| deployed.aws.iam.list_role_policies().role_name(role).send().await.unwrap().policy_names;
    deployed.sandbox.config(&[ROTATE_LATER, ("role: mail-prod-instance", "role: other")]);
    let planned = deployed.run(&PLAN).expect(2).stdout;
    assert!(planned.contains("- instance access mail-prod-instance/mail-prod-read-secret-eu-west-1"), "{planned}");
    deployed.run(&APPLY).expect(0);
    assert_eq!((policies("other").await.len(), policies(INSTANCE_ROLE).await.len()), (1, 0));

    deployed.sandbox.config(&[ROTATE_LATER, ("  role: mail-prod-instance\n", "")]);
    deployed.run(&APPLY).expect(0);
    assert_eq!(policies("other").await.len(), 0);
    deployed.run(&PLAN).expect(0);
}

#[tokio::test]
async fn another_user_for_the_same_secret_is_refused_and_a_second_file_takes_its_hosts_over() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.config(&[("  name: mail-prod-smtp\n", "  name: mail-prod-other\n")]);
    let before = deployed.mark();
    for command in [&PLAN[..], &APPLY, &["plan", "--stop-mail"], &["apply", "--auto-approve", "--stop-mail"]] {
        let refused = deployed.run(command).expect(1).stderr;
        let error = "secret mail-prod/smtp is that of user mail-prod-smtp, and the file names user mail-prod-other";
        assert!(refused.contains(error), "{refused}");
        assert!(refused.contains("write mail-prod-smtp as iam_user.name again"), "{refused}");
        assert!(refused.contains("`deployer destroy --stop-mail"), "{refused}");
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.mail_works().await;

    // What the error says.
    let second = example::text().replace("mail-prod-smtp", "shop-smtp").replace("mail-prod/smtp", "shop/smtp");
    let second = second.replace("name: mail-prod\n", "name: shop\n");
    let second = deployed.sandbox.file("second.yaml", &second);
    deployed.sandbox.deployer(&["apply", "--auto-approve", &second]).expect(0);
    let on_host = deployed.sandbox.credential_on(INSTANCES[0]).unwrap();
    deployed.sandbox.config(&[]);
    deployed.run(&["destroy", "--auto-approve", "--stop-mail"]).expect(0);
    assert!(deployed.sandbox.logs_in(&on_host));
    let users = deployed.sandbox.inventory();
    assert!(users.contains(&"user shop-smtp".to_owned()) && !users.contains(&format!("user {USER}")), "{users:?}");
}

#[tokio::test]
async fn a_file_that_deletes_the_secret_and_the_user_of_the_record_is_another_deployments_unless_a_person_says_so() {
    let deployed = Deployed::not_yet_rotated().await;
    // Else the function is known to rotate another secret.
    deployed.aws.secrets.cancel_rotate_secret().secret_id(SECRET).send().await.unwrap();
    deployed.sandbox.config(&[
        ROTATE_LATER,
        ("name: mail-prod/smtp", "name: shop/smtp"),
        ("name: mail-prod-smtp", "name: shop-smtp"),
    ]);
    let before = deployed.mark();
    let planned = deployed.run(&["plan"]).expect(0).stdout;
    let said = "the file no longer declares secret mail-prod/smtp, user mail-prod-smtp, and the run deletes that. \
                arn:aws:iam::123456789012:user/administrator applied last, at 20";
    let unwrapped = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped(&planned).contains(said), "{planned}");
    let destroy = ["destroy", "--auto-approve", "--stop-mail"];
    for command in [&APPLY[..], &destroy] {
        let refused = deployed.run(command).expect(10).stderr;
        assert!(refused.contains("would delete most of what the record of deployment mail-prod names"), "{refused}");
        assert!(refused.contains("--delete-leftovers mail-prod"), "{refused}");
        deployed.run(&[command, &["--delete-leftovers", "shop"]].concat()).expect(10);
    }
    let (code, screen) = deployed.run_on_a_terminal(&["apply"], "yes\n");
    assert!(code == 10 && screen.contains("Only 'mail-prod' is accepted"), "{screen}");
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    deployed.run(&[&APPLY[..], &["--delete-leftovers", "mail-prod"]].concat()).expect(0);
    deployed.run(&PLAN).expect(0);
}

#[tokio::test]
async fn another_secret_for_a_user_with_keys_is_refused_unless_a_person_says_that_mail_may_stop() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.config(&[("  name: mail-prod/smtp\n", "  name: mail-prod/other\n")]);

    let before = deployed.mark();
    for verb in [&PLAN[..], &APPLY] {
        let refused = deployed.run(verb).expect(1).in_one_line();
        assert!(
            refused.contains(&format!("secret {SECRET} holds the credential that hosts may be using")),
            "{refused}"
        );
        assert!(refused.contains("apply a second file") && refused.contains("--stop-mail"), "{refused}");
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    let planned = deployed.run(&[&PLAN[..], &["--stop-mail"]].concat()).expect(2).stdout;
    assert!(
        planned.contains(&format!("- secret {SECRET}")) && planned.contains("recovery_window_in_days"),
        "{planned}"
    );
    let keys = deployed.keys().await;
    let [(key, _)] = keys.as_slice() else { panic!("{keys:?}") };
    let way = format!("deployer rotate --leaked {key}");
    let unwrapped = planned.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains(&format!("keeps access key {key}")) && unwrapped.contains(&way), "{planned}");
    deployed.run(&[&APPLY[..], &["--stop-mail"]].concat()).expect(0);

    let there = deployed.sandbox.inventory();
    assert!(there.contains(&format!("secret {SECRET} (deleted)")), "{there:?}");
    let rotations: Vec<_> = there.iter().filter(|line| line.starts_with("rotation")).collect();
    assert_eq!(rotations, ["rotation mail-prod/other"]);
    deployed.run(&PLAN).expect(0);
    let on_host = deployed.sandbox.credential_on(INSTANCES[0]).unwrap();
    assert_ne!(on_host.access_key_id, *key);
    deployed.run(&["rotate", "--auto-approve", "--leaked", key]).expect(0);
    assert!(!deployed.keys().await.iter().any(|(it, _)| it == key));
}

/// The digest of a resource is in the record only once an apply has reached it.
#[tokio::test]
async fn a_run_that_failed_half_way_forgets_none_of_what_it_made() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let before = sandbox.inventory();
    sandbox.faults(&[Fault::refuse("lambda:CreateFunction", "InvalidParameterValueException").times(99)]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(11);
    sandbox.end_faults();
    assert!(added(&sandbox, &before).contains(&"topic mail-prod-rotation".to_owned()));

    sandbox.file("config.yaml", &example::without("notify"));
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let left = added(&sandbox, &before);
    assert!(!left.iter().any(|line| line.starts_with("topic")), "{left:?}");

    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    assert_eq!(added(&sandbox, &before), [format!("secret {SECRET} (deleted)")]);
}

#[tokio::test]
async fn a_destroy_removes_also_what_the_file_no_longer_names() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[ROTATE_LATER]);
    let before = sandbox.inventory();
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.file("config.yaml", &example::without("notify"));

    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);

    assert_eq!(added(&sandbox, &before), [format!("secret {SECRET} (deleted)")]);
}

#[tokio::test]
async fn a_destroy_with_a_file_whose_secret_has_another_name_removes_what_the_record_names() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[ROTATE_LATER]);
    let before = sandbox.inventory();
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.config(&[ROTATE_LATER, ("  name: mail-prod/smtp\n", "  name: mail-prod/other\n")]);

    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);

    assert_eq!(added(&sandbox, &before), [format!("secret {SECRET} (deleted)")]);
}

#[tokio::test]
async fn without_its_record_a_deployment_only_forgets_what_is_left_over() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let Aws { ssm, .. } = &deployed.aws;
    ssm.delete_parameter().name(RECORD).send().await.unwrap();

    deployed.sandbox.file("config.yaml", &example::without("notify"));
    let planned = deployed.run(&PLAN).expect(2).stdout;
    assert!(planned.contains(&format!("+ record {RECORD}")) && planned.contains("0 to destroy"), "{planned}");
    deployed.sandbox.config(&[ROTATE_LATER]);
    let told = deployed.run(&["drift"]).expect(1).in_one_line();
    assert!(told.contains(&format!("the record {RECORD} of deployment mail-prod is gone")), "{told}");
    assert!(told.contains("`deployer apply` writes it"), "{told}");
    let (applied, mutations) = deployed.run_watched(&APPLY);
    applied.expect(0);
    assert_eq!(mutations, ["ssm:PutParameter"; 4], "the lease and the record, each twice");
    deployed.run(&["drift"]).expect(0);
    deployed.run(&PLAN).expect(0);
}

#[tokio::test]
async fn a_record_of_somebody_else_or_of_a_newer_deployer_is_refused() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let ssm = sandbox.aws().await.ssm;
    let put = |value: &str| ssm.put_parameter().name(RECORD).r#type(ParameterType::String).value(value);
    let theirs = Tag::builder().key("deployer:deployment").value("eu-west-1/other").build().unwrap();
    let empty = r#"{"version":1,"resources":[{"kind":"user","name":"administrator"}]}"#;
    put(empty).tags(theirs).send().await.unwrap();
    let before = sandbox.mark();
    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1).stderr;
    assert!(refused.contains(&format!("record {RECORD} exists, but this deployment does not own it")), "{refused}");
    for (value, said) in [(r#"{"version":2}"#, "was written by a newer deployer"), ("rotation", "cannot be read")] {
        put(value).overwrite(true).send().await.unwrap();
        let refused = sandbox.deployer(&["plan", &config]).expect(1).stderr;
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(sandbox.mutations(before), ["ssm:PutParameter"; 2], "the test's own");
    ssm.delete_parameter().name(RECORD).send().await.unwrap();
    put("{}").r#type(ParameterType::SecureString).send().await.unwrap();
    let refused = sandbox.deployer(&["plan", &config]).expect(1).in_one_line();
    assert!(refused.contains("it is a SecureString, and apply writes a String"), "{refused}");
    assert!(refused.contains(&format!("aws ssm delete-parameter --region {REGION} --name {RECORD}")), "{refused}");
    assert!(sandbox.inventory().contains(&"user administrator".to_owned()));
}

#[tokio::test]
async fn a_deployment_is_listed_and_destroyed_without_its_file() {
    let sandbox = Sandbox::start();
    let region = ["--region", REGION];
    let list = |more: &[&str]| sandbox.deployer(&[&["list"], &region[..], more].concat()).expect(0);
    assert!(list(&[]).stdout.contains("No deployment has a record in eu-west-1."));
    let config = sandbox.config(&[]);
    let before = sandbox.inventory();
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    std::fs::remove_file(sandbox.path("config.yaml")).unwrap();

    let start = sandbox.mark();
    assert_shown!("list", &sandbox, &without_digests(&list(&[]).stdout));
    let elsewhere = sandbox.deployer_with(&["list"], &[("AWS_REGION", "eu-north-1")]).expect(0).stdout;
    assert!(elsewhere.contains("No deployment has a record in eu-north-1."), "{elsewhere}");
    let json = &list(&["--json"]).json_of("deployment")[0];
    assert_eq!((json["deployment"].as_str(), json["region"].as_str()), (Some("mail-prod"), Some(REGION)));
    assert_eq!((json["rotation_enabled"].as_bool(), json["drift"].as_str()), (Some(true), Some("unknown")));
    assert!(json["applied"]["by"].as_str().unwrap().ends_with(":user/administrator"), "{json}");

    let destroy = |name: &'static str| [&["destroy", "--stop-mail", "--name", name], &region[..]].concat();
    let unknown = sandbox.deployer(&destroy("mail")).expect(1).stderr;
    assert!(
        unknown.contains("deployment mail has no record in eu-west-1") && unknown.contains("deployer list --region")
    );
    let unattended = sandbox.deployer(&destroy("mail-prod")).expect(10).stderr;
    let again = "`deployer destroy --name mail-prod --region eu-west-1 --stop-mail --auto-approve`";
    assert!(unattended.contains(again), "{unattended}");
    let (code, screen) = sandbox.deployer_on_a_terminal(&destroy("mail-prod"), "yes\n");
    assert!(code == 10 && screen.contains("Only 'mail-prod' is accepted"), "{screen}");
    assert_eq!(sandbox.mutations(start), NOTHING);

    let (code, screen) = sandbox.deployer_on_a_terminal(&destroy("mail-prod"), "mail-prod\n");
    assert!(code == 0 && screen.contains("Destroy complete"), "{screen}");
    assert_eq!(added(&sandbox, &before), [format!("secret {SECRET} (deleted)")]);
    assert!(list(&[]).stdout.contains("No deployment has a record"));
    let again = sandbox.deployer(&destroy("mail-prod")).expect(1).in_one_line();
    assert!(again.contains("it is destroyed already, or there never was one of this name"), "{again}");
    assert!(again.contains("nothing is left to destroy"), "{again}");
}

#[tokio::test]
async fn a_deployment_of_an_existing_user_and_secret_is_destroyed_without_its_file_and_they_stay() {
    let sandbox = Sandbox::start();
    sandbox.make_user_by_hand("/").await;
    let value = format!(r#"{{"username":"{USER}","AccessKeyId":"","SMTPPassword":"","iam_user_arn":""}}"#);
    sandbox.aws().await.secrets.create_secret().name(SECRET).secret_string(value).send().await.unwrap();
    let before = sandbox.inventory();
    let config = sandbox.config(&[&EXISTING_SECRET[..], &EXISTING_USER, &[ROTATE_LATER]].concat());
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    sandbox.deployer(&["destroy", "--auto-approve", "--name", "mail-prod", "--region", REGION]).expect(0);

    assert_eq!(sandbox.inventory(), before);
}

/// The digest of the function's sources changes with each of its changes.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words: Vec<_> = text.split(' ').map(|word| if is_digest(word) { "DIGEST" } else { word }).collect();
    words.join(" ")
}
