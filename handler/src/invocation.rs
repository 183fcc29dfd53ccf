//! What every part of one invocation works with.

use contract::Settings;

use crate::{aws::Clients, time::TimeLimit};

/// The clients, the settings and the time of one invocation, whatever it is for.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The clients.
    pub clients: &'a Clients,
    /// What the deployer told the function.
    pub settings: &'a Settings,
    /// The time that there is.
    pub time: TimeLimit,
}
