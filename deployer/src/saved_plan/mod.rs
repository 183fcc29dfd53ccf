//! A plan in a file: what somebody reviewed, so that exactly that runs later, maybe on another machine.
//!
//! It holds no secret, because a plan holds none. So it may be attached to a pull request, and has no mode of its own.

use std::{
    fs::{self, File},
    io::{ErrorKind as IoError, Read as _},
    path::{Path, PathBuf},
};

use contract::Command;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::difference::beyond;
use self::difference::changed_values;
use crate::{
    aws::Identity,
    config::Config,
    deployment::Allowed,
    engine::{op::Toward, plan::Plan},
    error::{Error, ErrorKind},
};

mod difference;
#[cfg(test)]
mod tests;

/// The version of the format. A plan of another version is refused: it may say what this deployer does not know.
const VERSION: u32 = 1;

/// The first field, by which a plan is told from a configuration.
const FIRST_FIELD: &str = "deployer_plan";

/// What the file holds. Its first field has to stay the first.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedPlan {
    deployer_plan: u32,
    /// Version of the deployer that planned.
    deployer: String,
    /// CONFIG, as it was given to `plan`.
    pub(crate) config: PathBuf,
    /// Whether access keys of a user that the file no longer declares may be deleted.
    pub(crate) stop_mail: bool,
    /// Whether what no deployment owns is taken over.
    #[serde(default)]
    pub(crate) adopt: bool,
    /// Name of the secret that may be deleted for good, as a person typed it.
    pub(crate) purge_secret: Option<String>,
    /// In the order of the file.
    pub(crate) deployments: Vec<Reviewed>,
}

/// The plan of one deployment, and what it was made of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reviewed {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) account_id: String,
    /// ARN of who planned.
    pub(crate) planned_by: String,
    /// RFC 3339, UTC.
    pub(crate) planned_at: String,
    /// What the file declared, with every default filled in.
    pub(crate) configuration: Value,
    /// Digest of the sources of the function's code; null on the way to absent.
    pub(crate) function: Option<String>,
    pub(crate) plan: Plan,
}

impl SavedPlan {
    /// `purge_secret`: the name of the secret that is allowed to be deleted for good, as a person typed it.
    pub(crate) fn new(config: &Path, allowed: Allowed, purge_secret: Option<&str>, deployments: Vec<Reviewed>) -> Self {
        let Allowed { stop_mail, adopt, .. } = allowed;
        let deployer = env!("CARGO_PKG_VERSION").to_owned();
        let (config, purge_secret) = (config.to_owned(), purge_secret.map(str::to_owned));
        Self { deployer_plan: VERSION, deployer, config, stop_mail, adopt, purge_secret, deployments }
    }

    /// What a person has allowed the plan to do.
    pub(crate) fn allowed(&self) -> Allowed {
        Allowed { stop_mail: self.stop_mail, purge_secret: self.purge_secret.is_some(), adopt: self.adopt }
    }

    /// Reads a plan; none if the file, or folder, holds none.
    ///
    /// # Errors
    /// The file begins as a plan does, and is none, or one of another version.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        // Whatever cannot be read is told by whoever reads the configuration.
        if !is_plan(path) {
            return Ok(None);
        }
        let text = fs::read_to_string(path)
            .map_err(|error| Error::new(format!("failed to read the plan {}", path.display())).cause(error))?;
        Self::parse(&text).map(Some).map_err(|cause| {
            Error::new(format!("{} is not a plan that this deployer can run", path.display()))
                .cause(cause)
                .hint("make it again with this deployer")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            deployer_plan: u32,
        }
        let parse = |error: serde_json::Error| error.to_string();
        match serde_json::from_str::<Versioned>(text).map_err(parse)?.deployer_plan {
            VERSION => serde_json::from_str(text).map_err(parse),
            other => Err(format!("its format has version {other}, and this deployer knows version {VERSION}")),
        }
    }

