//! The hosts, and Run Command.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use contract::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, COMMAND_DELIVERY_SECONDS, DEPLOYING, VERSION_STAGE};
use serde_json::{Value, json};
use tokio::task::spawn_local as spawn;

use super::{
    Millis, SCRIPT_TIMEOUT, SECOND,
    user::State,
    world::{Sim, World},
};
use crate::fake_http::Answer;

/// Commands that are remembered.
const COMMANDS: usize = 6;

/// How long Run Command does not know of a command that it was just sent.
const UNKNOWN: Millis = 400;

/// How a script ends that does not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It fails, and the host has what it had.
    Fails,
    /// It installs the credential, and then it fails.
    InstallsAndFails,
    /// It installs the credential, and does not end in time.
    InstallsAndHangs,
    /// It succeeds without doing anything.
    DoesNothing,
}

/// What a host boots with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boots {
    /// DEPLOYING's credential if SES accepts it, else AWSCURRENT's: the contract.
    Deploying,
    /// AWSCURRENT's, whatever hosts were told of: a mistake that the watcher has to notice.
    Current,
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: String,
    /// The key whose credential it sends with, and since when.
    pub(super) holds: Option<(Arc<str>, Millis)>,
    /// The keys that it was told of since it was made.
    pub(super) told: BTreeSet<Arc<str>>,
    /// It is offline until then.
    offline: Millis,
    /// How its next scripts end.
    mishaps: Vec<Mishap>,
    /// Counts its machines: what runs on one ends with it.
    machine: u32,
    /// How often it has begun to boot and has not booted yet.
    boots: u32,
}

impl Host {
    pub(super) fn new(id: String) -> Self {
        Self { id, holds: None, told: BTreeSet::new(), offline: 0, mishaps: vec![], machine: 0, boots: 0 }
    }

    /// Whether it boots right now. One that is made anew has no credential until it has booted.
    pub(super) fn is_booting(&self) -> bool {
        self.boots > 0
    }
}

/// How a command stands on one host.
#[derive(Clone, Debug)]
struct Run {
    status: &'static str,
    details: &'static str,
    code: i32,
    output: String,
}

/// A command.
#[derive(Debug)]
pub(super) struct Sent {
    id: String,
    at: Millis,
    runs: Vec<(String, Run)>,
}

impl World {
    /// A host sends with another credential from now on.
    pub(super) fn install(&mut self, host: usize, key: &Arc<str>, how: &str) {
        let now = self.now();
        if let Some((old, _)) = self.hosts[host].holds.take() {
            self.user.is_used(&old, now);
        }
        self.user.is_used(key, now);
        let Self { hosts, .. } = self;
        hosts[host].holds = Some((key.clone(), now));
        hosts[host].told.insert(key.clone());
        self.is_changed();
        self.tell(|world| format!("{} {how} {key}", world.hosts[host].id));
        self.watch();
    }

    /// The next scripts on a host end so.
    pub(super) fn script(&mut self, host: usize, mishap: Mishap, times: usize) {
        self.hosts[host].mishaps = vec![mishap; times];
    }

    /// A host is offline for a while.
    pub(super) fn goes_offline(&mut self, host: usize, time: Millis) {
        self.hosts[host].offline = self.now() + time;
    }

    /// The instances that the file names.
    pub(super) fn instances_of_the_file(&self) -> Vec<String> {
        let hosts = if self.is_pulled { &[][..] } else { &self.hosts };
        hosts.iter().map(|host| host.id.clone()).collect()
    }

    /// The file names another machine in a host's place, and is applied at once. That machine stood elsewhere before, and sends with
    /// an older credential; the function never told it anything. The one before it is gone.
    pub(super) fn put_in_place(&mut self, host: usize) -> bool {
        if self.is_pulled || host >= self.hosts.len() {
            return false;
        }
        let machine = self.hosts[host].machine + 1;
        let id = format!("i-{host}-{machine}");
        self.hosts[host] = Host { machine, ..Host::new(id) };
        self.is_changed();
        if let Some(key) = self.older_credential() {
            self.install(host, &key, "is put in place and sends with");
        }
        self.hosts_changed = self.changes;
        true
    }

    /// An older credential than AWSCURRENT's that still works, AWSPREVIOUS's first; if there is none, AWSCURRENT's.
    fn older_credential(&self) -> Option<Arc<str>> {
        let current = self.secret.labelled(AWSCURRENT)?;
        let older = self.secret.versions.iter().rev().skip_while(|version| version.id != current.id);
        let works = |key: &&Arc<str>| self.user.key(key).is_some_and(|key| key.state == State::Active);
        let mut keys =
            self.secret.key_of(AWSPREVIOUS).into_iter().chain(older.filter_map(|version| version.key.as_ref()));
        keys.find(|key| works(key) && Some(*key) != current.key.as_ref()).or(current.key.as_ref()).cloned()
    }

