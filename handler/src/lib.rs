//! The Lambda function that rotates an SES SMTP credential, in the four steps of Secrets Manager.
//!
//! Its promise: at every instant the credential that any host may be using works, through any crash,
//! retry, throttling, duplicate invocation or operator action on the secret.
//!
//! - A key that a host may know is protected by a label, `AWSCURRENT`, `AWSPENDING` or our own
//!   `DEPLOYING` and `TOLD`, from the same call on that stores it (`services/secret.rs`).
//! - No key is deleted that could be in use (`decide/keys.rs`), and hosts never see a key that SES has not
//!   accepted (`steps/set_secret.rs`).
//! - A rotation that did not finish is rolled forward with the credential that hosts may have been
//!   told of (`steps/create_secret.rs`).
//!
//! Beside the steps it takes [`contract::Event`]s (`events/`).
//!
//! # The log
//!
//! One JSON object per line on stdout. Every line of a step has `level`, `message`, and, named by
//! the constants in [`contract`], `rotation_id` (the event's `ClientRequestToken`) and `step`
//! (`createSecret`, `setSecret`, `testSecret` or `finishSecret`); `request_id` is Lambda's. Two lines
//! are a contract with the deployer, which looks them up by `rotation_id`:
//!
//! ```json
//! {"level":"INFO","rotation_id":"…","step":"setSecret","message":"step finished","request_id":"…"}
//! {"level":"ERROR","rotation_id":"…","step":"setSecret","error":"HostsFailed","message":"…","refusal":{…},"request_id":"…"}
//! ```
//!
//! Each step ends with exactly one of them, unless the process is killed. `refusal` is the [`contract::Refusal`] as an
//! object. `error` is its kind and also Lambda's `errorType`; `message` is the refusal as one sentence and also Lambda's
//! `errorMessage`.
//!
//! The lines of an event have a field `event` (`report`, `retire`, `leaked` or `upkeep`) instead of `rotation_id` and
//! `step`. An event ends with `event answered` or with a line of an error. To `report`, `retire` and `leaked` a refusal is
//! an answer: the invocation succeeds and returns a [`contract::Answer`]. `upkeep` fails as a step does, so that Lambda's
//! metric `Errors` shows the failure. The lines of an event that cannot be read have none of the three fields.
//!
//! # What the role must allow
//!
//! `deployer/src/deployment/policy.rs` writes the role's policy; `docs/security.md` lists it.

mod date;
mod decide;
mod error;
mod event;
mod events;
mod guard;
mod invocation;
pub mod log;
mod sensitive;
mod serve;
mod services;
mod since;
mod situation;
mod slot;
mod steps;
mod time;

#[cfg(test)]
mod fake_aws;
#[cfg(test)]
mod fake_http;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod simulation;

pub use serve::Handler;
