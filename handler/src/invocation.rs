//! What every part of one invocation works with.

use contract::Settings;

use crate::{event::Request, services::aws::Clients, time::TimeLimit};

/// The clients, the settings and the time of one invocation, whatever it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) clients: &'a Clients,
    /// What the deployer told the function.
    pub(crate) settings: &'a Settings,
    /// The time that there is.
    pub(crate) time: TimeLimit,
}

/// Everything that a step works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation<'a> {
    /// What every part of the invocation works with.
    pub(crate) invocation: Invocation<'a>,
    /// What Secrets Manager asks for.
    pub(crate) request: &'a Request,
}