    /// The credential that a booting host takes.
    fn boots_with(&self) -> Option<Arc<str>> {
        let (secret, now) = (self.read_secret(), self.now());
        let deploying = secret.key_of(DEPLOYING).filter(|key| {
            let password = self.user.key(key).map(|key| key.password.as_str()).unwrap_or_default();
            self.boots == Boots::Deploying && self.user.is_accepted(key, password, now)
        });
        deploying.or_else(|| secret.key_of(AWSCURRENT)).cloned()
    }

    /// DescribeInstanceInformation.
    pub(super) fn instances(&self) -> Answer {
        let now = self.now();
        let standing = |host: &Host| {
            let status = if now < host.offline { "ConnectionLost" } else { "Online" };
            json!({"InstanceId": host.id, "PingStatus": status})
        };
        Ok(json!({"InstanceInformationList": self.hosts.iter().map(standing).collect::<Vec<_>>()}))
    }

    /// SendCommand.
    pub(super) fn send_command(&mut self, sim: &Sim, body: &Value) -> Answer {
        let targets: Vec<_> = body["InstanceIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !targets.iter().all(|target| self.hosts.iter().any(|host| host.id == *target)) {
            return Err("InvalidInstanceId");
        }
        let label = body["Parameters"][VERSION_STAGE.parameter][0].as_str().unwrap().to_owned();
        self.sent += 1;
        let id = format!("c-{}", self.sent);
        let waits = Run { status: "Pending", details: "Pending", code: -1, output: String::new() };
        let runs = targets.iter().map(|&target| (target.to_owned(), waits.clone())).collect();
        if self.commands.len() == COMMANDS {
            self.commands.remove(0);
        }
        self.commands.push(Sent { id: id.clone(), at: self.now(), runs });
        for host in
            (0..self.hosts.len()).filter(|host| targets.contains(&self.hosts[*host].id.as_str())).collect::<Vec<_>>()
        {
            let delivery = self.dice.between(300, 3_000);
            let script = self.dice.between(500, 8_000);
            let command = Command { id: id.clone(), instance: self.hosts[host].id.clone(), label: label.clone(), host };
            spawn(run_script(sim.clone(), command, delivery, script));
        }
        Ok(json!({"Command": {"CommandId": id}}))
    }

    /// GetCommandInvocation.
    pub(super) fn command(&self, id: &str, instance: &str) -> Answer {
        let sent = self.commands.iter().find(|sent| sent.id == id).filter(|sent| self.now() >= sent.at + UNKNOWN);
        let run = sent.and_then(|sent| sent.runs.iter().find(|(host, _)| host == instance));
        let (_, Run { status, details, code, output }) = run.ok_or("InvocationDoesNotExist")?;
        let (stdout, stderr) = if *code == 0 { (output.as_str(), "") } else { ("", output.as_str()) };
        Ok(json!({
            "Status": status, "StatusDetails": details, "ResponseCode": code,
            "StandardOutputContent": stdout, "StandardErrorContent": stderr,
        }))
    }

    fn command_is(&mut self, Command { id, instance, .. }: &Command, run: Run) {
        self.tell(|_| format!("{instance} script: {}, code {}, {:?}", run.details, run.code, run.output));
        let sent = self.commands.iter_mut().find(|sent| sent.id == *id);
        if let Some((_, it)) = sent.and_then(|sent| sent.runs.iter_mut().find(|(it, _)| it == instance)) {
            *it = run;
        }
    }

    /// What the script takes: the label's key, or why not.
    fn fetch(&self, host: usize, label: &str) -> Result<Arc<str>, &'static str> {
        let key = self.read_secret().key_of(label).cloned().ok_or("the label has no credential")?;
        let has = |key: &Arc<str>| self.hosts[host].holds.as_ref().is_some_and(|(it, _)| it == key);
        let deploying = self.read_secret().key_of(DEPLOYING);
        if label == AWSPENDING && !has(&key) && deploying != Some(&key) {
            return Err("the rotation was given up");
        }
        if label == AWSCURRENT && !has(&key) && deploying.is_some_and(has) {
            return Err("the host keeps the credential that a rotation has brought");
        }
        Ok(key)
    }
}

/// A command on its way to one instance.
struct Command {
    id: String,
    instance: String,
    /// The label of the version that the script is to take.
    label: String,
    host: usize,
}

