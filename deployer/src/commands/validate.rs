//! `deployer validate`: checks the configuration without one AWS call.

use super::session::{Done, Shown, load};
use crate::{cli::Target, screen::Screen};

pub(super) fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    let configs = load(screen, &target.config)?;
    for config in &configs {
        let (name, region) = (&config.name, &config.region);
        screen.of_deployment(name, region).done(&format!("{} is valid: {name} in {region}", target.config.display()));
    }
    Ok(Done::NothingToDo)
}
