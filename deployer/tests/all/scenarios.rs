//! What goes wrong around a rotation, one test each: how it ends, what it must not have done, and that its error's own hint
//! leads to a rotation that completes. Whether mail worked at every instant is watched by the sandbox.

mod at_once;
mod hosts;
mod keys;
mod labels;
mod secret_value;
mod ses;
mod surroundings;
mod upkeep;
