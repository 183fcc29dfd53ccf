//! Text for people. Pure. `config` is the CONFIG that commands in texts have to name.

use std::{fmt::Write as _, time::Duration};

use contract::{Command, printable};

use crate::{
    date::rfc3339,
    deployment::{Deployment, record::Applied},
    engine::events::{Event, RotationEvent},
    error::Error,
    silence::Unanswered,
    status::{Listed, Pending, State, Status},
};

mod findings;
mod notes;
mod plan;
mod policy;
mod problems;
mod recovery;
pub(super) mod style;

pub(super) use findings::findings;
pub(super) use plan::{drift, plan, resources, summary};
pub(super) use problems::config_error;
pub(super) use recovery::{diagnosis, report};

use self::{
    notes::push_notes,
    plan::sign,
    style::{BOLD, CYAN, GREEN, RED, YELLOW},
};

pub(super) fn event(event: &Event, config: Option<&str>) -> String {
    match event {
        Event::Building => "building the handler with cargo lambda; this takes minutes the first time\n".to_owned(),
        Event::Built { bytes, took } => format!("built the handler: {} KiB in {}\n", bytes / 1024, seconds(*took)),
        Event::Started(..) => String::new(),
        Event::Waiting { address, limit, reason } => {
            format!("  … {address}: waiting up to {}: {}\n", seconds(*limit), printable(reason))
        }
        Event::Done(address, op, took) => {
            let (sign, style) = sign(op.verb);
            format!("  {style}{sign}{style:#} {address}: {} ({})\n", op.call, seconds(*took))
        }
        // The next line may be another error: the blank line separates the two.
        Event::Failed(address, failure) => format!("  {RED}✗{RED:#} {address}\n{}\n", error(failure, config)),
        Event::Skipped(address) => format!("  - {address}: skipped: a resource that it depends on failed\n"),
        Event::Unanswered(Unanswered { call, endpoint, waited }) => {
            format!("  … {call} has had no answer from {endpoint} for {}; still waiting\n", seconds(*waited))
        }
        Event::Note(note) => format!("  {YELLOW}note:{YELLOW:#} {}\n", printable(&note.render(config))),
        Event::Rotation(event) => rotation(event),
    }
}

fn rotation(event: &RotationEvent) -> String {
    match event {
        RotationEvent::Started { version } => format!("  ⟳ rotation started: version {version}\n"),
        RotationEvent::Found { version } => format!("  ⟳ rotation found, which is open: version {version}\n"),
        RotationEvent::Continued { version } => format!("  ⟳ Secrets Manager continues with version {version}\n"),
        RotationEvent::StepFinished { step } => format!("  {GREEN}✓{GREEN:#} {step}\n"),
        RotationEvent::AttemptFailed { step, finding, watched_for } => format!(
            "  {RED}✗{RED:#} {step}: {}\n    Secrets Manager tries this rotation again by itself; watching for up to {} \
             (--watch-retries)\n",
            printable(finding),
            seconds(*watched_for)
        ),
        RotationEvent::Completed { version, took } => {
            let took = took.as_secs_f64();
            format!("  {GREEN}✓{GREEN:#} rotation completed: version {version} is AWSCURRENT ({took:.1} s)\n")
        }
    }
}

