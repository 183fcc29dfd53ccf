//! The credential's rotation as the deployer sees it: labels, the function's log and answers, and what is wrong. Never a
//! secret's value.

pub(crate) mod diagnosis;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod function;
pub(crate) mod labels;
pub(crate) mod log;
pub(crate) mod retirement;
pub(crate) mod watch;
