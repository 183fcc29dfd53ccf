//! The decisions, pure: they read no clock, call no service, and know no SDK and none of our errors.

pub(crate) mod keys;
pub(crate) mod overdue;
pub(crate) mod settled;
pub(crate) mod told_hosts;
