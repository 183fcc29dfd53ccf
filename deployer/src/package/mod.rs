//! The function's code: where it comes from, the digest that decides whether it is uploaded again, and its zip.
//!
//! The same sources always give the same bytes, wherever and whenever they are built, so that code that changed
//! without a change of its sources is drift.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use crate::{
    config::{Architecture, Config},
    digest::digest,
    engine::events::{Event, Events},
    error::Error,
};

mod archive;
mod cargo_lambda;
mod workspace;

/// The most that Lambda accepts in the call that carries the zip (Lambda quotas, "Deployment package size").
const MAX_ZIP_BYTES: u64 = 50 << 20;

/// The code that the function should have.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// 32 hexadecimal digits that change if, and only if, what the code is made of changes.
    pub(crate) source_digest: String,
    source: Source,
    architecture: Architecture,
}

#[derive(Clone, Debug)]
enum Source {
    /// The zip that the configuration names.
    Zip(PathBuf),
    /// The root of our own workspace, to be built.
    Workspace(PathBuf),
}

impl Package {
    /// Finds the code and digests what it is made of. Reads files only, and builds nothing.
    ///
    /// Fails if the configured zip would not run as the function, or if there is nothing to build.
    pub(crate) fn locate(config: &Config) -> Result<Self, Error> {
        let architecture = config.function.architecture;
        if let Some(path) = &config.function.package {
            return Self::of_zip(path, architecture);
        }
        // The workspace that this program was built from; it may have moved since.
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let current = env::current_dir().unwrap_or_default();
        let candidates = [built_from.as_path()].into_iter().chain(current.ancestors());
        let root = workspace::find(candidates).ok_or_else(|| {
            Error::new("failed to find the function's code")
                .cause(format!("this deployer was built in {}, which is gone", env!("CARGO_MANIFEST_DIR")))
                .hint("run the command in a checkout of the deployer's repository, or let function.package name a zip")
        })?;
        Self::of_workspace(root, architecture)
    }

    fn of_zip(path: &Path, architecture: Architecture) -> Result<Self, Error> {
        let zip = read_zip(path)?;
        archive::check(path, &zip, architecture)?;
        Ok(Self { source_digest: digest([&zip]), source: Source::Zip(path.to_owned()), architecture })
    }

    fn of_workspace(root: PathBuf, architecture: Architecture) -> Result<Self, Error> {
        let source_digest = workspace::digest(&root, architecture)?;
        Ok(Self { source_digest, source: Source::Workspace(root), architecture })
    }

    /// The bytes of the zip that Lambda gets. Says [`Event::Building`] and [`Event::Built`] where it builds, which
    /// takes minutes the first time and about a second after that.
    pub(crate) async fn build(&self, events: &Events) -> Result<Vec<u8>, Error> {
        match &self.source {
            Source::Zip(path) => {
                let zip = read_zip(path)?;
                if digest([&zip]) == self.source_digest {
                    Ok(zip)
                } else {
                    Err(Error::new(format!("{} has changed since the plan", path.display()))
                        .hint("run the command again, and look at its plan"))
                }
            }
            Source::Workspace(root) => {
                events.say(Event::Building);
                let began = Instant::now();
                let bootstrap = cargo_lambda::build(root, self.architecture, env::vars_os().collect()).await?;
                let zip = archive::write(&bootstrap)?;
                events.say(Event::Built { bytes: zip.len(), took: began.elapsed() });
                Ok(zip)
            }
        }
    }
}

/// The SHA-256 of a zip as Lambda's `CodeSha256` spells it.
pub(crate) fn code_sha256(zip: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(zip))
}

fn read_zip(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| {
        Error::new(format!("failed to read the package {}", path.display()))
            .cause(error)
            .hint("correct function.package, or leave it out to build the function from its sources")
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_ZIP_BYTES {
        return Err(Error::new(format!("the package {} is larger than 50 MB", path.display()))
            .cause("Lambda accepts no larger zip")
            .hint("build it in release mode and without debug information"));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests;
