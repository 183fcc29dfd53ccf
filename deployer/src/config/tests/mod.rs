use std::{fmt::Write as _, fs, path::Path, time::Duration};

use insta::{assert_debug_snapshot, assert_snapshot};
use proptest::{prelude::*, string::string_regex};
use serde_json::Value;

use super::{
    duration::{DAY, HOUR, MINUTE},
    *,
};
use crate::screen::as_text;

mod mutations;

/// The shortest configuration.
const LEAST: &str =
    "name: mail-prod\nregion: eu-west-1\nsecret: {name: mail-prod/smtp}\niam_user: {name: mail-prod-smtp}\n";

fn parsed(text: &str) -> Result<Vec<Config>, ConfigError> {
    parse(Path::new("config.yaml"), text)
}

fn one(text: &str) -> Config {
    let mut configs = parsed(text).unwrap();
    assert_eq!(configs.len(), 1);
    configs.remove(0)
}

#[test]
fn an_invisible_character_is_named_wherever_a_value_or_a_key_is_refused() {
    for (yaml, name) in [
        ("name: mail\u{200b}\nregion: eu-west-1\n", "a zero-width space (U+200B)"),
        ("name: m\nregion: eu-west-1\u{a0}\n", "a no-break space (U+00A0)"),
        ("name: m\nreg\u{feff}ion: eu-west-1\n", "a byte order mark (U+FEFF)"),
        ("name: \u{feff}m\nregion: eu-west-1\n", "a byte order mark (U+FEFF)"),
        ("name: \"m\u{feff}\"\nregion: eu-west-1\n", "a byte order mark (U+FEFF)"),
        ("name: m\nregion: eu-west-1\ninstance: {id: \u{feff}i-0123456789abcdef0}\n", "a byte order mark (U+FEFF)"),
        ("name: m\nregion: eu-west-1\nfunction: {memory: \u{feff}128}\n", "a byte order mark (U+FEFF)"),
        ("name: m\nregion: eu-west-1\nfunction: {timeout: 5m\u{feff}}\n", "a byte order mark (U+FEFF)"),
        ("name: m\nregion: eu-west-1\ntags: {team: \u{feff}mail}\n", "a byte order mark (U+FEFF)"),
        (
            "name: m\nregion: eu-west-1\nrotation: {schedule: \"rate(7\u{2009}days)\"}\n",
            "a space of another width (U+2009)",
        ),
    ] {
        let yaml = format!("{yaml}secret: {{name: m/smtp}}\niam_user: {{name: m}}\n");
        let errors = as_text(&parsed(&yaml).unwrap_err());
        assert!(errors.contains(name), "{yaml}: {errors}");
    }
}

#[test]
fn a_line_break_that_a_block_of_yaml_leaves_is_named_wherever_a_value_is_refused() {
    let name = "name: |\n  mail\nregion: eu-west-1\nsecret: {name: m/smtp}\niam_user: {name: m}\n";
    let package = with("function:\n  package: >\n    bootstrap.zip\n");
    for yaml in [name, &package] {
        let errors = as_text(&parsed(yaml).unwrap_err());
        assert!(errors.contains("the line break at its end") && errors.contains("`|` and `>`"), "{errors}");
    }
}

#[test]
fn no_time_is_told_as_such_and_may_be_written_in_any_unit_where_it_is_accepted() {
    for zero in ["0s", "0m", "0h", "0d"] {
        assert_eq!(one(&with(&format!("rotation: {{keep_inactive: {zero}}}"))).rotation.keep_inactive, Duration::ZERO);
    }
    let errors = as_text(&parsed(&with("rotation: {keep_previous: 0h}")).unwrap_err());
    assert!(errors.contains("`0h` is no time") && errors.contains("write at least 1s"), "{errors}");
}

#[test]
fn the_json_of_a_configuration_has_the_keys_and_the_words_of_the_file() {
    fn walk(path: &str, value: &serde_json::Value, found: &mut Vec<(String, String)>) {
        let serde_json::Value::Object(fields) = value else {
            return found.push((path.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        };
        for (key, value) in fields {
            walk(&format!("{path}{}{key}", if path.is_empty() { "" } else { "." }), value, found);
        }
    }
    let example = include_str!("../../../../config.example.yaml");
    let config = parse(Path::new("config.yaml"), example).unwrap().remove(0);
    let mut found = Vec::new();
    walk("", &serde_json::to_value(config).unwrap(), &mut found);
    for (path, _) in &found {
        let key = path.rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{key}:")), "{path} is no key of the file");
    }
    for (path, value) in [
        ("function.memory", "128"),
        ("function.log_retention", "30d"),
        ("function.architecture", "x86_64"),
        ("function.log_level", "info"),
        ("secret.recovery_window", "30d"),
        ("ses.sender", "no-reply@example.com"),
        ("ses.recipient", "success@simulator.amazonses.com"),
        ("rotation.schedule", "rate(30 days)"),
        ("rotation.keep_previous", "24h"),
    ] {
        assert!(found.contains(&(path.to_owned(), value.to_owned())), "{path}: {value}: {found:?}");
    }
}

#[test]
fn a_record_without_a_function_still_gives_a_configuration() {
    for function in [None, Some("mail-prod-other")] {
        let config = least("mail-prod", "eu-west-1", "mail-prod/smtp", "mail-prod-smtp", function).unwrap();
        assert_eq!(config.names.function.as_deref(), function);
    }
}

/// The shortest configuration with these lines at its end, in place of its own lines with the same key.
fn with(lines: &str) -> String {
    let key = |line: &str| line.split(':').next().map(str::to_owned);
    let replaced = |line: &&str| lines.lines().any(|other| key(other) == key(line));
    let kept: Vec<&str> = LEAST.lines().filter(|line| !replaced(line)).chain(lines.lines()).collect();
    kept.join("\n") + "\n"
}

/// What a user reads about each of the texts.
fn errors(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    texts.into_iter().fold(String::new(), |mut all, text| {
        let text = text.as_ref();
        let error = parsed(text).map(|_| text).expect_err("the text must be refused");
        let _ = writeln!(all, "{}\n{}\n", as_text(&error), "=".repeat(60));
        all
    })
}

fn errors_with<const N: usize>(lines: [&str; N]) -> String {
    errors(lines.map(with))
}

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn example() -> String {
    fs::read_to_string(root().join("config.example.yaml")).unwrap()
}

#[test]
fn the_shortest_configuration_gets_every_default() {
    assert_debug_snapshot!(one(LEAST));
}

#[test]
fn the_example_is_read_as_it_says() {
    assert_debug_snapshot!(one(&example()));
}

#[test]
fn the_example_tells_editors_where_the_schema_is() {
    assert_eq!(example().lines().next(), Some("# yaml-language-server: $schema=deployer/config.schema.json"));
    assert!(root().join("deployer/config.schema.json").exists());
}

#[test]
fn every_key_of_the_schema_is_in_the_example() {
    fn keys(schema: &Value, indent: usize, example: &str) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let active = format!("\n{}{key}:", " ".repeat(indent));
            let commented = format!("\n{}# {key}:", " ".repeat(indent));
            assert!(example.contains(&active) || example.contains(&commented), "{key}");
            keys(schema, indent + 2, example);
        }
    }
    keys(&json_schema(), 0, &example());
}