/// One script on one host, until it ended.
async fn run_script(sim: Sim, command: Command, delivery: Millis, takes: Millis) {
    let host = command.host;
    sleep(delivery).await;
    let until = sim.world().hosts[host].offline;
    let now = sim.world().now();
    if now < until {
        let longest = COMMAND_DELIVERY_SECONDS * SECOND;
        sleep((until - now).min(longest)).await;
        if until - now > longest {
            let run = Run { status: "TimedOut", details: "Delivery Timed Out", code: -1, output: String::new() };
            return sim.world().command_is(&command, run);
        }
    }
    let (machine, mishap) = {
        let mut world = sim.world();
        if world.hosts[host].id != command.instance {
            let run = Run { status: "Failed", details: "Undeliverable", code: -1, output: String::new() };
            return world.command_is(&command, run);
        }
        let running = Run { status: "InProgress", details: "InProgress", code: -1, output: String::new() };
        world.command_is(&command, running);
        let it = &mut world.hosts[host];
        (it.machine, it.mishaps.pop())
    };
    sleep(takes).await;
    let ends = {
        let mut world = sim.world();
        if world.hosts[host].machine != machine {
            let run = Run { status: "Failed", details: "Terminated", code: -1, output: String::new() };
            return world.command_is(&command, run);
        }
        script(&mut world, host, &command.label, mishap)
    };
    if mishap == Some(Mishap::InstallsAndHangs) {
        sleep(SCRIPT_TIMEOUT * SECOND).await;
    }
    sim.world().command_is(&command, ends);
}

/// What the script does once it has the host: fetch, prove, install. It prints the key that it installed.
fn script(world: &mut World, host: usize, label: &str, mishap: Option<Mishap>) -> Run {
    let failed = |output: &str| Run { status: "Failed", details: "Failed", code: 1, output: output.to_owned() };
    let succeeded = |output: String| Run { status: "Success", details: "Success", code: 0, output };
    match mishap {
        Some(Mishap::Fails) => return failed("postmap: no space left"),
        Some(Mishap::DoesNothing) => return succeeded(String::new()),
        _ => {}
    }
    let key = match world.fetch(host, label) {
        Ok(key) => key,
        Err(why) => return failed(why),
    };
    let now = world.now();
    let password = world.user.key(&key).map(|key| key.password.clone()).unwrap_or_default();
    if !world.user.is_accepted(&key, &password, now) {
        return failed("SES does not accept the credential");
    }
    world.install(host, &key, "installs");
    match mishap {
        Some(Mishap::InstallsAndFails) => failed("postfix reload: timeout"),
        Some(Mishap::InstallsAndHangs) => {
            Run { status: "TimedOut", details: "Execution Timed Out", code: -1, output: String::new() }
        }
        _ => succeeded(format!("installed access key {key}\n")),
    }
}

/// A host boots; `anew`: as a new machine, which was told of nothing.
pub(super) async fn boot(sim: Sim, host: usize, anew: bool) {
    let (takes, id) = {
        let mut world = sim.world();
        // A container is there at once, a machine is not.
        let longest = world.dice.one(&[10_000, 60_000]);
        let takes = world.dice.between(2_000, longest);
        let offline = world.now() + takes;
        let it = &mut world.hosts[host];
        it.machine += 1;
        it.boots += 1;
        it.offline = it.offline.max(offline);
        if anew {
            it.told.clear();
            it.holds = None;
        }
        (takes, it.id.clone())
    };
    sleep(takes).await;
    let mut world = sim.world();
    // Another machine is in its place.
    if world.hosts[host].id != id {
        return;
    }
    world.hosts[host].boots -= 1;
    if let Some(key) = world.boots_with() {
        world.install(host, &key, if anew { "is made anew and boots with" } else { "boots with" });
    }
}

/// A host of a deployment without Run Command reads AWSCURRENT now and then, within every grace.
pub(super) async fn pull(sim: Sim, every: Millis) {
    loop {
        sleep(every).await;
        let mut world = sim.world();
        if let Some(key) = world.secret.key_of(AWSCURRENT).cloned()
            && world.hosts[0].holds.as_ref().is_none_or(|(holds, _)| *holds != key)
        {
            world.install(0, &key, "reads AWSCURRENT and takes");
        }
    }
}

/// Waits by the simulated clock.
pub(super) async fn sleep(time: Millis) {
    tokio::time::sleep(Duration::from_millis(time)).await;
}

/// The value of a secret with this key's credential.
pub(super) fn value(key: &super::user::Key, note: u64) -> String {
    let value: Value = json!({
        "username": "mail", "iam_user_arn": super::USER_ARN, "AccessKeyId": key.id, "SMTPPassword": key.password, "note": note,
    });
    value.to_string()
}
