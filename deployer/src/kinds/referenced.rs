//! What the kinds share whose resources the file declares existing: the deployment may have made such a resource before.

use contract::{Command, Text, text};

use crate::engine::op::Address;

/// What an apply does to a resource that the deployment owns, and that the file declares existing now.
pub(super) fn is_handed_over(address: &Address) -> Text {
    text![
        format!(
            "this deployment owns {address}, and the file declares it existing: it is yours from this apply on. The apply takes the deployment's tags off, and "
        ),
        Command::deployer("destroy"),
        " leaves it"
    ]
}
