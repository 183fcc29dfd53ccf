//! `deployer status`: what is there, what differs, and how the rotation stands.

use std::time::SystemTime;

use contract::Report;

use super::{
    each::read_each_deployment,
    ended::{Done, Shown},
    session::{READING, Session},
};
use crate::{
    cli::Target,
    exit::Exit,
    overview::{Safety, overview},
    screen::Screen,
    status,
};

pub(super) async fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    read_each_deployment(screen, &target.config, async |session: Session| {
        let reading = session.screen.live(READING);
        let status = status::read(&session.aws, &session.deployment).await;
        drop(reading);
        let keep_inactive = status.report.as_ref().and_then(Report::keep_inactive);
        let keep_inactive = keep_inactive.unwrap_or(session.deployment.config.rotation.keep_inactive);
        let overview = overview(&status, keep_inactive, SystemTime::now());
        session.screen.status(&session.deployment, &status, &overview);
        match Exit::of_reading(&status.unread) {
            Exit::Success if overview.mail_is_safe == Safety::Yes => Ok(Done::NothingToDo),
            Exit::Success => Ok(Done::Differences),
            exit => Err(Shown(exit)),
        }
    })
    .await
}
