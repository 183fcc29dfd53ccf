//! `deployer init`: the file that it writes, and that it overwrites none.

use std::fs;

use crate::support::{
    calls::NOTHING,
    example::{EMAIL, INSTANCES},
    sandbox::Sandbox,
};

#[test]
fn init_writes_a_file_that_is_valid_can_be_planned_and_is_never_overwritten() {
    let sandbox = Sandbox::start();
    let mut flags = vec!["init", "--name", "mail-x", "--region", "eu-west-1", "--sender", "no-reply@example.com"];
    flags.extend(["--instance", INSTANCES[0], "--instance", INSTANCES[1], "--notify", EMAIL]);
    let ran = sandbox.deployer(&flags).expect(0);
    assert_eq!(ran.stdout, "Wrote config.yaml. Every option is explained there.\n");
    assert!(ran.stderr.contains("`deployer doctor` and `deployer plan`"), "{}", ran.stderr);
    assert_eq!(sandbox.mutations(0), NOTHING);

    let written = fs::read_to_string(sandbox.path("config.yaml")).unwrap();
    assert!(written.contains("  ids: [i-0123456789abcdef0, i-0123456789abcdef1]\n"), "{written}");
    assert!(written.contains("# At most 38 lower-case letters, digits and hyphens.\nname: mail-x\n"), "{written}");
    sandbox.deployer(&["validate", "config.yaml"]).expect(0);
    let planned = sandbox.deployer(&["plan", "config.yaml"]).expect(0);
    assert!(
        planned.stdout.contains("secret mail-x/smtp") && planned.stdout.contains("user mail-x-smtp"),
        "{}",
        planned.stdout
    );

    let again = sandbox.deployer(&flags).expect(1);
    assert!(again.stderr.contains("config.yaml is there already, and init overwrites no file"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(sandbox.path("config.yaml")).unwrap(), written);
    let other = sandbox.deployer(&["init", "--name", "Mail", "--region", "eu-west-1", "other.yaml"]).expect(1);
    assert!(
        other.stderr.contains("other.yaml (not written):") && !sandbox.path("other.yaml").exists(),
        "{}",
        other.stderr
    );
    let nobody = sandbox.deployer(&["init", "other.yaml"]).expect(1);
    assert!(nobody.stderr.contains("--name and --region"), "{}", nobody.stderr);
}

#[test]
fn a_folder_that_is_not_there_is_named_with_what_makes_it_and_a_dash_is_no_file() {
    let sandbox = Sandbox::start();
    let init = |file| sandbox.deployer(&["init", "--name", "mail-x", "--region", "eu-west-1", file]).expect(1).stderr;
    let (folder, dash) = (init("a folder/prod.yaml"), init("-"));
    assert!(folder.contains("folder a folder does not exist") && folder.contains("`mkdir -p 'a folder'`"), "{folder}");
    assert!(dash.contains("nothing to standard output") && dash.contains("such as config.yaml"), "{dash}");
    assert!(!sandbox.path("-").exists());
}

#[tokio::test]
async fn init_offers_on_a_terminal_what_the_account_has_and_asks_for_the_rest() {
    let sandbox = Sandbox::start();
    let aws = sandbox.aws().await;
    aws.secrets.create_secret().name("mail-y/smtp").secret_string("{}").send().await.unwrap();
    // Name; region; the secret after "create a new one"; a new user; the first host; its role; the domain; its address; nobody.
    let typed = "mail-y\n\n\u{1b}[B\n\n\n \n\n\u{1b}[B\n\n\n";
    let (code, screen) = sandbox.deployer_on_a_terminal(&["init", "new.yaml"], typed);
    assert_eq!(code, 0, "{screen}");
    let written = fs::read_to_string(sandbox.path("new.yaml")).unwrap();
    let active: Vec<_> =
        written.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).collect();
    let expected = [
        "name: mail-y",
        "account_id: \"123456789012\"",
        "region: eu-west-1",
        "secret:",
        "  name: mail-y/smtp",
        "  existing: true",
        "iam_user:",
        "  name: mail-y-smtp",
        "instance:",
        "  id: i-0123456789abcdef0",
        "  script: /usr/local/bin/rotate_smtp.sh",
        "ses:",
        "  sender: no-reply@example.com",
        "  recipient: success@simulator.amazonses.com",
    ];
    assert_eq!(active, expected, "{screen}");
    sandbox.deployer(&["validate", "new.yaml"]).expect(0);
}

#[tokio::test]
async fn an_interrupt_at_any_prompt_ends_init_with_its_own_code_and_writes_nothing() {
    let sandbox = Sandbox::start();
    sandbox.aws().await.iam.create_user().user_name("mail-y-smtp").send().await.unwrap();
    // At a text, and at a selection.
    for (typed, prompt) in [("", "Name of the deployment"), ("mail-y\n\n", "IAM user")] {
        let mut terminal = sandbox.terminal(&["init", "--secret", "mail-y/smtp", "new.yaml"], &[]);
        terminal.types(typed);
        terminal.wait_for(prompt);
        // Until the prompt reads keys, the terminal makes a signal of the key, which the next prompt would end with.
        std::thread::sleep(std::time::Duration::from_secs(1));
        terminal.types("\u{3}");
        let (code, written) = terminal.end();
        assert!(code == 16 && written.contains("interrupted: nothing was written"), "{code}: {written}");
        assert!(!sandbox.path("new.yaml").exists());
    }
}

#[tokio::test]
async fn an_answer_that_the_file_may_not_hold_is_asked_for_again_with_what_is_wrong() {
    let sandbox = Sandbox::start();
    // Each wrong answer is followed by one that is right, or by an empty one for the default.
    let typed = "Mail!\nmail-y\neu-west1\neu-west-1\n\n\nmail y\n\n\n\nops\nops@example.com\n";
    let (code, screen) = sandbox.deployer_on_a_terminal(&["init", "new.yaml"], typed);
    assert_eq!(code, 0, "{screen}");
    for mistake in [
        "`Mail!` is not",
        "`eu-west1` is not an AWS region",
        "did you mean eu-west-1?",
        "`mail y` is not",
        "`ops` is not",
    ] {
        assert!(screen.contains(mistake), "{mistake}: {screen}");
    }
    sandbox.deployer(&["validate", "new.yaml"]).expect(0);

    let wrong = ["init", "--name", "Mail", "--region", "eu-west-1", "other.yaml"];
    let (code, screen) = sandbox.deployer_on_a_terminal(&wrong, "");
    assert!(code == 1 && screen.contains("`Mail`") && !screen.contains("Secret"), "a flag is checked first: {screen}");
}
