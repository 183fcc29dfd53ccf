//! One run at a time, and runs that are killed or interrupted.

use std::{
    fs,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    calls::Call,
    controls::TimeOfParameters,
    faults::Fault,
    sandbox::{Ran, Sandbox},
};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "--auto-approve", "--stop-mail"];
const CREATE_FUNCTION: &str = "lambda:CreateFunction";
const UPDATE_FUNCTION: &str = "lambda:UpdateFunctionConfiguration";

/// A first apply that stands still in CreateFunction.
fn held_apply(sandbox: &Sandbox) -> Child {
    sandbox.config(&[]);
    sandbox.faults(&[Fault::hold(CREATE_FUNCTION)]);
    held_in(sandbox, CREATE_FUNCTION)
}

/// An apply that stands still in a call that is held.
fn held_in(sandbox: &Sandbox, held: &str) -> Child {
    stopped_in(sandbox, held, &APPLY)
}

/// A run that stands still in a call that is held.
fn stopped_in(sandbox: &Sandbox, held: &str, arguments: &[&str]) -> Child {
    let mut apply = sandbox.start_deployer(arguments);
    // The function may have to be built before.
    let deadline = Instant::now() + Duration::from_mins(20);
    while !sandbox.state().held_calls.iter().any(|call| call == held) {
        assert!(Instant::now() < deadline, "{held} is not called");
        assert!(apply.try_wait().unwrap().is_none(), "apply ended before");
        thread::sleep(Duration::from_millis(50));
    }
    apply
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[test]
fn a_second_run_is_told_who_holds_the_lease_and_gives_up_or_waits() {
    let sandbox = Sandbox::start();
    let apply = held_apply(&sandbox);
    let before = sandbox.mark();
    for command in [&APPLY[..], &DESTROY] {
        let refused = sandbox.deployer(&[command, &["--lease-timeout", "0s"]].concat()).expect(12).stderr;
        assert!(refused.contains("another run holds the lease /deployer/mail-prod/lease"), "{refused}");
        assert!(refused.contains("arn:aws:iam::123456789012:user/administrator runs apply since 20"), "{refused}");
    }
    let renewal = |call: &String| call == "ssm:PutParameter";
    assert!(sandbox.mutations(before).iter().all(renewal), "only the first run renews its lease");
    let second = sandbox.start_deployer(&APPLY);
    let destroy = sandbox.start_deployer(&DESTROY);
    thread::sleep(Duration::from_secs(1));
    sandbox.end_faults();

    let [first, second, destroy] = [apply, second, destroy].map(|child| sandbox.end_of(child));
    first.expect(0);
    for waited in [second.expect(0), destroy.expect(0)] {
        assert!(waited.stderr.contains("lease /deployer/mail-prod/lease: waiting up to"), "{}", waited.stderr);
    }
    // Whichever came last, the world is whole.
    let is_there = sandbox.inventory().contains(&"function mail-prod-rotation".to_owned());
    let plan: &[&str] = if is_there { &["plan"] } else { &["plan", "--destroy", "--stop-mail"] };
    sandbox.deployer(&[plan, &["--detailed-exitcode"]].concat()).expect(0);
}

#[test]
fn a_rotation_begins_only_once_no_apply_changes_what_it_runs_on() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.config(&[("memory: 128", "memory: 256")]);
    sandbox.faults(&[Fault::hold(UPDATE_FUNCTION)]);
    let apply = held_in(&sandbox, UPDATE_FUNCTION);

    let refused = sandbox.deployer(&["rotate", "--lease-timeout", "0s"]).expect(12).stderr;
    assert!(refused.contains("user/administrator runs apply since 20"), "{refused}");
    let before = sandbox.mark();
    let names = || sandbox.calls()[before..].iter().map(Call::name).collect::<Vec<_>>();
    let rotate = sandbox.start_deployer(&["rotate"]);
    let deadline = Instant::now() + Duration::from_mins(1);
    // It has its report, and reads the lease. A change of the function would end the report.
    let reads_the_lease = |calls: &[String]| {
        let asked = calls.iter().position(|call| call == "lambda:InvokeFunction");
        asked.is_some_and(|asked| calls[asked..].iter().any(|call| call == "ssm:GetParameter"))
    };
    while !reads_the_lease(&names()) {
        assert!(Instant::now() < deadline, "rotate does not read the lease: {:?}", names());
        thread::sleep(Duration::from_millis(50));
    }
    sandbox.end_faults();
    sandbox.end_of(apply).expect(0);
    let rotated = sandbox.end_of(rotate).expect(0);
    assert!(rotated.stderr.contains("lease /deployer/mail-prod/lease: waiting up to"), "{}", rotated.stderr);
    let calls = names();
    let at = |name: &str| calls.iter().position(|call| call == name);
    assert!(at(UPDATE_FUNCTION) < at("secretsmanager:RotateSecret"), "{calls:?}");
    sandbox.deployer(&["plan", "--detailed-exitcode"]).expect(0);
}

