//! `deployer status`: what is there, what differs, and how the rotation stands.

use super::session::{Done, READING, Session, Shown, for_each_deployment};
use crate::{cli::Target, exit::Exit, screen::Screen, status};

pub(super) async fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let reading = session.screen.live(READING);
        let status = status::read(&session.aws, &session.deployment).await;
        drop(reading);
        session.screen.status(&session.deployment, &status);
        match Exit::of_reading(&status.unread) {
            Exit::Success => Ok(Done::NothingToDo),
            exit => Err(Shown(exit)),
        }
    })
    .await
}
