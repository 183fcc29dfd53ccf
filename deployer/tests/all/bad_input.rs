//! Mistakes that are refused before the first change: a clear error, exit code 1, and nothing is done.

use std::{
    fs::File,
    io::{BufRead as _, Read as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    calls::{Call, NOTHING},
    example::REGION,
    sandbox::Sandbox,
    shown::assert_shown,
};

fn refused(sandbox: &Sandbox, config: &str, variables: &[(&str, &str)]) -> String {
    refused_with(1, sandbox, config, variables)
}

/// No credentials, or not the right ones.
fn refused_credentials(sandbox: &Sandbox, config: &str, variables: &[(&str, &str)]) -> String {
    refused_with(13, sandbox, config, variables)
}

fn refused_with(code: i32, sandbox: &Sandbox, config: &str, variables: &[(&str, &str)]) -> String {
    let before = sandbox.mark();
    let ran = sandbox.deployer_with(&["apply", "--auto-approve", config], variables).expect(code);
    assert_eq!(ran.stdout, "");
    let made: Vec<_> = sandbox.calls()[before..].iter().map(Call::name).collect();
    assert!(made.iter().all(|call| call == "sts:GetCallerIdentity"), "{made:?}");
    ran.stderr
}

/// No credentials: every variable that could lead to some is removed, or leads nowhere.
const NO_CREDENTIALS: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
    ("AWS_SESSION_TOKEN", ""),
    ("AWS_PROFILE", ""),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("HOME", "/nonexistent"),
];

#[test]
fn missing_credentials_a_wrong_account_and_a_broken_network_are_refused_before_any_change() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);

    assert_shown!("no_credentials", &sandbox, &refused_credentials(&sandbox, &config, &NO_CREDENTIALS));

    let invalid = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")];
    let error = refused_credentials(&sandbox, &config, &invalid);
    assert!(error.contains("error: failed to ask AWS whom the credentials belong to"), "{error}");
    assert!(error.contains("AWS_PROFILE"), "{error}");

    let wrong_account = sandbox.config(&[("\"123456789012\"", "\"210987654321\"")]);
    assert_shown!("wrong_account", &sandbox, &refused_credentials(&sandbox, &wrong_account, &[]));

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let no_network = format!("http://{closed}");
    assert_shown!("no_network", &sandbox, &refused(&sandbox, &config, &[("AWS_ENDPOINT_URL", &no_network)]));

    // Whoever set the variable may not know that it counts here.
    let proxied = [("AWS_ENDPOINT_URL", "https://iam.example.com"), ("HTTPS_PROXY", &*no_network), ("NO_PROXY", "")];
    let error = refused(&sandbox, &config, &proxied);
    assert!(error.contains(" of HTTPS_PROXY (NO_PROXY lists"), "{error}");

    let garbage = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    assert_shown!("garbage", &sandbox, &refused(&sandbox, &config, &[("AWS_ENDPOINT_URL", &garbage)]));
}

/// Away from EC2, nobody answers at the address of the instance's metadata.
#[test]
fn a_laptop_without_credentials_is_told_so_in_two_seconds_and_not_of_instance_metadata() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", silent.local_addr().unwrap());
    let here = [("AWS_EC2_METADATA_DISABLED", ""), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata)];
    let began = Instant::now();
    let error = refused_credentials(&sandbox, &config, &[&NO_CREDENTIALS[..], &here].concat());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(error.contains("found no AWS credentials") && !error.contains("etadata"), "{error}");
}

/// As in a file with Windows line endings that a shell reads.
#[test]
fn credentials_with_a_line_break_are_told_as_that_and_a_profile_that_is_not_there_by_its_name() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    for (variable, value, name) in [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE\r", "access key id"),
        ("AWS_SECRET_ACCESS_KEY", "secret\n", "secret access key"),
        ("AWS_SESSION_TOKEN", "a token", "session token"),
    ] {
        let error = refused_credentials(&sandbox, &config, &[(variable, value)]);
        assert!(error.contains(&format!("the {name} has a space, a line break")), "{error}");
    }
    let profile = [&NO_CREDENTIALS[..], &[("AWS_PROFILE", "prodd")]].concat();
    let error = refused_credentials(&sandbox, &config, &profile);
    assert!(error.contains("prodd"), "{error}");
}

