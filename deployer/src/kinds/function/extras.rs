//! What others can attach to a function, beside its code and its configuration: an apply takes it away.

use serde_json::Value;

use super::call::Call;
use crate::engine::op::{Op, Verb};

/// What others can attach to a function, and we never do.
#[derive(Debug, Default, PartialEq)]
pub(in crate::kinds) struct Extras {
    /// The reserved concurrency. With 0 nothing can invoke the function.
    pub(super) concurrency: Option<i32>,
    /// The ARN of a code-signing configuration, which may refuse our code.
    pub(super) code_signing: Option<String>,
    /// Through these, whoever reaches the URL may invoke the function.
    pub(super) urls: Vec<FunctionUrl>,
}

#[derive(Debug, PartialEq)]
pub(super) struct FunctionUrl {
    pub(super) url: String,
    /// The alias that it invokes.
    pub(super) alias: Option<String>,
}

/// First of all: a URL is open to others, and a code-signing configuration may refuse the code that is uploaded next.
pub(super) fn remove_extras(extras: &Extras) -> Vec<(Op, Call)> {
    let op = |call, field, from: Option<Value>| Op::new(Verb::Update, call).with(field, from, None);
    let urls = extras.urls.iter().map(|FunctionUrl { url, alias }| {
        let delete = op("lambda:DeleteFunctionUrlConfig", "url", Some(url.as_str().into()));
        (delete, Call::DeleteUrl(alias.clone()))
    });
    let signing = extras.code_signing.iter().map(|arn| {
        let delete = op("lambda:DeleteFunctionCodeSigningConfig", "code_signing", Some(arn.as_str().into()));
        (delete, Call::DeleteCodeSigning)
    });
    let concurrency = extras.concurrency.iter().map(|reserved| {
        let delete = op("lambda:DeleteFunctionConcurrency", "reserved_concurrency", Some((*reserved).into()));
        (delete, Call::DeleteConcurrency)
    });
    urls.chain(signing).chain(concurrency).collect()
}
