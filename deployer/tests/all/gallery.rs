//! What a person reads when a file or the command line is wrong: the exact screens, a snapshot per subject.
//!
//! No test here needs AWS, so that each situation costs one start of the program. `bad_input` has what AWS says.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A valid file, in which the cases change something.
const VALID: &str = "\
name: mail-prod
region: eu-west-1
secret:
  name: mail-prod/smtp
iam_user:
  name: mail-prod-smtp
";

/// Runs the deployer in a folder of its own, and adds what it prints to the gallery.
struct Gallery {
    folder: TempDir,
    screens: String,
}

impl Gallery {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), screens: String::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A situation, and the command that meets it. The exit code is 1.
    fn shows(&mut self, situation: &str, arguments: &[&str]) {
        let mut deployer = Command::new(env!("CARGO_BIN_EXE_deployer"));
        deployer.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        let ran = deployer.env_clear().env("LC_ALL", "C.UTF-8").output().unwrap();
        let screen = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        let command = ["deployer"].iter().chain(arguments).copied().collect::<Vec<_>>().join(" ");
        assert_eq!(ran.status.code(), Some(1), "{situation}: {screen}");
        let _ = writeln!(self.screens, "### {situation}\n\n$ {command}\n{screen}");
    }

    /// A file, and what `validate` says of it. The situation shows the file if it is short and printable.
    fn refuses(&mut self, situation: &str, file: impl AsRef<[u8]>) {
        fs::write(self.path("config.yaml"), file).unwrap();
        self.shows(situation, &["validate", "config.yaml"]);
    }

    /// The valid file with these lines in place of its own lines of the same keys, and what `validate` says of it.
    fn refuses_lines(&mut self, lines: &str) {
        let key = lines.split(':').next().unwrap();
        let mut file = String::new();
        let mut is_replaced = false;
        for line in VALID.lines() {
            is_replaced = if line.starts_with(' ') { is_replaced } else { line.split(':').next() == Some(key) };
            if !is_replaced {
                let _ = writeln!(file, "{line}");
            }
        }
        self.refuses(&lines.escape_debug().to_string(), format!("{file}{lines}\n"));
    }

    fn matches(self, name: &str) {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, self.screens) });
    }
}

#[test]
fn a_path_that_is_no_readable_file_says_what_it_is() {
    let mut gallery = Gallery::new();
    fs::write(gallery.path("mail-prod.yaml"), VALID).unwrap();
    gallery.shows("a missing file next to a similarly named one", &["validate", "mail-prd.yaml"]);
    gallery.shows("a missing file", &["validate", "other.yaml"]);
    gallery.shows("no CONFIG, and no config.yaml", &["validate"]);
    gallery.shows("a path below a file", &["validate", "mail-prod.yaml/config.yaml"]);
    symlink("gone.yaml", gallery.path("link.yaml")).unwrap();
    gallery.shows("a link to a file that does not exist", &["validate", "link.yaml"]);
    symlink("loop.yaml", gallery.path("loop.yaml")).unwrap();
    gallery.shows("a link to itself", &["validate", "loop.yaml"]);
    symlink("/proc/self/mem", gallery.path("unreadable.yaml")).unwrap();
    gallery.shows("a file that cannot be read", &["validate", "unreadable.yaml"]);
    assert!(Command::new("mkfifo").arg(gallery.path("pipe")).status().unwrap().success());
    gallery.shows("a named pipe, into which nobody writes", &["validate", "pipe"]);
    fs::create_dir(gallery.path("empty")).unwrap();
    fs::write(gallery.path("empty/notes.txt"), VALID).unwrap();
    gallery.shows("a folder without YAML", &["validate", "empty"]);
    fs::create_dir_all(gallery.path("nested/prod.yaml")).unwrap();
    gallery.shows("a folder in which a folder has the name of a file", &["validate", "nested"]);
    gallery.matches("files");
}

