//! A configuration for somebody to begin with: config.example.yaml, with given values, and with everything else commented out. So each
//! comment has one source.

use std::collections::BTreeMap;

use super::raw::DEFAULT_SCRIPT;

const EXAMPLE: &str = include_str!("../../../config.example.yaml");

/// What a new configuration names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) account_id: Option<String>,
    pub(crate) secret: Named,
    pub(crate) user: Named,
    /// Ids.
    pub(crate) instances: Vec<String>,
    /// The instances' role.
    pub(crate) instance_role: Option<String>,
    /// The sender of the test mail.
    pub(crate) sender: Option<String>,
    /// The address that is told.
    pub(crate) notify: Option<String>,
}

/// A resource that is there already, or that `apply` makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) existing: bool,
}

/// The text of the file.
pub(crate) fn fill(values: &Values) -> String {
    let active = active(values);
    let mut text = String::new();
    // By the depth of its key: where the current line is.
    let mut path: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines().skip_while(|line| !line.starts_with("# Every key")) {
        let rest = line.trim_start();
        let indent = &line[..line.len() - rest.len()];
        let Some((key, _)) = rest.split_once(':').filter(|_| !rest.starts_with('#')) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        path.truncate(indent.len() / 2);
        path.push(key);
        let path = path.join(".");
        let line = match active.get(path.as_str()) {
            Some(value) => format!("{indent}{value}"),
            None if active.keys().any(|other| other.starts_with(&format!("{path}."))) => line.to_owned(),
            None => format!("{indent}# {rest}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The lines that are not commented out, by where they are.
fn active(values: &Values) -> BTreeMap<&'static str, String> {
    let mut active = BTreeMap::new();
    let mut set = |path: &'static str, value: String| {
        let key = path.rsplit('.').next().unwrap_or(path);
        active.insert(path, format!("{key}: {value}"));
    };
    set("name", scalar(&values.name));
    set("region", scalar(&values.region));
    set("secret.name", scalar(&values.secret.name));
    set("iam_user.name", scalar(&values.user.name));
    for (path, named) in [("secret.existing", &values.secret), ("iam_user.existing", &values.user)] {
        if named.existing {
            set(path, "true".to_owned());
        }
    }
    let given = [("account_id", &values.account_id), ("ses.sender", &values.sender), ("notify.email", &values.notify)];
    for (path, value) in given {
        if let Some(value) = value {
            set(path, scalar(value));
        }
    }
    if values.sender.is_some() {
        // SES's simulator takes every mail (SES guide, "Using the mailbox simulator").
        set("ses.recipient", "success@simulator.amazonses.com".to_owned());
    }
    if !values.instances.is_empty() {
        set("instance.script", DEFAULT_SCRIPT.to_owned());
        if let Some(role) = &values.instance_role {
            set("instance.role", scalar(role));
        }
        let ids: Vec<_> = values.instances.iter().map(|id| scalar(id)).collect();
        let line = if let [id] = &ids[..] { format!("id: {id}") } else { format!("ids: [{}]", ids.join(", ")) };
        active.insert("instance.id", line);
    }
    active
}

/// A text in YAML: as it is where YAML reads a text there, else in quotes.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+=-".contains(c))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    // A JSON text is a YAML text.
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn named(name: &str, existing: bool) -> Named {
        Named { name: name.to_owned(), existing }
    }

    fn least() -> Values {
        Values {
            name: "mail-x".into(),
            region: "eu-central-1".into(),
            secret: named("mail-x/smtp", false),
            user: named("mail-x-smtp", false),
            ..Values::default()
        }
    }

    #[test]
    fn what_is_not_given_is_commented_out_and_the_rest_is_the_smallest_file() {
        let text = fill(&least());
        let active: Vec<_> =
            text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).collect();
        let expected = [
            "name: mail-x",
            "region: eu-central-1",
            "secret:",
            "  name: mail-x/smtp",
            "iam_user:",
            "  name: mail-x-smtp",
        ];
        assert_eq!(active, expected);
        assert!(!text.contains("yaml-language-server"), "{text}");
    }

    #[test]
    fn what_is_given_is_read_again_as_it_was_given() {
        let values = Values {
            account_id: Some("012345678901".into()),
            secret: named("mail-x/smtp", true),
            user: named("mail-x-smtp", true),
            instances: vec!["i-0123456789abcdef0".into(), "i-0123456789abcdef1".into()],
            instance_role: Some("hosts".into()),
            sender: Some("no-reply@example.com".into()),
            notify: Some("ops@example.com".into()),
            ..least()
        };
        let config = parse(Path::new("config.yaml"), &fill(&values)).unwrap().remove(0);
        assert_eq!(config.account_id.as_deref(), Some("012345678901"));
        assert!(config.secret.existing && config.iam_user.existing);
        let instance = config.instance.unwrap();
        assert_eq!((instance.ids.len(), instance.role.as_deref()), (2, Some("hosts")));
        assert_eq!(config.ses.test_mail.unwrap().sender, "no-reply@example.com");
        assert_eq!(config.notify.unwrap().email, "ops@example.com");
    }

    #[test]
    fn every_comment_is_one_of_the_example() {
        let comment = |line: &str| line.trim_start().trim_start_matches("# ").to_owned();
        let known: Vec<_> = EXAMPLE.lines().map(comment).collect();
        let text = fill(&least());
        let comments = text.lines().filter(|line| line.trim_start().starts_with('#'));
        for line in comments {
            assert!(known.contains(&comment(line)), "{line}");
        }
    }

    #[test]
    fn a_text_that_yaml_would_read_as_something_else_is_quoted() {
        for text in ["012345678901", "true", "No", "1e3", "a: b", "a #b", ""] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        assert_eq!(scalar("mail-prod/smtp"), "mail-prod/smtp");
    }
}
