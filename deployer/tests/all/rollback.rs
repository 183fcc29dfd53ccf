//! `deployer rollback`: the function runs the code of before its last update.

use std::{fs, io::Cursor, io::Write as _};

use zip::{ZipWriter, write::SimpleFileOptions};

use crate::support::{calls::NOTHING, deployed::Deployed, example::FUNCTION, faults::Fault};

const ROLLBACK: [&str; 2] = ["rollback", "--auto-approve"];

/// The code that the function runs.
async fn code(deployed: &Deployed) -> String {
    let configuration = deployed.aws.lambda.get_function_configuration().function_name(FUNCTION).send().await.unwrap();
    configuration.code_sha256.unwrap()
}

/// The same function with another digest, as a later release has.
fn a_later_release(deployed: &Deployed) -> Vec<u8> {
    deployed.sandbox.deployer(&["build", "--out", "."]).expect(0);
    let mut zip = ZipWriter::new_append(Cursor::new(fs::read(deployed.sandbox.path("x86_64.zip")).unwrap())).unwrap();
    zip.start_file("CHANGELOG", SimpleFileOptions::default()).unwrap();
    zip.write_all(b"a later release").unwrap();
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn the_code_of_before_the_last_update_comes_back_after_approval_and_rotates() {
    let deployed = Deployed::new().await;
    let first = code(&deployed).await;
    let refused = deployed.run(&ROLLBACK).expect(1).stderr;
    assert!(refused.contains("there is no earlier code of function mail-prod-rotation"), "{refused}");

    fs::write(deployed.sandbox.path("later.zip"), a_later_release(&deployed)).unwrap();
    deployed.apply(&[("  # package: bootstrap.zip", "  package: later.zip")]);
    let later = code(&deployed).await;
    assert_ne!(later, first);
    let before = deployed.mark();
    let asked = deployed.run(&["rollback"]).expect(10);
    assert!(asked.stdout.contains("version 1 of function mail-prod-rotation"), "{}", asked.stdout);
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    // A run that is disturbed in the middle is made up for by the same command.
    deployed.sandbox.faults(&[Fault::refuse("lambda:UpdateFunctionCode", "CodeStorageExceededException")]);
    deployed.run(&ROLLBACK).expect(11);
    deployed.sandbox.end_faults();
    let done = deployed.run(&ROLLBACK).expect(0);
    assert!(done.in_one_line().contains("the next `deployer apply` updates the code again"), "{}", done.in_one_line());
    assert_eq!(code(&deployed).await, first);
    deployed.completes().await;
    deployed.mail_works().await;

    let planned = deployed.run(&["plan", "--detailed-exitcode"]).expect(2).stdout;
    assert!(planned.contains("lambda:UpdateFunctionCode") || planned.contains("code"), "{planned}");
    // The code that was rolled back is kept as well. This is also the proof of the verb's policy.
    let sandbox = &deployed.sandbox;
    sandbox.make_caller().await;
    sandbox.allow_caller(&sandbox.policy_for("rollback", "config.yaml")).await;
    let before = deployed.mark();
    let done = deployed.run(&ROLLBACK);
    assert_eq!(sandbox.denied_to_caller(before), NOTHING, "{}", done.stderr);
    done.expect(0);
    let needed = sandbox.actions_of_caller(before);
    for action in ["lambda:ListVersionsByFunction", "lambda:PublishVersion", "lambda:UpdateFunctionCode"] {
        assert!(needed.contains(action), "{action}: {needed:?}");
    }
    assert_eq!(code(&deployed).await, later);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
}
