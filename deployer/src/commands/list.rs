//! `deployer list`: the deployments of a region, as their records and secrets have them.

use contract::{Command, text};

use super::{
    ended::{Done, Shown, show, show_all},
    session::connect,
};
use crate::{aws, cli::ListArgs, config, error::Error, listed, screen::Screen};

pub(super) async fn run(screen: &Screen, ListArgs { region }: &ListArgs) -> Result<Done, Shown> {
    let region = &match region {
        Some(region) => region.clone(),
        None => own_region().await.map_err(|error| show(screen, &error))?,
    };
    let (aws, _) = connect(screen, region).await?;
    let (listed, unread) = listed::list(&aws).await.map_err(|error| show_all(screen, &[error]))?;
    if unread.is_empty() || !listed.is_empty() {
        screen.list(region, &listed);
    }
    if unread.is_empty() {
        return Ok(Done::NothingToDo);
    }
    Err(show_all(screen, &unread))
}

/// The region that the AWS CLI would use too.
async fn own_region() -> Result<String, Error> {
    let hint = || text![Command::complete(&["list", "--region", "REGION"]), " names it"];
    let Some(region) = aws::own_region().await else {
        return Err(Error::new(
            "no region is given, and neither AWS_REGION, AWS_DEFAULT_REGION nor the profile has one",
        )
        .hint(hint()));
    };
    let checked = region.parse::<config::Region>().map(|region| region.to_string());
    checked.map_err(|why| {
        Error::new(format!("the region that the environment or the profile names is not valid: {why}")).hint(hint())
    })
}
