//! AWS shows a change late, to reads and to its own services: every run still converges.

use std::{thread, time::Duration};

use crate::support::{
    controls::Lag,
    example,
    sandbox::{Ran, Sandbox},
};

/// How long every change is hidden.
const LAG: Duration = Duration::from_secs(3);

#[test]
fn apply_update_removal_and_destroy_converge_although_every_change_shows_late() {
    let sandbox = Sandbox::start();
    let before = sandbox.inventory();
    sandbox.control(&Lag { seconds: LAG.as_secs_f64() });
    let run = |arguments: &[&str]| -> Ran {
        let ran = sandbox.deployer(arguments).expect(0);
        thread::sleep(LAG);
        ran
    };
    let apply = ["apply", "--auto-approve"];
    let plan = ["plan", "--detailed-exitcode"];

    sandbox.config(&[]);
    assert!(run(&apply).stderr.contains("rotation completed"));
    run(&plan);
    sandbox.config(&[
        ("team: platform", "team: mail"),
        ("  kms_key: alias/mail\n", ""),
        ("timeout: 2m\n", "timeout: 60s\n"),
        ("rate(30 days)", "rate(20 days)"),
        ("memory: 128", "memory: 256"),
        ("log_retention: 30d", "log_retention: 7d"),
    ]);
    run(&apply);
    run(&plan);
    sandbox.file("config.yaml", &example::without_block(&example::without("notify"), "instance"));
    run(&apply);
    run(&plan);
    run(&["destroy", "--auto-approve", "--stop-mail"]);

    let left: Vec<_> = sandbox.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(left, ["secret mail-prod/smtp (deleted)"]);
}