#[test]
fn what_the_example_comments_out_can_be_used_instead() {
    let uncommented = |key: &str, text: String| {
        let commented = format!("  # {key}:");
        assert!(text.contains(&commented), "{key}");
        text.replacen(&commented, &format!("  {key}:"), 1)
    };
    let without = |key: &str, text: String| {
        let prefix = format!("  {key}:");
        text.lines().filter(|line| !line.starts_with(&prefix)).collect::<Vec<_>>().join("\n")
    };
    let ids = one(&uncommented("ids", without("id", example())));
    assert_eq!(ids.instance.unwrap().ids.len(), 2);
    for key in [
        "fields",
        "replaces",
        "known_policies",
        "document",
        "package",
        "permissions_boundary",
        "role_path",
        "role_permissions_boundary",
    ] {
        one(&uncommented(key, example()));
    }
    let keys = ["role", "function", "document", "rule", "topic", "alarms"];
    let names = keys.iter().fold(example().replace("\n# names:", "\nnames:"), |text, key| {
        text.replace(&format!("  # {key}: mail-{key}"), &format!("  {key}: mail-{key}"))
    });
    let names = one(&names).names;
    assert_eq!((names.role.unwrap().as_ref(), names.topic.unwrap().as_ref()), ("mail-role", "mail-topic"));
    let role = one(&example().replace("  # role: lambda-mail", "  role: lambda-mail"));
    assert_eq!(role.function.role.unwrap().as_ref(), "lambda-mail");
    let vpc = ["vpc", "subnets", "security_groups"].iter().fold(example(), |text, key| uncommented(key, text));
    assert_eq!(one(&vpc).function.vpc.unwrap().subnets.len(), 1);
    let secret_exists =
        without("recovery_window", without("kms_key", example())).replacen("existing: false", "existing: true", 1);
    assert!(one(&secret_exists).secret.existing);
}

/// Regenerate with `UPDATE_SCHEMA=1 cargo test -p deployer config_schema`.
#[test]
fn config_schema_json_is_the_schema_of_the_types() {
    let path = root().join("deployer/config.schema.json");
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == schema,
        "deployer/config.schema.json is out of date; run: UPDATE_SCHEMA=1 cargo test -p deployer config_schema"
    );
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn described(name: &str, schema: &Value) {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            described(key, schema);
        }
    }
    described("deployment", &json_schema());
}

#[test]
fn the_defaults_of_the_schema_are_those_that_apply() {
    fn defaults(schema: &Value) -> Value {
        let properties = schema["properties"].as_object();
        let values = properties.into_iter().flatten().filter_map(|(key, schema)| {
            let value = if schema["properties"].is_object() { defaults(schema) } else { schema["default"].clone() };
            (!value.is_null() && value != serde_json::json!({})).then_some((key.clone(), value))
        });
        Value::Object(values.collect())
    }
    let mut explicit: Value = serde_json::json!({
        "name": "mail-prod", "region": "eu-west-1",
        "secret": {"name": "mail-prod/smtp"}, "iam_user": {"name": "mail-prod-smtp"},
    });
    let schema = json_schema();
    for (group, values) in defaults(&schema).as_object().unwrap() {
        if group == "instance" {
            continue;
        }
        let Some(values) = values.as_object() else {
            explicit[group] = values.clone();
            continue;
        };
        let target = explicit.as_object_mut().unwrap().entry(group).or_insert(serde_json::json!({}));
        target.as_object_mut().unwrap().extend(values.clone());
    }
    assert_eq!(one(&explicit.to_string()), one(LEAST));

    let default = |key: &str| &schema["properties"]["instance"]["properties"][key]["default"];
    let [script, timeout] = ["script", "timeout"].map(|key| default(key).as_str().unwrap());
    assert_eq!(
        one(&with(&format!("instance: {{id: i-0123456789abcdef0, script: {script}, timeout: {timeout}}}"))).instance,
        one(&with("instance: {id: i-0123456789abcdef0}")).instance
    );
}

#[test]
fn a_file_says_which_versions_of_the_deployer_may_work_with_it() {
    let refused = |required: &str| {
        let text = with(&format!("required_version: {required}"));
        parse(Path::new("config.yaml"), &text).err().map(|error| as_text(&error))
    };
    assert_eq!(refused("\">=0.1, <0.2\""), None);
    let own = env!("CARGO_PKG_VERSION");
    let other = format!("this file is for deployer >=9, <10, and this is deployer {own}");
    assert!(refused("\">=9, <10\"").unwrap().contains(&other));
    assert!(refused("newest").unwrap().contains("`newest` does not say which versions"));
}

#[test]
fn an_unknown_key_is_refused_at_every_level() {
    assert_snapshot!(errors_with([
        "regoin: eu-west-1",
        "accountId: \"123456789012\"",
        "notfy: {email: ops@example.com}",
        "notify: {mail: ops@example.com}",
        "secret: {name: a, kms-key: alias/mail}",
        "iam_user: {name: a, replace: [AKIAIOSFODNN7EXAMPLE]}",
        "instance:\n  id: i-0123456789abcdef0\n  scirpt: /bin/rotate",
        "ses: {senders: [a@example.com]}",
        "rotation:\n  schedule: rate(30 days)\n  keep: 24h",
        "function: {memory_size: 128}",
        "function: {ephemeral: 1}",
        "memory: 256",
    ]));
}

