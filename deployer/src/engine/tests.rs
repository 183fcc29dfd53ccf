//! Planning and executing, with resources that are only a value in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use contract::Text;

use super::{
    erased::{Node, NodeId, Stage, erase},
    events::{Event, Events},
    execute::{Run, Summary, execute},
    kind::{Aim, Context, Kind},
    op::{Address, Op, ResourceKind, Toward, Verb},
    plan::{self, Plan, Survey},
};
use crate::{
    aws::Aws,
    deployment::facts::{self, Facts},
    error::{Cause, Error, ErrorKind},
    rotation::labels::Labels,
};

const CREATE: &str = "fake:Create";
const SET: &str = "fake:Set";
const DELETE: &str = "fake:Delete";

/// What AWS would hold.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: BTreeMap<&'static str, &'static str>,
    /// Every call that was made, in order.
    calls: Vec<String>,
    reads: usize,
}

impl World {
    fn with(values: &[(&'static str, &'static str)]) -> Self {
        Self(Arc::new(Mutex::new(State { values: values.iter().copied().collect(), ..State::default() })))
    }

    fn set(&self, name: &'static str, value: &'static str) {
        self.0.lock().unwrap().values.insert(name, value);
    }

    fn value(&self, name: &str) -> Option<&'static str> {
        self.0.lock().unwrap().values.get(name).copied()
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// AWS refuses it.
    Refused,
    /// Somebody else was faster: it exists already, with this call's value.
    Overtaken,
    /// It takes effect, and its reply is lost. Only once.
    ReplyLost,
    /// AWS accepts it, and never shows it.
    NeverShown,
    /// None; and AWS makes the resource only if it is not there.
    MadeOnlyIfAbsent,
}

struct Fake {
    name: &'static str,
    world: World,
    fault: Fault,
}

