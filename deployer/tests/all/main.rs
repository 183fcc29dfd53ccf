//! End to end, against the sandbox: the real `deployer`, the real `bootstrap`.

#![expect(unused_crate_dependencies, reason = "Cargo gives an integration test every dependency of the crate")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic with its place is the report")]

/// What stands in the way before the first change.
mod bad_input;
/// Whole rotations with a fault at every AWS call that the function makes.
mod crash_matrix;
/// What changes in AWS behind the deployment's back.
mod drift;
/// From nothing to a rotated credential, and back to nothing.
mod lifecycle;
/// What exists already under a name that the deployment would use.
mod not_ours;
/// `deployer recover`, for every stuck state.
mod recover;
/// The function's role: enough for a rotation, and for nothing else.
mod role;
/// `deployer rotate`, and what it refuses to start.
mod rotate;
/// What goes wrong around a rotation.
mod scenarios;
/// The soak, as a test that is left out by default.
mod soak;
/// The harness: what the tests share.
mod support;