pub(super) fn status(deployment: &Deployment, status: &Status, config: Option<&str>) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", deployment.config.name, deployment.config.region);
    for (address, state) in &status.resources {
        let (word, style) = match state {
            State::AsDeclared => ("ok", GREEN),
            State::Missing => ("missing", RED),
            State::Differs => ("differs", YELLOW),
            State::Unknown => ("unknown", RED),
        };
        let _ = writeln!(text, "  {style}{word:8}{style:#} {address}");
    }
    text.push('\n');
    if !status.unread.is_empty() {
        text.push_str(&errors(&status.unread, config));
        text.push('\n');
    }
    push_notes(&mut text, &status.notes, config);
    let credential = &status.credential;
    let date = |date: &Option<String>| date.clone().unwrap_or_else(|| "never".to_owned());
    let _ = writeln!(text, "rotation       {}", if credential.rotation_enabled { "enabled" } else { "not enabled" });
    let _ = writeln!(text, "last rotated   {}", date(&credential.last_rotated));
    let next = credential.next_rotation.as_ref().map_or("not scheduled".to_owned(), |date| format!("by {date}"));
    let _ = writeln!(text, "next rotation  {next}");
    for (version, labels) in &credential.versions {
        let _ = writeln!(text, "version        {version} {}", printable(&labels.join(", ")));
    }
    if let Some(pending) = &credential.pending {
        let _ = match credential.pending_is {
            Some(Pending::Test) => writeln!(
                text,
                "the configuration is being tested: version {pending}; this rotates nothing, and ends by itself"
            ),
            Some(Pending::Unclear) => writeln!(
                text,
                "a rotation was just opened, or the configuration is being tested: version {pending}; `{}` tells in a minute",
                Command::deployer("status").in_shell(config)
            ),
            Some(Pending::Rotation) | None => writeln!(
                text,
                "{YELLOW}a rotation is open:{YELLOW:#} version {pending}; `{}` shows its state",
                Command::deployer("recover").in_shell(config)
            ),
        };
    }
    for key in &status.keys {
        let _ = writeln!(
            text,
            "access key     {} {}, made {}, last used {}",
            key.id,
            key.status,
            key.created,
            date(&key.last_used)
        );
    }
    text
}

pub(super) fn list(region: &str, listed: &[Listed]) -> String {
    if listed.is_empty() {
        return format!("No deployment has a record in {region}.\n");
    }
    let one = |Listed { name, applied, labels }: &Listed| {
        let mut text = format!("{BOLD}{}{BOLD:#} in {region}\n", printable(name));
        let _ = match applied {
            Some(Applied { by, at, deployer, function }) => writeln!(
                text,
                "  last apply     {} by {}\n  function       {} (deployer {})",
                printable(at),
                printable(by),
                printable(function),
                printable(deployer)
            ),
            None => writeln!(text, "  last apply     none has reached its goal"),
        };
        let enabled = if labels.rotation_enabled { "" } else { " (rotation is not enabled)" };
        let last = labels.last_rotated.map_or_else(|| "never".to_owned(), rfc3339);
        let next =
            labels.next_rotation.map_or_else(|| "not scheduled".to_owned(), |date| format!("by {}", rfc3339(date)));
        let _ = writeln!(text, "  last rotation  {last}{enabled}\n  next rotation  {next}");
        text
    };
    let all: Vec<_> = listed.iter().map(one).collect();
    format!("{}\n`deployer drift` shows whether somebody changed them since.\n", all.join("\n"))
}

/// A blank line separates each error from the next one.
pub(super) fn errors(errors: &[Error], config: Option<&str>) -> String {
    let texts: Vec<_> = errors.iter().map(|failure| error(failure, config)).collect();
    texts.join("\n")
}

fn error(error: &Error, config: Option<&str>) -> String {
    let mut text = format!("{RED}error:{RED:#} {}\n", printable(&error.what));
    if let Some(cause) = &error.cause {
        let _ = writeln!(text, "  cause: {}", printable(&cause.to_string()));
    }
    if !error.hints.is_empty() {
        text.push('\n');
    }
    for hint in &error.hints {
        let _ = writeln!(text, "{CYAN}hint:{CYAN:#} {}", printable(&hint.render(config)));
    }
    text
}

pub(super) fn question(question: &str, place: &str, answer: &str) -> String {
    let (question, place, answer) = (printable(question), printable(place), printable(answer));
    format!("\n{BOLD}{question}{BOLD:#}\n  {place}\nOnly '{answer}' is accepted: ")
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::{Address, ResourceKind};

    #[test]
    fn a_blank_line_separates_an_error_from_the_next_one() {
        let failed = |what: &str| Error::new(what).cause("a cause").hint("a hint");
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        let expected = "error: one\n  cause: a cause\n\nhint: a hint\n\nerror: two\n  cause: a cause\n\nhint: a hint\n";
        assert_eq!(plain(errors(&[failed("one"), failed("two")], None)), expected);
        let address = Address::new(ResourceKind::Role, "r");
        assert_eq!(
            plain(event(&Event::Failed(address, failed("one")), None)),
            "  ✗ role r\nerror: one\n  cause: a cause\n\nhint: a hint\n\n"
        );
    }
}
