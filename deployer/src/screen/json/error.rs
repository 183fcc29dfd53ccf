//! What failed, or is wrong in the file.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::text_line::TextLine;
use crate::{
    config::{Code, Problem},
    engine::op::Address,
    error::{Error, ErrorKind},
};

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::screen) enum AnyError<'a> {
    Failure(ErrorLine<'a>),
    Problem(ProblemLine<'a>),
}

/// What failed.
#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct ErrorLine<'a> {
    /// The sort of error.
    kind: ErrorKind,
    /// The resource that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a Address>,
    message: &'a str,
    cause: Option<String>,
    /// AWS's error code, or the function's.
    code: Option<&'a str>,
    /// What to do next.
    hints: Vec<TextLine>,
}

impl<'a> ErrorLine<'a> {
    pub(super) fn new(error: &'a Error, config: Option<&str>) -> Self {
        Self {
            kind: error.kind(),
            address: None,
            message: &error.what,
            cause: error.cause.as_ref().map(ToString::to_string),
            code: error.code(),
            hints: TextLine::all(&error.hints, config),
        }
    }

    pub(super) fn of_resource(self, address: &'a Address) -> Self {
        Self { address: Some(address), ..self }
    }
}

/// A mistake in the configuration.
#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct ProblemLine<'a> {
    kind: ProblemKind,
    pub(in crate::screen) code: Code,
    /// The file or folder, as CONFIG names it.
    pub(in crate::screen) file: Cow<'a, str>,
    /// From 1; null if the mistake is about the file as a whole.
    pub(in crate::screen) line: Option<usize>,
    /// In characters, from 1; null if the mistake is about the file as a whole.
    pub(in crate::screen) column: Option<usize>,
    pub(in crate::screen) message: &'a str,
    /// What to write instead.
    pub(in crate::screen) hint: &'a str,
}

/// By which a mistake is told from other errors.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ProblemKind {
    Configuration,
}

impl<'a> ProblemLine<'a> {
    pub(in crate::screen) fn new(Problem { code, message, place, hint, .. }: &'a Problem) -> Self {
        let spot = place.spot.as_ref();
        Self {
            kind: ProblemKind::Configuration,
            code: *code,
            file: place.file.to_string_lossy(),
            line: spot.map(|spot| spot.line),
            column: spot.map(|spot| spot.column),
            message,
            hint,
        }
    }
}
