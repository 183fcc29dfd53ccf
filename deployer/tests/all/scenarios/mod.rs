//! What operators, AWS and SES do to a rotation, one test each. A test checks how the rotation ends, and what it must not have
//! done. Then it follows the error's own hint, which has to lead to a rotation that completes. The sandbox watches whether mail
//! works at every instant.

/// Two invocations of one step at once, and two rotations at once.
mod at_once;
/// Hosts that are offline, and scripts that fail.
mod hosts;
/// The user's access keys, as others change and use them.
mod keys;
/// Labels that an operator moves, and versions that are tried with a new token.
mod labels;
/// What people do to the secret, its labels and the function, beyond a single mistake.
mod people;
/// What others write into the secret.
mod secret_value;
/// SES that refuses, waits, or is down.
mod ses;
/// What a rotation depends on beside keys, labels, hosts and SES.
mod surroundings;
/// The daily rule, and who is told of what.
mod upkeep;
