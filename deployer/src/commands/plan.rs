//! `deployer plan`: shows what `apply` or `destroy` would do, and saves it for a later `apply`.

use std::path::Path;

use contract::{Command, Text, text};

use super::{
    each::{read_each_deployment, say_what_the_files_tell},
    ended::{Done, Shown, show},
    run_plan::check_purge,
    session::{Prepared, Session},
};
use crate::{
    cli::PlanArgs,
    date,
    deployment::Allowed,
    engine::op::Toward,
    error::Error,
    saved_plan::{self, Reviewed, SavedPlan},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &PlanArgs) -> Result<Done, Shown> {
    let toward = if args.destroy { Toward::Absent { stop_mail: args.stop_mail } } else { Toward::Present };
    if let Some(out) = &args.out {
        saved_plan::check_may_be_written(out).map_err(|error| show(screen, &error))?;
        saved_plan::check_can_be_read_again(&args.target.config).map_err(|error| show(screen, &error))?;
    }
    let purged = args.purge_secret.as_ref().and_then(Option::as_deref);
    if args.out.is_some() && args.purge_secret.is_some() && purged.is_none() {
        let error = Error::new("--purge-secret has no name, and nobody is asked for it when the saved plan runs");
        return Err(show(screen, &error.hint("with --out, write --purge-secret=SECRET")));
    }
    if toward == Toward::Present {
        say_what_the_files_tell(screen, &args.target.config);
    }
    let allowed = Allowed { stop_mail: args.stop_mail, purge_secret: args.purge_secret.is_some(), adopt: args.adopt };
    let mut planned = Vec::new();
    let done = read_each_deployment(screen, &args.target.config, async |session: Session| {
        let session = session.allowing(allowed);
        let prepared = session.plan(toward).await?.check_its_rotation(&session)?;
        if purged.is_some() {
            session.or_show(check_purge(&prepared.plan, purged))?;
        }
        if !args.markdown {
            session.screen.plan(&session.deployment, &session.identity, &prepared.plan);
            if prepared.plan.deletes_most_of_the_record && toward == Toward::Present {
                session.screen.note(asks_for_the_name(args, &session.deployment.config.name));
            }
        }
        let done = if prepared.plan.is_empty() { Done::NothingToDo } else { Done::Differences };
        planned.push((session, prepared));
        Ok(done)
    })
    .await;
    if args.markdown {
        let plans = planned.iter().map(|(session, it)| (&*session.deployment, &session.identity, &it.plan));
        screen.markdown(&plans.collect::<Vec<_>>());
    }
    // Only a whole plan is saved.
    let done = done?;
    if let Some(out) = &args.out {
        let reviewed = planned.into_iter().map(reviewed).collect();
        let saved = SavedPlan::new(&args.target.config, allowed, purged, reviewed);
        saved.write(out).map_err(|error| show(screen, &error))?;
        say_how_to_apply(screen, out);
    }
    Ok(done)
}

/// What `apply` asks for before it runs such a plan, and the command that runs it without a question.
fn asks_for_the_name(args: &PlanArgs, name: &str) -> Text {
    let flags = [(args.stop_mail, "--stop-mail"), (args.adopt, "--adopt")];
    let flags = flags.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag);
    let words: Vec<_> =
        std::iter::once("apply").chain(flags).chain(["--auto-approve", "--delete-leftovers", name]).collect();
    text![
        "this plan deletes most of what the record names, so apply asks for the name of the deployment; without a question, ",
        Command::words(&words),
        " runs it"
    ]
}

fn reviewed((session, prepared): (Session, Prepared)) -> Reviewed {
    let function = prepared.function().map(str::to_owned);
    Reviewed::new(&session.deployment.config, &session.identity, date::now(), function, prepared.plan)
}

fn say_how_to_apply(screen: &Screen, out: &Path) {
    let path = out.display().to_string();
    let apply = Command::complete(&["apply", &path]);
    screen.note(text![format!("saved the plan to {path}; "), apply, " runs only what is in it, and asks nobody"]);
}
