//! `deployer status`: what is there, what differs, and how the rotation stands.

use crate::{
    cli::Target,
    commands::{Done, Session, Shown, for_each_deployment},
    screen::Screen,
    status,
};

pub(super) async fn run(screen: Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let status = status::read(&session.aws, &session.deployment).await;
        screen.status(&session.deployment, &status);
        if !status.unread.is_empty() {
            return Err(Shown);
        }
        Ok(Done::NothingToDo)
    })
    .await
}
