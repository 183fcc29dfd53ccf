//! End-to-end tests: the real `deployer` and the real `bootstrap`, on the local AWS of examples/sandbox.

#![expect(unused_crate_dependencies, reason = "Cargo gives an integration test every dependency of the crate")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic with its place is the report")]

/// Resources that another tool made become a deployment's.
mod adopt;
/// Who is asked before something changes.
mod approval;
/// Mistakes that are refused before the first change.
mod bad_input;
/// How many AWS calls each verb makes.
mod calls;
/// AWS that shows every change late.
mod consistency;
/// Whole rotations with a fault at every AWS call that the function makes.
mod crash_matrix;
/// What AWS may refuse to delete.
mod destroy;
/// What the README and docs/ tell a person to type.
mod docs;
/// `deployer doctor`, before and after the first apply.
mod doctor;
/// Changes that somebody makes in AWS: `plan` shows them, `apply` undoes them.
mod drift;
/// What a person reads of a wrong file or command line.
mod gallery;
/// `deployer init`: the file that it writes.
mod init;
/// Runs of the deployer with a fault at every AWS call that they make, or killed there.
mod kill_matrix;
/// One run at a time, and runs that are killed or interrupted.
mod lease;
/// From nothing to a rotated credential, and back to nothing.
mod lifecycle;
/// What a person sees on a terminal while the deployer works.
mod live;
/// The mutations of the handler in deployer/tests/mutations.
mod mutations;
/// An existing role, and names that the file chooses.
mod names;
/// Resources of somebody else's under the names that the deployment would use.
mod not_ours;
/// Whoever runs the deployer needs exactly what `deployer policy` prints.
mod policy;
/// What keeps a deployment from a command that should not run on it.
mod protect;
/// The record of a deployment, and what only the record knows.
mod record;
/// `deployer recover`, for every stuck state.
mod recover;
/// What stops mail though the rotation is healthy: SES, the KMS key, a deleted secret.
mod refused;
/// The function's role: it allows a rotation, and nothing else.
mod role;
/// `deployer rollback`.
mod rollback;
/// `deployer rotate`, and what it refuses to start.
mod rotate;
/// `plan --out`, and `apply` of such a plan.
mod saved_plan;
/// What operators, AWS and SES do to a rotation.
mod scenarios;
/// The soak with a real Postfix, ignored by default.
mod soak;
/// `deployer status`, of what it cannot read.
mod status;
/// The harness: what the tests share.
mod support;
/// From Terraform to the deployer and back.
mod terraform;
/// How `apply`, `rotate` and `status` see a rotation, and its further attempts.
mod watch;
