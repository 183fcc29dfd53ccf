//! The command line. Raw arguments; [`crate::commands`] runs them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use clap_complete::Shell;

use crate::{
    config::{self, Architecture},
    exit::Exit,
};

/// Deploys the rotation of Amazon SES SMTP credentials from one YAML file.
///
/// There is no state file: every command reads AWS. `plan` shows what `apply` would do. `apply` does it
/// after you approve, and a second `apply` changes nothing.
#[derive(Debug, Parser)]
#[command(name = "deployer", version, max_term_width = 100)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON lines instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show everything: each field of a plan, all resources and labels, and what the build and the function say meanwhile.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Show only errors, questions and results.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration with every option explained. Asks on a terminal, and offers what the account has; else takes flags.
    #[command(
        after_help = "Examples:\n  deployer init\n  deployer init --name mail-prod --region eu-west-1 --sender mail@example.com prod.yaml"
    )]
    Init(InitArgs),
    /// Check the configuration; no AWS call.
    #[command(
        after_help = "Examples:\n  deployer validate\n  deployer validate deployments/   # every file of a folder\n  deployer validate --format github"
    )]
    Validate(ValidateArgs),
    /// Show what `apply` would do; reads only.
    #[command(
        after_help = "Examples:\n  deployer plan\n  deployer plan --verbose prod.yaml\n  deployer plan --destroy prod.yaml"
    )]
    Plan(PlanArgs),
    /// Make AWS as the configuration declares, after you approve the plan.
    #[command(
        after_help = "Examples:\n  deployer apply\n  deployer apply --auto-approve prod.yaml   # nobody is asked"
    )]
    Apply(ApplyArgs),
    /// Put the function's code of before the last update back, after you approve the plan.
    #[command(after_help = "Example:\n  deployer rollback prod.yaml")]
    Rollback(RollbackArgs),
    /// Delete everything that the deployment owns, after you approve the plan.
    #[command(
        after_help = "Examples:\n  deployer destroy --stop-mail\n  deployer destroy --name mail-prod --region eu-west-1   # without a file"
    )]
    Destroy(DestroyArgs),
    /// Show what somebody else changed in AWS since the last apply; reads only. Exit code 0: nothing changed, 2: something changed,
    /// any other code: it could not be determined.
    #[command(
        after_help = "Examples:\n  deployer drift\n  deployer drift --ignore log_group --ignore function.memory_size prod.yaml"
    )]
    Drift(DriftArgs),
    /// Show the deployments of a region, by their records: who applied last, and when the credential rotates; reads only.
    #[command(after_help = "Example:\n  deployer list --region eu-west-1")]
    List(ListArgs),
    /// Show whether mail is safe, when the credential rotates, its keys and readers, and what needs a person; reads only.
    #[command(
        after_help = "Examples:\n  deployer status\n  deployer status --verbose prod.yaml   # every resource and label"
    )]
    Status(StatusArgs),
    /// Rotate the credential now, and wait until the rotation has ended. Starts nothing if the rotation would fail.
    #[command(after_help = "Examples:\n  deployer rotate\n  deployer rotate --leaked AKIAIOSFODNN7EXAMPLE prod.yaml")]
    Rotate(RotateArgs),
    /// Show how the rotation stands, and repair it if it is stuck; asks before each change.
    #[command(
        after_help = "Examples:\n  deployer recover\n  deployer recover --reactivate AKIAIOSFODNN7EXAMPLE prod.yaml"
    )]
    Recover(RecoverArgs),
    /// Print what other tools need of the deployment: the secret's ARN, the user, the endpoint; reads only.
    #[command(after_help = "Examples:\n  deployer output\n  deployer output secret_arn prod.yaml")]
    Output(OutputArgs),
    /// Write a folder with which Terraform takes over the deployed resources; changes nothing in AWS.
    #[command(after_help = "Example:\n  deployer export --terraform terraform prod.yaml")]
    Export(ExportArgs),
    /// Check all that a deployment needs, before the first `apply` and after it: permissions, SES, hosts, rotation; reads only. Exit
    /// code 0: nothing is wrong, 1: something is, 15: something could not be read.
    #[command(after_help = "Examples:\n  deployer doctor\n  deployer doctor prod.yaml")]
    Doctor(Target),
    /// Print the IAM policy that whoever runs the deployer needs, or that the instances need; changes nothing.
    #[command(after_help = "Examples:\n  deployer policy > policy.json\n  deployer policy --for plan prod.yaml")]
    Policy(PolicyArgs),
    /// Print the JSON Schema of the configuration, for editors; or that of the lines of --json.
    #[command(
        after_help = "Examples:\n  deployer schema > config.schema.json\n  deployer schema --json-lines > lines.schema.json"
    )]
    Schema(SchemaArgs),
    /// Build the function from a checkout, or compare the build with the function that this deployer carries; no AWS call.
    #[command(after_help = "Examples:\n  deployer build --architecture arm64 --out dist\n  deployer build --verify")]
    Build(BuildArgs),
    /// Print the completions for a shell.
    #[command(after_help = "Example:\n  deployer completions bash > /etc/bash_completion.d/deployer")]
    Completions(CompletionsArgs),
    /// Write a man page for each verb.
    #[command(after_help = "Example:\n  deployer man-pages /usr/local/share/man/man1")]
    ManPages(ManPagesArgs),
}

