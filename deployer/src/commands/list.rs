//! `deployer list`: the deployments of a region, as their records and secrets have them.

use super::session::{Done, Shown, connect, show_all};
use crate::{cli::ListArgs, screen::Screen, status};

pub(super) async fn run(screen: &Screen, ListArgs { region }: &ListArgs) -> Result<Done, Shown> {
    let (aws, _) = connect(screen, region).await?;
    let (listed, unread) = status::list(&aws).await.map_err(|error| show_all(screen, &[error]))?;
    screen.list(region, &listed);
    if unread.is_empty() {
        return Ok(Done::NothingToDo);
    }
    Err(show_all(screen, &unread))
}
