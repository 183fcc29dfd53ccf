//! Hosts that are offline, and scripts that fail.

use crate::support::{
    aws::{OTHER_DOCUMENT, TRUST_OF_LAMBDA},
    controls::Upkeep,
    deployed::{Deployed, LONG_GRACE, SHORTEST_TIMEOUT},
    example::{DOCUMENT, INSTANCES, RULE, host_script},
    rotation::{CREATE, SET},
};

const ONE: (&str, &str) = ("  id: i-0123456789abcdef0\n", "  ids: [i-0123456789abcdef0]\n");
const TWO: (&str, &str) = ("  id: i-0123456789abcdef0\n", "  ids: [i-0123456789abcdef0, i-0123456789abcdef1]\n");
const THREE: (&str, &str) =
    ("  id: i-0123456789abcdef0\n", "  ids: [i-0123456789abcdef0, i-0123456789abcdef1, i-0123456789abcdef2]\n");

#[tokio::test]
async fn a_host_is_offline_for_two_periods() {
    let deployed = Deployed::with(&[TWO]).await;
    deployed.set_online(Some(INSTANCES[1]), false);
    let before = deployed.mark();
    for period in [1, 2] {
        let ended = if period == 1 { deployed.rotate().await } else { deployed.try_again().await };
        ended.failed(CREATE, "HostsOffline").says(&[INSTANCES[1], "no key was made"]);
        deployed.touched_no_key(before);
        deployed.told_no_host(before);
        deployed.mail_works().await;
    }
    deployed.shows("host_offline").await;

    deployed.set_online(Some(INSTANCES[1]), true);
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn somebody_who_may_only_update_documents_gets_nothing_run_on_a_host() {
    let deployed = Deployed::with(&[]).await;
    let ssm = &deployed.aws.ssm;
    let update = ssm.update_document().name(DOCUMENT).content(OTHER_DOCUMENT).document_version("$LATEST");
    let version = update.send().await.unwrap().document_description.unwrap().document_version.unwrap();
    ssm.update_document_default_version().name(DOCUMENT).document_version(version).send().await.unwrap();
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "DocumentChanged");

    failure.says(&["version 2 of document mail-prod-rotate-smtp", "deployer apply --during-rotation"]);
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    deployed.mail_works().await;

    deployed.apply(&[]);
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_host_that_stays_offline_is_removed_from_the_yaml() {
    let deployed = Deployed::with(&[TWO]).await;
    deployed.set_online(Some(INSTANCES[1]), false);
    deployed.rotate().await.failed(CREATE, "HostsOffline").says(&["or remove the host from the configuration"]);

    deployed.apply(&[ONE]);

    deployed.completes_when_tried_again().await;
    assert!(deployed.has_key(&deployed.key_on(INSTANCES[1]).unwrap()).await, "the host may come back within the grace");
}

#[tokio::test]
async fn an_instance_is_removed_from_the_yaml_between_rotations_and_still_sends() {
    let deployed = Deployed::with(&[TWO]).await;
    let removed = deployed.sandbox.credential_on(INSTANCES[1]).unwrap();
    deployed.sandbox.config(&[ONE]);
    let told = format!("the file no longer names host {}: no rotation tells it of a new credential", INSTANCES[1]);
    let planned = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(planned.contains(&told), "{planned}");
    deployed.apply(&[ONE]);
    deployed.completes().await;
    assert_eq!(deployed.key_on(INSTANCES[1]), Some(removed.access_key_id.clone()));
    // The instance sends after the grace of its key is over.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(deployed.sandbox.logs_in(&removed));
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");

    failure.says(&[&removed.access_key_id, "the current credential, then delete it"]);
    deployed.touched_no_key(before);
    assert!(deployed.sandbox.logs_in(&removed));
    deployed.shows("a_removed_instance_still_sends").await;
    // An operator follows the hint.
    deployed.copy_credential(INSTANCES[0], INSTANCES[1]);
    deployed.sandbox.operator(&failure.command_to_delete(&removed.access_key_id));
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn another_role_of_the_hosts_is_told_as_what_the_hosts_of_before_cannot_do_then() {
    let deployed = Deployed::with(&[]).await;
    let create = deployed.aws.iam.create_role().role_name("other-role").assume_role_policy_document(TRUST_OF_LAMBDA);
    create.send().await.unwrap();
    let told = "from role mail-prod-instance: unless another policy lets it read the secret, no rotation of a host";
    for (other, way) in
        [("  role: other-role\n", "give the hosts role other-role before"), ("", "let another policy of the role")]
    {
        deployed.sandbox.config(&[("  role: mail-prod-instance\n", other)]);
        let planned = deployed.run(&["plan"]).expect(0).in_one_line();
        assert!(planned.contains(told) && planned.contains(way), "{planned}");
    }
}

#[tokio::test]
async fn an_instance_that_is_added_with_an_older_credential_sends_until_it_has_the_one_in_use() {
    let deployed = Deployed::with(&[LONG_GRACE, TWO]).await;
    let old = deployed.key_on(INSTANCES[1]).unwrap();
    deployed.apply(&[LONG_GRACE, ONE]);
    deployed.completes().await;
    deployed.sandbox.config(&[TWO]);
    let planned = deployed.run(&["plan"]).expect(0).in_one_line();
    let told = format!("host {} has not confirmed the credential in use", INSTANCES[1]);
    assert!(planned.contains(&told), "{planned}");
    deployed.apply(&[LONG_GRACE, TWO]);
    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.contains("Is mail safe? look:") && status.contains("not known to be told"), "{status}");

    // Its key's grace is over, and the host cannot be told: the key stays Active.
    deployed.script(INSTANCES[1], "#!/bin/sh\necho no disk >&2\nexit 3\n");
    deployed.let_pass(2 * 24 * 60 * 60);
    let [failed] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();
    assert_ne!(failed.error, None);
    assert_eq!(deployed.key_on(INSTANCES[1]), Some(old.clone()));
    assert!(deployed.keys().await.contains(&(old.clone(), true)));

    deployed.script(INSTANCES[1], &host_script());
    let [told] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();
    assert_eq!(told.error, None);

    assert_eq!(deployed.key_on(INSTANCES[1]), deployed.key_on(INSTANCES[0]));
    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(!status.contains("not known to be told"), "{status}");
    // To label the version was a change of the secret, from which the grace counts.
    deployed.let_pass(2 * 24 * 60 * 60);
    let [retired] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();
    assert!(!deployed.has_key(&old).await, "{retired:?}");
}

#[tokio::test]
async fn one_of_three_hosts_fails() {
    let deployed = Deployed::with(&[THREE]).await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.script(INSTANCES[1], "#!/bin/sh\necho no disk >&2\nexit 3\n");
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(SET, "HostsFailed");

    failure.says(&[
        "i-0123456789abcdef0: Success",
        "i-0123456789abcdef1: Failed, exit code 3, its output ends: no disk",
        "i-0123456789abcdef2: Success",
        "AWSCURRENT was not moved",
    ]);
    let new = deployed.key_labelled("AWSPENDING").await;
    let on_hosts = INSTANCES.map(|instance| deployed.key_on(instance).unwrap());
    assert_eq!(on_hosts, [new.clone(), old.clone(), new.clone()]);
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, old);
    deployed.mail_works().await;
    deployed.shows("one_of_three_hosts_failed").await;
    deployed.script(INSTANCES[1], &host_script());
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, new);
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1);
}

