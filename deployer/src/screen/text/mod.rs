//! Text for people. Pure. `config` is the CONFIG that commands in texts have to name.

use std::{fmt::Write as _, time::Duration};

use contract::{Text, printable};

use crate::{
    date::rfc3339,
    deployment::record::Applied,
    engine::events::{Event, RotationEvent},
    listed::Listed,
    silence::Unanswered,
};

mod failure;
mod findings;
mod notes;
mod plan;
mod problems;
mod recovery;
mod resource;
mod status;
pub(super) mod style;
mod wrap;

pub(super) use failure::errors;
pub(super) use findings::findings;
pub(super) use plan::{drift, plan, resources, summary};
pub(super) use problems::config_error;
pub(super) use recovery::{diagnosis, report};
pub(super) use status::status;

use self::{
    failure::error,
    notes::push_note,
    resource::sign,
    style::{BOLD, CYAN, GREEN, RED},
    wrap::{push_below, push_wrapped},
};

/// What an event is to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Something failed.
    Error,
    /// Something happened.
    News,
    /// Something takes its time.
    Wait,
    /// What only some want to see.
    Detail,
}

pub(super) fn weight(event: &Event) -> Weight {
    match event {
        Event::Failed(..) | Event::Skipped(_) | Event::Rotation(RotationEvent::AttemptFailed { .. }) => Weight::Error,
        Event::Building | Event::Waiting { .. } => Weight::Wait,
        Event::Started(..)
        | Event::BuildSays(_)
        | Event::Reached(_)
        | Event::Rotation(RotationEvent::StepSays { .. }) => Weight::Detail,
        Event::Built { .. } | Event::Done(..) | Event::Unanswered(_) | Event::Note(_) | Event::Rotation(_) => {
            Weight::News
        }
    }
}

pub(super) fn event(event: &Event, config: Option<&str>, columns: usize) -> String {
    let below = |first: &str, paragraph: &str| {
        let mut text = String::new();
        push_below(&mut text, columns, first, paragraph);
        text
    };
    match event {
        Event::Building => "building the function with cargo lambda; this takes minutes the first time\n".to_owned(),
        Event::Built { bytes, took } => format!("built the function: {} KiB in {}\n", bytes / 1024, seconds(*took)),
        Event::BuildSays(line) => format!("    {}\n", printable(line)),
        Event::Started(address, op) => format!("    {address}: {}\n", op.call),
        Event::Reached(_) => String::new(),
        Event::Waiting { address, limit, reason } => {
            below("  … ", &format!("{address}: waiting up to {}: {}", seconds(*limit), printable(reason)))
        }
        Event::Done(address, op, took) => {
            let (sign, style) = sign(op.verb);
            let done = format!("{address}: {} ({})", op.call, seconds(*took));
            below(&format!("  {style}{sign}{style:#} "), &done)
        }
        // The next line may be another error: the blank line separates the two.
        Event::Failed(address, failure) => format!("  {RED}✗{RED:#} {address}\n{}\n", error(failure, config, columns)),
        Event::Skipped(address) => format!("  - {address}: skipped: a resource that it depends on failed\n"),
        Event::Unanswered(Unanswered { call, endpoint, waited }) => {
            below("  … ", &format!("{call} has had no answer from {endpoint} for {}; still waiting", seconds(*waited)))
        }
        Event::Note(note) => {
            let mut text = String::new();
            push_note(&mut text, columns, 2, note, config);
            text
        }
        Event::Rotation(event) => rotation(event, columns),
    }
}

fn rotation(event: &RotationEvent, columns: usize) -> String {
    match event {
        RotationEvent::Started { version } => format!("  ⟳ rotation started: version {version}\n"),
        RotationEvent::Found { version } => format!("  ⟳ rotation found, which is open: version {version}\n"),
        RotationEvent::Continued { version } => format!("  ⟳ Secrets Manager continues with version {version}\n"),
        RotationEvent::StepSays { step, what } => format!("    {step}: {}\n", printable(what)),
        RotationEvent::StepFinished { step } => format!("  {GREEN}✓{GREEN:#} {step}\n"),
        RotationEvent::AttemptFailed { step, finding, watched_for } => {
            let mut text = String::new();
            push_below(&mut text, columns, &format!("  {RED}✗{RED:#} "), &format!("{step}: {}", printable(finding)));
            let again = format!(
                "Secrets Manager tries this rotation again by itself; watching for up to {} (--watch-retries)",
                seconds(*watched_for)
            );
            push_below(&mut text, columns, "    ", &again);
            text
        }
        RotationEvent::Completed { version, took } => {
            let took = took.as_secs_f64();
            let mut text = String::new();
            let completed = format!("rotation completed: version {version} is AWSCURRENT ({took:.1} s)");
            push_below(&mut text, columns, &format!("  {GREEN}✓{GREEN:#} "), &completed);
            text
        }
    }
}