    /// Writes the plan. Only an earlier plan is overwritten.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        check_may_be_written(path)?;
        fs::write(path, self.to_json())
            .map_err(|error| not_written(path).cause(error).hint("choose another name for --out"))
    }

    fn to_json(&self) -> String {
        // All its maps have texts as keys, so it always has a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The plan of a deployment that the file declares.
    ///
    /// # Errors
    /// It declares another deployment than when the plan was made, or something else of this one.
    pub(crate) fn of(&self, config: &Config) -> Result<&Reviewed, Error> {
        let is_it = |it: &&Reviewed| it.name == *config.name && it.region == *config.region;
        let Some(reviewed) = self.deployments.iter().find(is_it) else {
            let what = format!("{} in {} is not in the plan", config.name, config.region);
            return Err(Error::new(what).of_kind(ErrorKind::ChangedSincePlan).cause("the file declares it now"));
        };
        let changed = changed_values(&reviewed.configuration, &declared(config));
        if changed.is_empty() {
            return Ok(reviewed);
        }
        let what = format!(
            "the file declares something else of {} in {} than when it was planned",
            config.name, config.region
        );
        Err(Error::new(what).of_kind(ErrorKind::ChangedSincePlan).cause(changed.join("; ")))
    }

    /// Checks that the file declares what it declared when the plan was made.
    pub(crate) fn check_file(&self, configs: &[Config]) -> Result<(), Vec<Error>> {
        let mut errors: Vec<_> = configs.iter().filter_map(|config| self.of(config).err()).collect();
        let is_declared =
            |it: &Reviewed| configs.iter().any(|config| it.name == *config.name && it.region == *config.region);
        errors.extend(self.deployments.iter().filter(|it| !is_declared(it)).map(|it| {
            let what = format!("the file does not declare {} in {} any more", it.name, it.region);
            Error::new(what).of_kind(ErrorKind::ChangedSincePlan).cause("the plan has it")
        }));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl Reviewed {
    pub(crate) fn new(config: &Config, identity: &Identity, at: String, function: Option<String>, plan: Plan) -> Self {
        Self {
            name: config.name.to_string(),
            region: config.region.to_string(),
            account_id: identity.account_id.clone(),
            planned_by: identity.arn.clone(),
            planned_at: at,
            configuration: declared(config),
            function,
            plan,
        }
    }

    /// Refuses another account than that of the plan.
    pub(crate) fn check_account(&self, identity: &Identity) -> Result<(), Error> {
        if self.account_id == identity.account_id {
            return Ok(());
        }
        let (theirs, own) = (&identity.account_id, &self.account_id);
        Err(Error::new(format!("these credentials belong to account {theirs}, but the plan is of account {own}"))
            .of_kind(ErrorKind::Credentials)
            .cause(format!("the caller is {}", identity.arn))
            .hint("choose the right credentials (AWS_PROFILE); nothing was changed"))
    }

    /// Checks that everything which is needed now was reviewed. What was done already is no difference: so a run that was
    /// interrupted can continue.
    ///
    /// # Errors
    /// One for the function, and one for each resource that needs more than the plan says, or that somebody changed since.
    pub(crate) fn check(&self, now: &Plan, function: Option<&str>) -> Result<(), Vec<Error>> {
        let mut errors = Vec::new();
        if self.function.as_deref() != function {
            let digest = |digest: Option<&str>| digest.unwrap_or("none").to_owned();
            let (was, is) = (digest(self.function.as_deref()), digest(function));
            let what = format!("the function of {} is not the one of the plan", self.name);
            errors.push(
                Error::new(what)
                    .cause(format!("the digest of its sources was {was}, and is {is}"))
                    .hint("apply with the deployer that planned, or with the same checkout"),
            );
        }
        errors.extend(beyond(now, &self.plan).map(|(address, what)| {
            Error::new(format!("{address} changed since the plan of {}", self.planned_at)).cause(what)
        }));
        if errors.is_empty() {
            return Ok(());
        }
        Err(errors.into_iter().map(|error| error.of_kind(ErrorKind::ChangedSincePlan)).collect())
    }
}

/// Refuses to overwrite what is no plan, and a place where no file can be.
pub(crate) fn check_may_be_written(path: &Path) -> Result<(), Error> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == IoError::NotFound => folder_exists(path),
        Err(error) => Err(not_written(path).cause(error).hint("choose another name for --out")),
        // A link's target counts. Whoever reads a pipe, such as /dev/stdout, would wait for what nobody writes.
        Ok(_) if path.exists() && !path.is_file() => {
            Err(Error::new(format!("{shown} is not a regular file, so no plan is written to it"))
                .hint("give --out the name of a file; `--json` prints the plan on standard output"))
        }
        Ok(_) if is_plan(path) => Ok(()),
        Ok(_) => Err(Error::new(format!("{shown} exists and is no plan, so it is not overwritten"))
            .hint("choose another name for --out, or delete the file first")),
    }
}

/// Refuses a file whose folder does not exist.
fn folder_exists(path: &Path) -> Result<(), Error> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => Err(not_written(path)
            .cause(format!("folder {} does not exist", folder.display()))
            .hint("make the folder first, or choose another name for --out")),
        _ => Ok(()),
    }
}

fn not_written(path: &Path) -> Error {
    Error::new(format!("failed to write the plan to {}", path.display()))
}

/// Whether a file begins as a plan does.
fn is_plan(path: &Path) -> bool {
    // Nobody may ever write into a pipe.
    if !path.is_file() {
        return false;
    }
    let mut start = [0; 64];
    let Ok(length) = File::open(path).and_then(|mut file| file.read(&mut start)) else { return false };
    let text: String = String::from_utf8_lossy(&start[..length]).split_whitespace().collect();
    text.starts_with(&format!("{{\"{FIRST_FIELD}\":"))
}

/// Refuses a configuration that only this process can read: a saved plan names its file, and `apply` reads it again.
pub(crate) fn check_can_be_read_again(config: &Path) -> Result<(), Error> {
    if !["/dev", "/proc"].iter().any(|folder| config.starts_with(folder)) {
        return Ok(());
    }
    Err(Error::new(format!("a plan of {} cannot be saved", config.display()))
        .cause("a saved plan names its file, and apply reads that again")
        .hint("write the configuration into a file, and name that file"))
}

/// What has to be typed to make a plan again.
pub(crate) fn plan_again(path: &Path, saved: &SavedPlan) -> Command {
    let is_to_destroy = saved.deployments.iter().any(|it| it.plan.toward != Toward::Present);
    let purge = saved.purge_secret.as_ref().map(|secret| format!("--purge-secret={secret}"));
    let (stops, adopts) = (saved.stop_mail.then_some("--stop-mail"), saved.adopt.then_some("--adopt"));
    let flags = [is_to_destroy.then_some("--destroy"), stops, adopts, purge.as_deref()];
    let path = path.display().to_string();
    let words: Vec<_> = std::iter::once("plan").chain(flags.into_iter().flatten()).chain(["--out", &path]).collect();
    Command::words(&words)
}

fn declared(config: &Config) -> Value {
    // All its maps have texts as keys, so it always has a JSON form.
    serde_json::to_value(config).unwrap_or_default()
}
