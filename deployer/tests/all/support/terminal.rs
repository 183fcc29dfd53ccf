//! The deployer on a terminal: a person types, and sees the screen.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use super::sandbox::{Sandbox, unwatched};

/// Runs a program on a pseudo-terminal, and ends with its exit code.
const PROGRAM: &str = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

impl Sandbox {
    /// Runs the deployer on a terminal of its own, at which somebody types this. Returns its exit code and the screen.
    pub(crate) fn deployer_on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        let mut python = Command::new(self.variable("SANDBOX_PYTHON"));
        python.args(["-c", PROGRAM, env!("CARGO_BIN_EXE_deployer")]).args(unwatched(arguments));
        self.environment_of(&mut python).env("TERM", "xterm");
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // The terminal keeps what is typed before the deployer asks. The pipe stays open until the deployer has ended: its end
        // would be the end of the input.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let screen = String::from_utf8(output.stdout).unwrap();
        self.was_printed(&screen);
        (output.status.code().unwrap_or(-1), screen)
    }
}
