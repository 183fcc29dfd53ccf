//! `deployer doctor`: what it finds before the first apply, after it, and once something is wrong.

use crate::support::{
    caller::{actions, demanding_tags, without},
    calls::NOTHING,
    controls::{Answer, Ses, Smtp, Subscriptions, Time},
    deployed::Deployed,
    example::{EMAIL, FUNCTION, INSTANCES, LOG_GROUP, RULE, TOPIC},
    faults::Fault,
    shown::assert_shown,
};

fn verdicts(deployed: &Deployed, code: i32) -> Vec<(String, String)> {
    let found = deployed.run(&["doctor", "--json"]).expect(code).json_of("finding");
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap().to_owned();
    found.iter().map(|line| (text(line, "check"), text(line, "verdict"))).collect()
}

#[tokio::test]
async fn doctor_tells_what_is_not_yet_before_the_first_apply_and_that_nothing_is_wrong_after_it() {
    let deployed = Deployed::before_apply(&[]).await;
    let before = deployed.mark();
    let ran = deployed.run(&["doctor"]).expect(0);
    assert_shown!("doctor_before_the_first_apply", &deployed.sandbox, &ran.stdout);
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    let before = deployed.mark();
    let ran = deployed.run(&["doctor"]).expect(0);
    assert_shown!("doctor_of_a_healthy_deployment", &deployed.sandbox, &ran.stdout);
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    // Whoever may do no more than its policy says gets the same answers.
    let policy = deployed.sandbox.policy_for("doctor", "config.yaml");
    deployed.sandbox.make_caller().await;
    deployed.sandbox.allow_caller(&policy).await;
    let before = deployed.mark();
    let found = verdicts(&deployed, 1);
    assert_eq!(deployed.sandbox.denied_to_caller(before), NOTHING);
    let bad: Vec<_> = found.iter().filter(|(_, verdict)| verdict == "wrong" || verdict == "unknown").collect();
    assert_eq!(bad, [&("permissions".to_owned(), "wrong".to_owned())], "it may read, and apply nothing");
    let superfluous: Vec<_> =
        actions(&policy).difference(&deployed.sandbox.actions_of_caller(before)).cloned().collect();
    // The first two only if there is no user or role of the name itself, the third only while a rotation is open.
    assert_eq!(superfluous, ["iam:ListRoles", "iam:ListUsers", "logs:FilterLogEvents"]);

    let apply = deployed.sandbox.policy_for("apply", "config.yaml");
    deployed.sandbox.allow_caller(&without(&apply, "iam:PassRole")).await;
    let ran = deployed.run(&["doctor"]).expect(15);
    assert!(
        ran.stdout.contains("simulate the policies of") && ran.stdout.contains("iam:SimulatePrincipalPolicy"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn doctor_names_each_thing_that_is_wrong_with_its_fix() {
    let deployed = Deployed::example(&[]).await;
    deployed.set_online(Some(INSTANCES[0]), false);
    deployed.sandbox.control(&Ses { sending: false });
    deployed.aws.events.disable_rule().name(RULE).send().await.unwrap();
    let group = deployed.aws.logs.put_retention_policy().log_group_name(LOG_GROUP).retention_in_days(1);
    group.send().await.unwrap();
    deployed.sandbox.control(&Time { pass: 40 * 24 * 60 * 60 });

    let ran = deployed.run(&["doctor"]).expect(1);
    assert_shown!("doctor_of_a_deployment_in_trouble", &deployed.sandbox, &ran.stdout);
    let wrong: Vec<_> = verdicts(&deployed, 1).into_iter().filter(|(_, verdict)| verdict == "wrong").collect();
    let checks: Vec<_> = wrong.iter().map(|(check, _)| check.as_str()).collect();
    for check in ["ses", "host", "function", "rotation", "upkeep", "notifications", "resources"] {
        assert!(checks.contains(&check), "{check}: {wrong:?}");
    }
}

#[tokio::test]
async fn doctor_calls_no_address_told_that_a_policy_or_a_filter_keeps_every_message_from() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    let sns = &deployed.aws.sns;
    let listed = sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
    let subscription = listed.subscriptions()[0].subscription_arn().unwrap();
    let filter = async |policy: &str| {
        let set = sns.set_subscription_attributes().subscription_arn(subscription);
        set.attribute_name("FilterPolicy").attribute_value(policy).send().await.unwrap();
    };
    filter(r#"{"kind":["alarm"]}"#).await;
    let said = deployed.run(&["doctor"]).expect(1).in_one_line();
    assert!(said.contains("is told only what the filter policy of its subscription lets through"), "{said}");
    assert!(
        said.contains("aws sns set-subscription-attributes") && !said.contains(&format!("{EMAIL} is told ok")),
        "{said}"
    );
    filter("{}").await;
    deployed.run(&["doctor"]).expect(0);

    let deny = r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sns:Publish","Resource":"*"}]}"#;
    let set = sns.set_topic_attributes().topic_arn(TOPIC).attribute_name("Policy").attribute_value(deny);
    set.send().await.unwrap();
    for (verb, code) in [("doctor", 1), ("plan", 0), ("status", 0)] {
        let said = deployed.run(&[verb]).expect(code).in_one_line();
        assert!(
            said.contains("the topic's policy denies sns:Publish: nobody may sns:Publish on everything"),
            "{verb}: {said}"
        );
        assert!(said.contains("aws sns get-topic-attributes"), "{verb}: {said}");
    }
}

#[tokio::test]
async fn doctor_simulates_what_apply_needs_and_names_what_is_denied() {
    let deployed = Deployed::before_apply(&[]).await;
    let all = deployed.run(&["policy"]).expect(0).stdout;
    deployed.sandbox.make_caller().await;
    deployed.sandbox.allow_caller(&all).await;
    let ran = deployed.run(&["doctor"]).expect(0);
    assert!(ran.stdout.contains("IAM allows the"), "{}", ran.stdout);
    deployed.sandbox.allow_caller(&without(&without(&all, "iam:PassRole"), "lambda:CreateFunction")).await;
    let ran = deployed.run(&["doctor"]).expect(1);
    assert!(
        ran.stdout.contains("2 of")
            && ran.stdout.contains("lambda:CreateFunction")
            && ran.stdout.contains("iam:PassRole"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("`deployer policy --for apply` prints the policy"), "{}", ran.stdout);

    // An account may demand tags of what is made.
    let making =
        ["cloudwatch:PutMetricAlarm", "iam:CreateRole", "iam:CreateUser", "lambda:CreateFunction", "sns:CreateTopic"];
    deployed.sandbox.allow_caller(&demanding_tags(&all, &making)).await;
    let ran = deployed.run(&["doctor"]).expect(0);
    assert!(ran.stdout.contains("IAM allows the"), "{}", ran.stdout);
    // Nobody can give tags to what is overwritten.
    deployed.sandbox.allow_caller(&demanding_tags(&all, &["ssm:PutParameter"])).await;
    let ran = deployed.run(&["doctor"]).expect(1);
    assert!(ran.in_one_line().contains("actions that apply needs are denied: ssm:PutParameter "), "{}", ran.stdout);

    // What could not be read is not wrong, and no success.
    deployed.sandbox.allow_caller(&all).await;
    deployed.sandbox.faults(&[Fault::refuse("ses:GetAccount", "AccessDeniedException").times(9)]);
    let unread: Vec<_> = verdicts(&deployed, 15).into_iter().filter(|(_, verdict)| verdict == "unknown").collect();
    assert!(unread.contains(&("ses".to_owned(), "unknown".to_owned())), "{unread:?}");
}

#[tokio::test]
async fn doctor_tells_what_somebody_deleted_from_what_is_not_deployed() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    let verdict_of = |check: &str, code| {
        let found = verdicts(&deployed, code);
        found.into_iter().find(|(it, _)| it == check).unwrap().1
    };
    // A tag that no apply has set yet does the rule no harm.
    deployed.sandbox.config(&[("team: platform", "team: mail")]);
    assert_eq!(verdict_of("upkeep", 1), "ok");
    deployed.sandbox.config(&[]);

    deployed.aws.lambda.delete_function().function_name(FUNCTION).send().await.unwrap();
    assert_eq!(verdict_of("function", 1), "wrong");
    deployed.run(&["apply", "--auto-approve"]).expect(0);

    deployed.run(&["destroy", "--auto-approve", "--stop-mail"]).expect(0);
    assert_eq!(verdict_of("rotation", 0), "not_yet");
}

#[tokio::test]
async fn doctor_asks_ses_whether_it_accepts_the_credential_and_status_says_that_it_does_not() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    // SES may refuse a key that is a minute old.
    deployed.sandbox.control(&Time { pass: 60 * 60 });
    let refused = Answer::to("AUTH", 535, "Authentication Credentials Invalid").times(99);
    deployed.sandbox.control(&Smtp { answers: Some(&[refused]), ..Smtp::default() });
    let said = deployed.run(&["doctor"]).expect(1).in_one_line();
    assert!(said.contains("SES does not accept the credential of AWSCURRENT"), "{said}");
    assert!(said.contains("535") && said.contains("`deployer recover`"), "{said}");
    let said = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(said.contains("SES was not asked whether it accepts the key: `deployer doctor` asks"), "{said}");

    deployed.sandbox.control(&Smtp { answers: Some(&[]), down: Some(true), ..Smtp::default() });
    let said = deployed.run(&["doctor"]).expect(1).in_one_line();
    assert!(said.contains("wrong function a rotation would fail: the SMTP endpoint"), "{said}");
}
