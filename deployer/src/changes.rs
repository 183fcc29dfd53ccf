//! Whether this process has asked AWS to change something. An interrupt says that nothing was changed only if it has not.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef, dyn_dispatch_hint},
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

static BEGUN: AtomicBool = AtomicBool::new(false);

/// Says that a call which may change something is about to be sent.
pub(crate) fn begin() {
    BEGUN.store(true, Ordering::SeqCst);
}

/// Whether such a call was sent.
pub(crate) fn have_begun() -> bool {
    BEGUN.load(Ordering::SeqCst)
}

/// Watches the calls of a client.
#[derive(Debug)]
pub(crate) struct Changes;

#[dyn_dispatch_hint]
impl Intercept for Changes {
    fn name(&self) -> &'static str {
        "Changes"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if config.load::<Metadata>().is_none_or(|call| !only_reads(call.name())) {
            begin();
        }
        Ok(())
    }
}

/// Whether a call changes nothing, by AWS's name of it. Most invocations of the function ask for its report: whoever invokes it for
/// a change says so with [`begin`].
fn only_reads(call: &str) -> bool {
    ["Describe", "Filter", "Get", "List", "Simulate"].iter().any(|verb| call.starts_with(verb)) || call == "Invoke"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_known_to_read_is_a_change() {
        for call in ["GetUser", "ListSecrets", "DescribeSecret", "SimulatePrincipalPolicy", "FilterLogEvents", "Invoke"]
        {
            assert!(only_reads(call), "{call}");
        }
        for call in ["PutParameter", "RotateSecret", "UpdateSecretVersionStage", "DeleteAccessKey", "SendCommand", ""] {
            assert!(!only_reads(call), "{call}");
        }
    }
}
