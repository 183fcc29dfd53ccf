//! One file per verb, and what they share: reading the configuration, connecting, asking.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use crate::{
    aws::{self, Aws, Identity},
    cli::{self, Cli, Command},
    config::{self, Config},
    deployment::Deployment,
    deployment::names::Names,
    engine::kind::Toward,
    engine::plan::{self as planning, Plan},
    error::Error,
    screen::Screen,
};

mod apply;
mod destroy;
mod plan;
mod recover;
mod rotate;
mod run_plan;
mod status;
mod validate;

/// How a command ended, where it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Everything was as it should be.
    NothingToDo,
    /// There are changes, or changes were made.
    Changes,
}

/// The error was shown already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown;

/// Runs one command line.
pub async fn run(cli: Cli) -> ExitCode {
    let screen = Screen::new(cli.json);
    let (detailed, outcome) = match cli.command {
        Command::Validate(target) => (false, validate::run(screen, &target)),
        Command::Plan(args) => (args.detailed_exitcode, plan::run(screen, &args).await),
        Command::Apply(args) => (args.detailed_exitcode, apply::run(screen, &args).await),
        Command::Destroy(args) => (args.detailed_exitcode, destroy::run(screen, &args).await),
        Command::Status(target) => (false, status::run(screen, &target).await),
        Command::Rotate(args) => (false, rotate::run(screen, &args).await),
        Command::Recover(args) => (false, recover::run(screen, &args).await),
        Command::Schema => {
            Screen::raw(&format!("{:#}\n", config::json_schema()));
            (false, Ok(Done::NothingToDo))
        }
    };
    match outcome {
        Ok(Done::Changes) if detailed => ExitCode::from(2),
        Ok(_) => ExitCode::SUCCESS,
        Err(Shown) => ExitCode::FAILURE,
    }
}

/// A deployment and the AWS account that it is in.
pub(crate) struct Session {
    pub(crate) screen: Screen,
    /// CONFIG, as it was given.
    pub(crate) path: PathBuf,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) aws: Aws,
    pub(crate) identity: Identity,
}

impl Session {
    async fn open(screen: Screen, path: &Path, config: Config) -> Result<Self, Shown> {
        let (aws, identity) = aws::connect(&config).await.map_err(|error| show(screen, &error))?;
        let names = Names::new(&config, &identity);
        Ok(Self { screen, path: path.to_owned(), deployment: Arc::new(Deployment { config, names }), aws, identity })
    }

    pub(crate) async fn plan(&self, toward: Toward) -> Result<Plan, Shown> {
        planning::plan(&self.aws, &self.deployment, toward).await.map_err(|errors| {
            for error in &errors {
                self.screen.error(error);
            }
            Shown
        })
    }

    pub(crate) fn fail<T>(&self, result: Result<T, Error>) -> Result<T, Shown> {
        result.map_err(|error| show(self.screen, &Error { hint: error.hint.map(|hint| self.named(&hint)), ..error }))
    }

    /// A text whose commands name the CONFIG that was given.
    pub(crate) fn named(&self, text: &str) -> String {
        cli::with_config(text, &self.path)
    }
}

fn show(screen: Screen, error: &Error) -> Shown {
    screen.error(error);
    Shown
}

/// Reads every deployment that a file or a folder declares.
pub(crate) fn load(screen: Screen, path: &Path) -> Result<Vec<Config>, Shown> {
    config::load(path).map_err(|error| {
        screen.config_error(&error);
        Shown
    })
}

/// Runs `work` on one deployment after the other, and stops at the first that fails.
pub(crate) async fn for_each_deployment(
    screen: Screen,
    path: &Path,
    work: impl AsyncFn(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    let mut done = Done::NothingToDo;
    for config in load(screen, path)? {
        let session = Session::open(screen, path, config).await?;
        if work(session).await? == Done::Changes {
            done = Done::Changes;
        }
    }
    Ok(done)
}
