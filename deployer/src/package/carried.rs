//! The functions that a released deployer carries, so that whoever has the program needs nothing else.

use crate::config::Architecture;

/// A function that is part of this program.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) architecture: Architecture,
    /// Of the sources that it was built from: equal to what a checkout of them has.
    pub(super) source_digest: &'static str,
    /// As it is uploaded.
    pub(super) zip: &'static [u8],
}

/// Empty unless `DEPLOYER_FUNCTIONS` named a folder when this program was built (`build.rs`).
pub(super) static ALL: &[Carried] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The function for an architecture.
pub(super) fn find(functions: &'static [Carried], architecture: Architecture) -> Option<&'static Carried> {
    functions.iter().find(|function| function.architecture == architecture)
}
