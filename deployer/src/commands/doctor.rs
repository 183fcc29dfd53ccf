//! `deployer doctor`: whether all that a deployment needs is as it must be, before the first apply and after it. Reads only.

use std::time::SystemTime;

use super::session::{Done, Session, Shown, for_each_deployment};
use crate::{
    cli::Target,
    doctor::{facts, findings::findings},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let Session { screen, deployment, aws, identity } = &session;
        let facts = Box::pin(facts::read(aws, deployment, identity)).await;
        let found = findings(deployment, &facts, SystemTime::now());
        screen.findings(deployment, &found);
        let is_bad = found.iter().any(|finding| finding.verdict.is_bad());
        if is_bad { Err(Shown::FAILED) } else { Ok(Done::NothingToDo) }
    })
    .await
}
