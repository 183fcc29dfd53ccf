//! What operators, AWS and SES do to a rotation, one test each. A test checks how the rotation ends, and what it must not have
//! done. Then it follows the error's own hint, which has to lead to a rotation that completes. The sandbox watches whether mail
//! works at every instant.

/// Two invocations of one step at once, and two rotations at once.
mod at_once;
mod hosts;
mod keys;
mod labels;
mod people;
mod secret_value;
mod ses;
mod surroundings;
mod upkeep;
