//! `apply --adopt`: resources that another tool made under the deployment's names become the deployment's.

use crate::support::{
    caller::actions,
    calls::NOTHING,
    deployed::Deployed,
    example::{EXISTING_SECRET, EXISTING_USER, ROTATE_LATER, SECRET, USER},
    faults::Fault,
};

const ADOPT: [&str; 3] = ["apply", "--adopt", "--auto-approve"];

#[tokio::test]
async fn what_another_tool_made_and_rotates_is_adopted_without_a_rotation_and_then_nothing_is_left_to_do() {
    let deployed = Deployed::with(&[]).await;
    deployed.aws.make_another_tools().await;
    let before = deployed.mark();
    let (keys, versions) = (deployed.keys().await, versions(&deployed).await);
    let refused = deployed.run(&["plan"]).expect(1).stderr;
    assert!(refused.contains("its tags are ManagedBy=terraform"), "{refused}");

    let planned = deployed.run(&["plan", "--adopt", "--out", "plan.json"]).expect(0).stdout;
    assert_eq!(planned.matches("  (adopted)").count(), 8, "{planned}");
    assert!(
        planned.contains("owner  (tags: ManagedBy=terraform") && planned.contains("→ eu-west-1/mail-prod"),
        "{planned}"
    );
    assert!(planned.contains("The credential does not rotate now") && planned.contains(", 0 to destroy."), "{planned}");
    assert!(planned.contains(&format!("access key {} stays", keys[0].0)), "{planned}");
    let refused = deployed.sandbox.deployer(&["apply", "plan.json", "--adopt"]).expect(1).stderr;
    assert!(refused.contains("--adopt is part of a plan"), "{refused}");
    let (sandbox, reads) = (&deployed.sandbox, NOTHING);
    assert_eq!(sandbox.mutations(before), reads);

    sandbox.make_caller().await;
    sandbox.allow_caller(&sandbox.policy_for("apply", "config.yaml")).await;
    let before = deployed.mark();
    sandbox.deployer(&["apply", "plan.json"]).expect(0);
    assert_eq!(sandbox.denied_to_caller(before), NOTHING);
    deployed.touched_no_key(before);
    assert_eq!((deployed.keys().await, self::versions(&deployed).await), (keys, versions));
    let mutations = sandbox.mutations(before);
    assert!(!mutations.iter().any(|call| call.contains(":Create") || call.contains(":Delete")), "{mutations:?}");
    deployed.mail_works().await;

    // As for what the deployment made.
    sandbox.allow_caller(&sandbox.policy_for("plan", "config.yaml")).await;
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.run(&["plan", "--adopt", "--detailed-exitcode"]).expect(0);
    deployed.run(&["drift"]).expect(0);
    sandbox.allow_caller(&sandbox.policy_for("destroy", "config.yaml")).await;
    deployed.run(&["destroy", "--auto-approve", "--stop-mail"]).expect(0);
    assert!(actions(&sandbox.policy_for("apply", "config.yaml")).contains("iam:TagRole"));
}

#[tokio::test]
async fn an_adopted_secret_keeps_its_value_until_somebody_rotates_it() {
    let deployed = Deployed::with(&[ROTATE_LATER]).await;
    deployed.aws.make_another_tools().await;
    // The file asks for a rotation when the deployment is created.
    deployed.sandbox.config(&[]);
    let (before, held) = (deployed.mark(), versions(&deployed).await);
    let adopted = deployed.run(&ADOPT).expect(0).stdout;
    let note =
        format!("the deployment took secret {SECRET} over, and has not rotated it yet; `deployer rotate` starts it");
    assert!(adopted.contains(&note), "{adopted}");
    let again = deployed.run(&["apply", "--auto-approve", "--detailed-exitcode"]).expect(0).stdout;
    assert!(again.contains(&note), "{again}");
    assert_eq!((deployed.keys().await, versions(&deployed).await), (vec![], held));
    deployed.touched_no_key(before);
    deployed.run(&["rotate"]).expect(0);
    deployed.mail_works().await;
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
}

