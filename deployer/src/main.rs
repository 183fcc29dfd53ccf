//! The `deployer` command: arguments in, exit code out.

#![expect(unused_crate_dependencies, reason = "they are the library's")]

use std::process::ExitCode;

use clap::error::ErrorKind;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match deployer::parse(&words) {
        Ok(cli) => cli,
        Err(error) => {
            // Clap's own exit code is 2, which means "there are changes" here.
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let wants_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
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
