//! `deployer policy`: the least-privilege IAM policy of whoever runs the deployer, of the function, or of the instances.

use serde_json::Value;

use super::{
    each::load,
    ended::{Done, Shown},
    session::connect,
};
use crate::{
    cli::{PolicyArgs, PolicyFor},
    config::Config,
    deployment::{
        caller,
        names::Names,
        policy::{self, KmsKeys},
    },
    screen::Screen,
};

/// What a managed policy holds, in characters without white space (IAM quotas).
const MANAGED_POLICY: usize = 6144;

pub(super) async fn run(screen: &Screen, args: &PolicyArgs) -> Result<Done, Shown> {
    for config in load(screen, &args.target.config)? {
        let screen = screen.of_deployment(&config.name, &config.region);
        let names = names(&screen, &config).await?;
        match of(&config, &names, args.verb) {
            Some(policy) => {
                screen.policy(&policy);
                say_if_too_long(&screen, &policy);
            }
            None => screen.note("this verb makes no AWS call that needs a permission"),
        }
    }
    Ok(Done::NothingToDo)
}

/// A file that names its account needs no AWS call: whoever writes a policy may have no credentials for the account yet.
async fn names(screen: &Screen, config: &Config) -> Result<Names, Shown> {
    if let Some(account_id) = &config.account_id {
        return Ok(Names::in_account(config, account_id.to_string()));
    }
    let connected = connect(screen, &config.region).await;
    let connected =
        connected.inspect_err(|_| screen.note("if the file has account_id, this command needs no credentials"));
    Ok(Names::new(config, &connected?.1))
}

/// None if nothing has to be allowed.
fn of(config: &Config, names: &Names, verb: Option<PolicyFor>) -> Option<Value> {
    let keys = || KmsKeys {
        current: config.secret.kms_key.as_deref().map(|key| names.key_arn_pattern(key)),
        older: Vec::new(),
    };
    match verb {
        Some(PolicyFor::Instance) => return Some(policy::instance_permissions(names, &keys())),
        Some(PolicyFor::Function) => {
            let user = &names.user;
            let users =
                if config.iam_user.existing { names.with_any_path("user", user) } else { vec![names.owned_user_arn()] };
            return Some(policy::role_permissions(config, names, users, &keys()));
        }
        _ => {}
    }
    let permissions = caller::permissions(config, names, verb);
    (!permissions.is_empty()).then(|| caller::policy(&permissions))
}

fn say_if_too_long(screen: &Screen, policy: &Value) {
    // No name or ARN has white space.
    let length = policy.to_string().len();
    if length > MANAGED_POLICY {
        screen.note(format!(
            "this policy has {length} characters, and a managed policy holds {MANAGED_POLICY}: print one for each verb with --for, or put \
             it on a role as an inline policy, which may have 10240"
        ));
    }
}
