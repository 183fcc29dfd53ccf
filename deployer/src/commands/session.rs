//! A deployment, connected to its AWS account: what every verb works with.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use contract::{Command, Text, text};

use super::ended::{Shown, show, show_all};
use crate::{
    aws::{self, Aws, Identity},
    config::{self, AccessKeyId, Config},
    credentials, date,
    deployment::{
        Allowed, Deployment,
        facts::Facts,
        names::{self, Names},
        record::{self, Applied, Kept, Record},
    },
    engine::{
        erased::Node,
        events::{Event, Events, Progress},
        op::{Address, Effect, ResourceKind, Toward},
        plan::{self, Plan},
    },
    error::{Error, ErrorKind},
    interrupt::unless_asked,
    lease::{self, Holder, Lease},
    overview::unusable,
    package::Package,
    planning::{self, Surveyed},
    rotation::function::{self, Notes},
    screen::{self, Screen},
    silence::Silence,
    stack::stack,
};

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
    /// What the record is to hold in the end.
    pub(super) record: Option<Record>,
    /// Why a rotation would fail at what no apply mends.
    would_fail: Vec<Error>,
}

/// The live display's title while a command only reads.
pub(super) const READING: &str = "reading what AWS has";

impl Prepared {
    /// Refuses a plan that begins a rotation which would fail: it would make a key that nobody can be told of.
    pub(super) fn check_its_rotation(self, session: &Session) -> Result<Self, Shown> {
        if self.would_fail.is_empty() || !self.plan.has(Effect::RotatesNow) {
            return Ok(self);
        }
        let refused = |error: &Error| {
            let what = format!("the rotation that this run begins would fail: {}", error.what);
            let error = Error { what, ..error.clone() }.of_kind(ErrorKind::RotationFailed);
            error.hint("or write rotation.rotate_on_create: false, and begin the rotation later")
        };
        Err(show_all(&session.screen, &self.would_fail.iter().map(refused).collect::<Vec<_>>()))
    }

    /// Digest of the sources of the function's code; none on the way to absent, where nothing needs it.
    pub(super) fn function(&self) -> Option<&str> {
        let package = self.facts.package().ok().filter(|_| self.plan.toward == Toward::Present);
        package.map(|package| package.source_digest.as_str())
    }
}

impl Session {
    pub(super) async fn open(screen: &Screen, config: Config) -> Result<Self, Shown> {
        Self::connect(screen, config).await?.of_the_named_account()
    }

    /// A session in whatever account the credentials are of.
    pub(super) async fn connect(screen: &Screen, config: Config) -> Result<Self, Shown> {
        let screen = screen.of_deployment(&config.name, &config.region);
        let (aws, identity) = connect(&screen, &config.region).await?;
        Ok(Self::new(screen, config, aws, identity))
    }

    /// Refuses another account than the file names.
    pub(super) fn of_the_named_account(self) -> Result<Self, Shown> {
        self.or_show(aws::check_account(&self.deployment.config, &self.identity)).map(|()| self)
    }

    /// The deployment of this name, as its record has it.
    pub(super) async fn of_record(screen: &Screen, name: &str, region: &str) -> Result<Self, Shown> {
        let screen = screen.of_deployment(name, region);
        let (aws, identity) = connect(&screen, region).await?;
        let kept = record::read(&aws, &names::record(name)).await.map_err(|error| show(&screen, &error))?;
        let Some(Kept { record, .. }) = kept else {
            let error = Error::new(format!("deployment {name} has no record in {region}"))
                .cause("it is destroyed already, or there never was one of this name: without a record, both look the same")
                .hint(text![
                    Command::complete(&["list", "--region", region]),
                    " shows which deployments have a record. If this one is not there and was there before, nothing is left to destroy"
                ])
                .hint("if only its record was deleted, destroy it with its file, which needs none");
            return Err(show(&screen, &error));
        };
        // Every deployment has a rotation, a user and a function. Nothing else of the configuration matters to what goes.
        let name_of = |kind| record.name_of(kind).unwrap_or(name);
        let (secret, user) = (name_of(ResourceKind::Rotation), name_of(ResourceKind::User));
        let config =
            config::least(name, region, secret, user, record.name_of(ResourceKind::Function)).map_err(|error| {
                screen.config_error(&error);
                Shown::FAILED
            })?;
        Ok(Self::new(screen, config, aws, identity))
    }

