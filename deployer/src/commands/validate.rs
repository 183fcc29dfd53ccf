//! `deployer validate`: checks the configuration without one AWS call.

use super::session::{Done, Shown, load};
use crate::{cli::Target, screen::Screen};

pub(super) fn run(screen: &Screen, target: &Target) -> Result<Done, Shown> {
    let configs = load(screen, &target.config)?;
    let names: Vec<_> = configs.iter().map(|config| format!("{} in {}", config.name, config.region)).collect();
    screen.done(&format!("{} is valid: {}", target.config.display(), names.join(", ")));
    Ok(Done::NothingToDo)
}
