//! The harness: what the tests of this crate share.

/// SDK clients of somebody who may do everything in the account.
pub(crate) mod aws;
/// Whoever runs the deployer, and what they may do.
pub(crate) mod caller;
/// The sandbox's log of AWS calls.
pub(crate) mod calls;
/// How a test changes the sandbox, before it starts and while it runs.
pub(crate) mod controls;
/// The example, deployed: how a test begins, runs the deployer, and checks the result.
pub(crate) mod deployed;
/// What `config.example.yaml` declares, and texts of it that tests replace.
pub(crate) mod example;
/// AWS calls that fail, are throttled, lose their answer, or end the function.
pub(crate) mod faults;
/// What the hosts have: their scripts, and the credentials that those installed.
mod hosts;
/// The search for secrets in everything that was printed or logged.
mod leaks;
/// The published schema of `--json`, which every line keeps.
mod lines;
/// SES as a client of its SMTP endpoint sees it.
mod mail;
/// What the matrices share.
pub(crate) mod matrix;
/// What an operator does to a deployment by hand.
mod operator;
/// Rotations as Secrets Manager runs them, and the function as anybody invokes it.
pub(crate) mod rotation;
/// The sandbox's process, the deployer's runs in it, and the checks at its end.
pub(crate) mod sandbox;
/// Snapshots of what a person is shown, without what varies.
pub(crate) mod shown;
/// What the sandbox alone knows.
mod state;
/// The deployer on a terminal.
pub(crate) mod terminal;
