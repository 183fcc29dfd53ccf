//! What goes wrong around a rotation, one test each: how it ends, what it must not have done, and that its error's own hint
//! leads to a rotation that completes. Whether mail worked at every instant is watched by the sandbox.

/// Two at once: steps, and rotations.
mod at_once;
/// Hosts that are offline, and scripts that fail.
mod hosts;
/// The user's access keys, as others change and use them.
mod keys;
/// Labels that an operator moves, and versions that are tried with a new token.
mod labels;
/// What others write into the secret.
mod secret_value;
/// SES that refuses, waits, or is down.
mod ses;
/// What a rotation depends on beside keys, labels, hosts and SES.
mod surroundings;
/// The daily rule, and who is told of what.
mod upkeep;
