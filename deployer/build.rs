//! What the compiler is told when it builds the deployer: the functions that it carries, and the number of threads of its tests.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread::available_parallelism,
};

/// libtest's number of threads.
const THREADS: &str = "RUST_TEST_THREADS";

/// Enough to keep two cores busy with tests that wait.
const AT_LEAST: usize = 6;

/// The folder with the functions that a released deployer carries: for each architecture, ARCHITECTURE.zip and
/// ARCHITECTURE.sources, as `deployer build --out` writes them.
const FUNCTIONS: &str = "DEPLOYER_FUNCTIONS";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    set_test_threads();
    carry_functions()
}

/// Lets more tests of this package run at once than there are cores.
///
/// Most of its tests are end to end and mostly wait: for AWS, for SES, for dates in whole seconds. The tests of the other packages
/// compute, and keep libtest's own number of threads.
///
/// `.cargo/config.toml` is the usual place for such a variable. But the function's digest covers that folder, since it may decide
/// the function's code: a setting for tests there would upload the function anew.
fn set_test_threads() {
    println!("cargo::rerun-if-env-changed={THREADS}");
    // Cargo gives the variable to the compiler, and to the tests that it runs. Whoever sets it has the last word.
    if env::var_os(THREADS).is_none() {
        let threads = available_parallelism().map_or(AT_LEAST, |cores| AT_LEAST.max(cores.get()));
        println!("cargo::rustc-env={THREADS}={threads}");
    }
}

/// Writes `carried.rs`, which `src/package/carried.rs` includes: an array of the functions.
fn carry_functions() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={FUNCTIONS}");
    let mut functions = Vec::new();
    if let Some(folder) = env::var_os(FUNCTIONS).map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", folder.display());
        for (variant, architecture) in [("X86_64", "x86_64"), ("Arm64", "arm64")] {
            let zip = folder.join(format!("{architecture}.zip"));
            if zip.is_file() {
                let sources = fs::read_to_string(folder.join(format!("{architecture}.sources")))?;
                let (zip, sources) = (zip.to_string_lossy(), sources.trim());
                functions.push(format!(
                    "Carried {{ architecture: Architecture::{variant}, source_digest: {sources:?}, zip: include_bytes!({zip:?}) }}"
                ));
            }
        }
        if functions.is_empty() {
            return Err(io::Error::other(format!("{FUNCTIONS}: {} holds no function", folder.display())));
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("carried.rs"), format!("&[{}]", functions.join(", ")))?;
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    println!("cargo::rustc-env=DEPLOYER_RUSTC={}", version_of(Path::new(&rustc))?);
    Ok(())
}

fn version_of(rustc: &Path) -> io::Result<String> {
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
