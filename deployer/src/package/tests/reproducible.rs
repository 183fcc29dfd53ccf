//! Builds the function twice. That takes minutes if nothing has been built yet, and a minute afterwards.

use std::{os::unix::ffi::OsStringExt as _, process::Command};

use super::*;

/// The sandbox's environment, in which cargo-lambda is found.
fn sandbox_environment() -> Environment {
    let output = Command::new(repository().join("examples/sandbox/with-sandbox")).args(["env", "-0"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let variables = output.stdout.split(|byte| *byte == 0).filter_map(|variable| {
        let equals = variable.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(variable[..equals].to_vec()), OsString::from_vec(variable[equals + 1..].to_vec())))
    });
    variables.collect()
}

/// Copies a file or a folder. A copy has the time of the copying, so Cargo compiles it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::write(to, fs::read(from).unwrap()).unwrap();
    }
}

/// The versions of glibc whose symbols a program needs, as (major, minor).
fn glibc_versions(program: &[u8]) -> BTreeSet<(u32, u32)> {
    let text = String::from_utf8_lossy(program);
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = version.split('.').map_while(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    });
    versions.collect()
}

/// Both builds share one target directory, so that Cargo compiles the dependencies once. A dependency could learn only the names
/// of Cargo's home and of the target directory; the test checks that neither is in the program.
#[tokio::test]
async fn the_same_sources_in_another_folder_at_another_time_give_the_same_zip_for_amazon_linux() {
    let original = repository();
    let mut environment = sandbox_environment();
    let target_dir = OsString::from(original.join("target"));
    let target_dir = environment.entry("CARGO_TARGET_DIR".into()).or_insert(target_dir).clone();
    let first = cargo_lambda::build(&original, Architecture::X86_64, environment.clone(), |_| ()).await.unwrap();

    let moved = Folder::new("of another length");
    for name in ["Cargo.lock", "Cargo.toml", "contract", "deployer", "examples/footprint/empty", "handler"] {
        copy(&original.join(name), &moved.path().join(name));
    }
    environment.insert("RUSTFLAGS".into(), "-C target-cpu=native -C debuginfo=2".into());
    let second = cargo_lambda::build(moved.path(), Architecture::X86_64, environment.clone(), |_| ()).await.unwrap();
    let sources = workspace::digest(&original, Architecture::X86_64).unwrap();
    assert_eq!(digest_in(&moved), sources, "somebody edited the sources while this test ran: run it again");

    let [first_zip, second_zip] = [&first, &second].map(|program| code_sha256(&archive::write(program).unwrap()));
    assert_eq!(first_zip, second_zip);

    let text = String::from_utf8_lossy(&second);
    let cargo_home = environment.get(OsStr::new("CARGO_HOME")).cloned();
    let cargo_home = cargo_home.unwrap_or_else(|| env::home_dir().unwrap().join(".cargo").into());
    for folder in [original.as_os_str(), moved.path().as_os_str(), &target_dir, &cargo_home] {
        assert!(!text.contains(&*folder.to_string_lossy()), "{} is in the program", folder.display());
    }

    let newest = glibc_versions(&second).last().copied();
    assert!(newest.is_some_and(|version| version <= (2, 34)), "needs glibc {newest:?}, Amazon Linux 2023 has 2.34");
}
