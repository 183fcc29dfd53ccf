//! The kill matrix's measure for `terraform apply`: it is killed at each call with which it changes something, and run again.
//!
//! `TERRAFORM_KILLS=all` kills it at every such call, `TERRAFORM_KILLS=TEXT` at those whose description contains the text. Without the
//! variable a few of them are tried.

use std::{
    collections::HashMap,
    fmt, fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{FOLDER, Terraform, example};
use crate::support::{
    calls::Call,
    controls::Snapshot,
    deployed::Deployed,
    faults::{Fault, When},
    matrix::{Selection, wait_for},
};

/// A spread has one of so many kills.
const SPREAD: usize = 23;

/// An empty account.
const EMPTY: &str = "Empty";

/// Where a run is killed.
struct Kill {
    action: String,
    /// Which call of this action it is, from 1.
    number: usize,
    when: When,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: killed {:?}", self.action, self.number, self.when)
    }
}

/// Terraform has no fault here: what it forgets is in no state file yet. The number is for the README, beside the deployer's 0.
#[tokio::test]
async fn how_many_killed_applies_of_terraform_need_a_person() {
    let Some((deployed, mirror)) = example().await else { return };
    let sandbox = &deployed.sandbox;
    let folder = sandbox.path(FOLDER);
    let terraform = Terraform::init(&deployed, &mirror, folder.clone());
    wait_for(|| sandbox.try_control(&Snapshot::Save(EMPTY.to_owned())).is_ok());

    let before = sandbox.mark();
    terraform.apply();
    let kills = [When::Before, When::After].map(|when| changes_since(&deployed, before, when));
    let number: usize = kills.iter().map(Vec::len).sum();
    let selected = Selection::from_environment("TERRAFORM_KILLS").of(kills.into(), SPREAD);
    println!("terraform apply: {number} kills, {} selected", selected.len());

    let mut by_hand = Vec::new();
    for kill in &selected {
        wait_for(|| !sandbox.dump().running);
        wait_for(|| sandbox.try_control(&Snapshot::Restore(EMPTY.to_owned())).is_ok());
        forget_the_state(&folder);
        let fault = Fault::silence(&kill.action, kill.when).by_the_administrator().at_call(kill.number);
        sandbox.faults(&[fault]);
        let before = sandbox.mark();
        let mut running = terraform.start_apply();
        wait_for(|| !sandbox.state().held_calls.is_empty() || running.try_wait().unwrap().is_some());
        assert!(running.try_wait().unwrap().is_none(), "{kill}: the run has ended before that call");
        kill_with_its_provider(&mut running);
        sandbox.end_faults();
        sandbox.another_tool_read(before);
        if let Err(said) = terraform.try_run(&["apply", "-auto-approve", "-input=false"]) {
            let error = said.lines().find(|line| line.contains("Error:")).unwrap_or_default().to_owned();
            println!("needs a person: {kill}: {error}");
            by_hand.push(kill.to_string());
        }
    }
    println!("terraform apply: killed {} times, {} need a person", selected.len(), by_hand.len());
}

/// The calls with which the administrator has changed something.
fn changes_since(deployed: &Deployed, before: usize, when: When) -> Vec<Kill> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let calls = deployed.sandbox.calls();
    let changes = calls[before..].iter().filter(|call| call.is_by_the_administrator() && !call.only_reads());
    let kill = |action: String| {
        let number = numbers.entry(action.clone()).or_default();
        *number += 1;
        Kill { action, number: *number, when }
    };
    changes.map(Call::name).map(kill).collect()
}

/// As on the laptop of somebody who begins.
fn forget_the_state(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().contains("tfstate") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn kill_with_its_provider(running: &mut Child) {
    let group = format!("-{}", running.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    running.wait().unwrap();
}

impl Terraform<'_> {
    /// Starts an apply in a process group of its own, to which its providers belong.
    fn start_apply(&self) -> Child {
        let mut command = self.command(&["apply", "-auto-approve", "-input=false"]);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}
