//! Builds the function's program with cargo-lambda, which has a linker for Lambda's glibc.
//!
//! The program must not depend on the folder in which it is built. Cargo gives the compiler paths of the workspace's
//! crates that are relative to the workspace. The compiler still writes three absolute paths into panic messages: of
//! dependencies (Cargo's home), of files that their build scripts generate (the target directory) and, if the component
//! rust-src is installed, of the standard library. All three are renamed.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    path::{self, Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    task,
};

use super::archive::BOOTSTRAP;
use crate::{config::Architecture, error::Error};

/// The glibc of Amazon Linux 2023.
const GLIBC: &str = "2.34";

/// Variables of the caller that the build does not get, since they would change the program. Each name stands for the variable itself, and for all that begin
/// with the name and an underscore. Variables that only say how to download (proxies, registries, `CARGO_HOME`) stay.
/// `AWS` changes nothing: the build scripts of dependencies have no business with credentials.
/// `cargo run` and `cargo test` set `CARGO_MANIFEST_…` and `CARGO_PKG_…`; ring's build script watches them, so a change of
/// them would build ring again.
const WITHHELD: [&str; 18] = [
    "AR",
    "AWS",
    "CARGO_BUILD",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_LAMBDA",
    "CARGO_MANIFEST",
    "CARGO_PKG",
    "CARGO_PROFILE",
    "CARGO_TARGET",
    "CC",
    "CFLAGS",
    "CPATH",
    "RUSTC",
    "RUSTFLAGS",
    "TARGET_AR",
    "TARGET_CC",
    "TARGET_CFLAGS",
];

/// How many lines of a failed build's output are shown.
const SHOWN_LINES: usize = 20;

/// Environment variables by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The arguments that decide what is built.
pub(super) fn arguments(architecture: Architecture) -> Vec<String> {
    let target = format!("{}.{GLIBC}", triple(architecture));
    format!("lambda build --locked --profile lambda --package handler --bin {BOOTSTRAP} --target {target}")
        .split(' ')
        .map(str::to_owned)
        .collect()
}

fn triple(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64-unknown-linux-gnu",
        Architecture::Arm64 => "aarch64-unknown-linux-gnu",
    }
}

/// Builds the program from the workspace at `root`, an absolute path, and returns it.
///
/// `say` gets each line that the build prints, as soon as it does.
pub(super) async fn build(
    root: &Path,
    architecture: Architecture,
    caller: Environment,
    say: impl Fn(&str),
) -> Result<Vec<u8>, Error> {
    let compiler = Compiler::of(root, architecture, &caller).await?;
    let target_dir = folder(&caller, "CARGO_TARGET_DIR", || Ok(root.join("target")))?;
    let output_dir = target_dir.join("function").join(architecture.as_str());
    let environment = environment(caller, &compiler, &target_dir)?;
    let _lock = lock(&output_dir).await?;
    let program = output_dir.join(BOOTSTRAP).join(BOOTSTRAP);
    // This build must not return the program of an earlier one. Usually there is no such file.
    let _ = fs::remove_file(&program);
    let mut command = Command::new(PROGRAM);
    // `Compiler::of` has checked the target. Without the flag, cargo-lambda would install a missing one on this machine.
    command.args(arguments(architecture)).arg("--skip-target-check").arg("--lambda-dir").arg(&output_dir);
    let output = run_aloud(command, root, &environment, say).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => is_missing("cargo-lambda, which builds the function, is not on the PATH"),
        _ => Error::new("failed to run cargo-lambda").cause(error),
    })?;
    if !output.status.success() {
        let printed = last_lines(&output);
        let error = if lacks_zig(&printed) {
            is_missing("zig, with which cargo-lambda links the function, is not installed")
        } else {
            Error::new("failed to build the function")
        };
        return Err(error.cause(printed));
    }
    fs::read(&program).map_err(|error| Error::new(format!("failed to read {}", program.display())).cause(error))
}

/// Refuses to go on without cargo-lambda. It is looked for in the folders of `path`, which is the caller's PATH, and not run.
pub(super) fn check(path: &OsStr) -> Result<(), Error> {
    if env::split_paths(path).any(|folder| folder.join(PROGRAM).is_file()) {
        return Ok(());
    }
    Err(is_missing("cargo-lambda, which builds the function, is not on the PATH"))
}

const PROGRAM: &str = "cargo-lambda";

fn is_missing(what: &str) -> Error {
    Error::new(what).hint(
        "install it with `uv tool install cargo-lambda`, `pipx install cargo-lambda` or `brew install \
         cargo-lambda/tap/cargo-lambda`; each installs zig too",
    )
}

/// cargo-lambda and cargo-zigbuild, which it uses, say it in their own words.
fn lacks_zig(printed: &str) -> bool {
    let printed = printed.to_lowercase();
    ["zig is not installed", "failed to find zig", "zig: command not found"].iter().any(|words| printed.contains(words))
}

