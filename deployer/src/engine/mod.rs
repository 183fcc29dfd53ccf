//! How resources are observed, planned and brought to their goal, whatever they are.

pub(crate) mod events;
pub(crate) mod eventually;
pub(crate) mod execute;
pub(crate) mod kind;
pub(crate) mod plan;
pub(crate) mod tags;
