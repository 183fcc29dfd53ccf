//! From Terraform to the deployer and back, with the real Terraform. It needs `terraform` in PATH, and in `TERRAFORM_MIRROR` a folder that is a
//! filesystem mirror with the AWS provider; without that variable, the test says that it was skipped.

#![expect(clippy::print_stdout, reason = "a reader wants to know that a test was skipped")]

mod kills;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    deployed::Deployed,
    example::{SECRET, root},
};

const VARIABLE: &str = "TERRAFORM_MIRROR";

/// In which the sandbox has `examples/terraform` and the function's zip.
const FOLDER: &str = "terraform";

/// An empty account, the example in `FOLDER`, and the mirror; none without a mirror.
async fn example() -> Option<(Deployed, String)> {
    let Ok(mirror) = std::env::var(VARIABLE) else {
        println!("skipped: {VARIABLE} names no mirror with the AWS provider");
        return None;
    };
    let deployed = Deployed::before_apply(&[("  # package: bootstrap.zip", "  package: terraform/x86_64.zip")]).await;
    copy(&root().join("examples/terraform"), &deployed.sandbox.path(FOLDER));
    deployed.sandbox.deployer(&["build", "--out", FOLDER]).expect(0);
    Some((deployed, mirror))
}

/// A folder of Terraform's, and the sandbox that it works on.
struct Terraform<'a> {
    deployed: &'a Deployed,
    folder: PathBuf,
}

impl<'a> Terraform<'a> {
    fn init(deployed: &'a Deployed, mirror: &str, folder: PathBuf) -> Self {
        let settings = format!("provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n");
        deployed.sandbox.file("terraformrc", &settings);
        let terraform = Self { deployed, folder };
        terraform.run(&["init", "-input=false"]);
        terraform
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (sandbox, mut command) = (&self.deployed.sandbox, Command::new("terraform"));
        sandbox.environment_of(command.args(arguments).arg("-no-color"));
        command.env("TF_CLI_CONFIG_FILE", sandbox.path("terraformrc")).env("TF_IN_AUTOMATION", "1");
        command.env("CHECKPOINT_DISABLE", "1").env("HOME", sandbox.path("")).current_dir(&self.folder);
        command
    }

    /// Runs Terraform. Returns what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).unwrap_or_else(|said| panic!("terraform {arguments:?}\n{said}"))
    }

    /// Runs Terraform. Returns what it printed, or all that a run printed that failed.
    fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        let sandbox = &self.deployed.sandbox;
        let before = sandbox.mark();
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        sandbox.another_tool_read(before);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (printed, errors) = (text(output.stdout), text(output.stderr));
        if output.status.success() { Ok(printed) } else { Err(format!("{printed}\n{errors}")) }
    }

    fn apply(&self) -> String {
        self.run(&["apply", "-auto-approve", "-input=false"])
    }

    #[track_caller]
    fn has_no_changes(&self) {
        let planned = self.run(&["plan", "-input=false"]);
        assert!(planned.contains("No changes."), "{planned}");
    }

    /// What a station must keep. That no file has a secret, Terraform's state included, is checked at the end of every test.
    async fn keeps_the_credential(&self, before: &str) {
        assert_eq!(self.deployed.key_labelled("AWSCURRENT").await, before, "the credential rotated");
        self.deployed.mail_works().await;
    }
}

#[tokio::test]
async fn a_deployment_goes_from_terraform_to_the_deployer_and_back_without_a_rotation_or_a_replaced_resource() {
    let Some((deployed, mirror)) = example().await else { return };
    let sandbox = &deployed.sandbox;
    let folder = sandbox.path(FOLDER);
    // The example of the tests logs everything.
    let main = fs::read_to_string(folder.join("main.tf")).unwrap();
    let traced = main.replace("{ package = var.package }", "{ package = var.package, log_level = \"trace\" }");
    assert_ne!(main, traced);
    fs::write(folder.join("main.tf"), &traced).unwrap();

    let terraform = Terraform::init(&deployed, &mirror, folder.clone());
    let applied = terraform.apply();
    assert!(applied.contains("21 added, 0 changed, 0 destroyed"), "{applied}");
    deployed.ended().await;
    let key = deployed.key_labelled("AWSCURRENT").await;
    terraform.has_no_changes();
    terraform.keeps_the_credential(&key).await;

    // To the deployer.
    let before = deployed.mark();
    deployed.run(&["apply", "--adopt", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    terraform.has_no_changes();
    let (provider, _) = traced.split_once("module \"mail_prod\"").unwrap();
    let removed = "removed {\n  from = module.mail_prod\n\n  lifecycle {\n    destroy = false\n  }\n}\n";
    fs::write(folder.join("main.tf"), format!("{provider}{removed}")).unwrap();
    let forgotten = terraform.apply();
    assert!(forgotten.contains("0 added, 0 changed, 0 destroyed"), "{forgotten}");
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    terraform.keeps_the_credential(&key).await;

    // And back.
    deployed.run(&["export", "--terraform", "back"]).expect(0);
    let refused = deployed.run(&["export", "--terraform", "back"]).expect(1).stderr;
    assert!(refused.contains("back is not empty"), "{refused}");
    let back = Terraform::init(&deployed, &mirror, sandbox.path("back"));
    back.run(&["fmt"]);
    let imported = back.apply();
    // The subscription is not confirmed, so SNS tells no ARN of it. The two changes are of what Terraform alone remembers.
    assert!(imported.contains("19 imported, 1 added, 2 changed, 0 destroyed"), "{imported}");
    let made: Vec<_> = sandbox.mutations(before).into_iter().filter(|call| !call.contains("Tag")).collect();
    let harmless = ["ssm:PutParameter", "lambda:UpdateFunctionCode", "sns:Subscribe"];
    assert!(made.iter().all(|call| harmless.contains(&call.as_str())), "{made:?}");
    back.has_no_changes();
    back.keeps_the_credential(&key).await;
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);

    // The rotation goes on, whoever owns it, and Terraform does not mind.
    deployed.run(&["rotate"]).expect(0);
    assert_ne!(deployed.key_labelled("AWSCURRENT").await, key);
    back.has_no_changes();
    assert!(deployed.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap().rotation_enabled.unwrap());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
