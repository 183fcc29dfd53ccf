//! A sandbox that runs points, one after the other.

use std::{collections::HashMap, fmt, thread::sleep, time::Duration};

use aws_sdk_iam::types::StatusType;
use tokio::runtime::Runtime;

use super::point::{Call, Fault, Point, Retry, Start, User};
use crate::support::{
    aws::Aws,
    controls::{Functions, Retry as TryAgain, Rotations, Snapshot, Time, Watch},
    example::{EXISTING_USER, INSTANCES, ROTATE_LATER, SECRET, USER},
    rotation::{CREATE, FINISH, Failure, Rotation, SET, Status, TEST},
    sandbox::Sandbox,
};

const STEPS: [&str; 4] = [CREATE, SET, TEST, FINISH];

/// The function repeats this call until a script has ended. How often depends on the clock, so only the first is a point.
const POLLING_CALL: &str = "ssm:GetCommandInvocation";

/// Longer than `rotation.keep_previous`, and than the age from which an unknown key counts as an orphan.
const BETWEEN_ROTATIONS: Duration = Duration::from_hours(48);

/// A script that was told of a rotation that was given up holds its host's lock for half a minute: the next one waits for it.
const SCRIPT_TIMEOUT: (&str, &str) = ("  timeout: 2m", "  timeout: 60s");

/// Deadlines in place of the function's timeout. With the first, most calls are made. Before some calls the handler demands more
/// time than that, to make a key or to tell the hosts: those are made only with the second.
const DEADLINES_SECONDS: [u32; 2] = [8, 116];

/// The time between two questions to the sandbox.
const POLL_PERIOD: Duration = Duration::from_millis(200);

/// The most questions: a rotation with the handler's longest waits has ended by then.
const MOST_POLLS: u32 = 5 * 300;

/// A deployed sandbox with a snapshot of every start.
pub(super) struct Worker {
    sandbox: Sandbox,
    runtime: Runtime,
    aws: Aws,
    user: User,
}

/// How a rotation ended.
struct Ended {
    is_complete: bool,
    error: Option<Failure>,
    rotation: Rotation,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#?}", self.rotation)
    }
}

impl Worker {
    /// Deploys, and rotates twice. Saves the three starts: before, between and after the rotations.
    pub(super) fn prepare(user: User) -> Self {
        let sandbox = Sandbox::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let aws = runtime.block_on(sandbox.aws());
        let worker = Self { sandbox, runtime, aws, user };
        worker.deploy();
        worker.retry_with(Retry::SameToken);
        worker.save(0);
        for keys in [1, 2] {
            let ended = worker.rotate();
            assert!(ended.is_complete, "{ended}");
            worker.let_time_pass();
            worker.save(keys);
        }
        worker
    }

    pub(super) fn user(&self) -> User {
        self.user
    }

    fn deploy(&self) {
        let mut changes = vec![ROTATE_LATER, SCRIPT_TIMEOUT];
        if self.user == User::Existing {
            changes.extend(EXISTING_USER);
            self.runtime.block_on(self.sandbox.make_user_by_hand("/"));
        }
        let config = self.sandbox.config(&changes);
        self.sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    }

    /// The calls that the function makes in an undisturbed rotation.
    pub(super) fn observe(&self, start: Start) -> Vec<Call> {
        self.begin(start);
        let before = self.sandbox.mark();
        let ended = self.rotate();
        assert!(ended.is_complete, "{ended}");
        let mut steps = STEPS.into_iter();
        let mut step = steps.next().unwrap();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut calls = Vec::new();
        for call in &self.sandbox.calls()[before..] {
            if call.caller == "secretsmanager.amazonaws.com" {
                // The log has a step's invocation after the calls that the step made.
                step = steps.next().unwrap_or("none");
            } else if call.is_by_the_function() {
                let action = call.name();
                let number = numbers.entry(action.clone()).or_default();
                *number += 1;
                if *number == 1 || action != POLLING_CALL {
                    let made_key = |it: &Call| it.step == step && it.action == "iam:CreateAccessKey";
                    let after_key = calls.iter().any(made_key);
                    calls.push(Call { action, number: *number, step, after_key });
                }
            }
        }
        calls
    }

    /// Runs one point. Panics if a promise is broken. Returns how the first attempt ended.
    pub(super) fn run(&self, point: &Point) -> String {
        let first = self.rotate_with_fault(point);
        let outcome = first.error.as_ref().map_or("complete".to_owned(), |error| error.kind.clone());
        if !first.is_complete {
            assert!(point.explains(&outcome), "the first attempt ended with {first}");
            self.retry_with(point.retry);
            self.try_again();
            self.bring_to_its_end(point, &self.wait());
        }
        self.check();
        self.let_time_pass();
        self.bring_to_its_end(point, &self.rotate());
        self.check();
        outcome
    }

