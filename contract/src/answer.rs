use serde::{Deserialize, Serialize};

use crate::Refusal;

/// What the function returns to an event that the deployer asks: a refusal is an answer, too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// What was asked for.
    Done(T),
    /// Why it was not done.
    Refused(Refusal),
}
