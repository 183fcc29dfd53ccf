//! Whoever runs the deployer: an IAM user that may do what a policy says, and nothing else.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use serde_json::{Value, json};

use super::{example::ACCOUNT, sandbox::Sandbox};

const CALLER: &str = "deployer-caller";

/// It needs no permission (API reference of GetCallerIdentity).
const ALWAYS_ALLOWED: &str = "sts:GetCallerIdentity";

impl Sandbox {
    /// Makes the user as whom the deployer runs from now on.
    pub(crate) async fn make_caller(&self) {
        let iam = self.aws().await.iam;
        iam.create_user().user_name(CALLER).send().await.unwrap();
        self.own_keys.fetch_add(1, Ordering::Relaxed);
        let key = iam.create_access_key().user_name(CALLER).send().await.unwrap().access_key.unwrap();
        *self.caller.lock().unwrap() = Some((key.access_key_id, key.secret_access_key));
    }

    /// Gives the caller a managed policy, and takes the one from before.
    pub(crate) async fn allow_caller(&self, policy: &str) {
        let iam = self.aws().await.iam;
        let arn = format!("arn:aws:iam::{ACCOUNT}:policy/{CALLER}");
        let attached = iam.list_attached_user_policies().user_name(CALLER).send().await.unwrap().attached_policies;
        if !attached.unwrap_or_default().is_empty() {
            iam.detach_user_policy().user_name(CALLER).policy_arn(&arn).send().await.unwrap();
            iam.delete_policy().policy_arn(&arn).send().await.unwrap();
        }
        iam.create_policy().policy_name(CALLER).policy_document(policy).send().await.unwrap();
        iam.attach_user_policy().user_name(CALLER).policy_arn(&arn).send().await.unwrap();
    }

    /// Prints the policy for a verb. That is no work of the caller's.
    pub(crate) fn policy_for(&self, verb: &str, config: &str) -> String {
        self.deployer(&["policy", "--for", verb, config]).expect(0).stdout
    }

    /// The actions that the caller needed since then, also those that AWS asks for beside a call.
    pub(crate) fn actions_of_caller(&self, since: usize) -> BTreeSet<String> {
        let calls = self.calls().into_iter().skip(since).filter(|call| call.caller.ends_with(CALLER));
        let actions = calls.flat_map(|call| call.also.clone().into_iter().chain([call.name()]));
        actions.filter(|action| action != ALWAYS_ALLOWED).collect()
    }

    /// The calls since then that AWS denied the caller.
    pub(crate) fn denied_to_caller(&self, since: usize) -> Vec<String> {
        let is_denied = |error: &str| error.starts_with("AccessDenied") || error == "AuthorizationError";
        let calls = self.calls().into_iter().skip(since).filter(|call| call.caller.ends_with(CALLER));
        calls.filter(|call| call.error.as_deref().is_some_and(is_denied)).map(|call| call.name()).collect()
    }
}

/// The actions that a policy allows.
pub(crate) fn actions(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap().clone());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The policy, without what only a deletion needs, so that it is short enough; and that requests of these actions without the tag `team` are
/// denied.
pub(crate) fn demanding_tags(policy: &str, actions: &[&str]) -> String {
    let of_deletion = [
        "iam:DeleteAccessKey",
        "iam:DeleteUser",
        "iam:ListSSHPublicKeys",
        "iam:ListServiceSpecificCredentials",
        "iam:ListSigningCertificates",
        "iam:RemoveRoleFromInstanceProfile",
        "lambda:DeleteFunction",
        "sns:DeleteTopic",
    ];
    let shorter = of_deletion.iter().fold(policy.to_owned(), |policy, action| without(&policy, action));
    let mut policy: Value = serde_json::from_str(&shorter).unwrap();
    let condition = json!({"Null": {"aws:RequestTag/team": "true"}});
    let deny = json!({"Effect": "Deny", "Action": actions, "Resource": "*", "Condition": condition});
    policy["Statement"].as_array_mut().unwrap().push(deny);
    policy.to_string()
}

/// The policy without an action.
pub(crate) fn without(policy: &str, action: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    for statement in statements.iter_mut() {
        statement["Action"].as_array_mut().unwrap().retain(|other| other != action);
    }
    statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
    policy.to_string()
}
