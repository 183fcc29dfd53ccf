//! The function and who invokes it by the rules: Secrets Manager, the daily rule.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, SystemTime},
};

use contract::{AWSCURRENT, AWSPENDING, Consumer, Fields, Instances, Settings, SmtpEndpoint, TestMail};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use tokio::task::spawn_local as spawn;

use super::{
    ARN, DAY, EPOCH_SECONDS, HOUR, MINUTE, Millis, SCRIPT_TIMEOUT, SECOND, SECRET_ARN_PREFIX, USER_ARN,
    history::Armed,
    history::{At, Disturbance, PERIOD, Setup},
    hosts::sleep,
    recover,
    wire::{self, INVOCATION},
    world::Sim,
};
use crate::{Handler, fake_http, services::ses::Ses, time::Clock};

/// The function's timeout.
const TIMEOUT: Millis = 5 * MINUTE;

/// Between Secrets Manager's attempts. AWS publishes neither their number nor their spacing.
const SPACING: [Millis; 5] = [100 * SECOND, 5 * MINUTE, 15 * MINUTE, 40 * MINUTE, 40 * MINUTE];

/// The function, and everything that it works with.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) sim: Sim,
    pub(super) setup: Setup,
    /// Where every process of the function has its clock from.
    clock: Clock,
    /// The newest process of the function, and the instances that its settings name.
    process: Mutex<Option<(Vec<String>, Arc<Handler>)>>,
}

/// The event of a step.
pub(super) fn step(step: &str, token: &str) -> Value {
    json!({"Step": step, "SecretId": ARN, "ClientRequestToken": token, "RotationToken": super::ROTATION_TOKEN})
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Complete,
    Failed,
    /// Somebody ended or disabled it.
    Abandoned,
}

impl Stage {
    pub(super) fn new(sim: Sim, setup: Setup) -> Self {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS);
        let clock = Clock::Simulated { date, at: sim.world().began() };
        Self { sim, setup, clock, process: Mutex::default() }
    }

    /// The process that Lambda gives an invocation which begins now: a new one if the settings have changed. What runs in an older
    /// process goes on with the older settings.
    fn process(&self, instances: Vec<String>) -> Arc<Handler> {
        let mut process = self.process.lock().unwrap();
        if let Some((its, handler)) = &*process
            && *its == instances
        {
            return handler.clone();
        }
        let clients = fake_http::clients(self.sim.clone(), Ses::Fake(wire::ses(&self.sim)));
        let handler = Arc::new(Handler::new(clients, Ok(settings(&self.setup, instances.clone())), self.clock));
        *process = Some((instances, handler.clone()));
        handler
    }

    /// Invokes the function. An error is its type; `killed` if there was no answer.
    pub(super) async fn invoke(&self, name: &str, event: Value) -> Result<Value, String> {
        let (id, now, instances) = {
            let mut world = self.sim.world();
            (world.invoked(name), world.now(), world.instances_of_the_file())
        };
        let handler = self.process(instances);
        let mut context = Context::default();
        context.deadline = EPOCH_SECONDS * SECOND + now + TIMEOUT;
        let mut run = pin!(INVOCATION.scope(id, handler.handle(LambdaEvent::new(event, context))));
        let run = poll_fn(|task| match run.as_mut().poll(task) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.sim.world().invocations[id as usize].is_killed => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let answer = tokio::time::timeout(Duration::from_millis(TIMEOUT), run).await.ok().flatten();
        let mut world = self.sim.world();
        if answer.is_none() {
            world.invocations[id as usize].is_killed = true;
        }
        world.invocation_ended(id);
        let answer = match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(problem)) => {
                world.shows_no_secret("an error", &problem.error_message);
                world.tell(|_| format!("{name} fails: {}", short(&problem.error_message)));
                return Err(problem.error_type);
            }
            None => Err("killed".to_owned()),
        };
        if let Ok(answer) = &answer
            && !answer.is_null()
        {
            world.shows_no_secret("an answer", &answer.to_string());
        }
        world.tell(|_| match &answer {
            Ok(Value::Null) => format!("{name} succeeds"),
            // Of a report, what a rotation would do.
            Ok(answer) => match &answer["done"]["next"] {
                Value::Null => format!("{name} returns {}", short(&answer.to_string())),
                next => format!("{name} returns next: {}", short(&next.to_string())),
            },
            Err(error) => format!("{name} ends: {error}"),
        });
        answer
    }

    /// One attempt at the steps.
    async fn attempt(&self, token: &str) -> Attempt {
        for name in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
            let waits = {
                let mut world = self.sim.world();
                world.fire(name);
                std::mem::take(&mut world.engine.waits)
            };
            sleep(waits).await;
            let twice = {
                let mut world = self.sim.world();
                let is_on = |label| world.secret.labels.get(label).is_some_and(|id| &**id == token);
                if !world.secret.enabled || !is_on(AWSPENDING) && !is_on(AWSCURRENT) {
                    return Attempt::Abandoned;
                }
                world.engine.twice.take()
            };
            let again = twice.map(|later| async move {
                sleep(later).await;
                self.invoke(&format!("second {name}({token})"), step(name, token)).await.ok();
            });
            let title = format!("{name}({token})");
            let once = self.invoke(&title, step(name, token));
            let answer = match again {
                // The second delivery need not end before Secrets Manager goes on, but nothing here depends on that.
                Some(again) => futures_join(once, again).await,
                None => once.await,
            };
            if answer.is_err() {
                return Attempt::Failed;
            }
            sleep(2 * SECOND).await;
        }
        let mut world = self.sim.world();
        if world.secret.labels.get(AWSCURRENT).is_none_or(|id| &**id != token) {
            return Attempt::Failed;
        }
        let (cleans, now) = (world.engine.cleans, world.now());
        world.secret.complete(cleans, now);
        world.rotations += 1;
        world.disturbed();
        world.tell(|_| format!("the rotation {token} is complete"));
        world.watch();
        Attempt::Complete
    }

    /// Rotates, with retries. True if the rotation completed.
    pub(super) async fn rotate(self: &Arc<Self>) -> bool {
        let mut token = {
            let mut world = self.sim.world();
            if world.engine.is_busy || !world.secret.enabled {
                return false;
            }
            world.engine.is_busy = true;
            world.engine.gives_up = false;
            let open = world.secret.open().map(|version| version.id.clone());
            open.unwrap_or_else(|| begin(&self.sim, &mut world))
        };
        let mut ended = Attempt::Failed;
        for pause in SPACING.into_iter().map(Some).chain([None]) {
            ended = self.attempt(&token).await;
            if ended != Attempt::Failed || self.sim.world().engine.gives_up {
                break;
            }
            let Some(pause) = pause else { break };
            sleep(pause).await;
            let mut world = self.sim.world();
            if std::mem::take(&mut world.engine.new_token) && world.secret.enabled && world.secret.open().is_some() {
                token = begin(&self.sim, &mut world);
            }
        }
        let mut world = self.sim.world();
        world.engine.is_busy = false;
        world.tell(|_| format!("Secrets Manager is done with {token}: {ended:?}"));
        ended == Attempt::Complete
    }
}

