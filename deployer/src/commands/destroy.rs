//! `deployer destroy`: deletes what the deployment owns. The same plan, toward absent.

use super::{
    approve::Approval,
    run_plan,
    session::{Done, Prepared, Session, Shown, for_each_deployment},
};
use crate::{
    cli::DestroyArgs,
    engine::{op::Toward, plan::Plan},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &DestroyArgs) -> Result<Done, Shown> {
    let toward = Toward::Absent { stop_mail: args.stop_mail };
    let stopping = args.stop_mail.then_some("--stop-mail");
    let delete_leftovers = args.leftovers.delete_leftovers.as_deref();
    if let (Some(name), Some(region)) = (&args.name, &args.region) {
        let session = Session::of_record(screen, name, region).await?;
        let typed: Vec<_> = ["destroy", "--name", name, "--region", region].into_iter().chain(stopping).collect();
        let approval = Approval { typed: &typed, answer: name, auto_approve: args.auto_approve, delete_leftovers };
        let plan = async || session.plan_of_record(toward).await;
        return destroy(&session, plan, &approval, args).await;
    }
    let typed: Vec<_> = std::iter::once("destroy").chain(stopping).collect();
    let approval = Approval { typed: &typed, answer: "yes", auto_approve: args.auto_approve, delete_leftovers };
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        destroy(&session, async || session.plan(toward).await, &approval, args).await
    })
    .await
}

async fn destroy(
    session: &Session,
    plan: impl AsyncFn() -> Result<Prepared, Shown>,
    approval: &Approval<'_>,
    args: &DestroyArgs,
) -> Result<Done, Shown> {
    let nothing = async |_: &Plan, _: &str| Ok(());
    let executed = run_plan::run(session, plan, approval, args.patience.lease_timeout, nothing).await?;
    if executed.done == Done::Changes {
        let [.., destroyed] = executed.plan.counts();
        session.screen.done(&format!("Destroy complete: {destroyed} destroyed."));
    }
    Ok(executed.done)
}
