//! What `doctor` found.

use std::fmt::Write as _;

use contract::printable;

use super::{
    style::{BOLD, CYAN, GREEN, RED, YELLOW},
    wrap::{push_below, push_wrapped},
};
use crate::{
    deployment::Deployment,
    doctor::findings::{Check, Finding, Verdict},
};

/// Columns of the verdict and of the check.
const NAMES: usize = 26;

pub(in crate::screen) fn findings(
    deployment: &Deployment,
    found: &[Finding],
    config: Option<&str>,
    columns: usize,
) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", deployment.config.name, deployment.config.region);
    for Finding { check, verdict, evidence, fix } in found {
        let (word, style) = match verdict {
            Verdict::Ok => ("ok", GREEN),
            Verdict::NotYet => ("not yet", YELLOW),
            Verdict::Unseen => ("unseen", YELLOW),
            Verdict::Unknown => ("unknown", RED),
            Verdict::Wrong => ("wrong", RED),
        };
        let names = format!("  {style}{word:8}{style:#} {:14} ", name(*check));
        push_below(&mut text, columns, &names, &printable(&evidence.render(config)));
        for fix in fix {
            let fix = format!("{CYAN}fix:{CYAN:#} {}", printable(&fix.render(config)));
            push_wrapped(&mut text, columns, NAMES, &fix);
        }
    }
    let bad = found.iter().filter(|finding| finding.verdict.is_bad()).count();
    let _ = match bad {
        0 => writeln!(text, "\n{GREEN}Nothing is wrong.{GREEN:#}"),
        1 => writeln!(text, "\n1 of {} checks needs you.", found.len()),
        _ => writeln!(text, "\n{bad} of {} checks need you.", found.len()),
    };
    text
}

fn name(check: Check) -> &'static str {
    match check {
        Check::Credentials => "credentials",
        Check::Permissions => "permissions",
        Check::Ses => "SES",
        Check::Sender => "sender",
        Check::User => "user",
        Check::Host => "host",
        Check::Script => "script",
        Check::InstanceRole => "instance role",
        Check::Function => "function",
        Check::Rotation => "rotation",
        Check::Upkeep => "upkeep",
        Check::Notifications => "notifications",
        Check::Resources => "resources",
    }
}