/// Waits until no other deployer builds here: cargo-lambda moves the program into this folder, so one of two deployers could
/// read a half-written program or none. Dropping the returned file ends the lock.
async fn lock(output_dir: &Path) -> Result<File, Error> {
    let folder = output_dir.to_owned();
    let open_and_wait = move || {
        fs::create_dir_all(&folder)?;
        let file = File::create(folder.join("lock"))?;
        file.lock().map(|()| file)
    };
    let locked = task::spawn_blocking(open_and_wait).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(|error| Error::new(format!("failed to lock {}", output_dir.display())).cause(error))
}

/// The folder that a variable names, as an absolute path: the build runs in another working directory.
fn folder(
    caller: &Environment,
    name: &str,
    default: impl FnOnce() -> Result<PathBuf, Error>,
) -> Result<PathBuf, Error> {
    let Some(value) = caller.get(OsStr::new(name)) else { return default() };
    path::absolute(value)
        .map_err(|error| Error::new(format!("failed to find the folder that {name} names")).cause(error))
}

/// The compiler that the build uses.
struct Compiler {
    sysroot: PathBuf,
    commit: String,
}

impl Compiler {
    /// # Errors
    /// There is no compiler, or it cannot compile for the target.
    async fn of(root: &Path, architecture: Architecture, environment: &Environment) -> Result<Self, Error> {
        let triple = triple(architecture);
        let version = rustc(root, environment, &["--version", "--verbose"]).await?;
        let folders =
            rustc(root, environment, &["--print", "sysroot", "--print", "target-libdir", "--target", triple]).await?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        let (Some(commit), Some((sysroot, libraries))) = (commit, folders.trim_end().split_once('\n')) else {
            return Err(Error::new("rustc did not print its commit and its folders").cause(version + &folders));
        };
        if !Path::new(libraries).is_dir() {
            return Err(Error::new(format!("this Rust cannot compile for {architecture}: {triple} is not installed"))
                .hint(format!("run `rustup target add {triple}`")));
        }
        Ok(Self { sysroot: sysroot.into(), commit: commit.to_owned() })
    }
}

async fn rustc(root: &Path, environment: &Environment, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new("rustc");
    command.args(arguments);
    let output = run(command, root, environment).await.map_err(|error| {
        Error::new("failed to run rustc, which builds the function")
            .cause(error)
            .hint("install Rust from https://rustup.rs, or set function.package to a zip")
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::new("rustc, which builds the function, failed").cause(last_lines(&output)))
    }
}

/// The caller's environment without the variables that are withheld, and with the paths renamed.
fn environment(caller: Environment, compiler: &Compiler, target_dir: &Path) -> Result<Environment, Error> {
    let cargo_home = folder(&caller, "CARGO_HOME", || Ok(home(&caller)?.join(".cargo")))?;
    let mut renamed = [
        (cargo_home.clone(), "/cargo".to_owned()),
        (target_dir.to_owned(), "/target".to_owned()),
        // The compiler itself uses this name if rust-src is not installed.
        (compiler.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", compiler.commit)),
    ];
    // The compiler uses the last prefix that matches, and one folder may be inside another: the longest goes last.
    renamed.sort_by_key(|(from, _)| from.as_os_str().len());
    // Unlike RUSTFLAGS, the encoded form allows spaces. Cargo then ignores every other source of flags.
    let flags: Vec<OsString> = renamed.into_iter().map(|(from, to)| flag(&from, &to)).collect();
    let mut environment: Environment = caller.into_iter().filter(|(name, _)| !is_withheld(name)).collect();
    environment.insert("CARGO_HOME".into(), cargo_home.into());
    environment.insert("CARGO_TARGET_DIR".into(), target_dir.into());
    environment.insert("CARGO_ENCODED_RUSTFLAGS".into(), flags.join(OsStr::new("\u{1f}")));
    Ok(environment)
}

fn home(caller: &Environment) -> Result<PathBuf, Error> {
    let home = caller.get(OsStr::new("HOME")).map(PathBuf::from).or_else(env::home_dir);
    home.ok_or_else(|| Error::new("failed to find the home directory, where Cargo keeps its files").hint("set HOME"))
}

fn flag(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

fn is_withheld(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    WITHHELD.iter().any(|start| name.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

async fn run(mut command: Command, root: &Path, environment: &Environment) -> io::Result<Output> {
    let command = command.current_dir(root).env_clear().envs(environment).stdin(Stdio::null()).kill_on_drop(true);
    command.output().await
}

/// As `run`; `say` gets each line of standard error, as soon as it is printed.
async fn run_aloud(
    mut command: Command,
    root: &Path,
    environment: &Environment,
    say: impl Fn(&str),
) -> io::Result<Output> {
    command.current_dir(root).env_clear().envs(environment).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut printed = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut reader = BufReader::new(stderr);
        loop {
            let before = printed.len();
            // Not every line has to be UTF-8.
            if reader.read_until(b'\n', &mut printed).await? == 0 {
                break;
            }
            say(String::from_utf8_lossy(&printed[before..]).trim());
        }
    }
    Ok(Output { status: child.wait().await?, stdout: Vec::new(), stderr: printed })
}

/// The errors are at the end, after the compiler's progress.
fn last_lines(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    format!("{}\n{}", output.status, lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}
