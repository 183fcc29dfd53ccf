//! What runs now, by the events so far. Pure: events in, lines out.

use std::time::{Duration, Instant};

use contract::{Step, printable};

use crate::{
    engine::events::{Event, RotationEvent},
    screen::text::seconds,
};

/// Resources that are shown at once. More would push the finished ones off the screen.
const MOST_JOBS: usize = 8;

/// What runs, and what it waits for.
#[derive(Debug)]
pub(super) struct Running {
    /// What the whole run does.
    title: String,
    since: Instant,
    /// In the order in which they began.
    jobs: Vec<Job>,
}

#[derive(Debug)]
struct Job {
    /// The resource, the build or the rotation.
    name: String,
    /// What it does now: a call, a step.
    does: String,
    since: Instant,
    /// What it waits for, or what it says.
    says: String,
}

const BUILD: &str = "function";
const ROTATION: &str = "rotation";

impl Running {
    pub(super) fn new(title: &str, now: Instant) -> Self {
        Self { title: title.to_owned(), since: now, jobs: Vec::new() }
    }

    pub(super) fn on(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Building => self.begin(BUILD, "building; this takes minutes the first time", now),
            Event::BuildSays(line) => self.says(BUILD, line, now),
            Event::Built { .. } => self.end(BUILD),
            Event::Started(address, op) => self.begin(&address.to_string(), &op.call, now),
            Event::Waiting { address, limit, reason } => {
                self.says(&address.to_string(), &format!("waits up to {}: {reason}", seconds(*limit)), now);
            }
            // The resource may still wait until AWS shows the change.
            Event::Done(address, ..) => self.begin(&address.to_string(), "looking at the result", now),
            Event::Reached(address) | Event::Failed(address, _) | Event::Skipped(address) => {
                self.end(&address.to_string());
            }
            Event::Rotation(event) => self.on_rotation(event, now),
            Event::Unanswered(_) | Event::Note(_) => {}
        }
    }

    fn on_rotation(&mut self, event: &RotationEvent, now: Instant) {
        match event {
            RotationEvent::Started { version }
            | RotationEvent::Found { version }
            | RotationEvent::Continued { version } => {
                self.begin(ROTATION, &format!("version {version}; createSecret is the first of four steps"), now);
            }
            RotationEvent::StepSays { step, what } => {
                self.begin_if_other(ROTATION, step, now);
                self.says(ROTATION, what, now);
            }
            RotationEvent::StepFinished { step } => {
                self.begin(ROTATION, next_step(step), now);
            }
            RotationEvent::AttemptFailed { step, .. } => {
                self.begin(ROTATION, &format!("{step} failed; Secrets Manager tries it again"), now);
            }
            RotationEvent::Completed { .. } => self.end(ROTATION),
        }
    }

    /// The job of this name does something else from now on.
    fn begin(&mut self, name: &str, does: &str, now: Instant) {
        let job = self.job(name, now);
        (job.does, job.since, job.says) = (does.to_owned(), now, String::new());
    }

    fn begin_if_other(&mut self, name: &str, does: &str, now: Instant) {
        if self.job(name, now).does != does {
            self.begin(name, does, now);
        }
    }

    fn says(&mut self, name: &str, what: &str, now: Instant) {
        self.job(name, now).says = printable(what).into_owned();
    }

    fn end(&mut self, name: &str) {
        self.jobs.retain(|job| job.name != name);
    }

    fn job(&mut self, name: &str, now: Instant) -> &mut Job {
        let at = self.jobs.iter().position(|job| job.name == name).unwrap_or_else(|| {
            let job = Job { name: name.to_owned(), does: String::new(), since: now, says: String::new() };
            self.jobs.push(job);
            self.jobs.len() - 1
        });
        &mut self.jobs[at]
    }

    /// A headline, and one or two lines for each job. They are not broken yet.
    pub(super) fn lines(&self, now: Instant) -> Vec<String> {
        let since = |then: Instant| whole_seconds(now.saturating_duration_since(then));
        let mut lines = vec![format!("{} ({})", self.title, since(self.since))];
        for job in self.jobs.iter().take(MOST_JOBS) {
            let does = if job.does.is_empty() { String::new() } else { format!(": {}", job.does) };
            lines.push(format!("  {}{does} ({})", printable(&job.name), since(job.since)));
            if !job.says.is_empty() {
                lines.push(format!("      {}", job.says));
            }
        }
        if let Some(more) = self.jobs.len().checked_sub(MOST_JOBS).filter(|more| *more > 0) {
            lines.push(format!("  and {more} more"));
        }
        lines
    }
}

fn next_step(finished: &str) -> &'static str {
    Step::parse(finished).and_then(Step::next).map_or("its last step is done", Step::name)
}

/// A clock that shows tenths would be hard to read.
fn whole_seconds(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::{Address, Op, ResourceKind, Verb};

    fn after(events: &[Event], seconds: u64) -> Vec<String> {
        let now = Instant::now();
        let mut running = Running::new("running", now);
        for event in events {
            running.on(event, now);
        }
        running.lines(now + Duration::from_secs(seconds))
    }

    fn role() -> Address {
        Address::new(ResourceKind::Role, "r")
    }

    fn started() -> Event {
        Event::Started(role(), Op::new(Verb::Create, "iam:CreateRole"))
    }

    fn rotation(event: RotationEvent) -> Event {
        Event::Rotation(event)
    }

    #[test]
    fn what_runs_is_shown_with_what_it_waits_for_and_since_when() {
        let reason = "IAM does not see the role yet".to_owned();
        let waiting = Event::Waiting { address: role(), limit: Duration::from_mins(2), reason };
        assert_eq!(
            after(&[started(), waiting], 75),
            [
                "running (1 min 15 s)",
                "  role r: iam:CreateRole (1 min 15 s)",
                "      waits up to 2 min: IAM does not see the role yet"
            ]
        );
    }

    #[test]
    fn what_has_reached_its_goal_or_failed_is_not_shown() {
        assert_eq!(after(&[started(), Event::Reached(role())], 1), ["running (1 s)"]);
        assert_eq!(after(&[started(), Event::Failed(role(), crate::error::Error::new("e"))], 1), ["running (1 s)"]);
    }

    #[test]
    fn a_rotation_shows_its_step_and_the_last_that_its_log_said() {
        let step = "setSecret".to_owned();
        let version = "v".to_owned();
        let says = RotationEvent::StepSays { step, what: "the script has ended (instance i-1)".to_owned() };
        let created = RotationEvent::StepFinished { step: "createSecret".to_owned() };
        let events = [RotationEvent::Started { version }, created, says].map(rotation);
        let expected = ["running (3 s)", "  rotation: setSecret (3 s)", "      the script has ended (instance i-1)"];
        assert_eq!(after(&events, 3), expected);
    }

    #[test]
    fn a_build_shows_what_it_compiles() {
        let events = [Event::Building, Event::BuildSays("Compiling ring v0.17".to_owned())];
        assert_eq!(after(&events, 61)[2], "      Compiling ring v0.17");
    }

    #[test]
    fn of_many_jobs_only_some_are_shown() {
        let of = |n: usize| {
            Event::Started(Address::new(ResourceKind::Role, n.to_string()), Op::new(Verb::Create, "iam:CreateRole"))
        };
        let events: Vec<_> = (0..MOST_JOBS + 3).map(of).collect();
        let lines = after(&events, 0);
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (MOST_JOBS + 2, "  and 3 more"));
    }
}