#[test]
fn a_missing_key_is_named_with_its_group() {
    assert_snapshot!(errors([
        "region: eu-west-1\nsecret: {name: a}\niam_user: {name: b}\n",
        "name: a\nsecret: {name: a}\niam_user: {name: b}\n",
        "name: a\nregion: eu-west-1\niam_user: {name: b}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\n",
        "name: a\nregion: eu-west-1\nsecret: {}\niam_user: {name: b}\n",
        "name: a\nregion: eu-west-1\nsecret:\n  kms_key: alias/mail\niam_user: {name: b}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\niam_user: {existing: true}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\niam_user: {name: b}\ninstance: {}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\niam_user: {name: b}\ninstance: {role: hosts}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\niam_user: {name: b}\nfunction: {vpc: {subnets: [subnet-0123456789abcdef0]}}\n",
    ]));
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_key() {
    assert_snapshot!(errors_with([
        "name: [mail]",
        "name: {a: b}",
        "name: 12",
        "name: true",
        "name:",
        "region: ~",
        "secret: mail-prod/smtp",
        "secret:",
        "instance:\n  # id: i-0123456789abcdef0",
        "instance: [i-0123456789abcdef0]",
        "tags: [a, b]",
        "tags: {version: 1.10}",
        "tags: {owner: }",
        "tags: {1: one}",
        "secret: {name: a, existing: \"true\"}",
        "secret: {name: a, existing: yes}",
        "secret: {name: a, existing: 1}",
        "iam_user: {name: a, replaces: AKIAIOSFODNN7EXAMPLE}",
        "iam_user: {name: a, replaces: [1]}",
        "ses: {from: []}",
        "ses: {from: {a: b}}",
        "function: {memory: 128MB}",
        "function: {memory: \"128\"}",
        "function: {memory: 128.5}",
        "function: {timeout: [5m]}",
    ]));
}

#[test]
fn a_duration_needs_a_number_and_a_unit() {
    assert_snapshot!(errors_with([
        "function: {timeout: 300}",
        "function: {timeout: 1.5h}",
        "function: {timeout: 5 minutes}",
        "function: {timeout: 1h30m}",
        "function: {timeout: 0s}",
        "function: {timeout: -5m}",
        "function: {timeout: 05m}",
        "function: {timeout: 9999999d}",
        "function: {timeout: \"\"}",
        "function: {timeout: 16m}",
    ]));
}

#[test]
fn names_that_aws_would_refuse_are_refused() {
    assert_snapshot!(errors_with([
        "name: Mail_Prod",
        "name: mail-",
        "name: 1mail",
        "name: a-name-that-is-longer-than-thirty-eight",
        "name: amazon-mail",
        "secret: {name: mail prod}",
        "secret: {name: mail-secret}",
        "secret: {name: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-prod/smtp-AbCdEf\"}",
        "secret: {name: \"\"}",
        "iam_user: {name: mail prod}",
        "iam_user: {name: \"arn:aws:iam::123456789012:user/mail/smtp\"}",
        "iam_user: {name: /mail/smtp}",
        "instance: {id: i-0123456789abcdef0, script: /bin/rotate, role: \"arn:aws:iam::123456789012:role/mail\"}",
        "instance: {id: i-0123456789abcdef0, script: /bin/rotate, document: AWS-RunPowerShellScript}",
    ]));
}

#[test]
fn the_longest_names_are_accepted_and_fit_into_what_is_derived() {
    let (name, region) = ("n".repeat(38), "us-gov-central-1");
    let config = one(&with(&format!(
        "name: {name}\nregion: {region}\nsecret: {{name: {}}}\niam_user: {{name: {}}}",
        "s".repeat(239),
        "u".repeat(64),
    )));
    assert_eq!((config.name.len(), config.secret.name.len(), config.iam_user.name.len()), (38, 239, 64));
    assert!(format!("{}-rotation-{}", config.name, config.region).len() <= 64);
    let secret = format!("region: {region}\nsecret: {{name: {}}}", "s".repeat(240));
    for longer in [format!("name: n{name}"), "region: us-gov-southwest-1".to_owned(), secret] {
        assert!(parsed(&with(&longer)).is_err(), "{longer}");
    }
}

#[test]
fn what_aws_would_refuse_in_the_middle_of_an_apply_is_refused_by_validate() {
    assert_snapshot!(errors_with([
        "instance: {id: i-0123456789abcdef0, script: /bin/rotate, timeout: 4s}",
        &format!("secret: {{name: {}}}", "s".repeat(247)),
        "iam_user: {name: u, path: mail}",
        "iam_user: {name: u, permissions_boundary: boundary}",
        "iam_user: {name: u, existing: true, path: /mail/}",
        "function: {role_path: /mail//smtp/}",
        "function: {role_permissions_boundary: \"arn:aws:iam::123456789012:role/x\"}",
    ]));
}

#[test]
fn a_region_that_is_nearly_right_is_corrected() {
    assert_snapshot!(errors_with([
        "region: eu-west1",
        "region: eu-west-1a",
        "region: eu-wst-1",
        "region: EU_WEST_1",
        "region: eu_west_1b",
        "region: Ireland",
        "region: europe-west1",
    ]));
}

#[test]
fn a_region_whose_partition_has_no_ses_is_refused_by_name() {
    for region in ["cn-north-1", "us-isof-south-1"] {
        let error = as_text(&parsed(&with(&format!("region: {region}"))).unwrap_err());
        assert!(error.contains(&format!("Amazon SES is not in {region}")), "{error}");
    }
}

#[test]
fn every_kind_of_region_is_accepted() {
    for region in ["eu-west-1", "us-gov-west-1", "ap-southeast-5", "eusc-de-east-1"] {
        assert_eq!(&*one(&with(&format!("region: {region}"))).region, region);
    }
}

#[test]
fn an_account_id_is_twelve_digits_in_quotes() {
    assert_eq!(one(&with("account_id: \"012345678901\"")).account_id.as_deref(), Some("012345678901"));
    assert_snapshot!(errors_with([
        "account_id: 123456789012",
        "account_id: 012345678901",
        "account_id: 1e11",
        "account_id: \"1234-5678-9012\"",
        "account_id: \"12345678901\"",
    ]));
}

#[test]
fn ids_keys_and_arns_are_checked_by_their_shape() {
    assert_snapshot!(errors_with([
        "secret: {name: a, kms_key: mail}",
        "secret: {name: a, kms_key: alias/aws/secretsmanager}",
        "secret: {name: a, kms_key: \"arn:aws:kms:eu-west-1:12345:key/1234abcd-12ab-34cd-56ef-1234567890ab\"}",
        "secret: {name: a, kms_key: \"arn:aws:s3:::bucket\"}",
        "secret: {name: a, kms_key: \"arn:aws:kms:us-east-1:123456789012:alias/mail\"}",
        "iam_user: {name: a, replaces: [ASIAIOSFODNN7EXAMPLE]}",
        "iam_user: {name: a, known_policies: [policy/theirs]}",
        "iam_user: {name: a, replaces: [AKIAIOSFODNN7EXAMPLE, AKIAIOSFODNN7EXAMPLE]}",
        "iam_user: {name: a, replaces: [AKIAIOSFODNN7EXAMPL1, AKIAIOSFODNN7EXAMPL2, AKIAIOSFODNN7EXAMPL3]}",
        "instance: {id: 0123456789abcdef0, script: /bin/rotate}",
        "instance: {id: i-0123456789ABCDEF0, script: /bin/rotate}",
        "instance: {ids: [i-0123456789abcdef0, mi-0123456789abcdef0], script: /bin/rotate}",
        "instance: {ids: [i-0123456789abcdef0, i-0123456789abcdef0], script: /bin/rotate}",
    ]));
}

#[test]
fn every_way_to_name_a_kms_key_is_accepted() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for key in [
        "alias/mail".to_owned(),
        id.to_owned(),
        "mrk-1234abcd12ab34cd56ef1234567890ab".to_owned(),
        format!("arn:aws:kms:eu-west-1:123456789012:key/{id}"),
        "arn:aws:kms:eu-west-1:210987654321:alias/shared/mail".to_owned(),
    ] {
        let config = one(&with(&format!("secret: {{name: a, kms_key: \"{key}\"}}")));
        assert_eq!(config.secret.kms_key.as_deref(), Some(key.as_str()));
    }
}