/// While a person reads a plan, a rotation may begin.
#[test]
fn an_apply_whose_plan_is_older_than_a_rotation_waits_for_its_end_and_asks_again() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.config(&[("memory: 128", "memory: 256")]);
    // The first write of the lease is that of apply.
    sandbox.faults(&[Fault::hold("ssm:PutParameter").times(1)]);
    let apply = held_in(&sandbox, "ssm:PutParameter");
    let before = sandbox.mark();
    let names = || sandbox.calls()[before..].iter().map(Call::name).collect::<Vec<_>>();
    let rotate = sandbox.start_deployer(&["rotate"]);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !names().iter().any(|call| call == "secretsmanager:RotateSecret") {
        assert!(Instant::now() < deadline, "no rotation begins");
        thread::sleep(Duration::from_millis(50));
    }
    sandbox.end_faults();
    sandbox.end_of(rotate).expect(0);
    sandbox.end_of(apply).expect(0);
    let calls = names();
    let last = |name: &str| calls.iter().rposition(|call| call == name);
    assert!(last("secretsmanager:UpdateSecretVersionStage") < last(UPDATE_FUNCTION), "{calls:?}");
}

#[test]
fn two_applies_that_work_at_once_since_one_lost_the_lease_leave_no_mixed_state() {
    let sandbox = Sandbox::start();
    let first = held_apply(&sandbox);
    // The second run takes the lease for that of a dead run.
    sandbox.control(&TimeOfParameters { pass: 60 });
    let second = sandbox.start_deployer(&APPLY);
    thread::sleep(Duration::from_secs(4));
    sandbox.end_faults();

    for ended in [first, second].map(|run| sandbox.end_of(run)) {
        // Each converges, or meets what the other run has just changed.
        assert!(matches!(ended.code, 0 | 11), "exit code {}: {}", ended.code, ended.stderr);
    }
    sandbox.control(&TimeOfParameters { pass: 60 });
    sandbox.deployer(&APPLY).expect(0);
    sandbox.deployer(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn a_run_works_within_a_minute_after_the_holder_of_the_lease_was_killed() {
    let sandbox = Sandbox::start();
    let mut apply = held_apply(&sandbox);
    apply.kill().unwrap();
    apply.wait().unwrap();
    let killed = Instant::now();
    sandbox.end_faults();

    let (again, waited) = (sandbox.start_deployer(&APPLY), sandbox.mark());
    while !sandbox.calls()[waited..].iter().any(|call| call.name() == "ssm:PutParameter") {
        assert!(killed.elapsed() < Duration::from_mins(1), "the lease of a dead run is still held");
        thread::sleep(Duration::from_millis(100));
    }
    sandbox.end_of(again).expect(0);
    sandbox.deployer(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn the_first_signal_ends_a_run_where_nothing_is_half_done_and_the_next_run_continues() {
    for name in ["-INT", "-TERM", "-HUP"] {
        // Under nohup, the deployer goes on.
        let ignored = fs::read_to_string("/proc/self/status").unwrap();
        let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        if name == "-HUP" && ignored.trim().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']) {
            continue;
        }
        let sandbox = Sandbox::start();
        let apply = held_apply(&sandbox);
        signal(&apply, name);
        thread::sleep(Duration::from_millis(500));
        sandbox.end_faults();

        let Ran { stderr, .. } = sandbox.end_of(apply).expect(16);

        assert!(stderr.contains("what runs now is finished, and nothing further begins"), "{stderr}");
        assert!(sandbox.inventory().contains(&"function mail-prod-rotation".to_owned()), "it was drained: {stderr}");
        // The function too, unless it was active at once.
        assert!(stderr.contains("not done: ") && stderr.contains("permission mail-prod-rotation, "), "{stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        assert!(stderr.contains("`deployer apply` continues from here"), "{stderr}");
        let next = sandbox.deployer(&[&APPLY[..], &["--lease-timeout", "0s"]].concat()).expect(0);
        assert!(next.stderr.contains("rotation completed"), "{}", next.stderr);
        sandbox.deployer(&["plan", "--detailed-exitcode"]).expect(0);
    }
}

#[test]
fn a_signal_while_a_command_only_reads_ends_it_and_says_that_nothing_was_changed() {
    const WHO: &str = "sts:GetCallerIdentity";
    let sandbox = Sandbox::start();
    sandbox.config(&[]);
    let before = sandbox.inventory();
    for arguments in [&["plan"][..], &["status"], &["doctor"], &["rotate"], &["recover"], &["drift"], &APPLY, &DESTROY]
    {
        sandbox.faults(&[Fault::hold(WHO)]);
        let run = stopped_in(&sandbox, WHO, arguments);
        signal(&run, "-INT");
        let Ran { stderr, .. } = sandbox.end_of(run).expect(16);
        assert_eq!(stderr, "error: interrupted: nothing was changed\n", "{arguments:?}");
        sandbox.end_faults();
        // The held call of this run is not that of the next one.
        let deadline = Instant::now() + Duration::from_mins(1);
        while !sandbox.state().held_calls.is_empty() {
            assert!(Instant::now() < deadline, "a call is held although no fault is left");
            thread::sleep(Duration::from_millis(50));
        }
    }
    sandbox.faults(&[Fault::hold(WHO)]);
    let run = stopped_in(&sandbox, WHO, &["plan", "--json"]);
    signal(&run, "-TERM");
    let told = sandbox.end_of(run).expect(16).json_of("error");
    sandbox.end_faults();
    assert_eq!(told[0]["message"], "interrupted: nothing was changed", "{told:?}");
    assert_eq!(sandbox.inventory(), before);
}

#[test]
fn the_second_signal_ends_the_program_at_once() {
    let sandbox = Sandbox::start();
    let apply = held_apply(&sandbox);
    signal(&apply, "-INT");
    thread::sleep(Duration::from_millis(500));
    signal(&apply, "-INT");

    sandbox.end_of(apply).expect(16);

    sandbox.end_faults();
}