/// Both, to their ends; the first one's answer.
async fn futures_join<T>(once: impl Future<Output = T>, again: impl Future<Output = ()>) -> T {
    tokio::join!(once, again).0
}

fn begin(_: &Sim, world: &mut super::world::World) -> Arc<str> {
    let now = world.now();
    let token = world.secret.begin(now);
    world.disturbed();
    world.tell(|_| format!("Secrets Manager begins the rotation {token}"));
    world.watch();
    token
}

/// Secrets Manager tests a configuration: testSecret alone, with a version that has the existing value.
pub(super) async fn test_configuration(stage: Arc<Stage>) {
    let token = {
        let mut world = stage.sim.world();
        if world.engine.is_busy || world.secret.open().is_some() {
            return;
        }
        let now = world.now();
        let Some(token) = world.secret.begin_test(now) else { return };
        world.engine.is_busy = true;
        world.disturbed();
        token
    };
    stage.invoke(&format!("testSecret alone({token})"), step("testSecret", &token)).await.ok();
    let mut world = stage.sim.world();
    world.engine.is_busy = false;
    if world.secret.labels.get(AWSPENDING) == Some(&token) {
        let now = world.now();
        world.secret.detach(AWSPENDING, now);
        world.disturbed();
        world.watch();
    }
}

/// Secrets Manager's schedule.
pub(super) async fn schedule(stage: Arc<Stage>) {
    loop {
        let (now, next) = {
            let world = stage.sim.world();
            (world.now(), world.secret.next_rotation)
        };
        sleep(next.saturating_sub(now)).await;
        let completed = stage.rotate().await;
        stage.sim.world().secret.next_rotation = next + PERIOD;
        if let Some(later) = stage.setup.person.filter(|_| !completed) {
            let stage = stage.clone();
            spawn(async move {
                sleep(later).await;
                drop(recover::recover(&stage, None).await);
            });
        }
    }
}

/// The daily rule. Of days on which nothing can have changed since the last upkeep, most are left out: only the date differs, and
/// nothing that depends on it is that far off.
pub(super) async fn upkeep(stage: Arc<Stage>) {
    for day in 0_u64.. {
        let (now, changed) = {
            let world = stage.sim.world();
            (world.now(), world.changed)
        };
        sleep((day * DAY + 8 * HOUR).saturating_sub(now)).await;
        let is_quiet = day * DAY > changed + 2 * stage.setup.keep_previous + 3 * DAY;
        if !is_quiet || day % 7 == 0 {
            stage.invoke("upkeep", json!({"event": "upkeep"})).await.ok();
        }
    }
}

/// A disturbance comes at its time.
pub(super) async fn disturb(sim: Sim, Disturbance { from, at, act }: Disturbance) {
    let now = sim.world().now();
    sleep(from.saturating_sub(now)).await;
    let mut world = sim.world();
    let is_of_a_call = matches!(act, super::history::Act::Fault(_));
    match at {
        At::Once if !is_of_a_call => world.act(act),
        _ => world.armed.push(Armed { at, act }),
    }
}

/// What the function's environment says while the file names these instances.
fn settings(setup: &Setup, ids: Vec<String>) -> Settings {
    let instances = Instances {
        ids,
        document: "mail-rotate-smtp".into(),
        script: "/usr/local/bin/rotate_smtp.sh".into(),
        timeout_seconds: SCRIPT_TIMEOUT,
        content_sha256: None,
    };
    Settings {
        secret_arn_prefix: SECRET_ARN_PREFIX.into(),
        iam_user_arn: USER_ARN.into(),
        iam_user_owned: setup.owned,
        replaces: vec![],
        fields: Fields::default(),
        smtp_endpoint: SmtpEndpoint::of_region("eu-west-1"),
        test_mail: setup.mail.then(|| TestMail { sender: "a@example.com".into(), recipient: "b@example.com".into() }),
        consumer: (setup.hosts > 0).then_some(Consumer::Instances(instances)),
        keep_previous: Duration::from_millis(setup.keep_previous),
        keep_inactive: Duration::from_hours(72),
        topic_arn: setup.topic.then(|| "arn:aws:sns:eu-west-1:123456789012:mail-rotation".into()),
    }
}
