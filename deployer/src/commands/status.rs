//! `deployer status`: what is there, what differs, and how the rotation stands.

use super::session::{Done, Session, Shown, for_each_deployment};
use crate::{cli::Target, screen::Screen, status};

pub(super) async fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let status = status::read(&session.aws, &session.deployment).await;
        session.screen.status(&session.deployment, &status);
        if status.unread.is_empty() { Ok(Done::NothingToDo) } else { Err(Shown::FAILED) }
    })
    .await
}
