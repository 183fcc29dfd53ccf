//! A sandbox that runs points, one after the other.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use serde_json::Value;
use similar::TextDiff;
use tokio::runtime::Runtime;

use super::point::{Call, Point, Run, Start};
use crate::support::{
    aws::Aws,
    calls::NOTHING,
    controls::{Snapshot, TimeOfParameters, Watch},
    example::{self, FUNCTION},
    matrix::wait_for,
    sandbox::{Ran, Sandbox},
};

/// After this, the lease of a run that was killed has ended.
const LEASE_ENDS_WITHIN: Duration = Duration::from_mins(1);

/// Starts the rotation, or a test of the configuration. After it, the deployer polls.
const ROTATE: &str = "secretsmanager:RotateSecret";

/// A change of the file for every kind of resource but those whose goal is fixed.
const UPDATE: [(&str, &str); 8] = [
    ("  team: platform\n", "  team: mail\n"),
    ("  kms_key: alias/mail\n", ""),
    ("timeout: 2m\n", "timeout: 60s\n"),
    ("*@example.com", "no-reply@example.com"),
    ("rate(30 days)", "rate(20 days)"),
    ("memory: 128", "memory: 256"),
    ("log_retention: 30d", "log_retention: 7d"),
    ("ops@example.com", "post@example.com"),
];

/// A deployed sandbox, with a snapshot of every start and a dump of every end.
pub(super) struct Worker {
    sandbox: Sandbox,
    rotates: bool,
    package: String,
    undisturbed: Vec<Undisturbed>,
}

/// A run without a fault.
struct Undisturbed {
    run: Run,
    calls: Vec<Call>,
    /// The dump of the account after it.
    end: Vec<String>,
}