#[test]
fn a_pasted_secret_is_never_shown() {
    let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let password = "BMPPgbAHoFVbze1Ud0oA5uNdXRwUXUZ+qOwphGJbl/cS";
    let error = errors([key, password].map(|secret| with(&format!("iam_user: {{name: a, replaces: [{secret}]}}"))));
    assert!(!error.contains(key) && !error.contains(password));
    assert_snapshot!(error);
}

#[test]
fn the_instances_are_named_in_one_way() {
    let many: Vec<String> = (0..51).map(|n| format!("i-{n:017x}")).collect();
    assert_snapshot!(errors([
        with("instance:\n  id: i-0123456789abcdef0\n  ids: [i-0123456789abcdef0]\n  script: /bin/rotate"),
        with("instance:\n  script: /bin/rotate"),
        with(&format!("instance:\n  script: /bin/rotate\n  ids: [{}]", many.join(", "))),
    ]));
    let most = one(&with(&format!("instance: {{script: /bin/rotate, ids: [{}]}}", many[..50].join(", "))));
    assert_eq!(most.instance.unwrap().ids.len(), 50);
}

#[test]
fn a_script_is_a_plain_absolute_path() {
    assert_snapshot!(errors_with([
        "instance: {id: i-0123456789abcdef0, script: rotate_smtp.sh}",
        "instance: {id: i-0123456789abcdef0, script: /bin/rotate --now}",
        "instance: {id: i-0123456789abcdef0, script: \"/bin/rotate; rm -rf /\"}",
        "instance: {id: i-0123456789abcdef0, script: /bin/$(id)}",
        "instance: {id: i-0123456789abcdef0, script: /bin/../etc/passwd}",
        "instance: {id: i-0123456789abcdef0, script: /bin/}",
        "instance: {id: i-0123456789abcdef0, script: \"/bin/{{ SecretArn }}\"}",
    ]));
}

#[test]
fn addresses_and_patterns_are_checked() {
    assert_snapshot!(errors_with([
        "ses: {from: [\"*@*\"]}",
        "ses: {from: [\"*\", mail@example.com]}",
        "ses: {from: [example.com]}",
        "ses: {from: [\"@example.com\"]}",
        "ses: {from: [\"*@example.*\"]}",
        "ses: {from: [\"${aws:username}@example.com\"]}",
        "ses: {from: *@example.com}",
        "ses:\n  from:\n    - *@example.com",
        "ses: {from: \"*@example.com\"}",
        "ses: {sender: Mail <no-reply@example.com>, recipient: a@example.com}",
        "ses: {sender: \"*@example.com\", recipient: a@example.com}",
        "ses: {sender: no-reply, recipient: a@localhost}",
        "notify: {email: Ops <ops@example.com>}",
        "notify: {email: ops}",
        "notify: ops@example.com",
        "notify:",
    ]));
}

#[test]
fn a_test_mail_has_a_sender_that_is_allowed_and_a_recipient() {
    assert_snapshot!(errors_with([
        "ses: {sender: no-reply@example.com}",
        "ses: {recipient: success@simulator.amazonses.com}",
        "ses:\n  from: [\"*@example.org\", mail@example.com]\n  sender: no-reply@example.com\n  recipient: a@example.com",
    ]));
    for (pattern, sender) in [
        ("*@example.com", "no-reply@example.com"),
        ("no-reply@example.com", "no-reply@example.com"),
        ("no-*@*.example.com", "no-reply@eu.example.com"),
        ("*r*l*@example.com", "no-reply@example.com"),
        ("App@Example.COM", "app@example.com"),
        ("App@Example.COM", "App@example.com"),
    ] {
        let ses = format!("ses: {{from: [\"{pattern}\"], sender: {sender}, recipient: a@example.com}}");
        assert_eq!(one(&with(&ses)).ses.test_mail.unwrap().sender, sender);
    }
    for (pattern, sender) in [
        ("*@example.com", "a@example.com.org"),
        ("a*a@example.com", "a@example.com"),
        ("a@example.com", "A@example.com"),
        ("*@example.com", "a@Example.com"),
    ] {
        let ses = format!("ses: {{from: [\"{pattern}\"], sender: {sender}, recipient: a@example.com}}");
        assert!(parsed(&with(&ses)).is_err(), "{pattern} {sender}");
    }
}

#[test]
fn an_endpoint_says_how_it_encrypts_and_is_in_the_region() {
    assert_snapshot!(errors_with([
        "ses: {endpoint: email-smtp.eu-west-1.amazonaws.com}",
        "ses: {endpoint: \"https://email-smtp.eu-west-1.amazonaws.com:465\"}",
        "ses: {endpoint: \"smtps://email-smtp.us-east-1.amazonaws.com:465\"}",
        "ses: {endpoint: \"smtps://vpce-0a1b.email-smtp.eu-west-1.vpce.amazonaws.com:465\"}",
        "ses: {endpoint: \"smtp://email-smtp.eu-west-1.amazonaws.com:25\"}",
    ]));
    for endpoint in ["smtp://127.0.0.1:2587", "smtps://email-smtp-fips.eu-west-1.amazonaws.com:465"] {
        assert_eq!(one(&with(&format!("ses: {{endpoint: \"{endpoint}\"}}"))).ses.endpoint.to_string(), endpoint);
    }
    assert_eq!(
        one(&with("region: eusc-de-east-1")).ses.endpoint.to_string(),
        "smtps://email-smtp.eusc-de-east-1.amazonaws.eu:465"
    );
}

#[test]
fn an_endpoint_of_ses_encrypts_as_its_port_does() {
    let ses = "email-smtp.eu-west-1.amazonaws.com";
    let vpc = "vpce-0a1b.email-smtp.eu-west-1.vpce.amazonaws.com";
    let refused = |endpoint: &str| match parsed(&with(&format!("ses: {{endpoint: \"{endpoint}\"}}"))) {
        Ok(_) => None,
        Err(error) => Some(as_text(&error)),
    };
    for host in [ses, vpc] {
        for (endpoint, instead) in [
            (format!("smtps://{host}:25"), format!("write smtps://{host}:465:")),
            (format!("smtp://{host}:25"), format!("write smtp://{host}:587:")),
            (format!("smtps://{host}:587"), format!("write smtp://{host}:587 (STARTTLS) or smtps://{host}:465 (")),
            (format!("smtps://{host}:2587"), format!("write smtp://{host}:2587 (STARTTLS) or smtps://{host}:465 (")),
            (
                format!("smtp://{host}:465"),
                format!("write smtps://{host}:465 (TLS from the first byte) or smtp://{host}:587 ("),
            ),
            (
                format!("smtp://{host}:2465"),
                format!("write smtps://{host}:2465 (TLS from the first byte) or smtp://{host}:587 ("),
            ),
        ] {
            let error = refused(&endpoint).unwrap_or_else(|| panic!("{endpoint} was accepted"));
            let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(error.contains(&instead), "{endpoint}: {error}");
        }
    }
    for (scheme, port) in [("smtps", 465), ("smtps", 2465), ("smtp", 587), ("smtp", 2587)] {
        assert_eq!(refused(&format!("{scheme}://{ses}:{port}")), None);
    }
    // Any port may be a relay's own.
    assert_eq!(refused("smtps://relay.example.com:587"), None);
}