#[test]
fn a_profile_beside_the_keys_of_the_environment_is_told_as_not_used() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let plan = |set: &[(&str, &str)]| sandbox.deployer_with(&["plan", &config], set).expect(0).stderr;
    let told = plan(&[("AWS_PROFILE", "prod")]);
    assert!(told.contains("AWS_PROFILE, so profile prod is not used"), "{told}");
    assert!(!plan(&[]).contains("is not used"));
}

#[test]
fn standard_input_is_told_from_a_file_that_is_not_there() {
    let sandbox = Sandbox::start();
    let error = sandbox.deployer(&["apply", "-"]).expect(1).stderr;
    assert!(error.contains("standard input is not read") && !error.contains("deployer init"), "{error}");
}

#[test]
fn a_file_of_credentials_that_cannot_be_read_is_named() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci");
    let token = [&NO_CREDENTIALS[..], &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"), role]].concat();
    let error = refused_credentials(&sandbox, &config, &token);
    assert!(error.contains("AWS_WEB_IDENTITY_TOKEN_FILE names /nowhere/token, which cannot be read"), "{error}");
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/");
    let container = [&NO_CREDENTIALS[..], &[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere/pod"), uri]].concat();
    let error = refused_credentials(&sandbox, &config, &container);
    assert!(error.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names /nowhere/pod"), "{error}");
    let file = sandbox.file("profiles", "[default\nregion = eu-west-1\n");
    let malformed = [&NO_CREDENTIALS[..], &[("AWS_CONFIG_FILE", &*file)]].concat();
    let error = refused_credentials(&sandbox, &config, &malformed);
    assert!(
        error.contains("could not parse profile file") && error.contains(&*file) && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn a_profile_with_mfa_is_told_the_way_round() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let mfa = "mfa_serial = arn:aws:iam::123456789012:mfa/me";
    let profiles = format!(
        "[profile admin]\nrole_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = me\n{mfa}\n\
         [profile me]\nregion = eu-west-1\n[profile through]\nrole_arn = arn:aws:iam::123456789012:role/b\nsource_profile = admin\n"
    );
    let file = sandbox.file("aws-config", &profiles);
    for profile in ["admin", "through"] {
        let chosen = [("AWS_PROFILE", profile), ("AWS_CONFIG_FILE", &*file)];
        let error = refused_credentials(&sandbox, &config, &[&NO_CREDENTIALS[..], &chosen].concat());
        let way = format!("credential_process = aws configure export-credentials --profile {profile}");
        assert!(error.contains("mfa_serial") && error.contains(&way), "{error}");
    }
}

#[test]
fn a_session_that_has_to_be_signed_in_is_told_with_the_command_and_half_a_pair_with_the_other_half() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let file = sandbox.file(
        "aws-config",
        "[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n\
         [sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n\
         [profile login]\nlogin_session = arn:aws:iam::123456789012:user/me\n",
    );
    for (profile, way) in [
        ("sso", "aws sso login --profile sso"),
        ("login", "credential_process = aws configure export-credentials --profile login"),
        ("none", "aws configure list-profiles"),
    ] {
        let chosen = [("AWS_PROFILE", profile), ("AWS_CONFIG_FILE", &*file)];
        let error = refused_credentials(&sandbox, &config, &[&NO_CREDENTIALS[..], &chosen].concat());
        assert!(error.contains(way), "{error}");
    }
    let half = [&NO_CREDENTIALS[..], &[("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")]].concat();
    let error = refused_credentials(&sandbox, &config, &half);
    assert!(error.contains("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"), "{error}");
}

/// The sandbox's SMTP port has a certificate of the sandbox's own authority. What it says is no HTTP, but shows that TLS succeeded.
#[test]
fn the_certificates_of_aws_ca_bundle_are_trusted() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let endpoint = sandbox.variable("SANDBOX_SMTP_ENDPOINT").replace("smtps://", "https://");
    let bundle = sandbox.variable("SANDBOX_CA_FILE").to_owned();
    let with = |bundle: &str| refused(&sandbox, &config, &[("AWS_ENDPOINT_URL", &endpoint), ("AWS_CA_BUNDLE", bundle)]);
    assert!(with("").contains("certificate"), "{}", with(""));
    assert!(!with(&bundle).contains("certificate"), "{}", with(&bundle));
    for unusable in ["/nonexistent/ca.pem", &sandbox.file("other.pem", "no certificate")] {
        let error = with(unusable);
        assert!(error.contains(&format!("failed to use the certificates of {unusable}")), "{error}");
    }
    let profile = |bundle: &str| {
        let file = sandbox.file("aws-config", &format!("[default]\nca_bundle = {bundle}\n"));
        refused(&sandbox, &config, &[("AWS_ENDPOINT_URL", &endpoint), ("AWS_CONFIG_FILE", &file)])
    };
    assert!(!profile(&bundle).contains("certificate"), "{}", profile(&bundle));
    let unusable = profile("/nonexistent/ca.pem");
    assert!(unusable.contains("hint: ca_bundle of the profile default names a file"), "{unusable}");
}

/// PATH has no cargo-lambda, and AWS cannot be reached.
#[test]
fn a_missing_cargo_lambda_is_told_before_anything_is_read_from_aws() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let nowhere = [("PATH", "/nonexistent"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    for command in [&["plan"][..], &["apply", "--auto-approve"]] {
        let stderr = sandbox.deployer_with(&[command, &[&config]].concat(), &nowhere).expect(1).stderr;
        let note = "note: cargo-lambda, which builds the function, is not on the PATH: install it with `uv tool install cargo-lambda`";
        assert!(stderr.trim_start().starts_with(note), "{command:?}: {stderr}");
    }
    let ran = sandbox.deployer_with(&["apply", "--auto-approve", &config], &[("PATH", "/nonexistent")]).expect(1);
    assert!(
        ran.stderr.contains("error: cargo-lambda, which builds the function, is not on the PATH"),
        "{}",
        ran.stderr
    );
    assert_eq!(sandbox.mutations(0), NOTHING);
}

/// The snapshot's name, a text of the example, and what stands there instead.
const MISTAKES: [(&str, &str, &str); 13] = [
    ("misspelled_key", "iam_user:", "iam_usr:"),
    ("unknown_key", "name: mail-prod\n", "name: mail-prod\nbudget: 3\n"),
    ("wrong_type", "rotate_on_create: true", "rotate_on_create: often"),
    ("missing_key", "region: eu-west-1\n", ""),
    ("bad_arn", "kms_key: alias/mail", "kms_key: arn:aws:kms:key"),
    ("bad_instance_id", "id: i-0123456789abcdef0", "id: web-1"),
    ("bad_sender", "sender: no-reply@example.com", "sender: no-reply"),
    ("bad_schedule", "schedule: rate(30 days)", "schedule: every month"),
    ("bad_email", "email: ops@example.com", "email: ops"),
    ("bad_region", "region: eu-west-1\n", "region: eu-west1\n"),
    ("bad_name", "name: mail-prod\n", "name: Mail Prod\n"),
    ("bad_user_name", "name: mail-prod-smtp", "name: mail prod"),
    ("not_yaml", "secret:\n", "resource \"aws_secretsmanager_secret\" {\n"),
];

#[test]
fn every_mistake_in_the_file_is_refused_before_any_call() {
    let sandbox = Sandbox::start();
    for (name, right, wrong) in MISTAKES {
        let config = sandbox.config(&[(right, wrong)]);
        assert_shown!(name, &sandbox, &refused(&sandbox, &config, &[]));
    }
    assert_eq!(sandbox.calls(), []);
}

#[test]
fn a_file_that_cannot_be_used_is_an_error() {
    let sandbox = Sandbox::start();
    assert_shown!("missing_file", &sandbox, &refused(&sandbox, "missing.yaml", &[]));
    let empty = sandbox.file("empty.yaml", "");
    assert_shown!("empty_file", &sandbox, &refused(&sandbox, &empty, &[]));
    let latin1 = sandbox.file("latin1.yaml", "");
    std::fs::write(sandbox.path("latin1.yaml"), b"name: caf\xe9\n").unwrap();
    assert_shown!("not_utf8", &sandbox, &refused(&sandbox, &latin1, &[]));
    assert_shown!("folder_without_yaml", &sandbox, &refused(&sandbox, sandbox.path("mail").to_str().unwrap(), &[]));
}

#[test]
fn usage_errors_exit_with_1_because_2_means_changes() {
    let sandbox = Sandbox::start();
    let ran = sandbox.deployer(&["aply"]).expect(1);
    assert!(ran.stderr.contains("apply"), "{}", ran.stderr);
    sandbox.deployer(&["--help"]).expect(0);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let deployer = || Command::new(env!("CARGO_BIN_EXE_deployer"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ran = deployer().arg("schema").stdout(full).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("failed to write to standard output"));
    let mut child = deployer().arg("schema").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn nothing_is_changed_that_could_not_be_shown() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let before = sandbox.mark();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut apply = Command::new(env!("CARGO_BIN_EXE_deployer"));
    sandbox.environment_of(apply.args(["apply", "--auto-approve", &config])).stdout(full);

    let ran = apply.output().unwrap();

    assert_eq!(ran.status.code(), Some(1));
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(told.contains("could not be written to standard output, so it was not done"), "{told}");
    assert_eq!(sandbox.mutations(before), NOTHING);
}

#[test]
fn a_proxy_in_the_environment_is_used_unless_no_proxy_names_the_host() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let proxy = ("HTTP_PROXY", "http://127.0.0.1:9");
    let ran = sandbox.deployer_with(&["plan", &config], &[proxy]).expect(1);
    assert!(ran.stderr.contains("check the network"), "{}", ran.stderr);
    sandbox.deployer_with(&["plan", &config], &[proxy, ("NO_PROXY", "127.0.0.1")]).expect(0);
}

#[test]
fn with_json_the_plan_and_an_error_are_json_lines() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let planned = sandbox.deployer(&["plan", "--json", &config]).expect(0);
    assert_eq!(planned.json()[0], json!({"type": "schema", "version": 1}));
    // On a slow machine, lines say what is waited for.
    let [plan] = planned.json_of("plan").try_into().unwrap();
    assert_eq!(
        (&plan["type"], &plan["deployment"], &plan["region"]),
        (&json!("plan"), &json!("mail-prod"), &json!(REGION))
    );
    assert_eq!((&plan["create"], &plan["rotates"]), (&json!(16), &json!(true)));
    let wrong = sandbox.config(&[("\"123456789012\"", "\"210987654321\"")]);
    let [error] = sandbox.deployer(&["plan", "--json", &wrong]).expect(13).json_of("error").try_into().unwrap();
    assert_eq!(
        (&error["type"], &error["kind"], &error["deployment"]),
        (&json!("error"), &json!("credentials"), &json!("mail-prod"))
    );
    assert!(error["hints"][0]["message"].as_str().unwrap().contains("account_id"));
}

/// Files of up to 1 MiB that need the most memory, by what they have many of.
fn worst_files() -> Vec<(&'static str, String)> {
    const MIB: usize = 1 << 20;
    let start =
        "name: mail-prod\nregion: eu-west-1\nsecret: {name: mail-prod/smtp}\niam_user: {name: mail-prod-smtp}\n";
    let padded = |text: String| format!("{text}#{}\n", "x".repeat((MIB - 2).saturating_sub(text.len())));
    let numbered = |count: usize, document: &dyn Fn(usize) -> String| (0..count).map(document).collect::<String>();
    let deployment = |n: usize| format!("---\n{}", start.replace("mail-prod", &format!("m{n}")));
    vec![
        ("values", format!("{start}tags: [{}a]\n", "a,".repeat(MIB / 2 - 100))),
        ("groups", format!("{start}tags: [{}{{}}]\n", "{},".repeat(MIB / 3 - 100))),
        ("values below a long key", format!("? {}\n: [{}a]\n", "k".repeat(MIB / 2), "a,".repeat(MIB / 4 - 100))),
        ("levels", numbered(1400, &|n| format!("{}a:\n", " ".repeat(n)))),
        (
            "mistakes in one line",
            padded(format!("{start}ses: {{from: [{}]}} ", numbered(9_000, &|n| format!("\"bad{n}\",")))),
        ),
        ("deployments", padded(numbered(1_000, &deployment))),
        ("conflicts", padded(numbered(1_000, &|_| deployment(0)))),
        ("text", format!("{start}account_id: \"{}\"\n", "x".repeat(MIB - 200))),
        ("comments", format!("{start}{}", "#\n".repeat(MIB / 2 - 100))),
    ]
}

/// Runs the deployer, and prints how many KiB of memory it had at most.
const PEAK: &str = "import resource, subprocess, sys
ran = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ran.returncode)";

#[test]
fn no_file_of_a_mebibyte_takes_64_mebibytes_of_memory() {
    let sandbox = Sandbox::start();
    for (many, worst) in worst_files() {
        assert!(worst.len() <= 1 << 20, "{many}: {}", worst.len());
        let file = sandbox.file("worst.yaml", &worst);
        let mut python = Command::new(sandbox.variable("SANDBOX_PYTHON"));
        let ran = python.args(["-c", PEAK, env!("CARGO_BIN_EXE_deployer"), "validate", &file]).output().unwrap();
        let kibibytes: usize = String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap();
        assert!(kibibytes < 64 << 10, "{many}: {kibibytes} KiB");
        assert!(ran.stderr.len() < 200_000, "{many}: {} bytes of errors", ran.stderr.len());
    }
}

#[test]
fn a_run_over_several_files_that_stops_names_the_deployments_that_it_did_not_reach() {
    let sandbox = Sandbox::start();
    let document = |name: &str, account: &str| {
        format!(
            "name: {name}\naccount_id: \"{account}\"\nregion: eu-west-1\nsecret: {{name: {name}}}\niam_user: {{name: {name}}}\n"
        )
    };
    let documents =
        [document("one", "123456789012"), document("two", "210987654321"), document("three", "123456789012")];
    let config = sandbox.file("config.yaml", &documents.join("---\n"));

    let ran = sandbox.deployer(&["plan", &config]).expect(13);
    for name in ["one", "three"] {
        assert!(ran.stdout.contains(&format!("{name} in eu-west-1")), "{name}: {}", ran.stdout);
    }

    let ran = sandbox.deployer(&["destroy", "--auto-approve", &config]).expect(13);
    assert!(ran.stdout.contains("one in eu-west-1"), "{}", ran.stdout);
    assert!(ran.stderr.contains("the run stopped here, and did not reach three in eu-west-1"), "{}", ran.stderr);
}

#[test]
fn one_broken_deployment_keeps_no_other_from_being_shown() {
    let sandbox = Sandbox::start();
    let document = |name: &str| {
        format!(
            "name: {name}\nregion: eu-west-1\nsecret: {{name: {name}}}\niam_user: {{name: {}}}\n",
            name.to_lowercase()
        )
    };
    // Nobody has made the role that the third names.
    let missing = format!("{}function: {{role: nobodys}}\n", document("three"));
    let documents = [document("one"), document("Two"), missing, document("four")];
    let config = sandbox.file("config.yaml", &documents.join("---\n"));

    let ran = sandbox.deployer(&["plan", &config]).expect(1);

    for name in ["one", "four"] {
        assert!(ran.stdout.contains(&format!("{name} in eu-west-1")), "{name}: {}", ran.stdout);
    }
    assert!(ran.stderr.contains("`Two` is not a deployment name") && ran.stderr.contains("nobodys"), "{}", ran.stderr);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1);
    assert!(!sandbox.inventory().iter().any(|line| line.starts_with("function")), "{:?}", sandbox.inventory());
}

#[test]
fn a_silent_endpoint_is_told_within_ten_seconds() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    // It takes connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut deployer = Command::new(env!("CARGO_BIN_EXE_deployer"));
    sandbox.environment_of(deployer.args(["plan", &config])).env("AWS_ENDPOINT_URL", &endpoint);
    let mut child = deployer.stderr(Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    let mut line = String::new();
    std::io::BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let waited = began.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();

    let expected = format!("STS:GetCallerIdentity has had no answer from {endpoint}");
    assert!(line.contains(&expected), "{line}");
    assert!(waited.as_secs() < 10, "{waited:?}");
}

/// Starts a server that answers every request with these bytes until the tests end. Returns its URL.
fn answering(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    format!("http://{address}")
}
