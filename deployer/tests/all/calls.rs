//! How many AWS calls a verb makes. The table is printed, and no verb makes more.

#![expect(clippy::print_stdout, reason = "a reader wants to see the table")]

use crate::support::{
    calls::{Call, NOTHING},
    sandbox::Sandbox,
};

/// The lease is renewed every 15 s, and a function that is not active yet is read again: on a slow machine there are more of these.
const MORE_ON_A_SLOW_MACHINE: usize = 4;

/// A run of the deployer.
struct Verb {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Texts of the example that are replaced.
    changes: &'static [(&'static str, &'static str)],
    most: usize,
}

const APPLY: &[&str] = &["apply", "--auto-approve"];
const ONE_FIELD: &[(&str, &str)] = &[("memory: 128", "memory: 256")];

const TABLE: [Verb; 6] = [
    Verb { name: "fresh plan", arguments: &["plan"], changes: &[], most: 20 },
    Verb { name: "fresh apply, until the rotation starts", arguments: APPLY, changes: &[], most: 49 },
    Verb { name: "plan without changes", arguments: &["plan"], changes: &[], most: 43 },
    Verb { name: "status", arguments: &["status"], changes: &[], most: 45 },
    Verb { name: "apply of one changed field", arguments: APPLY, changes: ONE_FIELD, most: 57 },
    Verb { name: "destroy", arguments: &["destroy", "--auto-approve", "--stop-mail"], changes: ONE_FIELD, most: 125 },
];

#[test]
fn no_verb_makes_more_calls_than_the_table_says() {
    let sandbox = Sandbox::start();
    // A run that builds the function renews its lease meanwhile, however long that takes.
    sandbox.deployer(&["build", "--out", "."]).expect(0);
    let package = format!("  package: {}", sandbox.path("x86_64.zip").display());
    for Verb { name, arguments, changes, most } in TABLE {
        sandbox.config(&[changes, &[("  # package: bootstrap.zip", package.as_str())]].concat());
        let before = sandbox.mark();
        sandbox.deployer(arguments).expect(0);
        let calls: Vec<Call> =
            sandbox.calls()[before..].iter().filter(|call| call.is_by_the_administrator()).cloned().collect();
        let until_the_rotation = calls.iter().take_while(|call| call.action != "RotateSecret").count();
        let changed = calls[..until_the_rotation].iter().filter(|call| !call.only_reads()).count();
        println!("{until_the_rotation:4} calls, {changed:2} of them change something: {name}");
        assert!(until_the_rotation <= most + MORE_ON_A_SLOW_MACHINE, "{name}: {calls:#?}");
        if arguments == ["plan"] || arguments == ["status"] {
            assert_eq!(sandbox.mutations(before), NOTHING, "{name}");
        }
    }
}
