//! One file per kind of AWS resource, with everything about it. ARCHITECTURE.md says how to add one.

pub(crate) mod alarm;
pub(crate) mod document;
pub(crate) mod event_invoke;
pub(crate) mod function;
pub(crate) mod hosts;
pub(crate) mod iam;
pub(crate) mod instance_access;
pub(crate) mod log_group;
mod network_interfaces;
pub(crate) mod permissions;
pub(crate) mod powers;
pub(crate) mod record;
mod referenced;
pub(crate) mod referenced_role;
pub(crate) mod referenced_secret;
pub(crate) mod referenced_user;
pub(crate) mod resource_policy;
pub(crate) mod role;
pub(crate) mod rotation;
pub(crate) mod secret;
pub(crate) mod secret_policy;
pub(crate) mod sender;
pub(crate) mod topic;
pub(crate) mod upkeep;
pub(crate) mod user;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