impl Worker {
    /// Deploys, saves every start, and observes every run.
    pub(super) fn prepare(rotates: bool, package: &Path) -> Self {
        let package = package.to_str().unwrap().to_owned();
        let mut worker = Self { sandbox: Sandbox::start(), rotates, package, undisturbed: Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let aws = runtime.block_on(worker.sandbox.aws());
        worker.save(Run::Create);
        worker.run_undisturbed(Run::Create);
        worker.come_to_rest();
        worker.save(Run::Remove);
        worker.save(Run::Destroy);
        change_by_hand(&runtime, &aws);
        worker.save(Run::Update);
        worker.begin(Run::Destroy);
        runtime.block_on(aws.make_another_tools());
        worker.save(Run::Adopt);
        for run in Run::all(rotates) {
            worker.begin(run);
            let before = worker.sandbox.mark();
            worker.run_undisturbed(run);
            let calls = worker.calls_since(before);
            worker.come_to_rest();
            let end = worker.dump();
            worker.changes_nothing_more(run);
            worker.undisturbed.push(Undisturbed { run, calls, end });
        }
        worker
    }

    /// The calls of every undisturbed run.
    pub(super) fn observed(&self) -> Vec<(Start, Vec<Call>)> {
        let of_run = |it: &Undisturbed| (Start { run: it.run, rotates: self.rotates }, it.calls.clone());
        self.undisturbed.iter().map(of_run).collect()
    }

    pub(super) fn takes(&self, start: Start) -> bool {
        start.rotates == self.rotates
    }

    /// Runs one point. Panics if the second run does not make up for what happened to the first. Returns how the first one ended.
    pub(super) fn run(&self, point: &Point) -> String {
        let run = point.start.run;
        self.begin(run);
        self.sandbox.faults(&[point.rule()]);
        let first = if point.fault.kills() { self.kill(run) } else { Some(self.sandbox.deployer(run.arguments())) };
        let seen = self.sandbox.end_faults()[0];
        let ended = match &first {
            _ if seen < point.call.number => "the call was not made".to_owned(),
            Some(ran) => format!("{:?}: exit code {}", point.fault, ran.code),
            None => format!("{:?}", point.fault),
        };
        let said = first.map_or_else(String::new, |Ran { stdout, stderr, .. }| format!("{stdout}{stderr}"));
        self.sandbox.control(&TimeOfParameters { pass: LEASE_ENDS_WITHIN.as_secs() });
        let again = self.sandbox.deployer(run.arguments());
        assert_eq!(again.code, 0, "{ended}\n{said}\nthe second run:\n{}\n{}", again.stdout, again.stderr);
        self.come_to_rest();
        let undisturbed = self.undisturbed.iter().find(|it| it.run == run).unwrap();
        let difference = difference(&undisturbed.end, &self.dump());
        assert!(difference.is_empty(), "{ended}\n{said}\nthe second run:\n{}\n{difference}", again.stderr);
        assert_eq!(self.sandbox.violations(), [], "the promise was broken on the way");
        ended
    }

    /// Kills the run once it makes the call; none if it was killed.
    fn kill(&self, run: Run) -> Option<Ran> {
        let mut deployer = self.sandbox.start_deployer(run.arguments());
        let mut has_ended = || deployer.try_wait().unwrap().is_some();
        wait_for(|| !self.sandbox.state().held_calls.is_empty() || has_ended());
        if has_ended() {
            return Some(self.sandbox.end_of(deployer));
        }
        deployer.kill().unwrap();
        deployer.wait().unwrap();
        None
    }

    fn run_undisturbed(&self, run: Run) {
        self.write_config(run);
        self.sandbox.deployer(run.arguments()).expect(0);
    }

    fn changes_nothing_more(&self, run: Run) {
        let before = self.sandbox.mark();
        self.sandbox.deployer(run.arguments()).expect(0);
        assert_eq!(self.sandbox.mutations(before), NOTHING, "a further run changes something");
    }

    fn write_config(&self, run: Run) {
        let package = format!("  package: {}", self.package);
        let rotates = format!("rotate_on_create: {}", self.rotates);
        let mut changes =
            vec![("  # package: bootstrap.zip", package.as_str()), ("rotate_on_create: true", rotates.as_str())];
        if run == Run::Update {
            changes.extend(UPDATE);
        }
        self.sandbox.config(&changes);
        if run == Run::Remove {
            let text = std::fs::read_to_string(self.sandbox.path("config.yaml")).unwrap();
            let text = example::without_block(&example::without_block(&text, "notify"), "instance");
            self.sandbox.file("config.yaml", &text);
        }
    }

    /// The calls that a run has made. Of those that it repeats while it watches the rotation, the first ones.
    fn calls_since(&self, before: usize) -> Vec<Call> {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut calls: Vec<Call> = Vec::new();
        let mut watches: Option<Vec<String>> = None;
        let by_the_deployer = self.sandbox.calls()[before..]
            .iter()
            .filter(|call| call.is_by_the_administrator())
            .cloned()
            .collect::<Vec<_>>();
        for call in by_the_deployer {
            let (action, only_reads) = (call.name(), call.only_reads());
            let number = numbers.entry(action.clone()).or_default();
            *number += 1;
            let is_repeated = watches.as_mut().is_some_and(|seen| {
                let is_known = seen.contains(&action);
                seen.push(action.clone());
                only_reads && is_known
            });
            if action == ROTATE && watches.is_none() {
                watches = Some(Vec::new());
            }
            if !is_repeated {
                calls.push(Call { action, number: *number, only_reads });
            }
        }
        calls
    }

    fn begin(&self, run: Run) {
        self.come_to_rest();
        wait_for(|| self.sandbox.try_control(&Snapshot::Restore(format!("{run:?}"))).is_ok());
        self.sandbox.control(&Watch { forget: true });
        self.write_config(run);
    }

    fn save(&self, run: Run) {
        wait_for(|| self.sandbox.try_control(&Snapshot::Save(format!("{run:?}"))).is_ok());
    }

    /// Waits for the end of a rotation, or of a test of the configuration.
    fn come_to_rest(&self) {
        wait_for(|| !self.sandbox.dump().running);
    }

    /// The account, line by line. What the lease says is of the run that had it.
    fn dump(&self) -> Vec<String> {
        let mut stores: BTreeMap<_, _> = self.sandbox.dump().stores;
        for (name, parameter) in stores.get_mut("ssm.parameters").into_iter().flatten() {
            if name.ends_with("/lease") {
                *parameter = Value::Null;
            }
        }
        // The emulator counts them anew in each GetTopicAttributes.
        for (_, topic) in stores.get_mut("sns.topics").into_iter().flatten() {
            if let Some(attributes) = topic["attributes"].as_object_mut() {
                attributes.retain(|name, _| !name.starts_with("Subscriptions"));
            }
        }
        let lines = |(store, resources): (String, Vec<(String, Value)>)| {
            let line = |(name, value): (String, Value)| format!("{store} {name}:\n{value:#}");
            resources.into_iter().map(line).collect::<Vec<_>>()
        };
        stores
            .into_iter()
            .flat_map(lines)
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// What `UPDATE` cannot change: somebody takes away what the file does not describe.
fn change_by_hand(runtime: &Runtime, aws: &Aws) {
    let statement = "mail-prod-secretsmanager";
    let remove = aws.lambda.remove_permission().function_name(FUNCTION).statement_id(statement).send();
    runtime.block_on(remove).unwrap();
    runtime.block_on(aws.lambda.delete_function_event_invoke_config().function_name(FUNCTION).send()).unwrap();
}

/// What differs between two dumps; empty if nothing does.
fn difference(expected: &[String], found: &[String]) -> String {
    let [expected, found] = [expected, found].map(|lines| lines.join("\n") + "\n");
    if expected == found {
        return String::new();
    }
    TextDiff::from_lines(&expected, &found).unified_diff().context_radius(12).header("undisturbed", "found").to_string()
}