/// The default of CONFIG.
pub(crate) const DEFAULT_CONFIG: &str = "config.yaml";

impl Command {
    /// CONFIG, as it was given.
    pub(crate) fn config(&self) -> Option<&Path> {
        let target = match self {
            Self::Validate(args) => &args.target,
            Self::Status(args) => &args.target,
            Self::Doctor(target) => target,
            Self::Plan(args) => &args.target,
            Self::Apply(args) => return Some(&args.config),
            Self::Rollback(args) => &args.target,
            Self::Destroy(args) if args.name.is_some() => return None,
            Self::Destroy(args) => &args.target,
            Self::Rotate(args) => &args.target,
            Self::Recover(args) => &args.target,
            Self::Output(args) => return Some(&args.config),
            Self::Policy(args) => &args.target,
            Self::Export(args) => &args.target,
            Self::Drift(args) => &args.target,
            Self::Init(args) => return Some(&args.file),
            Self::List(_) | Self::Schema(_) | Self::Build(_) | Self::Completions(_) | Self::ManPages(_) => return None,
        };
        Some(&target.config)
    }

    /// How the program ends if the command found something that differs, or changed something.
    pub(crate) fn on_differences(&self) -> Exit {
        let is_asked_for = match self {
            Self::Plan(args) => args.detailed_exitcode,
            Self::Apply(args) => args.detailed_exitcode,
            Self::Destroy(args) => args.detailed_exitcode,
            Self::Status(args) => args.detailed_exitcode,
            // That is what it looks for.
            Self::Drift(_) => true,
            Self::Init(_)
            | Self::Validate(_)
            | Self::Doctor(_)
            | Self::Policy(_)
            | Self::Rotate(_)
            | Self::Rollback(_)
            | Self::Recover(_)
            | Self::Output(_)
            | Self::Export(_)
            | Self::List(_)
            | Self::Schema(_)
            | Self::Build(_)
            | Self::Completions(_)
            | Self::ManPages(_) => false,
        };
        if is_asked_for { Exit::Changes } else { Exit::Success }
    }
}

/// The configuration.
#[derive(Debug, Args)]
pub struct Target {
    /// A YAML file, or a folder of them.
    #[arg(default_value = DEFAULT_CONFIG, value_name = "CONFIG")]
    pub config: PathBuf,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// How mistakes are shown. github: as annotations, which GitHub shows beside the lines of a pull request.
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    pub format: Format,
}

/// How mistakes in the configuration are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// As annotations of a GitHub workflow.
    Github,
}

/// How long a rotation is watched.
#[derive(Args, Clone, Copy, Debug)]
pub struct Watch {
    /// How long to go on watching after an attempt of the rotation failed, such as 90s or 1h; 0s: not at all. Secrets Manager
    /// tries a failed rotation again by itself, whether or not this command still watches.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub watch_retries: Duration,
}

fn duration(text: &str) -> Result<Duration, config::InvalidValue> {
    if text == "0s" { Ok(Duration::ZERO) } else { config::duration(text) }
}

fn region(text: &str) -> Result<String, config::InvalidValue> {
    text.parse::<config::Region>().map(|region| region.to_string())
}

/// How long another run is waited for.
#[derive(Args, Clone, Copy, Debug)]
pub struct Patience {
    /// How long to wait for another run on the same deployment, such as 90s or 1h; 0s: not at all. Then the exit code is 12.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub lease_timeout: Duration,
}