#[tokio::test]
async fn a_secret_and_a_user_that_the_file_declared_existing_become_the_deployments_without_a_rotation() {
    let deployed = Deployed::before_apply(&[&EXISTING_USER[..], &EXISTING_SECRET].concat()).await;
    let secret = contract::SecretValue::placeholder(USER).to_json();
    deployed.aws.secrets.create_secret().name(SECRET).secret_string(secret).send().await.unwrap();
    deployed.sandbox.make_user_by_hand("/").await;
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    let (before, keys) = (deployed.mark(), deployed.keys().await);

    deployed.sandbox.config(&[]);
    deployed.run(&["plan"]).expect(1);
    let planned = deployed.run(&["plan", "--adopt"]).expect(0).stdout;
    assert_eq!(planned.matches("  (adopted)").count(), 2, "{planned}");
    deployed.run(&ADOPT).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.touched_no_key(before);
    assert_eq!(deployed.keys().await, keys);
    deployed.mail_works().await;
}

#[tokio::test]
async fn what_an_adoption_that_failed_half_way_took_over_is_handed_back_as_the_plan_says() {
    let deployed = Deployed::before_apply(&[]).await;
    let secret = contract::SecretValue::placeholder(USER).to_json();
    deployed.aws.secrets.create_secret().name(SECRET).secret_string(secret).send().await.unwrap();
    deployed.sandbox.make_user_by_hand("/").await;
    deployed.sandbox.faults(&[Fault::refuse("lambda:CreateFunction", "InvalidParameterValueException").times(99)]);
    deployed.run(&ADOPT).expect(11);
    deployed.sandbox.faults(&[]);

    deployed.sandbox.config(&[&EXISTING_USER[..], &EXISTING_SECRET].concat());
    let planned = deployed.run(&["plan"]).expect(0).in_one_line();
    let handed_over = format!("this deployment owns secret {SECRET}, and the file declares it existing: it is yours");
    assert!(
        planned.contains(&handed_over) && planned.contains("The credential rotates as soon as rotation is enabled"),
        "{planned}"
    );
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.mail_works().await;
}

#[tokio::test]
async fn a_user_of_another_deployment_and_an_administrator_are_not_adopted() {
    let deployed = Deployed::before_apply(&[]).await;
    let iam = &deployed.aws.iam;
    let tag = aws_sdk_iam::types::Tag::builder().key("deployer:secret").value("eu-west-1/other/smtp").build().unwrap();
    iam.create_user().user_name(USER).tags(tag).send().await.unwrap();
    let refused = deployed.run(&ADOPT).expect(1).stderr;
    assert!(refused.contains(&format!("user {USER} serves another secret")), "{refused}");
    iam.untag_user().user_name(USER).tag_keys("deployer:secret").send().await.unwrap();
    let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_user_policy().user_name(USER).policy_arn(policy).send().await.unwrap();
    let before = deployed.mark();
    let refused = deployed.run(&ADOPT).expect(1).stderr;
    assert!(refused.contains(&format!("user {USER} is an administrator")) && refused.contains(policy), "{refused}");
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
}

/// The secret's versions, each with its labels.
async fn versions(deployed: &Deployed) -> std::collections::HashMap<String, Vec<String>> {
    let secret = deployed.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    secret.version_ids_to_stages.unwrap()
}

#[tokio::test]
async fn a_resource_whose_tag_somebody_removed_is_told_as_what_the_record_names() {
    let deployed = Deployed::with(&[]).await;
    let untag = deployed.aws.iam.untag_user().user_name(USER).tag_keys("deployer:deployment");
    untag.send().await.unwrap();
    let before = deployed.mark();
    let destroy = ["destroy", "--auto-approve", "--stop-mail"];
    for (command, way) in [
        (&["plan"][..], "`deployer plan --adopt`"),
        (&["status"], "`deployer plan --adopt`"),
        (&destroy, "`deployer apply --adopt`"),
    ] {
        let told = deployed.run(command).expect(1).in_one_line();
        let lost = format!("user {USER} has lost its tag deployer:deployment");
        assert!(told.contains(&lost) && told.contains(way), "{command:?}: {told}");
        for harm in ["did not make it", "existing: true", "another name"] {
            assert!(!told.contains(harm), "{command:?}: {told}");
        }
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.run(&ADOPT).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.run(&destroy).expect(0);
}
