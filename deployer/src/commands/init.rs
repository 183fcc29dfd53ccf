//! `deployer init`: writes a configuration to begin with. It asks on a terminal, and offers what the account has.

use std::{
    env, fs,
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::Path,
};

use contract::{Command, text};
use dialoguer::{Input, MultiSelect, Select};

use super::session::{Done, Shown, connect};
use crate::{
    cli::InitArgs,
    config::{
        self,
        template::{self, Named, Values},
    },
    error::Error,
    offers::{self, Offers},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &InitArgs) -> Result<Done, Shown> {
    let fail = |error: Error| {
        screen.error(&error);
        Shown::FAILED
    };
    if args.file.exists() {
        return Err(fail(is_there(&args.file)));
    }
    // Prompts are written to standard error.
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let values = if is_terminal { ask(screen, args).await? } else { of_flags(args).map_err(fail)? };
    let text = template::fill(&values);
    if let Err(error) = config::parse(&args.file, &text) {
        screen.config_error(&error);
        return Err(Shown::FAILED);
    }
    write(&args.file, &text).map_err(fail)?;
    screen.done(&format!("Wrote {}. Every option is explained there.", args.file.display()));
    let first = "if hosts use the credential, put the script on each of them (docs/hosts.md); then run ";
    screen.note(text![first, Command::deployer("doctor"), " and ", Command::deployer("plan")]);
    Ok(Done::Changes)
}

fn is_there(file: &Path) -> Error {
    Error::new(format!("{} is there already, and init overwrites no file", file.display()))
        .hint("give another FILE, or edit this one")
}

/// Another run may have written the file meanwhile.
fn write(file: &Path, text: &str) -> Result<(), Error> {
    let made = fs::File::create_new(file).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => is_there(file),
        _ => Error::new(format!("failed to write {}", file.display())).cause(error),
    })
}

fn of_flags(args: &InitArgs) -> Result<Values, Error> {
    let (Some(name), Some(region)) = (args.name.clone(), args.region.clone()) else {
        return Err(Error::new("nobody can be asked: standard input is not a terminal")
            .hint("give --name and --region at least; `deployer init --help` lists the others"));
    };
    Ok(Values {
        secret: args.secret(&name),
        user: args.user(&name),
        name,
        region,
        account_id: None,
        instances: args.instances.clone(),
        instance_role: args.instance_role.clone(),
        sender: args.sender.clone(),
        notify: args.notify.clone(),
    })
}

impl InitArgs {
    fn secret(&self, deployment: &str) -> Named {
        let name = self.secret.clone().unwrap_or_else(|| format!("{deployment}/smtp"));
        Named { name, existing: self.existing_secret }
    }

    fn user(&self, deployment: &str) -> Named {
        let name = self.user.clone().unwrap_or_else(|| format!("{deployment}-smtp"));
        Named { name, existing: self.existing_user }
    }
}

/// Asks for what no flag gives.
async fn ask(screen: &Screen, args: &InitArgs) -> Result<Values, Shown> {
    let name = given_or(screen, args.name.as_ref(), || text_of("Name of the deployment", "mail-prod"))?;
    let here = env::var("AWS_REGION").unwrap_or_default();
    let region = given_or(screen, args.region.as_ref(), || text_of("Region", &here))?;
    // Without credentials, the names are typed.
    let (offers, account_id) = match connect(screen, &region).await {
        Ok((aws, identity)) => (Some(Box::pin(offers::read(&aws)).await), Some(identity.account_id)),
        Err(_) => (None, None),
    };
    let offered = |read: fn(&Offers) -> &Result<Vec<String>, Error>| match offers.as_ref().map(read) {
        Some(Ok(names)) => names.clone(),
        Some(Err(error)) => {
            screen.note(format!("{}: type the name instead", error.in_one_line()));
            Vec::new()
        }
        None => Vec::new(),
    };
    let secret = match &args.secret {
        Some(_) => args.secret(&name),
        None => shown(screen, choose("Secret", &offered(|it| &it.secrets), &args.secret(&name)))?,
    };
    let user = match &args.user {
        Some(_) => args.user(&name),
        None => shown(screen, choose("IAM user", &offered(|it| &it.users), &args.user(&name)))?,
    };
    let instances = if args.instances.is_empty() {
        shown(screen, choose_hosts(&offered(|it| &it.instances)))?
    } else {
        args.instances.clone()
    };
    let instance_role = if instances.is_empty() {
        None
    } else {
        optional(screen, args.instance_role.as_ref(), || text_of("Role of the hosts (empty: leave it alone)", ""))?
    };
    let identities = offered(|it| &it.identities);
    let sender = optional(screen, args.sender.as_ref(), || choose_sender(&identities))?;
    let notify = optional(screen, args.notify.as_ref(), || text_of("Address to notify (empty: nobody)", ""))?;
    Ok(Values { name, region, account_id, secret, user, instances, instance_role, sender, notify })
}