#[test]
fn the_default_of_from_is_the_senders_domain_and_any_identity_is_written_as_a_star() {
    let from = |ses: &str| one(&with(ses)).ses.from;
    assert_eq!(from("ses: {sender: no-reply@mail.example.com, recipient: a@example.com}"), ["*@mail.example.com"]);
    assert!(from("ses: {from: [\"*\"], sender: no-reply@example.com, recipient: a@example.com}").is_empty());
    assert!(from("ses: {}").is_empty());
}

/// IAM tells letters apart, and whoever writes a domain in other letters means the same domain.
#[test]
fn the_users_policy_allows_each_sender_as_it_is_written_and_in_lower_case() {
    let senders = |ses: &str| one(&with(ses)).ses.senders();
    let of_sender = senders("ses: {sender: No-Reply@Example.COM, recipient: a@example.com}");
    assert_eq!(of_sender, ["*@Example.COM", "*@example.com"]);
    let written =
        senders("ses: {from: [\"App@Example.com\", \"*@*.Example.com\", \"*@example.org\", \"*@example.com\"]}");
    let all = ["*@*.Example.com", "*@*.example.com", "*@example.com", "*@example.org"];
    assert_eq!(written, [&all[..], &["App@Example.com", "App@example.com", "app@example.com"]].concat());
    assert!(senders("ses: {from: [\"*\"]}").is_empty());
}

#[test]
fn what_has_no_effect_on_existing_things_is_refused() {
    assert_snapshot!(errors_with([
        "secret:\n  name: mail\n  existing: true\n  kms_key: alias/mail\n  recovery_window: 7d",
        "iam_user: {name: mail, existing: true}\nses: {from: [\"*@example.com\"]}",
        "iam_user: {name: mail, allow_privileged: true}",
    ]));
    // The name's ending is allowed: nobody can rename an existing secret.
    assert!(one(&with("secret: {name: mail-secret, existing: true}")).secret.existing);
}

#[test]
fn numbers_and_words_are_within_their_limits() {
    assert_snapshot!(errors_with([
        "secret: {name: a, recovery_window: 6d}",
        "secret: {name: a, recovery_window: 31d}",
        "secret: {name: a, recovery_window: 170h}",
        "secret: {name: a, recovery_window: 0d}",
        "secret: {name: a, recovery_window: 0}",
        "function: {memory: 64}",
        "function: {memory: 10241}",
        "function: {memory: -1}",
        "function: {architecture: x86-64}",
        "function: {architecture: amd64}",
        "function: {package: \"\"}",
        "function: {log_level: warning}",
        "function: {log_level: verbose}",
        "function: {log_retention: 31d}",
        "function: {log_retention: 4000d}",
        "function: {log_retention: 12h}",
        "function: {log_retention: 30}",
    ]));
}

#[test]
fn tags_are_what_every_service_accepts() {
    let tags = |count: usize| (0..count).fold("tags:".to_owned(), |text, n| text + &format!("\n  tag{n}: x"));
    let long = format!("tags: {{{}: a, b: {}}}", "k".repeat(129), "v".repeat(257));
    assert_snapshot!(errors([
        with("tags: {\"aws:team\": a, \"Deployer:deployment\": b}"),
        with("tags: {\"\": a}"),
        with("tags: {Team: a, team: b}"),
        with("tags: {team: a#b, k*y: c}"),
        with(&tags(41)),
        with(&long),
    ]));
    assert_eq!(one(&with(&tags(40))).tags.len(), 40);
    assert_eq!(one(&with("tags: {Straße: \"\"}")).tags["Straße"], "");
}

