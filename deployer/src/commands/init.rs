//! `deployer init`: writes a configuration to begin with. It asks on a terminal, and offers what the account has.

use std::{
    env, fs,
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::Path,
};

use contract::{Command, text};
use dialoguer::{Input, MultiSelect, Select, console::Term};

use super::{
    ended::{Done, Shown, show},
    session::try_connect,
};
use crate::{
    cli::{DEFAULT_CONFIG, InitArgs},
    config::{
        self,
        template::{self, Named, Values},
    },
    error::Error,
    interrupt,
    offers::{self, Offers},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &InitArgs) -> Result<Done, Shown> {
    let fail = |error: Error| {
        screen.error(&error);
        Shown::FAILED
    };
    // Other programs take it for standard output.
    if args.file == Path::new("-") {
        let error = Error::new("init writes a file, and nothing to standard output");
        return Err(fail(error.hint(format!("give the name of a file in place of -, such as {DEFAULT_CONFIG}"))));
    }
    if args.file.exists() {
        return Err(fail(is_there(&args.file)));
    }
    // Prompts are written to standard error.
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let values = if is_terminal { ask(screen, args).await? } else { of_flags_alone(args).map_err(fail)? };
    shown_as_mistake(screen, args, &values)?;
    write(&args.file, &template::fill(&values)).map_err(fail)?;
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
    made.map_err(|problem| match problem.kind() {
        ErrorKind::AlreadyExists => is_there(file),
        ErrorKind::NotFound => {
            let folder = file.parent().unwrap_or(file).display().to_string();
            let command = shell_words::join(["mkdir", "-p", &folder]);
            Error::new(format!("failed to write {}", file.display()))
                .cause(format!("folder {folder} does not exist"))
                .hint(format!("make the folder first: `{command}`"))
        }
        _ => Error::new(format!("failed to write {}", file.display())).cause(problem),
    })
}

fn of_flags_alone(args: &InitArgs) -> Result<Values, Error> {
    let (Some(name), Some(region)) = (&args.name, &args.region) else {
        return Err(Error::new("nobody can be asked: standard input is not a terminal")
            .hint("give --name and --region at least; `deployer init --help` lists the others"));
    };
    Ok(of_flags(args, name, region))
}