    fn new(screen: Screen, config: Config, aws: Aws, identity: Identity) -> Self {
        let names = Names::new(&config, &identity);
        let deployment = Deployment::new(config, names, identity.arn.clone());
        Self { screen, deployment: Arc::new(deployment), aws, identity }
    }

    /// The session of a run with these permissions of a person.
    pub(super) fn allowing(mut self, allowed: Allowed) -> Self {
        Arc::make_mut(&mut self.deployment).allowed = allowed;
        self
    }

    /// The session of a run that gives the function this code.
    pub(super) fn with_code(mut self, code: Package) -> Self {
        Arc::make_mut(&mut self.deployment).code = Some(code);
        self
    }

    pub(super) async fn plan(&self, toward: Toward) -> Result<Prepared, Shown> {
        self.plan_of(stack(&self.deployment, toward), toward).await
    }

    /// Plans the end of everything that the record names.
    pub(super) async fn plan_of_record(&self, toward: Toward) -> Result<Prepared, Shown> {
        self.plan_of(Vec::new(), toward).await
    }

    /// Plans these nodes, and beside them everything that only the record names.
    async fn plan_of(&self, declared: Vec<Node>, toward: Toward) -> Result<Prepared, Shown> {
        let _reading = self.screen.live(READING);
        let surveying = Box::pin(planning::survey(&self.aws, &self.deployment, declared, toward));
        let Surveyed { nodes, survey, record } = surveying.await;
        let would_fail = survey.would_fail.clone();
        let applied = survey.facts.recorded().ok().flatten().and_then(|record| record.applied);
        let applied_as_named = survey.facts.record().ok().flatten().and_then(|kept| kept.record.applied.clone());
        let (mut plan, facts) = plan::plan(survey, toward).map_err(|errors| {
            let shown = show_all(&self.screen, &errors);
            let is_not_ours = errors.iter().any(|error| error.kind() == ErrorKind::NotOurs);
            if let Some(Applied { by, at, .. }) = applied_as_named.filter(|_| is_not_ours) {
                let name = &self.deployment.config.name;
                self.screen.note(format!("{by} applied a deployment {name} in this region last, at {at}"));
            }
            shown
        })?;
        if plan.has(Effect::UploadsCode)
            && let Some(newer) = applied.filter(Applied::is_by_a_newer_deployer)
        {
            return self.or_show(Err(self.is_older_than(&newer.deployer)));
        }
        // Only the function reads the secret's value. If the plan changes it, the end of apply tells.
        if toward == Toward::Present && plan.leaves_as_it_is(ResourceKind::Function) {
            let told = standing(&function::notes(&self.aws, &self.deployment).await);
            let told: Vec<_> = told.into_iter().filter(|note| !plan.notes.contains(note)).collect();
            plan.notes.extend(told);
        }
        Ok(Prepared { plan, nodes, facts, record, would_fail })
    }

    fn is_older_than(&self, newer: &str) -> Error {
        let Names { record, function, .. } = &self.deployment.names;
        let region = self.deployment.names.region();
        Error::new(format!(
            "deployer {newer} applied function {function} last, and this is deployer {}",
            env!("CARGO_PKG_VERSION")
        ))
        .cause("an older function may refuse, or not know, what a newer one wrote")
        .hint("update the deployer")
        .hint(text![
            "to go back on purpose, delete the record first, which forgets what the file no longer declares: ",
            Command::aws_in(region, &["ssm", "delete-parameter", "--name", record])
        ])
    }

    pub(super) fn or_show<T>(&self, result: Result<T, Error>) -> Result<T, Shown> {
        result.map_err(|error| show(&self.screen, &error))
    }

