//! The command line. Raw arguments; [`crate::commands`] runs them.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

/// Deploys the rotation of Amazon SES SMTP credentials from one YAML file.
///
/// AWS itself is the state: there is no state file. `plan` shows what `apply` would do, `apply`
/// does it after you approve, and running it again does nothing.
#[derive(Debug, Parser)]
#[command(name = "deployer", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON lines instead of text.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration; no AWS call.
    Validate(Target),
    /// Show what `apply` would do; reads only.
    Plan(PlanArgs),
    /// Bring AWS to what the configuration declares.
    Apply(ApplyArgs),
    /// Take everything away that the deployment owns.
    Destroy(DestroyArgs),
    /// Show what is there, what differs, and how the rotation stands; reads only.
    Status(Target),
    /// Rotate the credential now, and wait until it is done; refuses before anything starts where that would fail.
    Rotate(RotateArgs),
    /// Show how a rotation stands, and take a stuck one back to health; asks before each change.
    Recover(RecoverArgs),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

/// CONFIG, if none is given.
pub(crate) const DEFAULT_CONFIG: &str = "config.yaml";

impl Command {
    /// CONFIG, as it was given.
    pub(crate) fn config(&self) -> Option<&Path> {
        let target = match self {
            Self::Validate(target) | Self::Status(target) => target,
            Self::Plan(args) => &args.target,
            Self::Apply(args) => &args.target,
            Self::Destroy(args) => &args.target,
            Self::Rotate(args) => &args.target,
            Self::Recover(args) => &args.target,
            Self::Schema => return None,
        };
        Some(&target.config)
    }
}

/// The configuration.
#[derive(Debug, Args)]
pub struct Target {
    /// A YAML file, or a folder of them.
    #[arg(default_value = DEFAULT_CONFIG, value_name = "CONFIG")]
    pub config: PathBuf,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Exit with 0 where there is nothing to do, 1 on an error, 2 where there are changes.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Show what `destroy` would do.
    #[arg(long)]
    pub destroy: bool,
    /// With --destroy: as `destroy --stop-mail`.
    #[arg(long, requires = "destroy")]
    pub stop_mail: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Exit with 0 where there was nothing to do, 1 on an error, 2 where changes were made.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Change role, function, permission and document although a rotation is open; else apply waits until it has ended.
    #[arg(long)]
    pub during_rotation: bool,
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
    /// Delete the user's access keys although a host may still send mail with them.
    #[arg(long)]
    pub stop_mail: bool,
    /// Exit with 0 where there was nothing to do, 1 on an error, 2 where changes were made.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Before that, delete the previous key although its grace has not ended: any host that still uses it stops sending.
    /// For a key that leaked; one that is in use still becomes the previous key by a rotation before.
    #[arg(long)]
    pub end_grace: bool,
    /// With --end-grace: do not ask.
    #[arg(long, requires = "end_grace")]
    pub auto_approve: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Do not ask.
    #[arg(long)]
    pub auto_approve: bool,
}
