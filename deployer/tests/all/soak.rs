//! The soak as an ignored test, so that whoever runs the tests reads that it was left out. Postfix runs only as root.

use std::process::Command;

use crate::support::example::root;

#[test]
#[ignore = "needs Postfix and root, and takes two minutes: examples/soak/run"]
fn no_mail_is_lost_in_five_rotations_under_load() {
    let status = Command::new(root().join("examples/soak/run")).status().unwrap();
    assert!(status.success(), "{status}");
}