    /// Takes the lease of the deployment for a run of this verb, and waits if another run holds it.
    pub(super) async fn take_lease(&self, verb: &str, timeout: Duration) -> Result<Lease, Shown> {
        self.or_show(check_that_it_was_announced())?;
        let holder = Holder {
            id: uuid::Uuid::new_v4().to_string(),
            who: self.identity.arn.clone(),
            runs: verb.to_owned(),
            since: date::now(),
        };
        let name = &self.deployment.names.lease;
        let tags = self.deployment.owner().tags();
        let taken = self.with_events(async |events| {
            let progress = Progress { events, address: Address::new(ResourceKind::Lease, name) };
            unless_asked(lease::take(&self.aws, name.clone(), &tags, holder, timeout, &progress)).await
        });
        self.or_show(taken.await)
    }

    /// The secret, for the events of a rotation.
    pub(super) fn secret(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.deployment.names.secret)
    }

    /// As [`Self::with_events`], for work on the rotation of the secret.
    pub(super) async fn with_progress<T>(&self, work: impl AsyncFnOnce(Progress) -> T) -> T {
        self.with_events(async |events| work(Progress { events, address: self.secret() }).await).await
    }

    /// Runs `work` and renders its events as they come.
    pub(super) async fn with_events<T>(&self, work: impl AsyncFnOnce(Events) -> T) -> T {
        with_events(&self.screen, work).await
    }
}

/// Nothing is changed that could not be shown before.
fn check_that_it_was_announced() -> Result<(), Error> {
    if !screen::output_is_incomplete() {
        return Ok(());
    }
    Err(Error::new("what was to be done could not be written to standard output, so it was not done")
        .hint("give standard output the space that it needs, then run the command again"))
}

/// What has to be attended to, and first of all whether the key in use can be used.
pub(super) fn standing(notes: &Notes) -> Vec<Text> {
    unusable_key(notes).into_iter().chain(notes.standing_or_unknown()).collect()
}

/// Why no host can send with AWSCURRENT's key.
pub(super) fn unusable_key(notes: &Notes) -> Option<Text> {
    let found = notes.report.as_ref().and_then(unusable)?;
    Some(found.then(text!["; ", Command::deployer("recover"), " shows what to do"]))
}

/// Runs `work` and renders its events as they come.
pub(super) async fn with_events<T>(screen: &Screen, work: impl AsyncFnOnce(Events) -> T) -> T {
    let (events, mut receiver) = Events::channel();
    let _live = screen.live("working");
    let render = async {
        while let Some(event) = receiver.recv().await {
            screen.event(&event);
        }
    };
    let (outcome, ()) = tokio::join!(work(events), render);
    outcome
}

/// As [`try_connect`], and shows the error.
pub(super) async fn connect(screen: &Screen, region: &str) -> Result<(Aws, Identity), Shown> {
    try_connect(screen, region).await.map_err(|error| show(screen, &error))
}

/// Connects to a region's AWS. Calls that have no answer for long are told.
pub(super) async fn try_connect(screen: &Screen, region: &str) -> Result<(Aws, Identity), Error> {
    // A run may connect to several deployments.
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        if let Some(note) = credentials::profile_that_is_not_used() {
            screen.note(note);
        }
    });
    let told = screen.clone();
    let silence = Silence::new(move |unanswered| told.event(&Event::Unanswered(unanswered)));
    aws::connect(region, &silence).await
}

/// Refuses what a person typed as an access key id and is none. It is not repeated: it may be a secret access key.
pub(super) fn check_key_id(screen: &Screen, flag: &str, typed: &str) -> Result<(), Shown> {
    typed.parse::<AccessKeyId>().map(drop).map_err(|_| {
        let error = Error::new(format!("the value of {flag} is not an access key id"));
        let hint = "an access key id begins with AKIA, and has capital letters and digits only, such as AKIAIOSFODNN7EXAMPLE; ";
        show(screen, &error.hint(text![hint, Command::deployer("status"), " shows those of the user"]))
    })
}
