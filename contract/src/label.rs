//! The staging labels of the secret's versions.

/// AWS's label of the version in use.
pub const AWSCURRENT: &str = "AWSCURRENT";

/// AWS's label of the version that is being rotated to.
pub const AWSPENDING: &str = "AWSPENDING";

/// AWS's label of the version that was in use before.
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";

/// Our own label: the newest version that any host may have been told of.
///
/// `createSecret` sets it together with AWSPENDING, in one call. It goes on protecting that version's key after an operator
/// has cleared a stuck AWSPENDING.
pub const DEPLOYING: &str = "DEPLOYING";

/// Our own label: the newest version that *every* host has confirmed; without hosts, that SES has accepted.
///
/// `setSecret` sets it last of all. `finishSecret` moves AWSCURRENT to no other version, and no key is retired while it names
/// another key than AWSCURRENT.
pub const TOLD: &str = "TOLD";

/// Our own label: the version that `finishSecret` has made current.
///
/// A version that carries it and is not AWSCURRENT was current once, and somebody has moved AWSCURRENT away from it. AWSPREVIOUS
/// says that only until the next change.
pub const DONE: &str = "DONE";
