//! `deployer validate`: checks the configuration without one AWS call.

use super::{
    each::{load, say_what_hosts_share},
    ended::{Done, Shown},
};
use crate::{
    cli::{Format, ValidateArgs},
    screen::Screen,
};

pub(super) fn run(screen: &Screen, ValidateArgs { target, format }: &ValidateArgs) -> Result<Done, Shown> {
    let annotating = match format {
        Format::Text => screen.clone(),
        Format::Github => screen.annotating(),
    };
    let configs = load(&annotating, &target.config)?;
    for config in &configs {
        let (name, region) = (&config.name, &config.region);
        screen.of_deployment(name, region).done(&format!("{} is valid: {name} in {region}", target.config.display()));
    }
    say_what_hosts_share(screen, &configs);
    Ok(Done::NothingToDo)
}
