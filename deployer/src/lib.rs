//! Deploys the rotation of Amazon SES SMTP credentials from one YAML file. No state file: AWS
//! itself is the truth.
//!
//! Data flows one way: configuration → names → stack → observe everything → plan → approve →
//! execute → events → screen. ARCHITECTURE.md has the map.

#![cfg_attr(test, expect(unused_crate_dependencies, reason = "some are for the end-to-end tests"))]

pub mod cli;
pub mod config;

mod aws;
mod commands;
mod credential;
mod error;
mod events;
mod eventually;
mod execute;
mod facts;
mod kind;
mod names;
mod package;
mod plan;
mod policy;
mod remedy;
mod report;
mod screen;
mod stack;
mod status;
mod tags;

pub use commands::run;