    /// Makes one attempt of a rotation, with the fault in it.
    fn rotate_with_fault(&self, point: &Point) -> Ended {
        for deadline in DEADLINES_SECONDS {
            self.begin(point.start);
            self.retry_with(Retry::SameToken);
            if point.fault == Fault::DeadlineReached {
                self.sandbox.control(&Functions {
                    deadline_seconds: Some(deadline),
                    deadline_step: Some(point.call.step),
                    deadline_times: Some(1),
                    ..Functions::default()
                });
            }
            self.sandbox.faults(&[point.rule()]);
            let ended = self.rotate();
            let seen = self.sandbox.end_faults();
            self.sandbox.control(&Functions::default());
            if seen[0] >= point.call.number {
                return ended;
            }
            assert_eq!(point.fault, Fault::DeadlineReached, "the call was not made: {ended}");
        }
        panic!("the call was not made before any deadline");
    }

    /// If the rotation failed although no fault was left, does what its error says, and expects the rotation to complete.
    fn bring_to_its_end(&self, point: &Point, ended: &Ended) {
        if ended.is_complete {
            return;
        }
        let Failure { kind, text } = ended.error.as_ref().unwrap_or_else(|| panic!("failed without an error: {ended}"));
        assert!(kind == "NoSafeSlot" && point.leaves_an_orphan(), "a rotation without a fault failed: {ended}");
        match self.user {
            User::Owned => {
                assert!(text.contains("wait a few minutes"), "{text}");
                self.let_time_pass();
            }
            User::Existing => self.delete_orphan(text),
        }
        self.try_again();
        let ended = self.wait();
        assert!(ended.is_complete, "the error's hint was followed, and then: {ended}");
    }

    /// Deletes the orphan that the error names, as an operator would.
    fn delete_orphan(&self, text: &str) {
        let (before, _) =
            text.split_once("never used): no version of the secret names it").unwrap_or_else(|| panic!("{text}"));
        let key = &before[before.rfind("AKIA").unwrap()..];
        let key = key.split(' ').next().unwrap();
        let delete = self.aws.iam.delete_access_key().user_name(USER).access_key_id(key).send();
        self.runtime.block_on(delete).unwrap();
    }

    /// Checks what must hold after a rotation that completed.
    fn check(&self) {
        let current = self.runtime.block_on(self.sandbox.secret("AWSCURRENT"));
        let held = self.sandbox.credential_on(INSTANCES[0]).unwrap();
        assert_eq!(current.access_key_id, held.access_key_id, "AWSCURRENT and the host have different keys");
        assert!(self.sandbox.logs_in(&held), "what the host holds is refused: {held:?}");
        assert!(self.sandbox.logs_in(&current), "AWSCURRENT is refused: {current:?}");
        let keys =
            self.runtime.block_on(self.aws.iam.list_access_keys().user_name(USER).send()).unwrap().access_key_metadata;
        assert!(keys.len() <= 2, "{keys:?}");
        let is_current =
            |key: &aws_sdk_iam::types::AccessKeyMetadata| key.access_key_id() == Some(&current.access_key_id);
        let status = keys.iter().find(|key| is_current(key)).and_then(|key| key.status());
        assert_eq!(status, Some(&StatusType::Active), "{keys:?}");
        assert_eq!(self.sandbox.violations(), [], "the promise was broken on the way");
    }

    fn begin(&self, start: Start) {
        self.sandbox.control(&Watch { forget: true });
        self.snapshot(&Snapshot::Restore(start.keys.to_string()));
    }

    fn save(&self, keys: usize) {
        self.snapshot(&Snapshot::Save(keys.to_string()));
    }

    /// Waits, since a script of the run before may have outlived its rotation.
    fn snapshot(&self, change: &Snapshot) {
        for _ in 0..MOST_POLLS {
            if self.sandbox.try_control(change).is_ok() {
                return;
            }
            sleep(POLL_PERIOD);
        }
        panic!("the sandbox does not come to rest");
    }

    fn let_time_pass(&self) {
        self.sandbox.control(&Time { pass: BETWEEN_ROTATIONS.as_secs() });
    }

    /// From now on a rotation is tried once, and `try_again` tries it again, with this token.
    fn retry_with(&self, retry: Retry) {
        self.sandbox.control(&Rotations {
            attempts: Some(1),
            retry_seconds: Some(0.0),
            retry_token: Some(retry.token()),
            ..Rotations::default()
        });
    }

    fn try_again(&self) {
        self.sandbox.control(&TryAgain {});
    }

    fn rotate(&self) -> Ended {
        self.runtime.block_on(self.aws.secrets.rotate_secret().secret_id(SECRET).send()).unwrap();
        self.wait()
    }

    /// Waits until the last rotation has ended.
    fn wait(&self) -> Ended {
        for _ in 0..MOST_POLLS {
            let rotation = self.sandbox.state().rotations.pop().unwrap();
            if rotation.status != Status::Running {
                return self.ended(rotation);
            }
            sleep(POLL_PERIOD);
        }
        panic!("the rotation does not end");
    }

    /// A rotation is complete if its last call took effect, although Secrets Manager may not know it.
    fn ended(&self, rotation: Rotation) -> Ended {
        let describe = self.aws.secrets.describe_secret().secret_id(SECRET).send();
        let versions = self.runtime.block_on(describe).unwrap().version_ids_to_stages.unwrap();
        let labels = &versions[&rotation.token];
        Ended { is_complete: labels.iter().any(|label| label == "AWSCURRENT"), error: rotation.last_error(), rotation }
    }
}
