//! A deployment, connected to its AWS account: what every verb works with.

use std::{path::Path, sync::Arc};

use contract::Text;

use crate::{
    aws::{self, Aws, Identity},
    config::{self, Config},
    deployment::{
        Deployment,
        facts::{self, Facts},
        names::Names,
    },
    engine::{
        erased::Node,
        events::{Event, Events},
        op::{Address, ResourceKind, Toward},
        plan::{self, Plan},
    },
    error::Error,
    package::Package,
    rotation::function,
    screen::Screen,
    silence::Silence,
    sizes,
    stack::stack,
};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything was as it should be.
    NothingToDo,
    /// There are changes, or changes were made.
    Changes,
}

/// The error was shown already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown;

/// A deployment and the AWS account that it is in.
pub(super) struct Session {
    pub(super) screen: Screen,
    pub(super) deployment: Arc<Deployment>,
    pub(super) aws: Aws,
    pub(super) identity: Identity,
}

/// A plan with what executing it needs beside it.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) nodes: Vec<Node>,
    pub(super) facts: Facts,
}

impl Session {
    async fn open(screen: &Screen, config: Config) -> Result<Self, Shown> {
        let screen = screen.of_deployment(&config.name, &config.region);
        let told = screen.clone();
        let silence = Silence::new(move |unanswered| told.event(&Event::Unanswered(unanswered)));
        let (aws, identity) = aws::connect(&config, &silence).await.map_err(|error| show(&screen, &error))?;
        let names = Names::new(&config, &identity);
        Ok(Self { screen, deployment: Arc::new(Deployment { config, names, removed_tags: Vec::new() }), aws, identity })
    }

    /// The session whose plan also removes these tags, wherever the configuration does not name them.
    pub(super) fn removing_tags(mut self, keys: &[String]) -> Self {
        Arc::make_mut(&mut self.deployment).removed_tags = keys.to_vec();
        self
    }

    pub(super) async fn plan(&self, toward: Toward) -> Result<Prepared, Shown> {
        let Deployment { config, names, .. } = &*self.deployment;
        let nodes = stack(&self.deployment, toward);
        let reading = Box::pin(facts::read(&self.aws, config, names, toward));
        let survey = plan::survey(&self.aws, &nodes, reading).await;
        let (mut plan, facts) = plan::plan(survey, toward).map_err(|errors| {
            self.screen.errors(&errors);
            Shown
        })?;
        // Only the function reads the secret's value. If the plan changes it, the end of apply tells.
        if toward == Toward::Present && plan.leaves_as_it_is(ResourceKind::Function) {
            let told = function::notes(&self.aws, &self.deployment).await.standing;
            let told: Vec<_> = told.into_iter().filter(|note| !plan.notes.contains(note)).collect();
            plan.notes.extend(told);
        }
        Ok(Prepared { plan, nodes, facts })
    }

    pub(super) fn fail<T>(&self, result: Result<T, Error>) -> Result<T, Shown> {
        result.map_err(|error| show(&self.screen, &error))
    }

    /// The secret, for the events of a rotation.
    pub(super) fn secret(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.deployment.names.secret)
    }

    /// Runs `work` and renders its events as they come.
    pub(super) async fn with_events<T>(&self, work: impl AsyncFnOnce(Events) -> T) -> T {
        with_events(&self.screen, work).await
    }
}

/// Runs `work` and renders its events as they come.
pub(super) async fn with_events<T>(screen: &Screen, work: impl AsyncFnOnce(Events) -> T) -> T {
    let (events, mut receiver) = Events::channel();
    let render = async {
        while let Some(event) = receiver.recv().await {
            screen.event(&event);
        }
    };
    let (outcome, ()) = tokio::join!(work(events), render);
    outcome
}

fn show(screen: &Screen, error: &Error) -> Shown {
    screen.error(error);
    Shown
}

/// Reads every deployment that a file or a folder declares.
pub(super) fn load(screen: &Screen, path: &Path) -> Result<Vec<Config>, Shown> {
    let configs = config::load(path).map_err(|error| {
        screen.config_error(&error);
        Shown
    })?;
    let mut fit = Ok(());
    for config in &configs {
        if let Err(errors) = sizes::check(config) {
            screen.of_deployment(&config.name, &config.region).errors(&errors);
            fit = Err(Shown);
        }
    }
    fit.map(|()| configs)
}

/// Says, before anything is read from AWS, that the function could not be built. Whether it has to be is not known yet.
pub(super) fn say_if_the_function_cannot_be_built(screen: &Screen, path: &Path) -> Result<(), Shown> {
    let configs = load(screen, path)?;
    if let Some(error) = configs.iter().find_map(|config| Package::check_tools(config).err()) {
        screen.note(Text::join([error.in_one_line().into()].into_iter().chain(error.hints), ": "));
    }
    Ok(())
}

/// Runs `work` on one deployment after the other, and stops at the first that fails. Then it names those that it did not reach.
pub(super) async fn for_each_deployment(
    screen: &Screen,
    path: &Path,
    work: impl AsyncFn(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    let mut done = Done::NothingToDo;
    let mut configs = load(screen, path)?.into_iter();
    while let Some(config) = configs.next() {
        let worked = async { work(Session::open(screen, config).await?).await };
        match worked.await {
            Ok(Done::NothingToDo) => {}
            Ok(Done::Changes) => done = Done::Changes,
            Err(Shown) => {
                say_what_was_not_reached(screen, configs.as_slice());
                return Err(Shown);
            }
        }
    }
    Ok(done)
}

fn say_what_was_not_reached(screen: &Screen, rest: &[Config]) {
    let names: Vec<String> = rest.iter().map(|config| format!("{} in {}", config.name, config.region)).collect();
    if !names.is_empty() {
        screen.note(format!("the run stopped here, and did not reach {}", names.join(", ")));
    }
}
