//! Who is asked before something changes, and what they are asked.

use crate::support::{
    calls::NOTHING, deployed::Deployed, example::FUNCTION, faults::Fault, sandbox::Sandbox, terminal::screen,
};

#[tokio::test]
async fn the_question_names_account_alias_region_and_caller_and_only_who_asks_reads_the_alias() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.aws().await.iam.create_account_alias().account_alias("acme-prod").send().await.unwrap();
    let before = sandbox.mark();
    let asked = |place: &str| {
        let (code, screen) = sandbox.deployer_on_a_terminal(&["apply", &config], "no\n");
        assert_eq!(code, 10, "{screen}");
        let said = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("Run this plan (apply)?") && said.contains(place), "{screen}");
    };

    asked(
        "account 123456789012 (acme-prod), eu-west-1, as arn:aws:iam::123456789012:user/administrator Only 'yes' is accepted",
    );
    sandbox.faults(&[Fault::refuse("iam:ListAccountAliases", "AccessDenied")]);
    asked("account 123456789012, eu-west-1, as arn:aws:iam::123456789012:user/administrator Only 'yes' is accepted");

    assert_eq!(sandbox.mutations(before), NOTHING);
    let asking = sandbox.mark();
    sandbox.deployer(&["plan", &config]).expect(0);
    sandbox.deployer(&["apply", &config]).expect(10);
    assert!(sandbox.calls()[asking..].iter().all(|call| call.action != "ListAccountAliases"));
}

#[test]
fn without_a_terminal_apply_is_refused_because_nobody_can_approve() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let ran = sandbox.deployer(&["apply", &config]).expect(10);
    assert!(ran.stderr.contains("--auto-approve"), "{}", ran.stderr);
    assert_eq!(sandbox.mutations(0), NOTHING);
}

#[tokio::test]
async fn a_plan_that_aws_overtakes_while_it_is_read_is_shown_and_asked_about_again() {
    let deployed = Deployed::example(&[]).await;
    let config = deployed.sandbox.config(&[("memory: 128", "memory: 256")]);
    let mut terminal = deployed.sandbox.terminal(&["apply", &config], &[]);
    terminal.wait_for("is accepted");
    let configure = deployed.aws.lambda.update_function_configuration().function_name(FUNCTION);
    configure.memory_size(512).send().await.unwrap();
    let before = deployed.mark();
    terminal.types("yes\n");
    terminal.wait_for("changed while you read");
    terminal.types("no\n");
    let (code, written) = terminal.end();
    assert_eq!(code, 10, "{written}");
    let said = screen(&written).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("memory_size was 128, and is 512"), "{said}");
    let changed = deployed.sandbox.mutations(before);
    assert!(changed.iter().all(|call| call.starts_with("ssm:")), "only the lease: {changed:?}");
}
