//! `deployer status`: what is there, what differs, and how the rotation stands.

use crate::{
    cli::Target,
    commands::{Done, Session, Shown, for_each_deployment},
    kind::Toward,
    screen::Screen,
    status,
};

pub(super) async fn run(screen: Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let plan = session.plan(Toward::Present).await?;
        let status = session.fail(status::read(&session.aws, &session.deployment, &plan).await)?;
        screen.status(&session.deployment, &status);
        Ok(Done::NothingToDo)
    })
    .await
}
