//! The function's code: where it comes from, the digest that decides whether it is uploaded again, and its zip.
//!
//! The same sources give the same bytes on every machine and at every time. So live code that is not what the sources
//! give is drift.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Instant,
};

use crate::{
    aws::Aws,
    config::{Architecture, Config},
    digest::digest,
    engine::events::{Event, Events},
    error::Error,
};

use self::{carried::Carried, version::Kept};

mod archive;
mod cargo_lambda;
mod carried;
mod version;
mod workspace;

pub(crate) use self::{archive::code_sha256, version::description as description_of_version};

/// Lambda's limit on a zip that is part of the call (Lambda quotas, "Deployment package size").
const MAX_ZIP_BYTES: u64 = 50 << 20;

/// The code that the function should have.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// 32 hexadecimal digits: the digest of the sources, or of the zip that the configuration names.
    pub(crate) source_digest: String,
    source: Source,
    architecture: Architecture,
}

#[derive(Clone, Debug)]
enum Source {
    /// The zip that the configuration names.
    Zip(PathBuf),
    /// This program itself.
    Carried(&'static Carried),
    /// A version of the function, which an update has kept.
    Version { name: String, zip: Arc<Vec<u8>> },
    /// The root of our own workspace, to be built.
    Workspace(PathBuf),
}

/// The function's zip, with what identifies it.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) architecture: Architecture,
    pub(crate) source_digest: String,
    pub(crate) zip: Vec<u8>,
}

impl Package {
    /// Finds the code and digests it. Reads files only, and builds nothing.
    ///
    /// # Errors
    /// The configured zip would not run as the function; no sources to build are found.
    pub(crate) fn locate(config: &Config) -> Result<Self, Error> {
        let architecture = config.function.architecture;
        if let Some(path) = &config.function.package {
            return Self::of_zip(path, architecture);
        }
        if let Some(carried) = carried::find(carried::ALL, architecture) {
            return Ok(Self::carried(carried));
        }
        Self::of_checkout(architecture)
    }

    /// The code that the checkout's sources give, whatever this program carries.
    ///
    /// # Errors
    /// No sources to build are found.
    pub(crate) fn of_checkout(architecture: Architecture) -> Result<Self, Error> {
        // The workspace that this program was built from; it may have moved since.
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let current = env::current_dir().unwrap_or_default();
        let root = workspace_to_build(&built_from, &current).ok_or_else(|| {
            Error::new("failed to find the function's code")
                .cause(format!(
                    "neither the folder in which this deployer was built ({}) nor the current one is the root of a checkout",
                    env!("CARGO_MANIFEST_DIR")
                ))
                .hint("run the command in the root of a checkout of the deployer's repository, or set function.package to a zip")
        })?;
        Self::of_workspace(root, architecture)
    }

    /// Refuses a function that would have to be built and cannot be. Reads nothing but the folders of PATH.
    pub(crate) fn check_tools(config: &Config) -> Result<(), Error> {
        let function = &config.function;
        if function.package.is_some() || carried::find(carried::ALL, function.architecture).is_some() {
            return Ok(());
        }
        cargo_lambda::check(&env::var_os("PATH").unwrap_or_default())
    }

    fn carried(function: &'static Carried) -> Self {
        let source_digest = function.source_digest.to_owned();
        Self { source_digest, source: Source::Carried(function), architecture: function.architecture }
    }

    fn of_zip(path: &Path, architecture: Architecture) -> Result<Self, Error> {
        let zip = read_zip(path)?;
        archive::check(path, &zip, architecture)?;
        Ok(Self { source_digest: digest([&zip]), source: Source::Zip(path.to_owned()), architecture })
    }

    /// The newest code that a function had and does not run.
    ///
    /// # Errors
    /// There is none, or it would not run as the function.
    pub(crate) async fn of_the_version_before(
        aws: &Aws,
        function: &str,
        architecture: Architecture,
    ) -> Result<Self, Error> {
        let Kept { name, source_digest, zip } = version::download_the_one_before(aws, function).await?;
        archive::check(Path::new(&name), &zip, architecture)?;
        let source_digest = source_digest.unwrap_or_else(|| digest([&zip]));
        Ok(Self { source_digest, source: Source::Version { name, zip: Arc::new(zip) }, architecture })
    }

    fn of_workspace(root: PathBuf, architecture: Architecture) -> Result<Self, Error> {
        let source_digest = workspace::digest(&root, architecture)?;
        Ok(Self { source_digest, source: Source::Workspace(root), architecture })
    }

    /// Where the code comes from: the zip, this program, or the folder that is built.
    pub(crate) fn origin(&self) -> String {
        match &self.source {
            Source::Zip(path) | Source::Workspace(path) => path.display().to_string(),
            Source::Carried(_) => format!("this deployer (sources {})", self.source_digest),
            Source::Version { name, .. } => format!("{name} (sources {})", self.source_digest),
        }
    }

