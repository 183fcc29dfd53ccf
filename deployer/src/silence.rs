//! Says which AWS call has had no answer for a while: a silent endpoint and a slow one look the same to a person who waits.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef, dyn_dispatch_hint},
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use tokio::task::AbortHandle;

/// Longer than a call usually takes, its retries included.
const TOLD_AFTER: Duration = Duration::from_secs(8);

/// A call without an answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// The SDK's names: `STS:GetCallerIdentity`.
    pub(crate) call: String,
    /// Scheme and host.
    pub(crate) endpoint: String,
    /// For how long there has been no answer.
    pub(crate) waited: Duration,
}

/// Watches the calls of a client.
#[derive(Clone)]
pub(crate) struct Silence(Arc<dyn Fn(Unanswered) + Send + Sync>);

impl Silence {
    /// `tell` is called once for each call that takes long.
    pub(crate) fn new(tell: impl Fn(Unanswered) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells of something, unless what is returned is dropped before.
    pub(crate) fn watch(&self, call: String, endpoint: String) -> Waiting {
        let (tell, began) = (Arc::clone(&self.0), SystemTime::now());
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(TOLD_AFTER).await;
            tell(Unanswered { call, endpoint, waited: began.elapsed().unwrap_or(TOLD_AFTER) });
        });
        Waiting(waiting.abort_handle())
    }
}

impl fmt::Debug for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Silence")
    }
}

/// What will tell of a call, unless the call ends before.
#[derive(Debug)]
pub(crate) struct Waiting(AbortHandle);

impl Storable for Waiting {
    type Storer = StoreReplace<Self>;
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[dyn_dispatch_hint]
impl Intercept for Silence {
    fn name(&self) -> &'static str {
        "Silence"
    }

    /// Before each attempt; only the first one counts, since the person waits for all of them.
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if config.load::<Waiting>().is_some() {
            return Ok(());
        }
        let call = config.load::<Metadata>().map_or_else(String::new, |it| format!("{}:{}", it.service(), it.name()));
        let endpoint = origin(context.request().uri()).to_owned();
        // It is dropped with the call.
        config.interceptor_state().store_put(self.watch(call, endpoint));
        Ok(())
    }
}

/// `https://sts.eu-west-1.amazonaws.com` of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?']).map_or(url, |end| &url[..host + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_told_without_the_path() {
        assert_eq!(origin("https://sts.eu-west-1.amazonaws.com/"), "https://sts.eu-west-1.amazonaws.com");
        assert_eq!(origin("http://127.0.0.1:4566/x?y=z"), "http://127.0.0.1:4566");
        assert_eq!(origin("http://127.0.0.1:4566"), "http://127.0.0.1:4566");
    }
}
