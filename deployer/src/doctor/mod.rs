//! Whether everything that a deployment needs is as it must be: before the first apply and after it. Reads only.
//!
//! [`facts`] reads, and asks IAM what the caller may do; [`findings`] decides, and calls nothing.

pub(crate) mod facts;
pub(crate) mod findings;