#[test]
fn a_file_that_is_no_utf8_text_or_has_no_deployment_says_so() {
    let mut gallery = Gallery::new();
    let utf16 = |bytes: fn(u16) -> [u8; 2]| VALID.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    gallery.refuses("UTF-16 with a byte order mark", [&[0xff, 0xfe], &utf16(u16::to_le_bytes)[..]].concat());
    gallery.refuses("UTF-16 without one", utf16(u16::to_be_bytes));
    gallery.refuses("Latin-1", b"name: mail-prod\ntags: {city: Z\xfcrich}\n");
    gallery.refuses("a zip", b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xff\xfe");
    gallery.refuses("a NUL byte in a name", VALID.replace("mail-prod\n", "mail\0prod\n"));
    gallery.refuses(
        "byte order mark and CRLF",
        format!("\u{feff}{}", VALID.replace("eu-west-1", "eu-west1").replace('\n', "\r\n")),
    );
    gallery.refuses("an empty file", "");
    gallery.refuses("only comments", "# mail\n\n  # nothing yet\n");
    gallery.refuses("only the beginning of a document", "---\n");
    gallery.refuses("an empty document after a valid one", format!("{VALID}---\n"));
    gallery.refuses("more than 1 MiB", vec![b'#'; (1 << 20) + 1]);
    gallery.matches("encodings");
}

#[test]
fn every_mistake_of_every_file_is_told_in_one_run() {
    let mut gallery = Gallery::new();
    gallery.refuses(
        "keys, values and YAML that are wrong in one file",
        "nmae: mail-prod\nregion: eu-west1\nregion: eu-west-1\nsecret: mail-prod/smtp\niam_user: &user\n  name: mail prod\n\
         \x20 existing: yes\nses:\n  from: [*@example.com]\n  sender: no-reply\nrotation: {schedule: daily, windw: 4h}\n\
         function: {timeout: 20m}\nnotify:\n",
    );
    gallery.refuses(
        "mistakes in several documents",
        format!(
            "{}---\nname: mail-test\nregion: eu-west-1\n---\n{VALID}---\n{VALID}",
            VALID.replace("region", "regoin")
        ),
    );
    let other = VALID.replace("mail-prod", "mail-test");
    gallery.refuses(
        "names that two deployments would share",
        format!("{VALID}---\n{other}names: {{function: mail-prod-rotation, rule: mail-upkeep}}\n"),
    );
    gallery.refuses("a mistyped group, whose keys are right", VALID.replace("iam_user:", "iam_usr:"));
    gallery.refuses(
        "a file for a newer deployer, with a key that only that one knows",
        format!("required_version: \">=9\"\nbudget: 3\n{VALID}"),
    );
    gallery.refuses(
        "mistakes that concern several keys, beside a wrong name",
        "name: Mail\nregion: eu-west-1\nsecret: {name: m/smtp}\niam_user: {name: m, existing: true}\n\
         ses: {from: [a@example.com], endpoint: \"smtps://vpce-1.email-smtp.eu-west-1.vpce.amazonaws.com:465\"}\n\
         instance: {id: web-1, script: /bin/rotate, timeout: 10m}\nfunction: {timeout: 4m}\n",
    );
    fs::create_dir(gallery.path("folder")).unwrap();
    for (name, text) in [
        ("a.yaml", VALID.to_owned()),
        ("b.yaml", VALID.replace("name: mail-prod\n", "name: mail-other\n")),
        ("c.yaml", VALID.replace("mail-prod", "Mail")),
        ("d.yaml", VALID.replace("secret:\n", "secret:\n\t")),
        ("e.yaml", String::new()),
    ] {
        fs::write(gallery.path("folder").join(name), text).unwrap();
    }
    gallery.shows("a folder", &["validate", "folder"]);
    fs::write(gallery.path("long.yaml"), format!("{VALID}ses: {{from: [{}]}}\n", "a,".repeat(60))).unwrap();
    gallery.shows("more mistakes than anybody reads", &["validate", "long.yaml"]);
    gallery.matches("several");
}

#[test]
fn the_wrong_type_is_told_at_each_place() {
    let mut gallery = Gallery::new();
    gallery.refuses("a list of deployments", "- name: mail-prod\n");
    gallery.refuses("one word", "mail-prod\n");
    for lines in [
        "name: [mail-prod]",
        "protect: \"true\"",
        "account_id: 123456789012",
        "region:",
        "tags: [team, platform]",
        "tags: {team: {name: platform}}",
        "secret: mail-prod/smtp",
        "secret: {name: {prod: mail}}",
        "secret: {name: a, fields: [SMTP_USERNAME]}",
        "secret: {name: a, recovery_window: 30}",
        "iam_user: [mail-prod-smtp]",
        "iam_user: {name: a, replaces: {old: AKIAIOSFODNN7EXAMPLE}}",
        "instance: i-0123456789abcdef0",
        "instance: {ids: i-0123456789abcdef0, script: /bin/rotate}",
        "ses: success@simulator.amazonses.com",
        "ses: {from: 1}",
        "rotation: rate(30 days)",
        "rotation: {rotate_on_create: 0}",
        "function:",
        "function: {memory: 1.5}",
        "function: {vpc: subnet-0123456789abcdef0}",
        "notify: ops@example.com",
        "? [name, region]\n: mail-prod",
    ] {
        gallery.refuses_lines(lines);
    }
    gallery.matches("types");
}

#[test]
fn unusual_yaml_is_refused_in_its_own_words() {
    let mut gallery = Gallery::new();
    for lines in [
        "secret: {name: a, existing: yes}",
        "rotation: {rotate_on_create: off}",
        "function: {memory: 0o7}",
        "function: {memory: 1_000}",
        "function: {memory: 1e3}",
        "account_id: 012345678901",
        "name: 2026-01-31",
        "name: 1.0",
        "name: null",
        "tags: {clock: 12:30, version: 1.10}",
        "name: |\n  mail-prod\n  mail-test",
        "name: >-\n  mail\n  prod",
        "name: \"mail\\u0000prod\"",
        "<<: {region: eu-west-1}",
        "name: !Sub mail-${Stage}",
        "name: &name mail-prod\ntags: {Name: *name}",
        "ses: {from: [*@example.com]}",
        "notify: {email: @ops}",
        "name: mail: prod",
        "name: 'mail-prod",
        "secret: {name: a",
        "secret:\n\tname: a",
        "secret:\n    name: a\n  existing: true",
        "name:mail-prod",
        "tags: {a: {b: {c: {d: {e: {f: {g: {h: i}}}}}}}}",
        "secret: {name: a, name: b}",
        "tags: {team: a, \"team\": b, Team: c}",
    ] {
        gallery.refuses_lines(lines);
    }
    gallery.refuses("Terraform", "module \"smtp\" {\n  source = \"./smtp\"\n}\n");
    gallery.refuses("JSON with a comment", "{\n  // mail\n  \"name\": \"mail-prod\"\n}\n");
    gallery.matches("yaml");
}

#[test]
fn the_underline_is_below_its_place_whatever_comes_before() {
    let mut gallery = Gallery::new();
    for lines in [
        "tags: {城市: 東京, team: a#b}",
        "tags: {mood: \"😀😀\", team: a}",
        "tags: {\te\u{301}: a, team: a#b}",
        "tags: {a: \u{202e}b, team: a#b}",
        "tags: {a: \u{1b}[31mred}",
    ] {
        gallery.refuses_lines(lines);
    }
    gallery.refuses_lines(&format!("name: {}", "a".repeat(300)));
    gallery.refuses_lines(&format!("tags: {{{}, team: a#b, {}}}", "k: v, ".repeat(30), "x: y".repeat(40)));
    gallery.refuses_lines("iam_user: {name: a, replaces: [wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY]}");
    gallery.matches("columns");
}

#[test]
fn values_beyond_awss_limits_say_the_limit() {
    let mut gallery = Gallery::new();
    let long = |count: usize| "a".repeat(count);
    for lines in [
        format!("name: {}", long(39)),
        format!("secret: {{name: {}}}", long(513)),
        format!("secret: {{name: {}}}", long(250)),
        format!("iam_user: {{name: {}}}", long(65)),
        format!("tags: {{{}: b}}", long(129)),
        format!("tags: {{a: {}}}", long(257)),
        format!("tags: {{{}}}", (0..41).map(|n| format!("k{n}: v")).collect::<Vec<_>>().join(", ")),
        "tags: {\"aws:team\": a, \"deployer:team\": b}".to_owned(),
        "region: eu-west-1b".to_owned(),
        "region: cn-north-1".to_owned(),
        "region: Frankfurt".to_owned(),
        "secret: {name: a, kms_key: \"arn:aws:kms:us-east-1:123456789012:alias/mail\"}".to_owned(),
        "secret: {name: a, kms_key: \"arn:aws-cn:kms:cn-north-1:123456789012:alias/mail\"}".to_owned(),
        "secret: {name: a, kms_key: \"arn:aws:s3:::bucket\"}".to_owned(),
        "account_id: \"123456789012\"\niam_user: {name: a, permissions_boundary: \"arn:aws:iam::210987654321:policy/b\"}".to_owned(),
        "function: {role_permissions_boundary: \"arn:aws-us-gov:iam::aws:policy/b\"}".to_owned(),
        "rotation: {schedule: rate(3 hours)}".to_owned(),
        "rotation: {schedule: rate(1000 days)}".to_owned(),
        "rotation: {schedule: \"cron(15 2 1 * ? *)\"}".to_owned(),
        "rotation: {schedule: rate(1 day), window: 25h}".to_owned(),
        "rotation: {schedule: rate(1 day), window: 4h, keep_previous: 21h}".to_owned(),
        "rotation: {keep_inactive: 30d}".to_owned(),
        "secret: {name: a, recovery_window: 6d}".to_owned(),
        "function: {timeout: 901s}".to_owned(),
        "function: {memory: 10241}".to_owned(),
        "function: {log_retention: 31d}".to_owned(),
        "instance: {id: i-0123456789abcdef0, script: /bin/rotate, timeout: 4s}".to_owned(),
        "notify: {email: Ops <ops@example.com>}".to_owned(),
        "ses: {sender: no-reply@localhost, recipient: success@simulator.amazonses.com}".to_owned(),
        "ses: {from: [\"*@*\"]}".to_owned(),
        format!("ses: {{from: [{}]}}", (0..70).map(|n| format!("sender-{n}@mail.example.com")).collect::<Vec<_>>().join(", ")),
    ] {
        gallery.refuses_lines(&lines);
    }
    gallery.matches("limits");
}

#[test]
fn a_mistyped_command_line_names_the_word_and_the_right_one() {
    let mut gallery = Gallery::new();
    fs::write(gallery.path("config.yaml"), VALID).unwrap();
    for arguments in [
        &["aply"][..],
        &["plan", "--detailed-exit-code"],
        &["plan", "config.yaml", "other.yaml"],
        &["apply", "--lease-timeout", "5"],
        &["destroy", "--name", "mail-prod"],
        &["rotate", "--leaked"],
        &["apply", "-auto-approve"],
        &["output", "secret"],
        &["validate", "--format", "gitlab"],
        &["completions", "bsh"],
        &["list"],
        &["list", "--region", "eu-west1"],
        &["output", "prod.yaml"],
        &["list", "--json", "--region", "foo"],
        &["plan", "--json", "--detailed-exit-code"],
    ] {
        gallery.shows(&arguments.join(" "), arguments);
    }
    gallery.matches("command_line");
}

#[test]
fn with_json_and_for_github_each_mistake_is_a_line() {
    let mut gallery = Gallery::new();
    let wrong = format!("{}budget: 50%\ntags: {{a: \"b\\nc#, d\"}}\n", VALID.replace("eu-west-1", "eu-west1"));
    fs::write(gallery.path("config,1.yaml"), wrong).unwrap();
    gallery.shows("JSON", &["validate", "--json", "config,1.yaml"]);
    gallery.shows("annotations", &["validate", "--format", "github", "config,1.yaml"]);
    gallery.shows("JSON of a missing file", &["validate", "--json", "missing.yaml"]);
    gallery.shows("an annotation of a missing file", &["validate", "--format", "github", "missing.yaml"]);
    gallery.matches("machines");
}

/// Each screen of the gallery names the place, says its cause once, and has a next step.
#[test]
fn every_screen_of_the_gallery_has_a_place_and_a_next_step() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/snapshots");
    let mut screens = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("all__gallery__") || name.contains("machines") || name.contains("command_line") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for screen in text.split("\n### ").skip(1) {
            screens += 1;
            let faults = screen.matches("\nerror: ").count();
            assert!(faults > 0 && faults == screen.matches("\nhint: ").count(), "{name}: {screen}");
            // Of a file as a whole, the message names the file.
            let is_placed = screen.split("\nerror: ").skip(1).all(|fault| {
                fault.contains("--> ") || fault.contains(".yaml") || fault.contains("pipe") || fault.contains("folder")
            });
            assert!(is_placed, "{name}: {screen}");
        }
    }
    assert!(screens >= 60, "{screens}");
}
