//! The deployer on a terminal: a person types, and sees the screen.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::sandbox::{Sandbox, unwatched};

/// Runs a program on a pseudo-terminal of 80 columns, and ends with its exit code.
const PROGRAM: &str = "import os, pty, sys\n\
    sized = ['sh', '-c', 'stty columns 80 rows 24; exec \"$@\"', 'sh', *sys.argv[1:]]\n\
    sys.exit(os.waitstatus_to_exitcode(pty.spawn(sized)))";

/// Longer than anything that a test waits for takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// A deployer that runs on a terminal.
pub(crate) struct Terminal<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    /// The terminal keeps what is typed before the deployer asks. The pipe stays open until the deployer has ended: its end would be the
    /// end of the input.
    stdin: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Sandbox {
    /// Runs the deployer on a terminal of its own, at which somebody types this. Returns its exit code and the screen.
    pub(crate) fn deployer_on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        let mut terminal = self.terminal(arguments, &[]);
        terminal.types(typed);
        let (code, written) = terminal.end();
        (code, screen(&written))
    }

    /// Starts the deployer on a terminal of its own, with these variables.
    pub(crate) fn terminal(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal<'_> {
        let mut python = Command::new(self.variable("SANDBOX_PYTHON"));
        python.args(["-c", PROGRAM, env!("CARGO_BIN_EXE_deployer")]).args(unwatched(arguments));
        self.environment_of(&mut python).env("TERM", "xterm").envs(variables.iter().copied());
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let written = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&written);
        let reading = thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut some) {
                all.lock().unwrap().extend(&some[..count]);
            }
        });
        Terminal { sandbox: self, child, stdin, written, reading }
    }
}

impl Terminal<'_> {
    pub(crate) fn types(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
    }

    /// Waits until this was written.
    pub(crate) fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while !self.written().contains(text) {
            assert!(began.elapsed() < PATIENCE, "{text:?} was not written:\n{}", self.written());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits for the deployer's end. Returns its exit code, and all that it wrote, with its codes.
    pub(crate) fn end(self) -> (i32, String) {
        let Self { sandbox, mut child, stdin, written, reading } = self;
        let status = child.wait().unwrap();
        drop(stdin);
        reading.join().unwrap();
        let written = String::from_utf8(std::mem::take(&mut *written.lock().unwrap())).unwrap();
        sandbox.was_printed(&written);
        (status.code().unwrap_or(-1), written)
    }
}

/// What a terminal of 80 columns shows in the end, of all that was written to it.
pub(crate) fn screen(written: &str) -> String {
    let mut terminal = vt100::Parser::new(1000, 80, 0);
    terminal.process(written.as_bytes());
    terminal.screen().contents()
}
