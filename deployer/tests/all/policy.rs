//! Whoever runs the deployer needs exactly what `deployer policy` prints. `drift/` shows it for `apply`, since it makes every change
//! that `apply` puts right.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_iam::types::StatusType;

use crate::support::{
    caller::{actions, without},
    calls::NOTHING,
    deployed::Deployed,
    example::{EXISTING_SECRET, EXISTING_USER, REGION, ROLE, SECRET, USER},
    sandbox::{Ran, Sandbox},
};

/// The verbs of one deployment's life, each of which has only the policy that is printed for it.
struct Life {
    deployed: Deployed,
    /// What each verb needed.
    needed: BTreeMap<String, BTreeSet<String>>,
}

impl Life {
    async fn run(&mut self, arguments: &[&str]) -> Ran {
        let (verb, sandbox) = (arguments[0], &self.deployed.sandbox);
        sandbox.allow_caller(&sandbox.policy_for(verb, "config.yaml")).await;
        let before = sandbox.mark();
        let ran = match verb {
            "list" => sandbox.deployer(arguments),
            _ => self.deployed.run(arguments),
        };
        assert_eq!(sandbox.denied_to_caller(before), NOTHING, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        self.needed.entry(verb.to_owned()).or_default().extend(sandbox.actions_of_caller(before));
        ran
    }

    /// Fails the test unless the verb's policy allows what the verb needed, and nothing else but this.
    fn needed_all_but(&self, verb: &str, rest: &[&str]) {
        let allowed = actions(&self.deployed.sandbox.policy_for(verb, "config.yaml"));
        let superfluous: Vec<_> = allowed.difference(&self.needed[verb]).collect();
        assert_eq!(superfluous, rest, "{verb}");
    }
}

#[tokio::test]
async fn every_verb_runs_under_exactly_its_policy() {
    let short = [("keep_previous: 24h", "keep_previous: 1s"), ("keep_inactive: 72h", "keep_inactive: 0s")];
    let deployed = Deployed::before_apply(&short).await;
    deployed.sandbox.make_caller().await;
    let mut life = Life { deployed, needed: BTreeMap::new() };
    life.run(&["plan"]).await.expect(0);
    life.run(&["plan", "--destroy", "--stop-mail"]).await.expect(0);
    life.run(&["status"]).await.expect(0);
    life.run(&["apply", "--auto-approve"]).await.expect(0);
    life.run(&["plan"]).await.expect(0);
    life.run(&["plan", "--destroy", "--stop-mail"]).await.expect(0);
    life.run(&["drift"]).await.expect(0);
    life.run(&["list", "--region", REGION]).await.expect(0);
    life.run(&["output", "all"]).await.expect(0);
    life.run(&["export", "--terraform", "exported"]).await.expect(0);
    life.run(&["rotate"]).await.expect(0);
    // What a person has to repair: a key that somebody made Inactive, and a rotation that hosts cannot be told of.
    let current = life.deployed.key_labelled("AWSCURRENT").await;
    let update = life.deployed.aws.iam.update_access_key().user_name(USER).access_key_id(&current);
    update.status(StatusType::Inactive).send().await.unwrap();
    life.run(&["recover", "--auto-approve", "--reactivate", &current]).await.expect(0);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    life.deployed.set_online(None, false);
    life.deployed.aws.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap();
    life.deployed.ended().await;
    life.run(&["status"]).await.expect(0);
    life.deployed.set_online(None, true);
    life.run(&["recover", "--auto-approve"]).await.expect(0);
    // What others attached, and IAM wants removed first.
    let iam = &life.deployed.aws.iam;
    iam.create_group().group_name("staff").send().await.unwrap();
    iam.add_user_to_group().user_name(USER).group_name("staff").send().await.unwrap();
    let quarantine = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";
    iam.attach_user_policy().user_name(USER).policy_arn(quarantine).send().await.unwrap();
    iam.attach_role_policy().role_name(ROLE).policy_arn(quarantine).send().await.unwrap();
    iam.create_instance_profile().instance_profile_name("theirs").send().await.unwrap();
    iam.add_role_to_instance_profile().instance_profile_name("theirs").role_name(ROLE).send().await.unwrap();
    // A rotation that is open: of its steps, none runs.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    life.deployed.set_online(None, false);
    life.deployed.aws.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap();
    life.deployed.ended().await;
    life.run(&["destroy", "--auto-approve", "--stop-mail"]).await.expect(0);

    // With --adopt, it asks what a user may do that is taken over.
    life.needed_all_but("plan", &["iam:SimulatePrincipalPolicy"]);
    life.needed_all_but("status", &[]);
    // It reads the name of a user or a role that differs in case only if there is none of the name itself.
    life.needed_all_but("drift", &["iam:ListRoles", "iam:ListUsers"]);
    life.needed_all_but("export", &["iam:ListRoles", "iam:ListUsers"]);
    life.needed_all_but("list", &[]);
    life.needed_all_but("output", &[]);
    // These make the lease if there is none, and ask for the ARN of a key only if the secret names it by an alias.
    life.needed_all_but("rotate", &["kms:DescribeKey", "ssm:AddTagsToResource"]);
    life.needed_all_but("recover", &["kms:DescribeKey", "ssm:AddTagsToResource"]);
    life.needed_all_but("destroy", &["ssm:AddTagsToResource"]);
}

#[tokio::test]
async fn a_plan_names_each_action_that_its_policy_lacks() {
    let deployed = Deployed::example(&[]).await;
    let policy = deployed.sandbox.policy_for("plan", "config.yaml");
    deployed.sandbox.make_caller().await;
    deployed.sandbox.allow_caller(&policy).await;
    let before = deployed.mark();
    deployed.run(&["plan"]).expect(0);
    for action in deployed.sandbox.actions_of_caller(before) {
        deployed.sandbox.allow_caller(&without(&policy, &action)).await;
        let ran = deployed.run(&["plan"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(&action), "without {action}, exit code {}:\n{said}", ran.code);
    }
}

#[tokio::test]
async fn an_existing_secret_and_user_need_less() {
    let deployed = Deployed::before_apply(&[&EXISTING_USER[..], &EXISTING_SECRET].concat()).await;
    let secret = contract::SecretValue::placeholder(USER).to_json();
    deployed.aws.secrets.create_secret().name(SECRET).secret_string(secret).send().await.unwrap();
    deployed.sandbox.make_user_by_hand("/people/").await;
    deployed.sandbox.make_caller().await;
    let mut life = Life { deployed, needed: BTreeMap::new() };
    life.run(&["plan"]).await.expect(0);
    life.run(&["apply", "--auto-approve"]).await.expect(0);
    life.run(&["status"]).await.expect(0);
    life.run(&["destroy", "--auto-approve"]).await.expect(0);
    assert!(!life.needed["apply"].contains("iam:CreateUser"), "{:?}", life.needed["apply"]);
}

#[test]
fn a_policy_is_printed_without_an_aws_call_for_one_verb_for_the_instances_and_for_everything() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let print = |arguments: &[&str]| sandbox.deployer(&[&["policy"], arguments, &[config.as_str()]].concat()).expect(0);
    let [all, plan, apply] =
        [print(&[]), print(&["--for", "plan"]), print(&["--for", "apply"])].map(|ran| actions(&ran.stdout));
    assert!(plan.is_subset(&all) && apply.is_subset(&all) && plan.len() < apply.len() && apply.len() < all.len());
    let instance = actions(&print(&["--for", "instance"]).stdout);
    assert_eq!(instance.into_iter().collect::<Vec<_>>(), ["kms:Decrypt", "secretsmanager:GetSecretValue"]);
    let validate = print(&["--for", "validate"]);
    assert_eq!(validate.stdout, "");
    assert!(validate.stderr.contains("no AWS call that needs a permission"), "{}", validate.stderr);
    let json = print(&["--json"]).json_of("policy");
    assert_eq!(json[0]["policy"]["Version"], "2012-10-17", "{json:?}");
    assert_eq!(sandbox.calls(), [], "the file names the account");
}
