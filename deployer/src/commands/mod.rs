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
use self::ended::{Done, Shown, show};

mod apply;
mod apply_saved;
mod approve;
mod build;
mod command_line;
mod destroy;
mod doctor;
mod drift;
mod each;
mod ended;
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
mod rotating;
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
    let on_differences = command.on_differences();
    let outcome = match command {
        Command::Init(args) => init::run(&offline(), &args).await,
        Command::Validate(args) => validate::run(&offline(), &args),
        Command::Plan(args) => plan::run(&screen(), &args).await,
        Command::Apply(args) => match SavedPlan::read(&args.config) {
            Ok(None) => apply::run(&screen(), &args).await,
            Ok(Some(saved)) => Box::pin(apply_saved::run(&screen(), &args, &saved)).await,
            Err(error) => Err(show(&screen(), &error)),
        },
        Command::Rollback(args) => rollback::run(&screen(), &args).await,
        Command::Destroy(args) => destroy::run(&screen(), &args).await,
        Command::Drift(args) => drift::run(&screen(), &args).await,
        Command::List(args) => list::run(&screen(), &args).await,
        Command::Status(args) => status::run(&screen(), &args.target).await,
        Command::Rotate(args) => match &args.leaked {
            Some(key) => leaked::run(&screen(), &args, key).await,
            None => rotate::run(&screen(), &args).await,
        },
        Command::Recover(args) => recover::run(&screen(), &args).await,
        Command::Output(args) => output::run(&screen(), &args).await,
        Command::Doctor(target) => doctor::run(&screen(), &target).await,
        Command::Export(args) => export::run(&screen(), &args).await,
        Command::Policy(args) => policy::run(&screen(), &args).await,
        Command::Build(args) => build::run(&offline(), &args).await,
        Command::ManPages(args) => command_line::man_pages(&offline(), &args.folder),
        Command::Schema(args) => {
            let schema = if args.json_lines { screen::json_lines_schema() } else { config::json_schema() };
            Ok(printed(&format!("{schema:#}\n")))
        }
        Command::Completions(args) => Ok(printed(&command_line::script(args.shell))),
    };
    ExitCode::from(match outcome {
        // An output that is not complete must not look like a success.
        Ok(_) if screen::output_is_incomplete() && changes::have_begun() => Exit::Partial,
        Ok(_) if screen::output_is_incomplete() => Exit::Failed,
        Ok(Done::Differences | Done::Changes) => on_differences,
        Ok(Done::NothingToDo) => Exit::Success,
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