/// What a run may delete that the configuration does not declare.
#[derive(Args, Clone, Debug)]
pub struct Leftovers {
    /// With --auto-approve: let the run delete most of what the record of the deployment of this name has, which the configuration does
    /// not declare. Without it, the run is refused: two files may have one name and region by mistake.
    #[arg(long, value_name = "NAME", requires = "auto_approve")]
    pub delete_leftovers: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct PlanArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Exit with 0 if there is nothing to do, 2 if there are changes; another code is an error.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Show what `destroy` would do.
    #[arg(long)]
    pub destroy: bool,
    /// Show what `apply --stop-mail` or `destroy --stop-mail` would do.
    #[arg(long)]
    pub stop_mail: bool,
    /// With --destroy: show what `destroy --purge-secret` would do. With --out, write the secret's name as the value: nobody is asked
    /// for it later.
    #[arg(long, value_name = "SECRET", num_args = 0..=1, require_equals = true, requires = "destroy")]
    pub purge_secret: Option<Option<String>>,
    /// Show what `apply --adopt` would do.
    #[arg(long, conflicts_with = "destroy")]
    pub adopt: bool,
    /// Print the plan as Markdown, for the comment of a pull request on GitHub.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Also write the plan as JSON into this file, for review. It holds no secret. `apply FILE` runs only what is in it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ApplyArgs {
    /// A YAML file, or a folder of them; or a plan that `plan --out` wrote: then only what is in it runs, and nobody is asked.
    #[arg(default_value = DEFAULT_CONFIG, value_name = "CONFIG|PLAN")]
    pub config: PathBuf,
    /// How long the rotation is watched.
    #[command(flatten)]
    pub watch: Watch,
    /// How long another run is waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// Do not ask for approval.
    #[arg(long)]
    pub auto_approve: bool,
    /// Exit with 0 if there was nothing to do, 2 if changes were made; another code is an error.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Take over resources of the deployment's names that no deployment owns, such as those of Terraform. Each keeps what it holds: no
    /// credential rotates and no key is deleted. The plan shows whose each was, and what changes.
    #[arg(long)]
    pub adopt: bool,
    /// Delete a user that the configuration no longer declares with its access keys, or a secret that it no longer names, even if a host
    /// still sends mail with the credential.
    #[arg(long)]
    pub stop_mail: bool,
    /// What it may delete.
    #[command(flatten)]
    pub leftovers: Leftovers,
    /// Do not wait until an open rotation has ended: change what the rotation uses (role, function, permission, document,
    /// secret, schedule) now.
    #[arg(long)]
    pub during_rotation: bool,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// How long the rotation is watched.
    #[command(flatten)]
    pub watch: Watch,
    /// How long another run is waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// Do not ask for approval.
    #[arg(long)]
    pub auto_approve: bool,
    /// Do not wait until an open rotation has ended: change the function now.
    #[arg(long)]
    pub during_rotation: bool,
}

/// Arguments of `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Leave out a known difference: a kind of resource, such as log_group, or one of its fields, such as function.memory_size. May
    /// be given several times.
    #[arg(long, value_name = "KIND[.FIELD]")]
    pub ignore: Vec<String>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Exit with 0 if mail is safe, 2 if mail is not safe or somebody has to look; another code is an error.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The region, such as eu-west-1. Default: that of AWS_REGION, of AWS_DEFAULT_REGION, or of the profile.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Destroy the deployment of this name, from its record and without a file. You have to type the name.
    #[arg(long, value_name = "NAME", requires = "region", conflicts_with = "config")]
    pub name: Option<String>,
    /// How long another run is waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// With --name: the deployment's region.
    #[arg(long, value_name = "REGION", requires = "name", value_parser = region)]
    pub region: Option<String>,
    /// Do not ask for approval.
    #[arg(long)]
    pub auto_approve: bool,
    /// Delete the user's access keys, even if a host still sends mail with them.
    #[arg(long)]
    pub stop_mail: bool,
    /// Delete the secret for good: nobody can restore it. You have to type its name; with --auto-approve, write it as the value.
    #[arg(long, value_name = "SECRET", num_args = 0..=1, require_equals = true)]
    pub purge_secret: Option<Option<String>>,
    /// What it may delete.
    #[command(flatten)]
    pub leftovers: Leftovers,
    /// Exit with 0 if there was nothing to do, 2 if changes were made; another code is an error.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// How long the rotation is watched.
    #[command(flatten)]
    pub watch: Watch,
    /// How long another run is waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// An access key that leaked. If hosts may use it, rotate. As soon as every host has the new key, delete this one, whatever
    /// its last use. If a key in its grace takes the slot that the new one needs, that key is deleted as well, after you approve.
    #[arg(long, value_name = "KEY")]
    pub leaked: Option<String>,
    /// Do not ask for approval. Only --leaked asks.
    #[arg(long)]
    pub auto_approve: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// How long the rotation is watched.
    #[command(flatten)]
    pub watch: Watch,
    /// How long another run is waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// First make this access key Active again: somebody made it Inactive by accident, and it has not leaked.
    #[arg(long, value_name = "KEY")]
    pub reactivate: Option<String>,
    /// Do not ask for approval.
    #[arg(long)]
    pub auto_approve: bool,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The name of the deployment, which prefixes every other name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The region, such as eu-west-1.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The secret. Default: NAME/smtp.
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<String>,
    /// The secret exists already, and stays if the deployment is destroyed.
    #[arg(long)]
    pub existing_secret: bool,
    /// The IAM user. Default: NAME-smtp.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The IAM user exists already, and stays if the deployment is destroyed.
    #[arg(long)]
    pub existing_user: bool,
    /// An instance that uses the credential. May be given several times.
    #[arg(long = "instance", value_name = "ID")]
    pub instances: Vec<String>,
    /// The instances' role, which may then read the secret.
    #[arg(long, value_name = "ROLE", requires = "instances")]
    pub instance_role: Option<String>,
    /// The sender of the test mail: a verified address, or an address of a verified domain.
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// The address that is told of rotations.
    #[arg(long, value_name = "ADDRESS")]
    pub notify: Option<String>,
    /// The file to write. It must not exist.
    #[arg(default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Write into this folder the module of examples/terraform, the function's zip, a call of the module for each deployment, and the
    /// blocks that import what is there. The folder must be empty, or not exist.
    #[arg(long, value_name = "FOLDER")]
    pub terraform: PathBuf,
}

