//! The search for secrets in everything that was printed or logged.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Fails the test if any of these secrets is in a text that the deployer printed, or in a file of the sandbox that is no place
/// for secrets.
pub(super) fn search(secrets: &[String], printed: &str, folder: &Path) {
    expect_none(secrets, printed, "what the deployer printed");
    for file in files(folder) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        expect_none(secrets, &text, &file.display().to_string());
    }
}

fn expect_none(secrets: &[String], text: &str, place: &str) {
    let leaked = secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
    assert_eq!(leaked, 0, "{leaked} secrets in {place}");
}

/// The files in the folder and below that must hold no secret.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if may_hold_secrets(root, &entry.path()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

/// A host's own files, the sandbox's own state (`tmp`), and the administrator's key (`env`).
fn may_hold_secrets(root: &Path, path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    path.parent() == Some(root) && (name.starts_with("host") || ["tmp", "env"].contains(&name))
}
