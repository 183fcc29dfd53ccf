use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::File,
    io::{Cursor, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;

mod reproducible;

/// A folder for one test, with a space in its name.
struct Folder(TempDir);

impl Folder {
    fn new(name: &str) -> Self {
        Self(tempfile::Builder::new().prefix(&format!("{name} ")).tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.write(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The error's sentence, cause and hint, as one text.
fn text(error: &Error) -> String {
    format!("{error:?}")
}

// The function that a released deployer carries

fn functions() -> &'static [Carried] {
    &[Carried { architecture: Architecture::X86_64, source_digest: "sources", zip: b"zip" }]
}

#[tokio::test]
async fn a_deployer_that_carries_its_function_builds_nothing_and_the_plan_says_where_the_code_is_from() {
    let carried = carried::find(functions(), Architecture::X86_64).unwrap();
    let package = Package::carried(carried);
    assert_eq!(
        (package.source_digest.as_str(), package.origin().as_str()),
        ("sources", "this deployer (sources sources)")
    );
    let (events, mut said) = Events::channel();
    assert_eq!(package.build(&events).await.unwrap(), b"zip");
    drop(events);
    assert!(said.recv().await.is_none());
    assert!(carried::find(functions(), Architecture::Arm64).is_none());
}

#[test]
fn a_build_that_is_not_what_the_deployer_carries_says_what_differs() {
    let check = |architecture, sources: &str, zip: &[u8]| {
        let built = Built { architecture, source_digest: sources.to_owned(), zip: zip.to_vec() };
        built.check_against(functions()).map_err(|error| text(&error))
    };
    assert_eq!(check(Architecture::X86_64, "sources", b"zip"), Ok(()));
    for (built, words) in [
        (check(Architecture::Arm64, "sources", b"zip"), "carries no function for arm64"),
        (
            check(Architecture::X86_64, "others", b"zip"),
            "digest of the sources: sources in this deployer, others in the checkout",
        ),
        (check(Architecture::X86_64, "sources", b"zap"), "build with the compiler that made this deployer, rustc "),
    ] {
        let error = built.unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_built_function_is_written_with_the_digest_of_its_sources() {
    let folder = Folder::new("out");
    let built = Built { architecture: Architecture::Arm64, source_digest: "d1".into(), zip: b"zip".to_vec() };
    built.write(&folder.path().join("new")).unwrap();
    assert_eq!(fs::read(folder.path().join("new/arm64.zip")).unwrap(), b"zip");
    assert_eq!(fs::read_to_string(folder.path().join("new/arm64.sources")).unwrap(), "d1\n");
}

// The digest of a workspace

const SOURCES: [&str; 7] = [
    "Cargo.lock",
    "Cargo.toml",
    "contract/Cargo.toml",
    "contract/src/lib.rs",
    "handler/Cargo.toml",
    "handler/src/main.rs",
    "handler/src/steps/create.rs",
];

fn small_workspace(name: &str, order: impl Iterator<Item = &'static str>) -> Folder {
    let folder = Folder::new(name);
    order.for_each(|source| drop(folder.write(source, format!("content of {source}"))));
    folder
}

fn digest_in(folder: &Folder) -> String {
    workspace::digest(folder.path(), Architecture::X86_64).unwrap()
}

#[test]
fn equal_sources_have_equal_digests_whatever_the_folder_the_times_and_the_order_of_writing() {
    let one = small_workspace("one", SOURCES.into_iter());
    let other = small_workspace("another, longer one", SOURCES.into_iter().rev());
    let file = File::options().append(true).open(other.path().join("handler/src/main.rs")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    assert_eq!(digest_in(&one), digest_in(&other));
    assert_eq!(digest_in(&one).len(), 32);
}

#[test]
fn a_changed_byte_a_new_name_or_another_architecture_changes_the_digest() {
    let folder = small_workspace("changes", SOURCES.into_iter());
    let mut digests = BTreeSet::from([digest_in(&folder)]);
    let mut is_new = |digest: String| assert!(digests.insert(digest), "this change does not change the digest");
    for source in SOURCES {
        folder.write(source, format!("Content of {source}"));
        is_new(digest_in(&folder));
    }
    fs::rename(folder.path().join("handler/src/main.rs"), folder.path().join("handler/src/mainn.rs")).unwrap();
    is_new(digest_in(&folder));
    for added in ["rust-toolchain.toml", ".cargo/config.toml", "handler/build.rs", "contract/src/text.txt"] {
        folder.write(added, "");
        is_new(digest_in(&folder));
    }
    is_new(workspace::digest(folder.path(), Architecture::Arm64).unwrap());
}

#[test]
fn what_does_not_decide_the_code_does_not_change_the_digest() {
    let folder = small_workspace("the same", SOURCES.into_iter());
    let before = digest_in(&folder);
    for other in ["README.md", "deployer/src/main.rs", "handler/tests/all/main.rs", "handler/src/.main.rs.swp"] {
        folder.write(other, "text");
    }
    assert_eq!(digest_in(&folder), before);
}

#[test]
fn every_crate_of_the_workspace_that_the_handler_needs_is_digested() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let quoted = |line: &str| line.split('"').nth(1).map(|text| text.split(' ').next().unwrap_or_default().to_owned());
    let local: BTreeMap<String, BTreeSet<String>> = lock
        .split("[[package]]")
        .filter(|package| package.contains("name = ") && !package.contains("source = "))
        .map(|package| {
            let name = package.lines().find(|line| line.starts_with("name = ")).and_then(quoted).unwrap();
            (name, package.lines().filter(|line| line.starts_with(" \"")).filter_map(quoted).collect())
        })
        .collect();
    let mut needed = BTreeSet::new();
    let mut pending = vec!["handler".to_owned()];
    while let Some(name) = pending.pop() {
        pending.extend(local[&name].iter().filter(|dependency| local.contains_key(*dependency)).cloned());
        needed.insert(name);
    }
    assert_eq!(needed, workspace::MEMBERS.map(str::to_owned).into());
}

#[test]
fn the_workspace_is_the_first_candidate_that_holds_the_handler() {
    let (real, other) = (small_workspace("real", SOURCES.into_iter()), Folder::new("other"));
    other.write("handler/Cargo.toml", "");
    assert_eq!(workspace::find([other.path(), real.path()]), Some(real.path().canonicalize().unwrap()));
    assert_eq!(workspace::find([other.path()]), None);
}

#[test]
fn a_workspace_above_the_current_folder_is_not_built() {
    let (strangers, gone) = (small_workspace("tmp", SOURCES.into_iter()), Folder::new("gone"));
    let current = strangers.path().join("mine");
    fs::create_dir(&current).unwrap();
    assert_eq!(workspace_to_build(gone.path(), &current), None);
    assert_eq!(workspace_to_build(gone.path(), strangers.path()), Some(strangers.path().canonicalize().unwrap()));
}

// The zip

/// The first 64 bytes of an ELF program for this machine.
fn elf(machine: u8) -> Vec<u8> {
    let mut start = b"\x7fELF\x02\x01\x01".to_vec();
    start.resize(64, 0);
    start[18] = machine;
    start
}

const X86_64: u8 = 62;
const AARCH64: u8 = 183;

fn foreign_zip(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn the_zip_holds_one_executable_file_of_a_fixed_time() {
    let program = b"program".repeat(1000);
    let zip = archive::write(&program).unwrap();
    assert_eq!(zip, archive::write(&program).unwrap());
    let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
    assert_eq!(zip.len(), 1);
    let mut file = zip.by_index(0).unwrap();
    assert_eq!(file.name().unwrap(), "bootstrap");
    assert_eq!(file.unix_mode(), Some(0o100_755));
    assert_eq!(file.last_modified().unwrap().to_string(), "1980-01-01 00:00:00");
    assert!(file.compressed_size() < 1000);
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, program);
}

#[test]
fn our_own_zip_passes_our_own_check() {
    for (machine, architecture) in [(X86_64, Architecture::X86_64), (AARCH64, Architecture::Arm64)] {
        archive::check(Path::new("x.zip"), &archive::write(&elf(machine)).unwrap(), architecture).unwrap();
    }
}

#[test]
fn a_package_that_would_not_start_is_refused_with_the_reason() {
    let cases: [(Vec<u8>, &str); 8] = [
        (b"PK but no zip".to_vec(), "is not a zip"),
        (foreign_zip("bin/bootstrap", 0o755, &elf(X86_64)), "no file `bootstrap`"),
        (foreign_zip("bootstrap", 0o644, &elf(X86_64)), "not executable"),
        (foreign_zip("bootstrap", 0o755, b"#!/bin/sh\nexit 1 # a script\n"), "not a 64-bit Linux program"),
        (foreign_zip("bootstrap", 0o755, b"short"), "not a Linux program"),
        (foreign_zip("bootstrap", 0o755, &elf(AARCH64)), "built for arm64"),
        (foreign_zip("bootstrap", 0o755, &elf(40)), "a processor that Lambda does not offer"),
        (archive::write(&elf(X86_64)).unwrap()[..80].to_vec(), "is not a zip"),
    ];
    let folder = Folder::new("bad packages");
    for (zip, reason) in cases {
        let path = folder.write("bad.zip", zip);
        let error = Package::of_zip(&path, Architecture::X86_64).unwrap_err();
        assert!(text(&error).contains(reason), "expected {reason}: {error:?}");
        assert!(!error.hints.is_empty() && error.what.contains("bad.zip"), "{error:?}");
    }
}

#[test]
fn a_package_that_is_missing_or_too_large_is_refused() {
    let folder = Folder::new("no package");
    let error = Package::of_zip(&folder.path().join("gone.zip"), Architecture::X86_64).unwrap_err();
    assert!(text(&error).contains("gone.zip") && text(&error).contains("No such file"), "{error:?}");
    let large = folder.write("large.zip", "");
    File::options().write(true).open(&large).unwrap().set_len(MAX_ZIP_BYTES + 1).unwrap();
    let error = Package::of_zip(&large, Architecture::X86_64).unwrap_err();
    assert!(error.what.contains("larger than 50 MB"), "{error:?}");
}

#[tokio::test]
async fn a_package_is_uploaded_as_it_is_unless_it_changed_since_the_plan() {
    let folder = Folder::new("given package");
    let zip = foreign_zip("bootstrap", 0o755, &elf(X86_64));
    let path = folder.write("given.zip", &zip);
    let package = Package::of_zip(&path, Architecture::X86_64).unwrap();
    let events = Events::channel().0;
    assert_eq!(package.build(&events).await.unwrap(), zip);
    folder.write("given.zip", foreign_zip("bootstrap", 0o755, &[elf(X86_64), vec![0]].concat()));
    let error = package.build(&events).await.unwrap_err();
    assert!(error.what.contains("has changed since the plan"), "{error:?}");
}

#[test]
fn the_code_digest_is_spelled_as_lambda_spells_it() {
    assert_eq!(code_sha256(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

// The build

type Environment = BTreeMap<OsString, OsString>;

/// An environment in which the build finds these programs only.
fn with_programs(folder: &Folder, programs: &[(&str, &str)]) -> Environment {
    for (name, script) in programs {
        folder.program(name, script);
    }
    [("PATH", folder.path().as_os_str()), ("CARGO_TARGET_DIR", folder.path().join("target").as_os_str())]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

async fn build_error(folder: &Folder, programs: &[(&str, &str)]) -> Error {
    let environment = with_programs(folder, programs);
    cargo_lambda::build(folder.path(), Architecture::Arm64, environment, |_| ()).await.unwrap_err()
}

const RUSTC: &str = "case $1 in --version) echo commit-hash: abc ;; *) echo /sysroot; echo / ;; esac";

#[tokio::test]
async fn what_is_missing_for_a_build_is_named_with_the_way_to_get_it() {
    let folder = Folder::new("missing tools");
    let error = build_error(&folder, &[]).await;
    assert!(text(&error).contains("rustc") && text(&error).contains("https://rustup.rs"), "{error:?}");
    let error = build_error(&folder, &[("rustc", &RUSTC.replace("echo / ", "echo /sysroot/gone "))]).await;
    assert!(text(&error).contains("rustup target add aarch64-unknown-linux-gnu"), "{error:?}");
    let error = build_error(&folder, &[("rustc", RUSTC)]).await;
    assert!(text(&error).contains("uv tool install cargo-lambda"), "{error:?}");
}

#[tokio::test]
async fn a_failed_build_shows_the_end_of_its_output_only() {
    let folder = Folder::new("failing build");
    let failing =
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do echo line-$i- >&2; done; exit 101";
    let error = build_error(&folder, &[("rustc", RUSTC), ("cargo-lambda", failing)]).await;
    let text = text(&error);
    assert!(text.contains("line-2-") && text.contains("line-21-") && text.contains("101"), "{error:?}");
    assert!(!text.contains("line-1-"), "{error:?}");
}

#[tokio::test]
async fn the_caller_environment_reaches_the_build_without_credentials_and_what_would_change_the_program() {
    let folder = Folder::new("environment");
    let mut environment = with_programs(&folder, &[("rustc", RUSTC), ("cargo-lambda", "/usr/bin/env >&2; exit 1")]);
    let kept = ["CARGO_HTTP_PROXY", "CARGO_REGISTRIES_MINE_INDEX", "CCACHE_DIR", "HOME", "RUSTUP_TOOLCHAIN"];
    let removed = [
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
        "CARGO_BUILD_TARGET",
        "CARGO_LAMBDA_COMPILER",
        "CARGO_MANIFEST_DIR",
        "CARGO_PKG_NAME",
        "CARGO_PROFILE_LAMBDA_LTO",
        "CARGO_TARGET_X86_64_RUNNER",
        "CC",
        "CC_x86_64_unknown_linux_gnu",
        "CFLAGS",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ];
    environment.extend(kept.iter().chain(&removed).map(|name| (name.into(), "/of the caller".into())));
    let error = cargo_lambda::build(folder.path(), Architecture::X86_64, environment, |_| ()).await.unwrap_err();
    let output = error.cause.unwrap().to_string();
    let has = |name: &str| output.lines().any(|line| line.split_once('=').is_some_and(|(found, _)| found == name));
    for name in kept {
        assert!(has(name), "{name} is lost: {output}");
    }
    for name in removed {
        assert!(!has(name), "{name} is still there: {output}");
    }
    for renamed in ["/target=/target", "/of the caller/.cargo=/cargo", "/sysroot/lib/rustlib/src/rust=/rustc/abc"] {
        assert!(output.contains(renamed), "{renamed} is not in {output}");
    }
}