/// Arguments of `policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The configuration.
    #[command(flatten)]
    pub target: Target,
    /// Print the policy for this verb alone, or that of the instances. Default: one policy for all verbs.
    #[arg(long = "for", value_name = "VERB", value_enum)]
    pub verb: Option<PolicyFor>,
}

/// Whom or what a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "each is a verb")]
pub enum PolicyFor {
    Apply,
    Destroy,
    Doctor,
    Drift,
    Export,
    /// What the function's role needs, if the file names one
    Function,
    Init,
    /// What the instances' role needs
    Instance,
    List,
    Output,
    Plan,
    Recover,
    Rollback,
    Rotate,
    Status,
    Validate,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Build for this architecture. May be given several times.
    #[arg(long = "architecture", value_name = "ARCHITECTURE", value_parser = architecture())]
    pub architectures: Vec<Architecture>,
    /// Write ARCHITECTURE.zip, and ARCHITECTURE.sources with the digest of the sources, into this folder. `function.package` takes
    /// the zip.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Fail unless the checkout gives byte for byte the function that this deployer carries.
    #[arg(long)]
    pub verify: bool,
}

fn architecture() -> impl TypedValueParser<Value = Architecture> {
    PossibleValuesParser::new(Architecture::ALL.map(|(name, _)| name)).map(|given| {
        let found = Architecture::ALL.into_iter().find(|(name, _)| *name == given);
        found.map_or(Architecture::X86_64, |(_, architecture)| architecture)
    })
}

/// Arguments of `schema`.
#[derive(Args, Clone, Copy, Debug)]
pub struct SchemaArgs {
    /// Print the schema of the lines that --json prints.
    #[arg(long)]
    pub json_lines: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Arguments of `man-pages`.
#[derive(Debug, Args)]
pub struct ManPagesArgs {
    /// The folder.
    pub folder: PathBuf,
}

/// What `output` can print.
pub(crate) const OUTPUTS: [&str; 11] = [
    "account_id",
    "region",
    "secret_name",
    "secret_arn",
    "iam_user_name",
    "iam_user_arn",
    "smtp_endpoint",
    "function_arn",
    "role_arn",
    "log_group",
    "topic_arn",
];

/// The name of all outputs together.
pub(crate) const ALL_OUTPUTS: &str = "all";

/// Reads NAME. Says what is wrong with a CONFIG in its place.
#[derive(Clone)]
struct OutputName;

impl OutputName {
    fn names() -> PossibleValuesParser {
        PossibleValuesParser::new([ALL_OUTPUTS].into_iter().chain(OUTPUTS))
    }
}

impl TypedValueParser for OutputName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        typed: &OsStr,
    ) -> Result<String, clap::Error> {
        Self::names().parse_ref(command, argument, typed).map_err(|error| {
            let path = Path::new(typed);
            if !path.exists() && path.extension().is_none() {
                return error;
            }
            let again = contract::Command::complete(&["output", ALL_OUTPUTS, &path.to_string_lossy()]);
            let path = path.display();
            let message = format!("'{path}' is no NAME of an output, and CONFIG comes after NAME: {again}\n");
            clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names: Vec<_> = [ALL_OUTPUTS].into_iter().chain(OUTPUTS).map(PossibleValue::new).collect();
        Some(Box::new(names.into_iter()))
    }
}

/// Arguments of `output`.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print this output alone, without its name.
    #[arg(default_value = ALL_OUTPUTS, value_name = "NAME", value_parser = OutputName)]
    pub name: String,
    /// A YAML file, or a folder of them.
    #[arg(default_value = DEFAULT_CONFIG, value_name = "CONFIG")]
    pub config: PathBuf,
}
