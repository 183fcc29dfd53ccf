//! The `deployer` command: arguments in, exit code out.

#![expect(unused_crate_dependencies, reason = "they are the library's")]

use std::process::ExitCode;

use clap::{FromArgMatches as _, error::ErrorKind};
use deployer::cli::Cli;

fn main() -> ExitCode {
    let parsed = deployer::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Clap's own exit code is 2, which means "there are changes" here.
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let wants_json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
            if wants_json && !is_help {
                deployer::show_mistake_as_json(&error);
            } else {
                // It fails if the reader closed the pipe: then nobody reads.
                let _ = error.print();
            }
            return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(deployer::run(cli)),
        Err(error) => {
            let _ = std::io::Write::write_fmt(
                &mut anstream::stderr(),
                format_args!("error: failed to start the runtime: {error}\n"),
            );
            ExitCode::FAILURE
        }
    }
}
