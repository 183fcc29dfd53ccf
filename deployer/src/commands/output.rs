//! `deployer output`: what other tools need to know of a deployment. Reads only, and never a secret's value.

use contract::{Command, text};

use super::{
    each::read_each_deployment,
    ended::{Done, Shown},
    session::Session,
};
use crate::{
    cli::{ALL_OUTPUTS, OutputArgs},
    error::Error,
    read_once,
    screen::Screen,
};

/// An output's name, one of [`crate::cli::OUTPUTS`], and its value.
type Output = (&'static str, String);

pub(super) async fn run(screen: &Screen, args: &OutputArgs) -> Result<Done, Shown> {
    read_each_deployment(screen, &args.config, async |session: Session| {
        let mut outputs = session.or_show(read(&session).await)?;
        if args.name != ALL_OUTPUTS {
            outputs.retain(|(name, _)| *name == args.name);
            if outputs.is_empty() {
                return session.or_show(Err(Error::new(format!("this deployment has no {}", args.name))));
            }
        }
        session.screen.outputs(&outputs, args.name == ALL_OUTPUTS);
        Ok(Done::NothingToDo)
    })
    .await
}

async fn read(session: &Session) -> Result<Vec<Output>, Error> {
    let (aws, config, names) = (&session.aws, &session.deployment.config, &session.deployment.names);
    let role = async {
        match config.function.role {
            Some(_) => Ok(read_once::role(aws, &names.role).await?.map(|role| role.arn)),
            None => Ok::<_, Error>(Some(names.owned_role_arn())),
        }
    };
    let (secret, user, role) =
        tokio::join!(read_once::secret(aws, &names.secret), read_once::user(aws, &names.user), role);
    let secret = secret?.and_then(|secret| secret.arn);
    let user = user?.map(|user| user.arn);
    let role = role?.ok_or_else(|| not_deployed(&format!("role {}", names.role)))?;
    let mut outputs = vec![
        ("account_id", names.account_id().to_owned()),
        ("region", names.region().to_owned()),
        ("secret_name", names.secret.clone()),
        ("secret_arn", secret.ok_or_else(|| not_deployed(&format!("secret {}", names.secret)))?),
        ("iam_user_name", names.user.clone()),
        ("iam_user_arn", user.ok_or_else(|| not_deployed(&format!("user {}", names.user)))?),
        ("smtp_endpoint", config.ses.endpoint.to_string()),
        ("function_arn", names.function_arn()),
        ("role_arn", role),
        ("log_group", names.log_group.clone()),
    ];
    if config.notify.is_some() {
        outputs.push(("topic_arn", names.topic_arn()));
    }
    Ok(outputs)
}

fn not_deployed(what: &str) -> Error {
    Error::new(format!("{what} does not exist")).hint(text!["deploy it with ", Command::deployer("apply")])
}
