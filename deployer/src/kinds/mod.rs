//! One file per kind of AWS resource, with everything about it.

pub(crate) mod document;
pub(crate) mod function;
mod iam;
pub(crate) mod instance_access;
pub(crate) mod log_group;
pub(crate) mod permissions;
pub(crate) mod role;
pub(crate) mod rotation;
pub(crate) mod secret;
pub(crate) mod sender;
pub(crate) mod topic;
pub(crate) mod upkeep;
pub(crate) mod user;
