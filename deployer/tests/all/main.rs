//! End to end, against the sandbox: the real `deployer`, the real `bootstrap`.

#![expect(unused_crate_dependencies, reason = "Cargo gives an integration test every dependency of the crate")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic with its place is the report")]

mod bad_input;
mod crash_matrix;
mod deployed;
mod drift;
mod lifecycle;
mod recover;
mod role;
mod rotate;
mod sandbox;
mod scenarios;
mod shown;
mod soak;