enum Call {
    Create(&'static str),
    Set(&'static str),
    Delete,
}

fn aws_error(code: &str) -> Error {
    Error::new(format!("failed with {code}")).aws(Some(code.to_owned()), None)
}

impl Kind for Fake {
    type Goal = &'static str;
    type Observed = Option<&'static str>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &["AlreadyExists"];

    fn address(&self) -> Address {
        Address::new(ResourceKind::Topic, self.name)
    }

    fn absent(&self) -> Option<Self::Observed> {
        (self.fault == Fault::MadeOnlyIfAbsent).then_some(None)
    }

    async fn observe(&self, _: &Aws) -> Result<Self::Observed, Error> {
        self.world.0.lock().unwrap().reads += 1;
        match self.world.value(self.name) {
            Some("unreadable") => Err(aws_error("AccessDenied")),
            value => Ok(value),
        }
    }

    fn decide(&self, aim: Aim<'_, &'static str>, observed: &Self::Observed) -> Result<Vec<(Op, Call)>, Error> {
        Ok(match (aim, observed) {
            (Aim::Present(goal), None) => {
                vec![(Op::new(Verb::Create, CREATE).sets("value", *goal), Call::Create(goal))]
            }
            (Aim::Present(goal), Some(value)) if value != goal => {
                let op = Op::new(Verb::Update, SET).with("value", Some((*value).into()), Some((*goal).into()));
                vec![(op, Call::Set(goal))]
            }
            (Aim::Absent(_), Some(_)) => vec![(Op::new(Verb::Delete, DELETE), Call::Delete)],
            _ => Vec::new(),
        })
    }

    fn note(&self, goal: Option<&&'static str>, _: &Self::Observed) -> Option<Text> {
        let goal = goal?;
        Some(format!("{} is to be {goal}", self.name).into())
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        let mut world = self.world.0.lock().unwrap();
        let is_first = world.calls.iter().all(|call| !call.ends_with(self.name));
        let name = if matches!(call, Call::Delete) { "delete" } else { "set" };
        world.calls.push(format!("{name} {}", self.name));
        if self.fault == Fault::Refused {
            return Err(aws_error("Invalid"));
        }
        let exists = world.values.contains_key(self.name);
        if exists && self.fault == Fault::MadeOnlyIfAbsent && matches!(call, Call::Create(_)) {
            return Err(aws_error("AlreadyExists"));
        }
        if self.fault != Fault::NeverShown {
            match call {
                Call::Create(value) | Call::Set(value) => drop(world.values.insert(self.name, value)),
                Call::Delete => drop(world.values.remove(self.name)),
            }
        }
        match self.fault {
            Fault::Overtaken => Err(aws_error("AlreadyExists")),
            Fault::ReplyLost if is_first => {
                let cause = Some(Box::new(Cause::NoAnswer("the connection was closed".to_owned())));
                Err(Error { cause, ..Error::new("failed to set it") })
            }
            _ => Ok(()),
        }
    }
}

/// Resources with their faults; each is to have the value "goal".
struct Fakes {
    world: World,
    nodes: Vec<Node>,
}

impl Fakes {
    fn new(world: &World) -> Self {
        Self { world: world.clone(), nodes: Vec::new() }
    }

    fn add(self, name: &'static str, after: &[NodeId], fault: Fault) -> Self {
        self.toward(Toward::Present, name, after, fault)
    }

    fn toward(mut self, toward: Toward, name: &'static str, after: &[NodeId], fault: Fault) -> Self {
        let resource = erase(Fake { name, world: self.world.clone(), fault }, |_| Ok("goal"));
        self.nodes.push(Node { resource, toward, after: after.to_vec(), stage: Stage::Declared });
        self
    }

    async fn survey(&self) -> Survey {
        let labels = Ok(Labels::default());
        plan::survey(&Aws::offline(), &self.nodes, Box::pin(async { Facts { labels, ..facts::unread() } })).await
    }

    async fn plan(&self) -> Plan {
        plan::plan(self.survey().await, Toward::Present).unwrap().0
    }

    /// Executes a plan. Returns the events that are errors or skips too.
    async fn execute(&self, plan: &Plan) -> (Summary, Vec<String>) {
        let (events, mut receiver) = Events::channel();
        let facts = facts::unread();
        let run =
            Run { aws: Aws::offline(), plan, facts: &facts, package: None, rotation_token: "token".into(), events };
        let summary = execute(&self.nodes, &run).await;
        drop(run);
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            match event {
                Event::Failed(address, error) => told.push(format!("{address} failed: {:?}", error.kind())),
                Event::Skipped(address) => told.push(format!("{address} skipped")),
                _ => {}
            }
        }
        (summary, told)
    }
}

#[tokio::test(start_paused = true)]
async fn every_resource_reaches_its_goal_after_those_that_it_depends_on() {
    let world = World::with(&[("b", "old"), ("d", "goal")]);
    let fakes = Fakes::new(&world);
    let fakes = fakes.add("a", &[], Fault::None).add("b", &[0], Fault::None).add("c", &[1], Fault::None);
    let fakes = fakes.add("d", &[], Fault::None);
    let plan = fakes.plan().await;
    assert_eq!(plan.counts(), [2, 1, 0]);
    let (summary, told) = fakes.execute(&plan).await;
    assert_eq!((summary.unfinished, told), (vec![], vec![]));
    assert_eq!(world.calls(), ["set a", "set b", "set c"]);
    assert!(fakes.plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn on_the_way_to_absent_dependents_go_first_and_in_one_plan_others_stay() {
    let absent = Toward::Absent { stop_mail: false };
    let world = World::with(&[("a", "x"), ("b", "x"), ("c", "old")]);
    let fakes = Fakes::new(&world).toward(absent, "a", &[], Fault::None).toward(absent, "b", &[0], Fault::None);
    let fakes = fakes.add("c", &[], Fault::None);
    let plan = fakes.plan().await;
    assert_eq!(plan.counts(), [0, 1, 2]);
    fakes.execute(&plan).await;
    let calls = world.calls();
    let position = |call: &str| calls.iter().position(|it| it == call).unwrap();
    assert!(position("delete b") < position("delete a"), "{calls:?}");
    assert_eq!((world.value("a"), world.value("b"), world.value("c")), (None, None, Some("goal")));
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_or_a_lost_reply_the_engine_observes_again_and_repeats_nothing() {
    for fault in [Fault::Overtaken, Fault::ReplyLost] {
        let world = World::default();
        let fakes = Fakes::new(&world).add("a", &[], fault);
        let (summary, told) = fakes.execute(&fakes.plan().await).await;
        assert_eq!((summary.unfinished, told), (vec![], vec![]));
        assert_eq!(world.calls(), ["set a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_makes_and_aws_makes_only_if_it_is_absent_is_not_read_again() {
    let world = World::default();
    let fakes = Fakes::new(&world).add("a", &[], Fault::MadeOnlyIfAbsent);
    let plan = fakes.plan().await;
    let reads = world.reads();
    let (summary, told) = fakes.execute(&plan).await;
    assert_eq!((summary.unfinished, told, world.reads() - reads), (vec![], vec![], 0));
    assert_eq!((world.value("a"), world.calls()), (Some("goal"), vec!["set a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_made_since_the_plan_is_read_and_left_alone_if_it_needs_what_was_not_approved() {
    for (made, done) in [("goal", true), ("somebody else's", false)] {
        let world = World::default();
        let fakes = Fakes::new(&world).add("a", &[], Fault::MadeOnlyIfAbsent);
        let plan = fakes.plan().await;
        world.set("a", made);
        let (summary, _) = fakes.execute(&plan).await;
        assert_eq!((summary.unfinished.is_empty(), world.value("a")), (done, Some(made)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_op_that_was_not_approved_is_not_run() {
    let world = World::default();
    let fakes = Fakes::new(&world).add("a", &[], Fault::None);
    let plan = fakes.plan().await;
    world.set("a", "somebody else's");
    let (summary, told) = fakes.execute(&plan).await;
    assert_eq!(summary.unfinished.len(), 1);
    assert_eq!(told, [format!("topic a failed: {:?}", ErrorKind::ChangedSincePlan)]);
    assert_eq!((summary.changed, summary.why), (false, vec![ErrorKind::ChangedSincePlan]));
    assert_eq!((world.value("a"), world.calls().len()), (Some("somebody else's"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    let world = World::with(&[("unchanged", "goal")]);
    let fakes = Fakes::new(&world).add("fails", &[], Fault::Refused).add("dependent", &[0], Fault::None);
    let fakes = fakes.add("unchanged", &[0], Fault::None).add("behind", &[2], Fault::None);
    let fakes = fakes.add("other", &[], Fault::None);
    let (summary, told) = fakes.execute(&fakes.plan().await).await;
    assert_eq!(summary.unfinished.len(), 3);
    assert_eq!(told, ["topic fails failed: Failed", "topic dependent skipped", "topic behind skipped"]);
    assert_eq!((summary.changed, summary.why), (true, vec![ErrorKind::Failed]), "the other one was changed");
    assert_eq!(world.value("other"), Some("goal"));
    assert_eq!(world.value("dependent"), None);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_aws_never_shows_is_an_error_after_a_bounded_time() {
    let world = World::default();
    let fakes = Fakes::new(&world).add("a", &[], Fault::NeverShown);
    let began = tokio::time::Instant::now();
    let (summary, told) = fakes.execute(&fakes.plan().await).await;
    assert_eq!((summary.unfinished.len(), told), (1, vec!["topic a failed: Failed".to_owned()]));
    assert!(began.elapsed() < super::eventually::CONSISTENT_WITHIN * 2, "{:?}", began.elapsed());
    assert_eq!(world.calls(), ["set a"], "a call that AWS accepted is not made again");
}

#[tokio::test]
async fn everything_that_is_in_the_way_of_a_plan_is_reported_together_and_once() {
    let world = World::with(&[("a", "unreadable"), ("b", "unreadable")]);
    let mut fakes = Fakes::new(&world).add("a", &[], Fault::None).add("b", &[], Fault::None);
    let needs_a_fact = Fake { name: "c", world, fault: Fault::None };
    let resource = erase(needs_a_fact, |facts| facts.user_arn().map(|_| "goal"));
    fakes.nodes.push(Node { resource, toward: Toward::Present, after: vec![], stage: Stage::Declared });
    let errors = plan::plan(fakes.survey().await, Toward::Present).unwrap_err();
    // Both reads failed with the same words.
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[tokio::test]
async fn a_fact_that_cannot_be_read_hides_only_the_resources_that_need_it() {
    let world = World::default();
    let mut fakes = Fakes::new(&world).add("a", &[], Fault::None);
    let resource = erase(Fake { name: "b", world, fault: Fault::None }, |facts| facts.user_arn().map(|_| "goal"));
    fakes.nodes.push(Node { resource, toward: Toward::Present, after: vec![], stage: Stage::Declared });
    let survey = fakes.survey().await;
    let readable: Vec<bool> = survey.resources.iter().map(|it| it.ops.is_ok()).collect();
    assert_eq!(readable, [true, false]);
    assert_eq!(survey.notes, [Text::from("a is to be goal")]);
}

#[tokio::test]
async fn a_plan_survives_its_json() {
    let plan = Fakes::new(&World::default()).add("a", &[], Fault::None).plan().await;
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
}