type Answer<T> = Result<T, dialoguer::Error>;

/// Nobody answers: the terminal is closed, or Ctrl-C.
fn shown<T>(screen: &Screen, answer: Answer<T>) -> Result<T, Shown> {
    answer.map_err(|error| {
        screen.error(&Error::new("nothing was written").cause(error));
        Shown::FAILED
    })
}

fn given_or(screen: &Screen, given: Option<&String>, ask: impl FnOnce() -> Answer<String>) -> Result<String, Shown> {
    given.map_or_else(|| shown(screen, ask()), |given| Ok(given.clone()))
}

/// Nothing if the answer is empty.
fn optional(
    screen: &Screen,
    given: Option<&String>,
    ask: impl FnOnce() -> Answer<String>,
) -> Result<Option<String>, Shown> {
    Ok(Some(given_or(screen, given, ask)?).filter(|answer| !answer.is_empty()))
}

fn text_of(prompt: &str, default: &str) -> Answer<String> {
    let input = Input::new().with_prompt(prompt).allow_empty(default.is_empty());
    if default.is_empty() { input.interact_text() } else { input.default(default.to_owned()).interact_text() }
}

/// One of the account's, or a new one.
fn choose(what: &str, offered: &[String], new: &Named) -> Answer<Named> {
    let a_new_one = || Ok(Named { name: text_of(&format!("{what} to create"), &new.name)?, existing: false });
    if offered.is_empty() {
        return a_new_one();
    }
    let items: Vec<_> = std::iter::once("create a new one").chain(offered.iter().map(String::as_str)).collect();
    match Select::new().with_prompt(what).items(&items).default(0).interact()? {
        0 => a_new_one(),
        chosen => Ok(Named { name: offered[chosen - 1].clone(), existing: true }),
    }
}

fn choose_hosts(offered: &[String]) -> Answer<Vec<String>> {
    if offered.is_empty() {
        let typed = text_of("Instances that use the credential, separated by spaces (empty: none)", "")?;
        return Ok(typed.split_whitespace().map(str::to_owned).collect());
    }
    let prompt = "Instances that use the credential (space selects, enter ends; none is fine)";
    let chosen = MultiSelect::new().with_prompt(prompt).items(offered).interact()?;
    Ok(chosen.into_iter().map(|index| offered[index].clone()).collect())
}

fn choose_sender(identities: &[String]) -> Answer<String> {
    let prompt = "Sender of the test mail (empty: no test mail)";
    if identities.is_empty() {
        return text_of(prompt, "");
    }
    let items: Vec<_> = std::iter::once("no test mail").chain(identities.iter().map(String::as_str)).collect();
    match Select::new().with_prompt("Verified identity that sends the test mail").items(&items).default(0).interact()? {
        0 => Ok(String::new()),
        chosen if identities[chosen - 1].contains('@') => Ok(identities[chosen - 1].clone()),
        chosen => text_of(prompt, &format!("no-reply@{}", identities[chosen - 1])),
    }
}
