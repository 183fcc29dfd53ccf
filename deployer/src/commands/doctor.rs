//! `deployer doctor`: whether all that a deployment needs is as it must be, before the first apply and after it. Reads only.

use std::time::SystemTime;

use super::{
    each::read_each_deployment,
    ended::{Done, Shown},
    session::{READING, Session},
};
use crate::{
    cli::Target,
    doctor::{
        facts,
        findings::{Verdict, findings},
    },
    exit::Exit,
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    read_each_deployment(screen, &target.config, async |session: Session| {
        let Session { screen, deployment, aws, identity } = &session;
        let reading = screen.live(READING);
        let facts = Box::pin(facts::read(aws, deployment, identity)).await;
        drop(reading);
        let found = findings(deployment, &facts, SystemTime::now());
        screen.findings(deployment, &found);
        let finds = |verdict: Verdict| found.iter().any(|finding| finding.verdict == verdict);
        if finds(Verdict::Wrong) {
            Err(Shown::FAILED)
        } else if finds(Verdict::Unknown) {
            Err(Shown(Exit::Unread))
        } else {
            Ok(Done::NothingToDo)
        }
    })
    .await
}
