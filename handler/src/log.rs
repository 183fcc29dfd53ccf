//! One JSON object per line on stdout. Lambda puts each line into CloudWatch Logs, which stamps it
//! with the time.

use std::{fmt, io::Write as _};

use contract::{LOG_FIELD_LEVEL, LOG_FIELD_MESSAGE, LOG_FIELD_REFUSAL, printable_json};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Registry},
};

/// Starts logging. `level` is the text of `LOG_LEVEL`; without one, or with one that is none, `info`.
pub fn start(level: Option<&str>) {
    let write = |line: &str| {
        let mut stdout = std::io::stdout().lock();
        // A log that cannot be written must not stop a rotation, and there is nowhere to say it.
        let _ = writeln!(stdout, "{line}");
    };
    // A second start in one process would keep the first log, which is as good.
    let _ = tracing::subscriber::set_global_default(subscriber(level, write));
}

/// `LOG_LEVEL` counts for our own lines only. The SDK's and hyper's lines at debug and trace hold
/// requests and answers, with passwords in them.
fn subscriber(level: Option<&str>, write: impl Fn(&str) + Send + Sync + 'static) -> impl Subscriber + Send + Sync {
    let ours = level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let others = LevelFilter::WARN;
    let filter = Targets::new()
        .with_default(others)
        .with_target(env!("CARGO_CRATE_NAME"), ours)
        // It repeats every error that the handler answers with, which has its line already.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    Registry::default().with(Json { write }.with_filter(filter))
}

struct Json<W> {
    write: W,
}

/// A span's fields, kept in the registry for the lines within it.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0);
        line.entry(LOG_FIELD_MESSAGE).or_insert_with(|| Value::from(""));
        line.insert(LOG_FIELD_LEVEL.to_owned(), event.metadata().level().as_str().into());
        (self.write)(&printable_json(&Value::Object(line).to_string()));
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    /// A field has no structure, so a refusal comes as JSON.
    fn record_str(&mut self, field: &Field, value: &str) {
        match serde_json::from_str::<Value>(value) {
            Ok(refusal) if field.name() == LOG_FIELD_REFUSAL => self.set(field, refusal),
            _ => self.set(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is written at a level.
    pub(crate) fn lines(level: Option<&str>, run: impl FnOnce()) -> Vec<Value> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let subscriber = subscriber(level, move |line| {
            sink.lock().unwrap().push(serde_json::from_str(line).unwrap());
        });
        // While only one subscriber lives, tracing asks the thread that reaches a line first whether anybody wants it, and
        // that may be another test's.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(subscriber, run);
        std::mem::take(&mut written.lock().unwrap())
    }

    #[test]
    fn a_line_is_one_flat_object_with_the_fields_of_its_spans() {
        let lines = lines(None, || {
            let _span = tracing::info_span!("step", rotation_id = "r-1", step = "createSecret").entered();
            tracing::info!(key = "AKIA", count = 2, "made \"it\"\n");
        });
        let expected = serde_json::json!({
            "level": "INFO", "message": "made \"it\"\n", "rotation_id": "r-1", "step": "createSecret", "key": "AKIA",
            "count": 2,
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_the_line() {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let subscriber = subscriber(None, move |line| line.clone_into(&mut sink.lock().unwrap()));
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(subscriber, || tracing::warn!(host = "\u{9b}2J\u{202e}", "\u{1b}[2J"));
        let line = written.lock().unwrap();
        assert!(line.is_ascii() && line.contains(r"\u009b2J\u202e") && line.contains(r"\u001b[2J"), "{line}");
    }

    #[test]
    fn log_level_counts_for_our_own_lines_and_never_for_those_of_libraries() {
        for (level, ours) in
            [(Some("trace"), 3), (Some("debug"), 2), (None, 1), (Some("nonsense"), 1), (Some("off"), 0)]
        {
            let lines = lines(level, || {
                tracing::trace!("ours");
                tracing::debug!("ours");
                tracing::info!("ours");
                tracing::trace!(target: "aws_smithy_runtime", "theirs");
                tracing::debug!(target: "hyper", "theirs");
                tracing::info!(target: "lambda_runtime", "theirs");
                tracing::warn!(target: "lambda_runtime", "warning");
            });
            let count = |text: &str| lines.iter().filter(|line| line["message"] == text).count();
            assert_eq!((count("ours"), count("theirs"), count("warning")), (ours, 0, 1), "{level:?}");
        }
    }
}
