//! The function's executable: makes the clients once, then serves.
#![expect(unused_crate_dependencies, reason = "they are the library's")]

use handler::{Handler, log};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::start(std::env::var(contract::variable::LOG_LEVEL).ok().as_deref());
    let handler = Handler::from_environment().await;
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| handler.handle(event))).await
}
