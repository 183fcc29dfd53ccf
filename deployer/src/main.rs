//! The `deployer` command: arguments in, exit code out.

#![expect(unused_crate_dependencies, reason = "they are the library's")]

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};
use deployer::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is the reader's wish.
            let _ = error.print();
            // Clap would answer 2, which means "there are changes" here.
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(deployer::run(cli)),
        Err(error) => {
            let _ = std::io::Write::write_fmt(&mut anstream::stderr(), format_args!("error: no runtime: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
