//! The workspace that the function is built from: its folder, and the digest of the files that decide the function's code.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::cargo_lambda;
use crate::{config::Architecture, digest::digest as digest_of, error::Error};

/// The members that the function consists of.
pub(super) const MEMBERS: [&str; 2] = ["contract", "handler"];

/// The files and folders that decide the code: of the workspace, and of each member. Missing ones are skipped.
const OF_WORKSPACE: [&str; 5] = [".cargo", "Cargo.lock", "Cargo.toml", "rust-toolchain", "rust-toolchain.toml"];
const OF_MEMBER: [&str; 3] = ["Cargo.toml", "build.rs", "src"];

/// The first candidate that is the root of our workspace.
pub(super) fn find<'a>(candidates: impl IntoIterator<Item = &'a Path>) -> Option<PathBuf> {
    let is_root = |path: &&Path| {
        path.join("Cargo.lock").is_file() && MEMBERS.iter().all(|member| path.join(member).join("Cargo.toml").is_file())
    };
    candidates.into_iter().find(is_root)?.canonicalize().ok()
}

/// Digests the sources and the arguments of the build. The digest depends on names and contents only: not on the folder,
/// on times, or on the order in which the file system lists files.
pub(super) fn digest(root: &Path, architecture: Architecture) -> Result<String, Error> {
    let mut parts: Vec<Vec<u8>> = cargo_lambda::arguments(architecture).into_iter().map(String::into_bytes).collect();
    for file in files(root)? {
        let content = fs::read(root.join(&file)).map_err(|error| unreadable(&root.join(&file), &error))?;
        let name: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
        parts.extend([name.join("/").into_bytes(), content]);
    }
    Ok(digest_of(&parts))
}

/// Relative to the root, sorted.
fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let of_members = MEMBERS.iter().flat_map(|member| OF_MEMBER.map(|name| Path::new(member).join(name)));
    let mut pending: Vec<PathBuf> = OF_WORKSPACE.iter().map(PathBuf::from).chain(of_members).collect();
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        match fs::read_dir(&full) {
            Ok(entries) => {
                let entries = entries.collect::<io::Result<Vec<_>>>().map_err(|error| unreadable(&full, &error))?;
                // Editors keep swap files under hidden names.
                let visible = entries.iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
                pending.extend(visible.map(|entry| path.join(entry.file_name())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => files.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&full, &error)),
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("failed to read {}, a source of the function", path.display())).cause(error)
}
