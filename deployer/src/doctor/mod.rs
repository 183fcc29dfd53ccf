//! Whether everything that a deployment needs is as it must be: before the first apply and after it. Reads only.
//!
//! [`facts`] reads, [`permissions`] asks IAM what the caller may do, and [`findings`] decides; only the first two call AWS.

pub(crate) mod facts;
pub(crate) mod findings;
mod permissions;