#[tokio::test]
async fn a_script_fails_after_it_swapped() {
    let deployed = Deployed::new().await;
    let old = deployed.key_labelled("AWSCURRENT").await;
    deployed.script(INSTANCES[0], &(host_script() + "exit 4\n"));
    let before = deployed.mark();

    deployed.rotate().await.failed(SET, "HostsFailed").says(&["exit code 4", "AWSCURRENT was not moved"]);

    let new = deployed.key_on(INSTANCES[0]).unwrap();
    assert_ne!(new, old);
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, old);
    deployed.mail_works().await;
    // The operator clears AWSPENDING, although the host uses its key.
    deployed.clear_pending().await;
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, new);
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1);
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
}

#[tokio::test]
async fn a_script_prints_the_secret_and_fails() {
    let deployed = Deployed::new().await;
    let fetch = "aws secretsmanager get-secret-value --secret-id \"$1\" --version-stage AWSPENDING --output text";
    let script = format!(
        "#!/bin/sh\n{fetch} --query SecretString\n{fetch} --query SecretString >&2\necho gone wrong >&2\nexit 3\n"
    );
    deployed.script(INSTANCES[0], &script);

    let failure = deployed.rotate().await.failed(SET, "HostsFailed");

    failure.says(&["exit code 3", "gone wrong", "[redacted]"]);
    let pending = deployed.sandbox.secret("AWSPENDING").await;
    assert!(!failure.text.contains(&pending.smtp_password), "the error quotes the password");
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_script_hangs() {
    let deployed = Deployed::with(&[SHORTEST_TIMEOUT]).await;
    let on_host = deployed.key_on(INSTANCES[0]);
    deployed.script(INSTANCES[0], "#!/bin/sh\nsleep 3600\n");

    deployed.rotate().await.failed(SET, "HostsFailed").says(&["Execution Timed Out", "AWSCURRENT was not moved"]);

    assert_eq!(deployed.key_on(INSTANCES[0]), on_host);
    deployed.mail_works().await;
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn what_a_host_prints_forges_no_line_and_moves_no_cursor() {
    let deployed = Deployed::new().await;
    let forged = r"printf '\033[2J\nerror: nothing is wrong\n\342\200\256\302\2332J' >&2; exit 1";
    deployed.script(INSTANCES[0], &format!("#!/bin/sh\n{forged}\n"));

    let (failed, recovered) = (deployed.run(&["rotate"]).expect(14), deployed.run(&["recover"]));

    for text in [failed.stdout + &failed.stderr, recovered.stdout + &recovered.stderr] {
        let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(text.contains(r"\u{1b}[2J\nerror: nothing is wrong") && !text.contains(obeyed), "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("error: nothing is wrong")), "{text}");
    }
    deployed.mail_works().await;
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_script_that_prints_too_much_before_the_key_is_told_that_its_output_was_cut() {
    let deployed = Deployed::new().await;
    let chatty = host_script().replacen('\n', "\nhead -c 24000 /dev/zero | tr '\\0' -\n", 1);
    deployed.script(INSTANCES[0], &chatty);
    let failure = deployed.rotate().await.failed(SET, "HostDidNotConfirm");
    failure.says(&[&format!("has cut that of {}", INSTANCES[0]), "let the script print less"]);
    deployed.mail_works().await;
    deployed.script(INSTANCES[0], &host_script());
    deployed.completes_when_tried_again().await;
}