/// What the flags give, with this name and region for those that they do not give.
fn of_flags(args: &InitArgs, name: &str, region: &str) -> Values {
    let name = args.name.as_deref().unwrap_or(name);
    Values {
        name: name.to_owned(),
        region: args.region.as_deref().unwrap_or(region).to_owned(),
        account_id: None,
        secret: args.secret(name),
        user: args.user(name),
        instances: args.instances.clone(),
        instance_role: args.instance_role.clone(),
        sender: args.sender.clone(),
        notify: args.notify.clone(),
    }
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

/// Asks for what no flag gives. Each answer is checked as it is given, with all that is known by then, and asked for again.
async fn ask(screen: &Screen, args: &InitArgs) -> Result<Values, Shown> {
    let mut values = of_flags(args, "mail-prod", "eu-west-1");
    // A prompt hears Ctrl-C itself, and ends with an error.
    let _draining = interrupt::drain(|| ()).map_err(|error| show(screen, &error))?;
    // A wrong flag cannot be asked for again.
    shown_as_mistake(screen, args, &values)?;
    let checked = |values: &Values, put: fn(&mut Values, String)| {
        let values = values.clone();
        move |answer: &str| {
            let mut values = values.clone();
            put(&mut values, answer.to_owned());
            complaint(&values)
        }
    };
    if args.name.is_none() {
        let check = checked(&values, |values, name| values.name = name);
        values.name = shown(screen, text_of(screen, "Name of the deployment", "mail-prod", check))?;
    }
    (values.secret, values.user) = (args.secret(&values.name), args.user(&values.name));
    if args.region.is_none() {
        let here = env::var("AWS_REGION").unwrap_or_default();
        let check = checked(&values, |values, region| values.region = region);
        values.region = shown(screen, text_of(screen, "Region", &here, check))?;
    }
    let offers = tokio::select! {
        offers = Box::pin(offers_of(screen, &mut values)) => offers,
        () = interrupt::asked() => return Err(show(screen, &interrupted())),
    };
    let offered = |read: fn(&Offers) -> &Result<Vec<String>, Error>| match offers.as_ref().map(read) {
        Some(Ok(names)) => names.clone(),
        Some(Err(error)) => {
            screen.note(format!("{}: type the name instead", error.in_one_line()));
            Vec::new()
        }
        None => Vec::new(),
    };
    if args.secret.is_none() {
        let check = checked(&values, |values, name| values.secret.name = name);
        values.secret = shown(screen, choose(screen, "Secret", &offered(|it| &it.secrets), &values.secret, check))?;
    }
    if args.user.is_none() {
        let check = checked(&values, |values, name| values.user.name = name);
        values.user = shown(screen, choose(screen, "IAM user", &offered(|it| &it.users), &values.user, check))?;
    }
    if args.instances.is_empty() {
        let check = checked(&values, |values, ids| values.instances = words(&ids));
        values.instances = shown(screen, choose_hosts(screen, &offered(|it| &it.instances), check))?;
    }
    if args.instance_role.is_none() && !values.instances.is_empty() {
        let check = checked(&values, |values, role| values.instance_role = given(role));
        values.instance_role =
            given(shown(screen, text_of(screen, "Role of the hosts (empty: leave it alone)", "", check))?);
    }
    if args.sender.is_none() {
        let check = checked(&values, |values, sender| values.sender = given(sender));
        values.sender = given(shown(screen, choose_sender(screen, &offered(|it| &it.identities), check))?);
    }
    if args.notify.is_none() {
        let check = checked(&values, |values, email| values.notify = given(email));
        values.notify = given(shown(screen, text_of(screen, "Address to notify (empty: nobody)", "", check))?);
    }
    Ok(values)
}

/// What the account has, and its id among the values. Without credentials, the names are typed.
async fn offers_of(screen: &Screen, values: &mut Values) -> Option<Offers> {
    match try_connect(screen, &values.region).await {
        Ok((aws, identity)) => {
            values.account_id = Some(identity.account_id);
            Some(offers::read(&aws).await)
        }
        Err(error) => {
            screen.note(format!("what the account has cannot be offered, so type the names: {}", error.in_one_line()));
            None
        }
    }
}

/// Why a file with these values would be refused.
fn complaint(values: &Values) -> Result<(), Error> {
    let Err(mistake) = config::parse(Path::new(DEFAULT_CONFIG), &template::fill(values)) else { return Ok(()) };
    let mut problems = mistake.problems().iter();
    // The other values were checked before, so the answer has every mistake.
    Err(problems.next().map_or_else(
        || Error::new("the file may not hold this"),
        |problem| Error::new(problem.message.clone()).hint(problem.hint.clone()),
    ))
}

/// Shows what is wrong with the file of these values. Nobody finds the place on the disk.
fn shown_as_mistake(screen: &Screen, args: &InitArgs, values: &Values) -> Result<(), Shown> {
    let place = format!("{} (not written)", args.file.display());
    config::parse(Path::new(&place), &template::fill(values)).map(drop).map_err(|error| {
        screen.config_error(&error);
        Shown::FAILED
    })
}

fn given(answer: String) -> Option<String> {
    Some(answer).filter(|answer| !answer.is_empty())
}

fn words(answer: &str) -> Vec<String> {
    answer.split_whitespace().map(str::to_owned).collect()
}

type Answer<T> = Result<T, dialoguer::Error>;

/// Nobody answers: the terminal is closed, or Ctrl-C.
fn shown<T>(screen: &Screen, answer: Answer<T>) -> Result<T, Shown> {
    answer.map_err(|dialoguer::Error::IO(error)| {
        // A selection hides it.
        let _ = Term::stderr().show_cursor();
        match error.kind() {
            ErrorKind::Interrupted => show(screen, &interrupted()),
            _ => show(screen, &Error::new("nothing was written").cause(error)),
        }
    })
}

fn interrupted() -> Error {
    Error { what: "interrupted: nothing was written".to_owned(), ..interrupt::interrupted() }
}

/// Ctrl-C where no prompt heard it ends with the next one.
fn before_a_prompt() -> Answer<()> {
    if interrupt::is_asked() { Err(dialoguer::Error::IO(ErrorKind::Interrupted.into())) } else { Ok(()) }
}

/// Asks until the answer passes the check. dialoguer's own check draws over a message that is longer than a line.
fn text_of(screen: &Screen, prompt: &str, default: &str, check: impl Fn(&str) -> Result<(), Error>) -> Answer<String> {
    loop {
        before_a_prompt()?;
        let input = Input::new().with_prompt(prompt).allow_empty(default.is_empty());
        let input = if default.is_empty() { input } else { input.default(default.to_owned()) };
        let answer: String = input.interact_text()?;
        match check(&answer) {
            Ok(()) => return Ok(answer),
            Err(error) => screen.error(&error),
        }
    }
}

/// One of the account's, or a new one.
fn choose(
    screen: &Screen,
    what: &str,
    offered: &[String],
    new: &Named,
    check: impl Fn(&str) -> Result<(), Error>,
) -> Answer<Named> {
    let a_new_one =
        || Ok(Named { name: text_of(screen, &format!("{what} to create"), &new.name, &check)?, existing: false });
    if offered.is_empty() {
        return a_new_one();
    }
    before_a_prompt()?;
    let items: Vec<_> = std::iter::once("create a new one").chain(offered.iter().map(String::as_str)).collect();
    match Select::new().with_prompt(what).items(&items).default(0).interact()? {
        0 => a_new_one(),
        chosen => Ok(Named { name: offered[chosen - 1].clone(), existing: true }),
    }
}

fn choose_hosts(screen: &Screen, offered: &[String], check: impl Fn(&str) -> Result<(), Error>) -> Answer<Vec<String>> {
    if offered.is_empty() {
        let prompt = "Instances that use the credential, separated by spaces (empty: none)";
        return Ok(words(&text_of(screen, prompt, "", check)?));
    }
    before_a_prompt()?;
    let prompt = "Instances that use the credential (space selects, enter ends; none is fine)";
    let chosen = MultiSelect::new().with_prompt(prompt).items(offered).interact()?;
    Ok(chosen.into_iter().map(|index| offered[index].clone()).collect())
}

fn choose_sender(screen: &Screen, identities: &[String], check: impl Fn(&str) -> Result<(), Error>) -> Answer<String> {
    let prompt = "Sender of the test mail (empty: no test mail)";
    if identities.is_empty() {
        return text_of(screen, prompt, "", check);
    }
    before_a_prompt()?;
    let items: Vec<_> = std::iter::once("no test mail").chain(identities.iter().map(String::as_str)).collect();
    match Select::new().with_prompt("Verified identity that sends the test mail").items(&items).default(0).interact()? {
        0 => Ok(String::new()),
        chosen if identities[chosen - 1].contains('@') => Ok(identities[chosen - 1].clone()),
        chosen => text_of(screen, prompt, &format!("no-reply@{}", identities[chosen - 1]), check),
    }
}
