//! How resources of every kind are planned and executed.

pub(crate) mod erased;
pub(crate) mod events;
pub(crate) mod eventually;
pub(crate) mod execute;
pub(crate) mod kind;
pub(crate) mod op;
pub(crate) mod owned;
pub(crate) mod plan;
pub(crate) mod tags;

#[cfg(test)]
mod tests;
