//! Deploys the rotation of Amazon SES SMTP credentials from one YAML file. There is no state file: every command reads
//! AWS.
//!
//! Data flows one way: configuration → names → stack → observe everything → plan → approve →
//! execute → events → screen. ARCHITECTURE.md has the map.

#![cfg_attr(test, expect(unused_crate_dependencies, reason = "some are for the end-to-end tests"))]

pub mod cli;
pub mod config;
mod credentials;

mod answers;
mod aws;
mod changes;
mod commands;
mod date;
mod deployment;
mod digest;
mod doctor;
mod drift;
mod engine;
mod error;
mod exit;
mod interrupt;
mod kinds;
mod lease;
mod leftovers;
mod listed;
mod offers;
mod overview;
mod package;
mod planning;
mod read_once;
mod rotation;
mod saved_plan;
mod screen;
mod sending;
mod sentences;
mod silence;
mod simulation;
mod sizes;
mod stack;
mod status;
mod terraform;
mod would_fail;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod layers;

pub use commands::{command, parse, run, show_mistake_as_json};
