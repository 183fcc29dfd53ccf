//! Accounts in which only some may create roles, and in which names have to be others than the derived ones.

use crate::support::{
    aws::TRUST_OF_LAMBDA,
    calls::NOTHING,
    deployed::Deployed,
    example::{FUNCTION, INSTANCE_ROLE, ROLE, ROLE_POLICY, SECRET, USER},
    faults::Fault,
    sandbox::Sandbox,
};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const PLAN: [&str; 2] = ["plan", "--detailed-exitcode"];

#[tokio::test]
async fn a_function_rotates_as_an_existing_role_that_allows_what_the_plan_says_and_the_role_stays() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[("  # role: lambda-mail", "  role: lambda-mail")]);
    let iam = sandbox.aws().await.iam;
    let missing = sandbox.deployer(&["plan", &config]).expect(1).stderr;
    assert!(missing.contains("role lambda-mail does not exist, and function.role names it"), "{missing}");
    let create =
        |trust: &str| iam.create_role().role_name("lambda-mail").path("/app/").assume_role_policy_document(trust);
    create(&TRUST_OF_LAMBDA.replace("lambda.", "ec2.")).send().await.unwrap();
    let refused = sandbox.deployer(&["plan", &config]).expect(1).stderr;
    assert!(refused.contains("Lambda may not assume role lambda-mail"), "{refused}");
    let trust = iam.update_assume_role_policy().role_name("lambda-mail").policy_document(TRUST_OF_LAMBDA);
    trust.send().await.unwrap();

    let planned = sandbox.deployer(&["plan", "--json", &config]).expect(0);
    let notes: String = planned.json_of("plan")[0]["notes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|note| note["message"].as_str())
        .collect();
    let policy = &notes[notes.find("has to allow this: {").unwrap() + "has to allow this: ".len()..];
    let policy = serde_json::Deserializer::from_str(policy).into_iter::<serde_json::Value>().next().unwrap().unwrap();
    let put = iam.put_role_policy().role_name("lambda-mail").policy_name("theirs").policy_document(policy.to_string());
    put.send().await.unwrap();

    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let there = sandbox.inventory();
    assert!(!there.contains(&format!("role {ROLE}")), "{there:?}");
    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
    let unchanged = sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0).stdout;
    assert!(!unchanged.contains("has to allow this"), "{unchanged}");
    let arn = sandbox.deployer(&["output", "role_arn", &config]).expect(0).stdout;
    assert_eq!(arn.trim(), "arn:aws:iam::123456789012:role/app/lambda-mail");

    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    let left = sandbox.inventory();
    assert!(left.contains(&"role lambda-mail policy theirs".to_owned()), "{left:?}");
}

#[tokio::test]
async fn a_role_that_may_do_nothing_does_not_replace_one_that_works() {
    let deployed = Deployed::new().await;
    let iam = &deployed.aws.iam;
    iam.create_role().role_name("lambda-mail").assume_role_policy_document(TRUST_OF_LAMBDA).send().await.unwrap();
    deployed.sandbox.config(&[("  # role: lambda-mail", "  role: lambda-mail")]);

    // The second one finds the function with its other role already.
    for code in [11, 1] {
        let applied = deployed.run(&APPLY).expect(code).in_one_line();
        assert!(applied.contains(&format!("function {FUNCTION} may not do what a rotation needs")), "{applied}");
        assert!(
            applied.contains("no apply changes: give it the policy that `deployer policy --for function`"),
            "{applied}"
        );
        let there = deployed.sandbox.inventory();
        assert!(there.contains(&format!("role {ROLE} policy {ROLE_POLICY}")), "the role before stays: {there:?}");
    }
    let status = deployed.run(&["status"]).in_one_line();
    assert!(status.contains("`deployer policy --for function`") && !status.contains("its policy again"), "{status}");

    let policy = deployed.run(&["policy", "--for", "function"]).expect(0).stdout;
    let put = iam.put_role_policy().role_name("lambda-mail").policy_name("theirs").policy_document(policy);
    put.send().await.unwrap();
    deployed.run(&APPLY).expect(0);
    assert!(!deployed.sandbox.inventory().contains(&format!("role {ROLE}")));
    deployed.run(&PLAN).expect(0);
    deployed.run(&["rotate"]).expect(0);
    deployed.mail_works().await;
}

