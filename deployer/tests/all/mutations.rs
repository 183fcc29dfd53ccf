//! `deployer/tests/mutations/run` takes code out of the handler. Nobody runs it often, so this test checks that the code is there.

use std::{ffi::OsStr, fs, process::Command};

use crate::support::example::root;

#[test]
fn the_handler_has_the_code_that_each_mutation_takes_out() {
    let folder = root().join("deployer/tests/mutations");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mutations: Vec<_> = files.filter(|file| file.extension() == Some(OsStr::new("mutation"))).collect();
    assert!(!mutations.is_empty());
    for mutation in mutations {
        let output = Command::new(folder.join("take_out")).arg("--check").arg(&mutation).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
