//! What keeps a deployment from a command that should not run on it: protection from deletion, and versions of the deployer.

use std::fs;

use crate::support::{
    calls::NOTHING,
    deployed::Deployed,
    example::{RECORD, REGION, ROTATE_LATER, SECRET},
};

const PROTECTED: (&str, &str) = ("protect: false", "protect: true");
const DESTROY: [&str; 3] = ["destroy", "--auto-approve", "--stop-mail"];
const REFUSED: &str = "error: deployment eu-west-1/mail-prod is protected\n";

#[tokio::test]
async fn a_protected_deployment_goes_only_after_a_file_without_the_line_was_applied() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    // The line is in the file, and no apply has set the tags yet.
    let before = deployed.mark();
    deployed.sandbox.config(&[ROTATE_LATER, PROTECTED]);
    assert!(deployed.run(&DESTROY).expect(1).stderr.contains(REFUSED));
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    deployed.run(&["apply", "--auto-approve"]).expect(0);
    let before = deployed.mark();
    let refused = deployed.run(&DESTROY).expect(1).stderr;
    assert_eq!(refused.matches("error:").count(), 1, "{refused}");
    assert!(refused.contains(REFUSED) && refused.contains("without protect: true"), "{refused}");
    // The line is gone from the file, or the file itself is: the tags protect.
    deployed.sandbox.config(&[ROTATE_LATER]);
    assert!(deployed.run(&DESTROY).expect(1).stderr.contains(REFUSED));
    let by_name = ["--name", "mail-prod", "--region", REGION];
    assert!(deployed.sandbox.deployer(&[&DESTROY[..], &by_name].concat()).expect(1).stderr.contains(REFUSED));
    // What the file no longer declares is protected too, as long as the file says so.
    let text = fs::read_to_string(deployed.sandbox.path("config.yaml")).unwrap();
    let without_notify = text.split_once("\nnotify:\n").unwrap().0.to_owned();
    deployed.sandbox.file("config.yaml", &without_notify.replace(PROTECTED.0, PROTECTED.1));
    assert!(deployed.run(&["plan"]).expect(1).stderr.contains(REFUSED));
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    // To lift the protection and to delete are two runs: of the topic, of a policy, which carries no tag, and of the secret.
    deployed.sandbox.file("config.yaml", &without_notify);
    let refused = deployed.run(&["apply", "--auto-approve"]).expect(1).stderr;
    assert!(refused.contains(REFUSED) && refused.contains("without protect: true"), "{refused}");
    deployed.sandbox.config(&[ROTATE_LATER, ("  role: mail-prod-instance\n", "")]);
    assert!(deployed.run(&["plan"]).expect(1).stderr.contains(REFUSED));
    deployed.sandbox.config(&[ROTATE_LATER, ("name: mail-prod/smtp", "name: mail-prod/other")]);
    assert!(deployed.run(&["apply", "--auto-approve", "--stop-mail"]).expect(1).stderr.contains(REFUSED));
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.sandbox.config(&[ROTATE_LATER]);
    let planned = deployed.run(&["plan"]).expect(0).stdout;
    assert!(planned.contains("tags.deployer:protect  true → (none)"), "{planned}");
    deployed.run(&["apply", "--auto-approve"]).expect(0);

    deployed.sandbox.file("config.yaml", &without_notify);
    assert!(deployed.run(&["plan"]).expect(0).stdout.contains("sns:DeleteTopic"));
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.run(&DESTROY).expect(0);
    let left = deployed.sandbox.inventory();
    assert!(left.contains(&format!("secret {SECRET} (deleted)")), "{left:?}");
    assert!(!left.iter().any(|line| line.starts_with("parameter") || line.starts_with("function")), "{left:?}");
}

#[tokio::test]
async fn an_older_deployer_does_not_put_its_function_over_that_of_a_newer_one() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let ssm = &deployed.aws.ssm;
    let record = ssm.get_parameter().name(RECORD).send().await.unwrap().parameter.unwrap().value.unwrap();
    let newer = record.replace(r#""deployer":""#, r#""deployer":"9"#);
    assert_ne!(record, newer);
    ssm.put_parameter().name(RECORD).value(newer).overwrite(true).send().await.unwrap();
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);

    deployed.sandbox.config(&[ROTATE_LATER, ("architecture: x86_64", "architecture: arm64")]);
    let before = deployed.mark();
    let refused = deployed.run(&["apply", "--auto-approve"]).expect(1).stderr;
    assert!(refused.contains("applied function mail-prod-rotation last, and this is deployer 0.1.0"), "{refused}");
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
}

#[tokio::test]
async fn a_file_for_another_version_of_the_deployer_is_refused_by_every_command() {
    let deployed = Deployed::before_apply(&[(r#"required_version: ">=0.1""#, r#"required_version: ">=9, <10""#)]).await;
    for command in ["validate", "plan", "apply", "destroy", "status", "rotate", "recover"] {
        let refused = deployed.run(&[command]).expect(1).stderr;
        assert!(refused.contains("this file is for deployer >=9, <10, and this is deployer 0.1.0"), "{refused}");
    }
    assert!(deployed.sandbox.calls().is_empty());
}
