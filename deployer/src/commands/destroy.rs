//! `deployer destroy`: deletes what the deployment owns. The same plan, toward absent.

use contract::{Command, text};

use super::{
    approve::Approval,
    each::for_each_deployment,
    ended::{Done, Shown},
    run_plan,
    session::{Prepared, Session},
    watched::stand_still,
};
use crate::{
    cli::{DestroyArgs, Patience},
    deployment::Allowed,
    engine::{
        op::{Effect, Toward},
        plan::Plan,
    },
    error::ErrorKind,
    kinds::event_invoke,
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &DestroyArgs) -> Result<Done, Shown> {
    let toward = Toward::Absent { stop_mail: args.stop_mail };
    let allowed =
        Allowed { stop_mail: args.stop_mail, purge_secret: args.purge_secret.is_some(), ..Allowed::default() };
    let flags = [args.stop_mail.then_some("--stop-mail"), allowed.purge_secret.then_some("--purge-secret")];
    let flags = flags.into_iter().flatten();
    let approval = Approval {
        auto_approve: args.auto_approve,
        delete_leftovers: args.leftovers.delete_leftovers.as_deref(),
        purge_secret: args.purge_secret.as_ref().and_then(Option::as_deref),
        ..Approval::by_yes(&[])
    };
    if let (Some(name), Some(region)) = (&args.name, &args.region) {
        let session = Session::of_record(screen, name, region).await?.allowing(allowed);
        let typed: Vec<_> = ["destroy", "--name", name, "--region", region].into_iter().chain(flags).collect();
        let approval = Approval { typed: &typed, answer: name, ..approval };
        let plan = async || session.plan_of_record(toward).await;
        return destroy(&session, plan, &approval, args.patience).await;
    }
    let typed: Vec<_> = std::iter::once("destroy").chain(flags).collect();
    let approval = Approval { typed: &typed, ..approval };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        let session = session.allowing(allowed);
        destroy(&session, async || session.plan(toward).await, &approval, args.patience).await
    })
    .await
}

/// Destroys one deployment by the plan that `plan` makes.
pub(super) async fn destroy(
    session: &Session,
    plan: impl AsyncFn() -> Result<Prepared, Shown>,
    approval: &Approval<'_>,
    patience: Patience,
) -> Result<Done, Shown> {
    let nothing = async |_: &Plan, _: &str| Ok(());
    let plan = async || prepare(session, &plan).await;
    let executed = run_plan::run(session, plan, approval, patience.lease_timeout, nothing).await?;
    if executed.done == Done::Changes {
        let [.., destroyed] = executed.plan.counts();
        let region = session.deployment.names.region();
        let next = text![Command::complete(&["list", "--region", region]), " shows the deployments that are left"];
        if let Some(with) = event_invoke::goes_with_its_function(&executed.plan) {
            session.screen.note(with);
        }
        if executed.plan.has(Effect::HidesSecret) && !executed.plan.has(Effect::PurgesSecret) {
            session.screen.note("until its recovery window ends, an apply of the file restores the secret");
        }
        session.screen.complete(&format!("Destroy complete: {destroyed} destroyed"), executed.took, &next);
    }
    Ok(executed.done)
}

/// Plans. A step that runs is waited for: without the function's role it could not store the key that it has just made. A rotation of
/// which no step runs ends with the deployment.
async fn prepare(session: &Session, plan: impl AsyncFn() -> Result<Prepared, Shown>) -> Result<Prepared, Shown> {
    let prepared = plan().await?;
    if !prepared.plan.disturbs_a_rotation() {
        return Ok(prepared);
    }
    match stand_still(session).await {
        Err(error) if error.kind() == ErrorKind::Denied => {
            session.screen.note(format!("whether a step of the rotation runs is not known: {}", error.in_one_line()));
        }
        stands => session.or_show(stands).map(drop)?,
    }
    plan().await
}