/// A result in one sentence.
pub(super) fn sentence(sentence: &str, columns: usize) -> String {
    let mut text = String::new();
    push_wrapped(&mut text, columns, 0, sentence);
    text
}

pub(super) fn list(region: &str, listed: &[Listed], columns: usize) -> String {
    if listed.is_empty() {
        return format!("No deployment has a record in {region}.\n");
    }
    let one = |Listed { name, applied, labels }: &Listed| {
        let mut text = format!("{BOLD}{}{BOLD:#} in {region}\n", printable(name));
        let mut row =
            |subject: &str, line: &str| push_below(&mut text, columns, &format!("  {subject:15}"), &printable(line));
        match applied {
            Some(Applied { by, at, deployer, function }) => {
                row("last apply", &format!("{at} by {by}"));
                row("function", &format!("{function} (deployer {deployer})"));
            }
            None => row("last apply", "none has reached its goal"),
        }
        let enabled = if labels.rotation_enabled { "" } else { " (rotation is not enabled)" };
        let last = labels.last_rotated.map_or_else(|| "never".to_owned(), rfc3339);
        let next =
            labels.next_rotation.map_or_else(|| "not scheduled".to_owned(), |date| format!("by {}", rfc3339(date)));
        row("last rotation", &format!("{last}{enabled}"));
        row("next rotation", &next);
        text
    };
    let all: Vec<_> = listed.iter().map(one).collect();
    format!("{}\n`deployer drift` shows whether somebody changed them since.\n", all.join("\n"))
}

pub(super) fn question(question: &str, place: &str, answer: &str, columns: usize) -> String {
    let mut text = "\n".to_owned();
    push_wrapped(&mut text, columns, 0, &format!("{BOLD}{}{BOLD:#}", printable(question)));
    push_wrapped(&mut text, columns, 2, &printable(place));
    let _ = write!(text, "Only '{}' is accepted: ", printable(answer));
    text
}

/// What a person may want to do after a run.
pub(super) fn next(next: &Text, config: Option<&str>, columns: usize) -> String {
    let mut text = String::new();
    push_wrapped(&mut text, columns, 0, &format!("{CYAN}next:{CYAN:#} {}", printable(&next.render(config))));
    text
}

pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::op::{Address, ResourceKind},
        error::Error,
        rotation::labels::Labels,
    };

    #[test]
    fn no_line_of_a_list_or_a_result_is_wider_than_the_terminal() {
        let by = "arn:aws:sts::123456789012:assumed-role/deployer/somebody".to_owned();
        let applied =
            Applied { by, at: "2026-01-01T00:00:00Z".into(), deployer: "0.1.0".into(), function: "f".repeat(32) };
        let listed = [Listed { name: "mail".into(), applied: Some(applied), labels: Labels::default() }];
        let done = "Access key AKIAIOSFODNN7EXAMPLE is deleted. SES may accept it for some seconds more.";
        for text in [list("eu-west-1", &listed, 80), sentence(done, 80)] {
            let plain = anstream::adapter::strip_str(&text).to_string();
            assert!(plain.lines().all(|line| line.len() <= 80), "{plain}");
        }
    }

    #[test]
    fn a_blank_line_separates_an_error_from_the_next_one() {
        let failed = |what: &str| Error::new(what).cause("a cause").hint("a hint");
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        let expected = "error: one\n  cause: a cause\n\nhint: a hint\n\nerror: two\n  cause: a cause\n\nhint: a hint\n";
        assert_eq!(plain(errors(&[failed("one"), failed("two")], None, 100)), expected);
        let address = Address::new(ResourceKind::Role, "r");
        assert_eq!(
            plain(event(&Event::Failed(address, failed("one")), None, 100)),
            "  ✗ role r\nerror: one\n  cause: a cause\n\nhint: a hint\n\n"
        );
    }
}
