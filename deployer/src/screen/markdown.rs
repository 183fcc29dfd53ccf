//! Plans as Markdown, for the comment of a pull request on GitHub.
//!
//! Text of others stands only in fenced code and in `<code>`: there it is no Markdown, and mentions nobody.

use std::fmt::Write as _;

use anstream::adapter::strip_str;
use contract::printable;

use super::text;
use crate::{aws::Identity, deployment::Deployment, engine::plan::Plan};

/// The most characters of a comment: beyond, GitHub's API answers 422, "Body is too long (maximum is 65536 characters)". Bytes are
/// counted here, which are never fewer.
const MOST: usize = 65_536;

/// Columns of a block of code that GitHub shows without scrolling.
const COLUMNS: usize = 100;

/// Room for the note on what is missing.
const NOTE: usize = 256;

/// All plans of a run. What does not fit is left out: first resources, then whole deployments.
pub(super) fn plans(plans: &[(&Deployment, &Identity, &Plan)], config: Option<&str>) -> String {
    within(MOST, plans, config)
}

fn within(most: usize, plans: &[(&Deployment, &Identity, &Plan)], config: Option<&str>) -> String {
    let mut room = most - NOTE;
    let mut takes = |text: &String| {
        let fits = text.len() <= room;
        if fits {
            room -= text.len();
        }
        fits
    };
    let heads: Vec<_> =
        plans.iter().map(|(deployment, _, plan)| Some(head(deployment, plan, config)).filter(&mut takes)).collect();
    let mut markdown = String::new();
    let (mut resources, mut deployments) = (0, 0);
    for ((deployment, identity, plan), head) in plans.iter().zip(heads) {
        let Some(head) = head else {
            deployments += 1;
            resources += plan.counts().iter().sum::<usize>();
            continue;
        };
        markdown.push_str(&head);
        for (head, text) in text::resources(deployment, identity, plan, COLUMNS) {
            let details = details(&head, &text);
            if takes(&details) {
                markdown.push_str(&details);
            } else {
                resources += 1;
            }
        }
    }
    if resources + deployments > 0 {
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let rest = match deployments {
            0 => counted(resources, "resource"),
            _ => format!("{} and {}", counted(deployments, "deployment"), counted(resources, "resource")),
        };
        let _ = writeln!(
            markdown,
            "**Not shown: {rest} that the plan has.** A comment on GitHub holds 65,536 characters; `deployer plan` shows everything."
        );
    }
    markdown
}

/// What is said of a deployment as a whole.
fn head(deployment: &Deployment, plan: &Plan, config: Option<&str>) -> String {
    let (name, region) = (&deployment.config.name, &deployment.config.region);
    format!("### `{name}` in `{region}`\n\n{}\n", fenced(&text::summary(deployment, plan, config, COLUMNS)))
}

/// A resource, which a reader unfolds.
fn details(head: &str, text: &str) -> String {
    let title = html(&strip_str(head).to_string());
    format!("<details><summary><code>{title}</code></summary>\n\n{}\n</details>\n\n", fenced(text))
}

/// A block of code. Its fence is longer than every row of backquotes in it, so that nothing in it ends the block.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", strip_str(text).to_string().trim_end())
}

/// Text within HTML.
fn html(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config,
        deployment::names::Names,
        engine::{
            op::{Address, Op, ResourceKind, Toward, Verb},
            plan::Planned,
        },
    };

    const FILE: &str = "{name: mail, region: eu-west-1, secret: {name: s}, iam_user: {name: u}}";

    fn identity() -> Identity {
        let arn = "arn:aws:iam::123456789012:user/a".to_owned();
        Identity { account_id: "123456789012".to_owned(), partition: "aws".to_owned(), arn, expires: None }
    }

    fn deployment() -> Deployment {
        let config = config::parse(Path::new("c.yaml"), FILE).unwrap().remove(0);
        let names = Names::new(&config, &identity());
        Deployment::new(config, names, identity().arn)
    }

    fn plan(resources: impl IntoIterator<Item = (String, Op)>) -> Plan {
        let planned = |(name, op): (String, Op)| Planned {
            address: Address::new(ResourceKind::Topic, name),
            changed_by: None,
            ops: vec![op],
        };
        Plan {
            foreign: vec![],
            toward: Toward::Present,
            resources: resources.into_iter().map(planned).collect(),
            notes: vec![],
            open_rotation: None,
            deletes_most_of_the_record: false,
            user_has_keys: false,
        }
    }

    #[test]
    fn a_plan_folds_each_resource_and_has_no_colour() {
        let create = Op::new(Verb::Create, "sns:CreateTopic").sets("DisplayName", "mail");
        let markdown = plans(&[(&deployment(), &identity(), &plan([("t".to_owned(), create)]))], None);
        let expected = "<details><summary><code>+ topic t</code></summary>\n\n```text\n      DisplayName: mail\n```\n\n\
                        </details>\n";
        assert!(markdown.starts_with("### `mail` in `eu-west-1`\n\n```text\n"), "{markdown}");
        assert!(markdown.contains("Plan: 1 to create, 0 to change, 0 to destroy."), "{markdown}");
        assert!(markdown.contains(expected) && !markdown.contains('\u{1b}'), "{markdown}");
    }

    #[test]
    fn text_of_others_stays_within_its_code() {
        let hostile = "x\n````\n</code></summary></details> @team <script>";
        let op = Op::new(Verb::Update, "sns:TagResource").with("tags.a", Some(hostile.into()), Some("```` y".into()));
        let mut plan = plan([(hostile.to_owned(), op)]);
        plan.notes.push(format!("a note: {hostile}").into());
        let markdown = plans(&[(&deployment(), &identity(), &plan)], None);
        let mut fence: Option<&str> = None;
        for line in markdown.lines() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match fence {
                None if ticks >= 3 => fence = Some(&line[..ticks]),
                Some(open) if line == open => fence = None,
                Some(open) => assert!(ticks < open.len(), "{markdown}"),
                None if line.starts_with("<details>") => {
                    let title = line
                        .strip_prefix("<details><summary><code>")
                        .and_then(|it| it.strip_suffix("</code></summary>"));
                    assert!(title.is_some_and(|title| !title.contains(['<', '>'])), "{markdown}");
                }
                None => assert!(["", "</details>", "### `mail` in `eu-west-1`"].contains(&line), "{line}\n{markdown}"),
            }
        }
        assert_eq!(fence, None, "{markdown}");
    }

    #[test]
    fn a_long_plan_is_cut_to_what_github_takes_and_says_how_many_resources_are_missing() {
        // What GitHub takes is longer, and no other limit behaves differently.
        let most = 4096;
        let op = || Op::new(Verb::Create, "sns:CreateTopic").sets("DisplayName", "é".repeat(60));
        let plan = plan((0..40).map(|n| (format!("t{n}"), op())));
        let (deployment, identity) = (deployment(), identity());
        let markdown = within(most, &[(&deployment, &identity, &plan)], None);
        assert!(markdown.len() <= most && markdown.len() > most - 3 * NOTE, "{}", markdown.len());
        let missing = 40 - markdown.matches("<details>").count();
        assert!(markdown.contains(&format!("**Not shown: {missing} resources that the plan has.**")), "{missing}");

        let small = self::plan([("t".to_owned(), op())]);
        let markdown = within(most, &[(&deployment, &identity, &small); 40], None);
        assert!(markdown.len() <= most && markdown.contains(" deployments and "), "{}", markdown.len());
    }
}
