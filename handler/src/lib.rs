//! The Lambda function that rotates an SES SMTP credential, in the four steps of Secrets Manager.
//!
//! Its promise: at every instant the credential that any host may be using works, through any crash,
//! retry, throttling, duplicate invocation or operator action on the secret.
//!
//! - A key that a host may know is protected by a label, `AWSCURRENT`, `AWSPENDING` or our own
//!   `DEPLOYING`, from the same call on that stores it ([`secret::store`]).
//! - No key goes that could be in use ([`keys`]), and hosts never see a key that SES has not
//!   accepted ([`set_secret`]).
//! - A rotation that did not finish is rolled forward with the credential that hosts may have been
//!   told of ([`create_secret`]).
//!
//! Beside the steps it answers [`contract::Event`]s: [`report`], [`retire`], [`end_grace`] and [`upkeep`].
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
//! {"level":"ERROR","rotation_id":"…","step":"setSecret","error":"HostsFailed","message":"…","request_id":"…"}
//! ```
//!
//! Each step ends with exactly one of them, unless the process is killed. `error` is
//! [`error::Error::kind`] and also Lambda's `errorType`; `message` is the error's text and also
//! Lambda's `errorMessage`. What is asked for beside the steps
//! has a field `event` (`report`, `retire`, `end_grace` or `upkeep`) instead of `rotation_id` and `step`; it ends with
//! `event answered` or with its error. What cannot be read has none of the three.
//!
//! # What the role must allow
//!
//! | action | resource |
//! |---|---|
//! | `secretsmanager:DescribeSecret`, `GetSecretValue`, `PutSecretValue`, `UpdateSecretVersionStage` | the secret |
//! | `kms:Decrypt`, `kms:GenerateDataKey` | the secret's key, if it is a customer-managed one |
//! | `iam:GetUser`, `ListAccessKeys`, `CreateAccessKey` | the user |
//! | `iam:GetAccessKeyLastUsed`, `UpdateAccessKey`, `DeleteAccessKey` | the user; with two keys, to retire one, or to take one back |
//! | `ssm:DescribeInstanceInformation`, `GetCommandInvocation` | `*`, as neither takes another; with hosts only |
//! | `ssm:SendCommand` | the document and the instances; with hosts only |
//! | `sns:Publish` | the topic; with a topic only |
//! | `logs:CreateLogStream`, `PutLogEvents` | the function's log group; used by Lambda itself |

pub mod aws;
pub mod create_secret;
pub mod credential;
pub mod end_grace;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod finish_secret;
pub mod host;
pub mod invocation;
pub mod keys;
pub mod log;
pub mod notify;
pub mod overdue;
pub mod report;
pub mod retire;
pub mod rotation;
pub mod secret;
/// Secrets that cannot be printed by mistake, and texts of others without them.
pub mod sensitive;
pub mod set_secret;
pub mod situation;
pub mod slot;
pub mod smtp;
pub mod test_secret;
pub mod time;
pub mod upkeep;
pub mod user;

#[cfg(test)]
mod fake_aws;
mod serve;

pub use serve::Handler;
