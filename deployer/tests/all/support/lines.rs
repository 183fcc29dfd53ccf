//! The published schema of `--json`, which every line that a test sees has to keep.

use std::{process::Command, sync::LazyLock};

use jsonschema::Validator;

/// How every output of `--json` begins.
const FIRST: &str = r#"{"type":"schema""#;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = Command::new(env!("CARGO_BIN_EXE_deployer")).args(["schema", "--json-lines"]).output().unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&schema.stdout).unwrap()).unwrap()
});

/// Fails the test if these are lines of `--json` and one is not as the schema says.
pub(super) fn expect_published(stdout: &str) {
    if !stdout.starts_with(FIRST) {
        return;
    }
    for line in stdout.lines() {
        let errors: Vec<_> =
            SCHEMA.iter_errors(&serde_json::from_str(line).unwrap()).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "the schema of --json does not allow this line: {line}\n{errors:#?}");
    }
}
