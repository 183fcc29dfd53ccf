//! One file per verb, and what they share: [`session`] connects, [`approve`] asks, [`run_plan`] runs a plan.

use std::{path::Path, process::ExitCode};

use crate::{
    changes,
    cli::{Cli, Command},
    config,
    error::Error,
    exit::Exit,
    interrupt,
    saved_plan::SavedPlan,
    screen::{self, Screen, Verbosity},
};

pub use self::command_line::{command, parse, show_mistake_as_json};
use self::session::{Done, Shown, show};

mod apply;
mod apply_saved;
mod approve;
mod build;
mod command_line;
mod destroy;
mod doctor;
mod drift;
mod export;
mod init;
mod leaked;
mod list;
mod output;
mod plan;
mod policy;
mod recover;
mod rollback;
mod rotate;
mod run_plan;
mod session;
mod status;
mod validate;
mod watched;

/// Runs one command line.
pub async fn run(Cli { command, json, verbose, quiet }: Cli) -> ExitCode {
    let verbosity = match (quiet, verbose) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    };
    let config = command.config().map(Path::to_owned);
    // What is itself a JSON document, or a script, begins with no line of a screen.
    let offline = || Screen::new(json, verbosity, config.as_deref());
    let screen = || until_interrupted(offline());
    let (detailed, outcome) = match command {
        Command::Init(args) => (false, init::run(&offline(), &args).await),
        Command::Validate(args) => (false, validate::run(&offline(), &args)),
        Command::Plan(args) => (args.detailed_exitcode, plan::run(&screen(), &args).await),
        Command::Apply(args) => (
            args.detailed_exitcode,
            match SavedPlan::read(&args.config) {
                Ok(None) => apply::run(&screen(), &args).await,
                Ok(Some(saved)) => Box::pin(apply_saved::run(&screen(), &args, &saved)).await,
                Err(error) => Err(show(&screen(), &error)),
            },
        ),
        Command::Rollback(args) => (false, rollback::run(&screen(), &args).await),
        Command::Destroy(args) => (args.detailed_exitcode, destroy::run(&screen(), &args).await),
        Command::Drift(args) => (true, drift::run(&screen(), &args).await),
        Command::List(args) => (false, list::run(&screen(), &args).await),
        Command::Status(args) => (args.detailed_exitcode, status::run(&screen(), &args.target).await),
        Command::Rotate(args) => match &args.leaked {
            Some(key) => (false, leaked::run(&screen(), &args, key).await),
            None => (false, rotate::run(&screen(), &args).await),
        },
        Command::Recover(args) => (false, recover::run(&screen(), &args).await),
        Command::Output(args) => (false, output::run(&screen(), &args).await),
        Command::Doctor(target) => (false, doctor::run(&screen(), &target).await),
        Command::Export(args) => (false, export::run(&screen(), &args).await),
        Command::Policy(args) => (false, policy::run(&screen(), &args).await),
        Command::Build(args) => (false, build::run(&offline(), &args).await),
        Command::ManPages(args) => (false, command_line::man_pages(&offline(), &args.folder)),
        Command::Schema(args) => {
            let schema = if args.json_lines { screen::json_lines_schema() } else { config::json_schema() };
            (false, Ok(printed(&format!("{schema:#}\n"))))
        }
        Command::Completions(args) => (false, Ok(printed(&command_line::script(args.shell)))),
    };
    exit_code(match outcome {
        Ok(Done::Differences | Done::Changes) if detailed => Exit::Changes,
        Ok(_) => Exit::Success,
        Err(Shown(exit)) => exit,
    })
}

/// The screen of a command that talks to AWS: it tells if a signal ends the command while the command reads.
fn until_interrupted(screen: Screen) -> Screen {
    let told = screen.clone();
    interrupt::while_reading(move || told.error(&interrupted(changes::have_begun())));
    screen
}

fn interrupted(was_anything_changed: bool) -> Error {
    let error = interrupt::interrupted();
    if was_anything_changed {
        error.hint("what is done stays done; run the command again, and it continues from there")
    } else {
        Error { what: "interrupted: nothing was changed".to_owned(), ..error }
    }
}

/// Prints text that is itself the result.
fn printed(text: &str) -> Done {
    Screen::raw(text);
    Done::NothingToDo
}

/// An output that is not complete must not look like a success.
fn exit_code(exit: Exit) -> ExitCode {
    if screen::output_is_incomplete() { Exit::Failed.into() } else { exit.into() }
}