#[tokio::test]
async fn other_names_are_made_anew_the_ones_before_are_deleted_and_nothing_rotates() {
    let deployed = Deployed::new().await;
    let version = deployed.labelled("AWSCURRENT").await;
    let keys = ["role", "function", "document", "rule", "topic", "alarms"];
    let keys = keys.map(|key| (format!("  # {key}: mail-{key}"), format!("  {key}: mail-{key}")));
    let keys = keys.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    let replacements: Vec<_> = [("# names:", "names:")].into_iter().chain(keys).collect();
    deployed.sandbox.config(&replacements);

    let planned = deployed.run(&PLAN).expect(2).stdout;
    assert!(!planned.contains("The credential rotates"), "{planned}");
    assert!(!planned.contains("which the deployer did not give it"), "{planned}");
    deployed.run(&[&APPLY[..], &["--delete-leftovers", "mail-prod"]].concat()).expect(0);

    deployed.run(&PLAN).expect(0);
    assert_eq!(deployed.labelled("AWSCURRENT").await, version);
    let there = deployed.sandbox.inventory();
    for old in [
        format!("role {ROLE}"),
        format!("function {FUNCTION}"),
        "log group /aws/lambda/mail-prod-rotation".to_owned(),
        "document mail-prod-rotate-smtp".to_owned(),
        "rule mail-prod-upkeep".to_owned(),
        "topic mail-prod-rotation".to_owned(),
        "alarm mail-prod-silence".to_owned(),
    ] {
        assert!(!there.contains(&old), "{old}: {there:?}");
    }
    deployed.run(&["rotate"]).expect(0);
    let region = ["--region", "eu-west-1"];
    let destroy = [&["destroy", "--auto-approve", "--stop-mail", "--name", "mail-prod"], &region[..]].concat();
    deployed.sandbox.deployer(&destroy).expect(0);
    let left: Vec<_> = deployed
        .sandbox
        .inventory()
        .into_iter()
        .filter(|line| {
            ["mail-role", "mail-function", "mail-document", "mail-rule", "mail-topic", "mail-alarms"]
                .iter()
                .any(|name| line.contains(name))
        })
        .collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn a_deployment_gets_another_name_and_nothing_of_the_former_one_is_left_and_nothing_rotates() {
    let deployed = Deployed::new().await;
    let version = deployed.labelled("AWSCURRENT").await;
    deployed
        .sandbox
        .config(&[("name: mail-prod\n", "name: shop\n"), ("# moved_from: mail-old", "moved_from: mail-prod")]);

    let planned = deployed.run(&PLAN).expect(2).stdout;
    assert!(
        planned.contains("deployment mail-prod becomes shop") && !planned.contains("The credential rotates"),
        "{planned}"
    );
    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.contains("deployment mail-prod rotates the credential until then"), "{status}");
    // Killed after the first changes, it continues.
    deployed.sandbox.faults(&[Fault::refuse("lambda:CreateFunction", "InvalidParameterValueException").times(99)]);
    deployed.run(&APPLY).expect(11);
    deployed.sandbox.end_faults();
    deployed.mail_works().await;
    // And so it does after its last call but one.
    let last = Fault::refuse("ssm:DeleteParameter", "ThrottledByATest").by_the_administrator();
    deployed.sandbox.faults(&[last.at_call(2).times(99)]);
    deployed.run(&APPLY).expect(11);
    deployed.sandbox.end_faults();
    deployed.run(&APPLY).expect(0);

    deployed.run(&PLAN).expect(0);
    assert_eq!(deployed.labelled("AWSCURRENT").await, version);
    let theirs = [SECRET, USER, INSTANCE_ROLE].map(|name| format!(" {name}"));
    let there = deployed.sandbox.inventory();
    let old: Vec<_> = there.iter().filter(|line| line.contains("mail-prod")).collect();
    let is_known =
        |line: &&&String| theirs.iter().any(|name| line.contains(name.as_str())) && !line.contains("policy mail-prod");
    assert!(old.iter().all(|line| is_known(&line)), "{old:?}");
    assert!(there.contains(&"parameter /deployer/shop".to_owned()), "{there:?}");
    deployed.mail_works().await;
    deployed.run(&["rotate"]).expect(0);
    deployed.mail_works().await;
    deployed.run(&["destroy", "--auto-approve", "--stop-mail"]).expect(0);
}

/// The line of a rename stays in many files, and some day the former name is free for another deployment.
#[tokio::test]
async fn a_deployment_that_has_the_former_name_by_now_is_left_alone() {
    let deployed = Deployed::new().await;
    let renamed = [("name: mail-prod\n", "name: shop\n"), ("# moved_from: mail-old", "moved_from: mail-prod")];
    deployed.sandbox.config(&renamed);
    deployed.run(&APPLY).expect(0);
    let other = [
        ("mail-prod/smtp", "other/smtp"),
        ("mail-prod-smtp", "other"),
        ("rotate_on_create: true", "rotate_on_create: false"),
    ];
    deployed.sandbox.config(&other);
    deployed.run(&APPLY).expect(0);
    deployed.sandbox.config(&renamed);
    let before = deployed.mark();

    let destroy = ["destroy", "--auto-approve", "--stop-mail"];
    for arguments in [&PLAN[..], &APPLY, &["apply", "--auto-approve", "--stop-mail"], &destroy] {
        let refused = deployed.run(arguments).expect(1).in_one_line();
        assert!(
            refused.contains("moved_from names deployment eu-west-1/mail-prod, which is another deployment"),
            "{refused}"
        );
        assert!(
            refused.contains("its secret is other/smtp") && refused.contains("remove the line moved_from"),
            "{refused}"
        );
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.sandbox.config(&renamed[..1]);
    deployed.run(&PLAN).expect(0);
}

/// To delete the keys in use is no way out for somebody who mistyped the user.
#[tokio::test]
async fn another_user_of_the_same_secret_is_refused_without_a_way_to_delete_the_keys_in_use() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.config(&[("iam_user:\n  name: mail-prod-smtp", "iam_user:\n  name: mail-other-smtp")]);
    let (ran, mutations) = deployed.run_watched(&["apply", "--auto-approve"]);
    let said = ran.expect(1).in_one_line();
    assert!(said.contains("write mail-prod-smtp as iam_user.name again"), "{said}");
    assert!(!said.contains("run the command again with --stop-mail"), "{said}");
    assert_eq!(mutations, NOTHING);
    // A deployment that only got another name is told how to say so.
    deployed.sandbox.config(&[("name: mail-prod\n", "name: shop\n")]);
    let said = deployed.run(&["plan"]).expect(1).in_one_line();
    assert!(said.contains("write its name before: `moved_from: mail-prod`"), "{said}");
}