#[test]
fn the_secrets_fields_are_mapped_to_what_a_rotation_knows() {
    let fields = |fields: &str| with(&format!("secret: {{name: a, fields: {fields}}}"));
    let mapped = one(&fields("{SMTP_USERNAME: access_key_id, port: smtp_port}")).secret.fields;
    assert_eq!(serde_json::to_string(&mapped).unwrap(), r#"{"SMTP_USERNAME":"access_key_id","port":"smtp_port"}"#);
    assert_snapshot!(errors([
        fields("{AccessKeyId: access_key_id}"),
        fields("{SMTP_PASSWORD: password}"),
        fields("{\"a b\": smtp_host}"),
        fields("{}"),
        fields("[SMTP_USERNAME]"),
    ]));
}

#[test]
fn a_function_in_a_vpc_names_subnets_and_security_groups_by_their_ids() {
    let vpc = |vpc: &str| with(&format!("function: {{vpc: {vpc}}}"));
    let private = "ses: {endpoint: \"smtps://vpce-0a1b.email-smtp.eu-west-1.vpce.amazonaws.com:465\"}";
    let whole = "{subnets: [subnet-0123456789abcdef0, subnet-01234567], security_groups: [sg-0123456789abcdef0]}";
    let config = one(&with(&format!("{private}\nfunction: {{vpc: {whole}}}")));
    assert_eq!(config.function.vpc.unwrap().subnets.len(), 2);
    assert_snapshot!(errors([
        with(private),
        vpc("{subnets: [subnet-0123456789abcdef0]}"),
        vpc("{subnets: [private-a], security_groups: [default]}"),
        vpc("{subnets: [], security_groups: [sg-0123456789abcdef0]}"),
    ]));
}

#[test]
fn text_that_older_yaml_takes_for_something_else_stays_as_it_is_written() {
    let tags = one(&with("tags: {a: yes, b: no, c: on, d: 2024-01-02, e: 1h, f: \"0o17\", no: off, g: \"1.10\"}")).tags;
    let expected = [
        ("a", "yes"),
        ("b", "no"),
        ("c", "on"),
        ("d", "2024-01-02"),
        ("e", "1h"),
        ("f", "0o17"),
        ("g", "1.10"),
        ("no", "off"),
    ];
    assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_snapshot!(errors_with([
        "tags: {a: true}",
        "tags: {a: 0o17}",
        "tags: {a: 017}",
        "tags: {a: 1e3}",
        "tags: {a: .inf}"
    ]));
}

#[test]
fn a_schedule_keeps_all_of_secrets_managers_rules() {
    let schedule = |schedule: &&str| with(&format!("rotation: {{schedule: \"{schedule}\"}}"));
    assert_snapshot!(errors(
        [
            "30 days",
            "rate(30)",
            "rate(0 days)",
            "rate(30 minutes)",
            "rate(3 hours)",
            "rate(1000 days)",
            "rate(100000 days)",
            "rate( 30 days )",
            "Rate(30 Days)",
            "cron(0 2 ? * mon-fri  *)",
            "cron(0 2 1 * ?)",
            "cron(30 2 1 * ? *)",
            "cron(0 2 1 * ? 2030)",
            "cron(0 2 1 * * *)",
            "cron(0 2 ? * ? *)",
            "cron(0 24 1 * ? *)",
            "cron(0 2 32 * ? *)",
            "cron(0 2 15W * ? *)",
            "cron(0 2 ? * SUNDAY *)",
            "cron(0 2 ? * SUN#6 *)",
            "cron(0 2 1 13 ? *)",
            "cron(0 2 1 DEC-JAN ? *)",
            "cron(0 2 30,31 FEB ? *)",
            "cron(0 2 31 4,JUN,9,11 ? *)",
            "cron(0 * * * ? *)",
            "cron(0 0,3 * * ? *)",
            "cron(0 1,22 * * ? *)",
            "cron(0 0/0 * * ? *)",
        ]
        .iter()
        .map(schedule)
    ));
}

#[test]
fn the_shortest_time_between_two_windows_is_never_overestimated() {
    let month = DAY * 28;
    for (expression, shortest) in [
        ("rate(4 hours)", HOUR * 4),
        ("rate(1 day)", DAY),
        ("rate(999 days)", DAY * 999),
        ("cron(0 2 * * ? *)", DAY),
        ("cron(0 8/12 * * ? *)", HOUR * 12),
        ("cron(0 /10 * * ? *)", HOUR * 4),
        ("cron(0 4,12 1 * ? *)", HOUR * 8),
        ("cron(0 2 1 * ? *)", month),
        ("cron(0 2 1 JAN ? *)", month * 12),
        ("cron(0 2 29 FEB ? *)", month * 12),
        ("cron(0 2 1 1/3 ? *)", month * 3),
        ("cron(0 2 ? JAN,APR SUN#1 *)", month * 3),
        ("cron(0 2 1,15 JAN ? *)", DAY * 14),
        ("cron(0 2 ? JAN SUN *)", DAY * 7),
        ("cron(0 2 31 FEB-APR ? *)", month),
        ("cron(0 2 L * ? *)", month),
        ("cron(0 2 1,15 * ? *)", DAY * 14),
        ("cron(0 2 1,L * ? *)", DAY),
        ("cron(0 2 1/10 * ? *)", DAY),
        ("cron(0 2 29-31/2 * ? *)", DAY * 2),
        ("cron(0 2 ? * SUN *)", DAY * 7),
        ("cron(0 2 ? * MON,THU *)", DAY * 3),
        ("cron(0 2 ? * 1-7 *)", DAY),
        ("cron(0 2 ? * SUN#1 *)", month),
        ("cron(0 2 ? * 6L *)", month),
        ("cron(0 2 ? * SUN#1,SUN#3 *)", DAY * 7),
    ] {
        assert_eq!(expression.parse::<Schedule>().unwrap().shortest_period(), shortest, "{expression}");
    }
}

#[test]
fn a_window_ends_before_the_next_and_before_midnight() {
    assert_snapshot!(errors_with([
        "rotation: {window: 90m}",
        "rotation: {window: 25h}",
        "rotation: {schedule: rate(4 hours), window: 5h}",
        "rotation: {schedule: cron(0 20 1 * ? *), window: 5h}",
        "rotation: {schedule: \"cron(0 0,12 * * ? *)\", window: 13h}",
    ]));
    assert_eq!(one(&with("rotation: {schedule: cron(0 20 1 * ? *), window: 4h}")).rotation.window, Some(HOUR * 4));
}

#[test]
fn the_previous_key_is_gone_when_the_next_window_opens() {
    assert_snapshot!(errors_with([
        "rotation: {keep_previous: 30d}",
        "rotation: {schedule: rate(1 day), keep_previous: 24h}",
        "rotation: {schedule: rate(1 day), window: 4h, keep_previous: 21h}",
        "rotation: {schedule: rate(1 day), window: 24h, keep_previous: 24h}",
        "rotation: {schedule: rate(4 hours), window: 4h}",
        "rotation: {schedule: \"cron(0 8,20 * * ? *)\", keep_previous: 12h}",
        "rotation: {schedule: rate(7 days), keep_inactive: 5d}",
    ]));
}

#[test]
fn one_wrong_time_of_a_rotation_hides_no_other() {
    let of = |rotation: &str| {
        let error = parse(Path::new("config.yaml"), &with(&format!("rotation: {rotation}"))).unwrap_err();
        error.problems().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let all = of("{schedule: rate(1 day), window: 90m, rotate_on_create: 1, keep_previous: 30h, keep_inactive: 99h}");
    for part in ["whole hours", "rotate_on_create", "still be kept", "has been Inactive for 99h"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let all = of("{schedule: daily, window: 90m}");
    assert!(all.contains("`daily` is not a schedule") && all.contains("whole hours"), "{all}");
    // A key that is kept for too long is not counted against another key's value.
    let grace_alone = of("{keep_previous: 31d, keep_inactive: 3d}");
    assert!(!grace_alone.contains("Inactive"), "{grace_alone}");
}

#[test]
fn a_daily_rotation_needs_nothing_else_in_the_file() {
    for (rotation, window, keep) in [
        ("rate(1 day)", Some(HOUR * 12), HOUR * 12),
        ("cron(0 2 * * ? *)", Some(HOUR * 12), HOUR * 12),
        ("cron(0 22 * * ? *)", None, HOUR * 12),
        ("cron(0 8,20 * * ? *)", Some(HOUR * 4), HOUR * 6),
        ("rate(1 day), keep_previous: 20h", Some(HOUR * 4), HOUR * 20),
        ("rate(1 day), window: 20h", Some(HOUR * 20), HOUR * 4),
    ] {
        let (schedule, more) = rotation.split_once("), ").map_or((rotation, ""), |(start, more)| (start, more));
        let schedule = format!("{})", schedule.trim_end_matches(')'));
        let rotation = one(&with(&format!("rotation: {{schedule: \"{schedule}\", {more}}}"))).rotation;
        assert_eq!((rotation.window, rotation.keep_previous), (window, keep), "{schedule} {more}");
    }
}

#[test]
fn the_previous_key_is_kept_for_a_day_or_half_the_period() {
    for (rotation, keep) in [
        ("{}", DAY),
        ("{schedule: rate(2 days)}", DAY),
        ("{schedule: rate(1 day), window: 12h}", HOUR * 12),
        ("{schedule: rate(5 hours)}", MINUTE * 150),
        ("{schedule: cron(0 2 * * ? *), window: 1h}", HOUR * 12),
        ("{schedule: cron(0 2 1 * ? *)}", DAY),
        ("{keep_previous: 7d}", DAY * 7),
    ] {
        assert_eq!(one(&with(&format!("rotation: {rotation}"))).rotation.keep_previous, keep, "{rotation}");
    }
}

#[test]
fn a_superseded_key_is_inactive_for_three_days_if_there_is_time_for_that() {
    for (rotation, keep) in [
        ("{}", DAY * 3),
        ("{schedule: rate(6 days)}", DAY * 3),
        ("{schedule: rate(5 days)}", Duration::ZERO),
        ("{schedule: rate(1 day), window: 4h}", Duration::ZERO),
        ("{keep_inactive: 0s}", Duration::ZERO),
        ("{keep_inactive: 7d}", DAY * 7),
    ] {
        assert_eq!(one(&with(&format!("rotation: {rotation}"))).rotation.keep_inactive, keep, "{rotation}");
    }
}

#[test]
fn the_time_limits_fit_into_each_other() {
    let instance = "instance: {id: i-0123456789abcdef0, script: /bin/rotate";
    assert_snapshot!(errors([
        with(&format!("{instance}, timeout: 3m}}")),
        with(&format!("{instance}}}\nfunction: {{timeout: 4m}}")),
        with(&format!("{instance}, timeout: 14m}}\nfunction: {{timeout: 15m}}")),
        with(&format!("{instance}, timeout: 20m}}\nfunction: {{timeout: 1m}}")),
        with("function: {timeout: 2m}"),
    ]));
    let exactly = one(&with(&format!("{instance}, timeout: 735s}}\nfunction: {{timeout: 15m}}")));
    assert_eq!(exactly.instance.unwrap().timeout, Duration::from_secs(735));
}

#[test]
fn all_mistakes_of_a_file_are_reported_together() {
    assert_snapshot!(errors(["name: Mail\nregion: eu-west1\naccount_id: 123\nsecret: {name: a b, existing: yes}\n\
         iam_user: {name: c d}\nfunction: {timeout: 20m, memory: 1}\nrotation: {schedule: daily, window: 4}\n\
         ---\nname: Post\nregion: eu-west-1\nsecret: {name: b}\niam_user: {name: d}\n"]));
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    assert_snapshot!(errors([
        "name: a\nname: b\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a, name: b}\niam_user: {name: b}\n",
        "name: a\nregion: eu-west-1\nsecret: {name: a}\niam_user: {name: b}\ntags: {a: b, \"a\": c}\n",
    ]));
}

#[test]
fn an_empty_file_or_document_is_refused() {
    let trailing = format!("{LEAST}---\n");
    assert_snapshot!(errors(["", "\n# nothing\n", "---\n", "~\n", trailing.as_str(), &format!("---\n---\n{LEAST}")]));
}

#[test]
fn what_is_not_yaml_is_refused_with_a_guess_at_what_it_is() {
    assert_snapshot!(errors([
        "name: a\nsecret:\n\tname: b\n",
        "name: a\n\tregion: b\n",
        "name = \"mail-prod\"\n\n[secret]\nname = \"mail-prod/smtp\"\n",
        "[deployment]\nname = \"mail-prod\"\n",
        "module \"smtp\" {\n  source = \"./smtp\"\n  name   = \"mail-prod\"\n}\n",
        "variable \"name\" {}\n",
        "- name: a\n",
        "just words\n",
        "name: 'a\n",
        "name: a: b\n",
        "name: @a\n",
        "name: a\n region: b\n",
        "name: a\nsecret: {name: b\n",
        "name: \"a\\q\"\n",
        "name: a\u{0}b\n",
        "name: a\nregion: \u{1b}[31mred\n",
    ]));
}

#[test]
fn json_is_yaml() {
    let json = "{\n\t\"name\": \"mail-prod\", \"region\": \"eu-west-1\",\n\t\"secret\": {\"name\": \"mail-prod/smtp\"},\n\
                \t\"iam_user\": {\"name\": \"mail-prod-smtp\"}\n}\n";
    assert_eq!(one(json), one(LEAST));
    assert_snapshot!(errors([json.replace("mail-prod/smtp", "mail prod")]));
}

#[test]
fn anchors_aliases_merge_keys_and_tags_are_refused() {
    assert_snapshot!(errors([
        "name: &name mail\nregion: eu-west-1\n",
        "name: mail\nsecret: &secret\n  name: b\n",
        "name: mail\nsecret: {name: *name}\n",
        "name: mail\n<<: {region: eu-west-1}\n",
        "name: !Sub mail\n",
        "!Ref name: mail\n",
        "name: !!str 12\n",
    ]));
}

#[test]
fn a_file_that_no_person_wrote_is_refused_in_few_words() {
    let documents =
        |count| (0..count).fold(String::new(), |all, n| all + "---\n" + &LEAST.replace("mail-prod", &format!("m{n}")));
    assert_eq!(parsed(&documents(1000)).unwrap().len(), 1000);
    assert_snapshot!(errors([
        documents(1001),
        with(&format!("tags: [{}a]", "a,".repeat(20_000))),
        with(&format!("tags: {}{}", "[".repeat(9), "]".repeat(9))),
        with(&format!("ses: {{from: [{}]}}", (0..51).map(|n| n.to_string() + "@bad,").collect::<String>()))
    ]));
}

#[test]
fn several_deployments_share_nothing_that_rotates() {
    let other =
        "---\nname: mail-test\nregion: eu-west-1\nsecret: {name: mail-test/smtp}\niam_user: {name: mail-test-smtp}\n";
    let names: Vec<String> =
        parsed(&format!("{LEAST}{other}")).unwrap().iter().map(|config| config.name.to_string()).collect();
    assert_eq!(names, ["mail-prod", "mail-test"]);

    assert_snapshot!(errors([
        format!("{LEAST}{}", other.replace("mail-test\n", "mail-prod\n")),
        format!("{LEAST}{}", other.replace("mail-test/smtp", "mail-prod/smtp")),
        format!("{LEAST}{}", other.replace("mail-test-smtp", "Mail-Prod-SMTP").replace("eu-west-1", "eu-west-2")),
        format!("{LEAST}---\n{LEAST}"),
        format!("{LEAST}{other}moved_from: mail-prod\n"),
    ]));

    // In another region or account, the same names belong to other resources.
    let elsewhere = LEAST.replace("eu-west-1", "eu-west-2").replace("mail-prod-smtp", "mail-prod-west-2-smtp");
    assert_eq!(parsed(&format!("{LEAST}---\n{elsewhere}")).unwrap().len(), 2);
    let accounts = ["111111111111", "222222222222"].map(|account| format!("account_id: \"{account}\"\n{LEAST}"));
    assert_eq!(parsed(&accounts.join("---\n")).unwrap().len(), 2);
}

#[test]
fn a_long_line_is_shown_around_the_mistake() {
    let tags: Vec<String> = (0..39).map(|n| format!("tag{n}: value")).collect();
    assert_snapshot!(errors([with(&format!("tags: {{{}, bad: a#b}}", tags.join(", ")))]));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    assert_eq!(one(&format!("\u{feff}{}", LEAST.replace('\n', "\r\n"))), one(LEAST));
    assert_snapshot!(errors([format!("\u{feff}name: Mail\r\n{LEAST}").replace("\nname: mail-prod", "")]));
}

#[test]
fn a_package_is_found_beside_the_file_that_names_it() {
    let text = with("function: {package: build/bootstrap.zip}");
    let package = |source: &str| parse(Path::new(source), &text).unwrap()[0].function.package.clone().unwrap();
    assert_eq!(package("config.yaml"), Path::new("build/bootstrap.zip"));
    assert_eq!(package("deploy/config.yaml"), Path::new("deploy/build/bootstrap.zip"));
    let absolute = with("function: {package: /srv/bootstrap.zip}");
    assert_eq!(one(&absolute).function.package.as_deref(), Some(Path::new("/srv/bootstrap.zip")));
}

mod files {
    use super::*;

    /// What follows from a file is computed elsewhere.
    const NOTHING: Derived = Derived { excess: |_| Vec::new(), taken: |_| Vec::new() };

    /// A folder that is removed with the value.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("deployer-config-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
            let path = self.0.join(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        /// What a user reads, without the folder's changing name.
        fn error(&self, path: &Path) -> String {
            as_text(&load(path, &NOTHING).unwrap_err()).replace(&*self.0.to_string_lossy(), "FOLDER")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        let folder = Folder::new("unreadable");
        let latin = folder.write("latin.yaml", b"name: mail\ntags: {a: caf\xe9}\n");
        let huge = folder.write("huge.yaml", vec![b'#'; (1 << 20) + 1]);
        let missing = folder.0.join("missing.yaml");
        let not_a_folder = latin.join("config.yaml");
        let errors = [missing, latin, huge, not_a_folder].map(|path| folder.error(&path));
        assert_snapshot!(errors.join("\n\n"));
    }

    #[test]
    fn a_folder_without_yaml_is_refused() {
        let folder = Folder::new("empty");
        folder.write("notes.txt", LEAST);
        folder.write(".hidden.yaml", LEAST);
        assert_snapshot!(folder.error(&folder.0));
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_its_names() {
        let folder = Folder::new("order");
        let numbered = |n: &str| LEAST.replace("mail-prod", &format!("mail-{n}"));
        folder.write("b.YML", numbered("b"));
        folder.write("a.yaml", format!("{}---\n{}", numbered("a1"), numbered("a2")));
        folder.write("c.yaml", numbered("c"));
        let configs = load(&folder.0, &NOTHING).unwrap();
        let names: Vec<&str> = configs.iter().map(|config| &*config.name).collect();
        assert_eq!(names, ["mail-a1", "mail-a2", "mail-b", "mail-c"]);
        assert_eq!(configs[2].source, folder.0.join("b.YML"));
        assert_eq!(load(&folder.0.join("c.yaml"), &NOTHING).unwrap(), configs[3..]);
    }

    #[test]
    fn the_files_of_a_folder_are_checked_together() {
        let folder = Folder::new("together");
        folder.write("a.yaml", LEAST);
        folder.write("b.yaml", LEAST.replace("name: mail-prod\n", "name: mail-other\n"));
        folder.write("c.yaml", "name: Mail\n");
        folder.write("d.yaml", "");
        assert_snapshot!(folder.error(&folder.0));
    }
}

/// A text that a pattern of the schema describes, and whether it is accepted.
fn described_text<T: 'static>(
    pattern: &str,
    accepted: impl Fn(&str) -> Result<T, InvalidValue>,
) -> impl Strategy<Value = (String, bool)> {
    // Without anchors, which a generator ignores, and with domains that are short enough to be valid.
    let generator = pattern.trim_start_matches('^').trim_end_matches('$').replace(")+", "){1,3}");
    string_regex(&generator).unwrap().prop_map(move |text| {
        let is_accepted = accepted(&text).is_ok();
        (text, is_accepted)
    })
}

proptest! {
    /// What an editor accepts is accepted here too, if a pattern can express every rule of the value.
    #[test]
    fn what_the_schema_describes_is_accepted(
        text in prop_oneof![
            described_text(AccountId::PATTERN, str::parse::<AccountId>),
            described_text(SecretName::PATTERN, str::parse::<SecretName>),
            described_text(UserName::PATTERN, str::parse::<UserName>),
            described_text(KnownPolicy::PATTERN, str::parse::<KnownPolicy>),
            described_text(RoleName::PATTERN, str::parse::<RoleName>),
            described_text(AccessKeyId::PATTERN, str::parse::<AccessKeyId>),
            described_text(InstanceId::PATTERN, str::parse::<InstanceId>),
            described_text(DocumentName::PATTERN, str::parse::<DocumentName>),
            described_text(mail::ADDRESS_PATTERN, mail::check_address),
            described_text(mail::SENDER_PATTERN, mail::check_pattern),
            described_text(duration::DurationText::PATTERN, duration::parse),
        ]
    ) {
        let (text, is_accepted) = text;
        prop_assert!(is_accepted, "{text}");
    }

    #[test]
    fn a_spelled_duration_without_a_rest_can_be_read(seconds in 1_u64..100_000_000) {
        let duration = Duration::from_secs(seconds);
        let spelled = duration::spell(duration);
        if let Ok(read) = duration::parse(&spelled) {
            prop_assert_eq!(read, duration);
        } else {
            prop_assert!(spelled.matches(char::is_alphabetic).count() > 1);
        }
    }

    /// Every text gives a configuration or an error that can be shown.
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", yaml in "[a-z:{}\\[\\]\"' \n\t&*!|>#-]{0,200}") {
        for text in [text.as_str(), &yaml, &with(&yaml)] {
            if let Err(error) = parsed(text) {
                prop_assert!(as_text(&error).starts_with("error: ") && as_text(&error).contains("\n\nhint: "));
            }
        }
    }
}

/// Schedules that Secrets Manager accepts.
fn some_schedule() -> impl Strategy<Value = String> {
    let hours = prop_oneof![
        (0_u32..24).prop_map(|hour| hour.to_string()),
        (0_u32..12, 12_u32..24).prop_map(|(first, last)| format!("{first},{last}")),
        (0_u32..4, 4_u32..24).prop_map(|(first, step)| format!("{first}/{step}")),
    ];
    let days = prop_oneof![
        Just("* * ?".to_owned()),
        "(L|[1-9]|1,15|1/[2-9]|1-9|1,L) [*] [?]",
        "[?] [*] (MON|MON,THU|1-7|SUN#1|6L|SUN#1,SUN#3)",
        "(1|L) (JAN|1/3) [?]",
    ];
    prop_oneof![
        (4_u32..24_000).prop_map(|hours| format!("rate({hours} hours)")),
        (1_u32..1000).prop_map(|days| format!("rate({days} days)")),
        (hours, days).prop_map(|(hours, days)| format!("cron(0 {hours} {days} *)")),
    ]
}

proptest! {
    #[test]
    fn every_schedule_that_aws_accepts_is_valid_by_itself(schedule in some_schedule()) {
        prop_assume!(schedule.parse::<Schedule>().is_ok());
        let rotation = parsed(&with(&format!("rotation: {{schedule: \"{schedule}\"}}")));
        let rotation = rotation.map_err(|error| TestCaseError::fail(as_text(&error)))?.remove(0).rotation;
        let schedule = &rotation.schedule;
        let window = rotation.window.unwrap_or(schedule.default_window());
        prop_assert!(rotation.keep_previous >= HOUR * 2);
        prop_assert!(window >= HOUR && window.as_secs() % 3600 == 0);
        prop_assert!(window + rotation.keep_previous <= schedule.shortest_period());
        prop_assert!(rotation.window.is_none() || window + schedule.latest_opening() <= DAY);
    }
}
