//! Lets more tests of this package run at once than there are cores.
//!
//! Most of its tests are end to end and mostly wait: for AWS, for SES, for dates in whole seconds. The tests of the other packages
//! compute, and keep libtest's own number of threads.
//!
//! `.cargo/config.toml` is the usual place for such a variable. But the function's digest covers that folder, since it may decide
//! the function's code: a setting for tests there would upload the function anew.

use std::thread::available_parallelism;

/// libtest's number of threads.
const VARIABLE: &str = "RUST_TEST_THREADS";

/// Enough to keep two cores busy with tests that wait.
const AT_LEAST: usize = 6;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    // Cargo gives the variable to the compiler, and to the tests that it runs. Whoever sets it has the last word.
    if std::env::var_os(VARIABLE).is_none() {
        let threads = available_parallelism().map_or(AT_LEAST, |cores| AT_LEAST.max(cores.get()));
        println!("cargo::rustc-env={VARIABLE}={threads}");
    }
}