    /// Returns the bytes of the zip for Lambda. If it has to build, it says [`Event::Building`] and [`Event::Built`]; a build
    /// takes minutes the first time and about a second after that.
    pub(crate) async fn build(&self, events: &Events) -> Result<Vec<u8>, Error> {
        match &self.source {
            Source::Zip(path) => {
                let zip = read_zip(path)?;
                if digest([&zip]) == self.source_digest {
                    Ok(zip)
                } else {
                    Err(Error::new(format!("{} has changed since the plan, so it was not uploaded", path.display()))
                        .hint("run the command again, and read the new plan"))
                }
            }
            Source::Carried(function) => Ok(function.zip.to_vec()),
            Source::Version { zip, .. } => Ok(zip.to_vec()),
            Source::Workspace(root) => {
                events.say(Event::Building);
                let began = Instant::now();
                let say = |line: &str| events.say(Event::BuildSays(line.to_owned()));
                let bootstrap = cargo_lambda::build(root, self.architecture, env::vars_os().collect(), say).await?;
                let zip = archive::write(&bootstrap)?;
                events.say(Event::Built { bytes: zip.len(), took: began.elapsed() });
                Ok(zip)
            }
        }
    }
}

impl Built {
    /// Builds the checkout's function, whatever this program carries.
    ///
    /// # Errors
    /// No sources to build are found, or the build fails.
    pub(crate) async fn of_checkout(architecture: Architecture, events: &Events) -> Result<Self, Error> {
        let package = Package::of_checkout(architecture)?;
        let zip = package.build(events).await?;
        Ok(Self { architecture, source_digest: package.source_digest, zip })
    }

    /// The SHA-256 of the zip, as Lambda's `CodeSha256` spells it.
    pub(crate) fn code_sha256(&self) -> String {
        code_sha256(&self.zip)
    }

    /// Writes ARCHITECTURE.zip, and ARCHITECTURE.sources with the digest of the sources, into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = |ending: &str| folder.join(format!("{}.{ending}", self.architecture));
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(file("zip"), &self.zip))
            .and_then(|()| fs::write(file("sources"), format!("{}\n", self.source_digest)));
        written.map_err(|error| Error::new(format!("failed to write into {}", folder.display())).cause(error))
    }

    /// Compares the function with the one that this program carries.
    ///
    /// # Errors
    /// The program carries none for the architecture, or another one.
    pub(crate) fn check_against_carried(&self) -> Result<(), Error> {
        self.check_against(carried::ALL)
    }

    fn check_against(&self, functions: &'static [Carried]) -> Result<(), Error> {
        let Self { architecture, source_digest, zip } = self;
        let Some(carried) = carried::find(functions, *architecture) else {
            return Err(Error::new(format!("this deployer carries no function for {architecture}"))
                .hint("released deployers do; `deployer --version` lists the functions that this one carries"));
        };
        let differ = |what: &str, own: &str, built: &str| {
            Error::new(format!(
                "the function that this deployer carries for {architecture} is not what the checkout gives"
            ))
            .cause(format!("{what}: {own} in this deployer, {built} in the checkout"))
        };
        if carried.source_digest != source_digest {
            return Err(differ("digest of the sources", carried.source_digest, source_digest)
                .hint(format!("check out the tag v{}", env!("CARGO_PKG_VERSION"))));
        }
        if carried.zip != zip {
            return Err(differ("CodeSha256", &code_sha256(carried.zip), &self.code_sha256()).hint(format!(
                "the sources are the same; build with the compiler that made this deployer, {}",
                env!("DEPLOYER_RUSTC")
            )));
        }
        Ok(())
    }
}

/// The architectures whose functions this program carries.
pub(crate) fn carried_architectures() -> Vec<Architecture> {
    carried::ALL.iter().map(|function| function.architecture).collect()
}

/// What this program consists of: its version, the compiler that made it, and the functions that it carries.
pub(crate) static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut text = format!("{}\n{}", env!("CARGO_PKG_VERSION"), env!("DEPLOYER_RUSTC"));
    for Carried { architecture, source_digest, zip } in carried::ALL {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nfunction {architecture}: sources {source_digest}, CodeSha256 {}", code_sha256(zip));
    }
    text
});

/// Never a folder above the current one: a stranger may have put a workspace there, whose build scripts would run.
fn workspace_to_build(built_from: &Path, current: &Path) -> Option<PathBuf> {
    workspace::find([built_from, current])
}

fn read_zip(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| {
        Error::new(format!("failed to read the package {}", path.display()))
            .cause(error)
            .hint("correct function.package, or remove it to build the function from its sources")
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_ZIP_BYTES {
        return Err(Error::new(format!("the package {} is larger than 50 MB", path.display()))
            .cause("Lambda accepts no larger zip")
            .hint("build the function in release mode, without debug information"));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests;
