//! `deployer rotate`: rotates the credential now, and waits until it is done.

use crate::{
    cli::Target,
    commands::{Done, Session, Shown, execute::with_events, for_each_deployment},
    credential,
    screen::Screen,
};

pub(super) async fn run(screen: Screen, target: &Target) -> Result<Done, Shown> {
    for_each_deployment(screen, &target.config, async |session: Session| {
        let token = uuid::Uuid::new_v4().to_string();
        let rotated = with_events(&session, async |events| {
            credential::start(&session.aws, &session.deployment, &token).await?;
            credential::watch(&session.aws, &session.deployment, &token, &events).await
        });
        session.fail(rotated.await)?;
        screen.done(&format!("Rotation complete: secret {} has a new credential.", session.deployment.names.secret));
        Ok(Done::Changes)
    })
    .await
}
