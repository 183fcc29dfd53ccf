//! CONFIG → its deployments, one after the other.

use std::path::Path;

use contract::{Command, Text, text};

use super::{
    ended::{Done, Shown, show},
    session::Session,
};
use crate::{
    config::{self, Config, Derived},
    deployment::names,
    error::Error,
    exit::Exit,
    package::Package,
    saved_plan::SavedPlan,
    screen::Screen,
    sizes,
};

/// Reads every deployment that a file or a folder declares.
pub(super) fn load(screen: &Screen, path: &Path) -> Result<Vec<Config>, Shown> {
    if let Some(error) = is_a_plan(path) {
        return Err(show(screen, &error));
    }
    config::load(path, &DERIVED).map_err(|error| {
        screen.config_error(&error);
        Shown::FAILED
    })
}

const DERIVED: Derived = Derived { excess: sizes::excess, taken: names::taken };

/// Only `apply` takes a saved plan in place of CONFIG.
fn is_a_plan(path: &Path) -> Option<Error> {
    let error = match SavedPlan::read(path) {
        Ok(None) => return None,
        Ok(Some(plan)) => {
            let what = format!("{} is a saved plan and no configuration", path.display());
            Error::new(what).hint(format!("give the file that it was made from: {}", plan.config.display()))
        }
        Err(error) => error,
    };
    let path = path.display().to_string();
    Some(error.hint(text![Command::complete(&["apply", &path]), " runs what is in the plan"]))
}

/// Says what the files alone tell, before anything is read from AWS: that the function could not be built (whether it has to be is not known
/// yet), and which host two deployments share.
pub(super) fn say_what_the_files_tell(screen: &Screen, path: &Path) {
    // Its mistakes are shown by what reads it next.
    let (configs, _) = config::load_what_is_valid(path, &DERIVED);
    if let Some(error) = configs.iter().find_map(|config| Package::check_tools(config).err()) {
        screen.note(Text::join([error.in_one_line().into()].into_iter().chain(error.hints), ": "));
    }
    say_what_hosts_share(screen, &configs);
}

/// Says which host is told of two credentials by one script: it confirms each of them, and may keep only the one that it got last.
pub(super) fn say_what_hosts_share(screen: &Screen, configs: &[Config]) {
    for (at, earlier) in configs.iter().enumerate() {
        for later in &configs[at + 1..] {
            if let Some(host) = shared_host(earlier, later) {
                screen.note(format!(
                    "deployments {} and {} tell host {host} by one script: unless the script keeps a credential for each secret (its argument \
                     is the secret's ARN), the host has only the one that it got last, while each deployment counts the host as told",
                    earlier.name, later.name
                ));
            }
        }
    }
}

/// An instance that both tell by the same script.
fn shared_host<'a>(a: &'a Config, b: &Config) -> Option<&'a str> {
    let (of_a, of_b) = (a.instance.as_ref()?, b.instance.as_ref()?);
    if !a.may_share_an_account(b) || a.region != b.region || of_a.script != of_b.script {
        return None;
    }
    of_a.ids.iter().find(|id| of_b.ids.contains(id)).map(|id| &**id)
}

/// Runs `work` on one deployment after the other, and stops at the first that fails. Then it names those that it did not reach.
pub(super) async fn for_each_deployment(
    screen: &Screen,
    path: &Path,
    work: impl AsyncFnMut(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    for_each(screen, load(screen, path)?, work).await
}

/// As [`for_each_deployment`], of configurations that were read already.
pub(super) async fn for_each(
    screen: &Screen,
    configs: Vec<Config>,
    mut work: impl AsyncFnMut(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    let mut done = Done::NothingToDo;
    let mut configs = configs.into_iter();
    while let Some(config) = configs.next() {
        let worked = Box::pin(async { work(Session::open(screen, config).await?).await });
        match worked.await {
            Ok(Done::NothingToDo) => {}
            Ok(other) => done = other,
            Err(Shown(exit)) => {
                say_what_was_not_reached(screen, configs.as_slice());
                return Err(Shown(if done == Done::Changes { exit.after_changes() } else { exit }));
            }
        }
    }
    Ok(done)
}

/// Every deployment without a mistake, after the mistakes of the others were shown. Whether there are such.
pub(super) fn load_what_is_valid(screen: &Screen, path: &Path) -> Result<(Vec<Config>, bool), Shown> {
    if let Some(error) = is_a_plan(path) {
        return Err(show(screen, &error));
    }
    let (configs, error) = config::load_what_is_valid(path, &DERIVED);
    if let Some(error) = &error {
        screen.config_error(error);
    }
    Ok((configs, error.is_some()))
}

/// Runs `work`, which only reads, on one deployment after the other, also on those after one that fails or whose file has a mistake. Ends
/// as the first that failed did.
pub(super) async fn read_each_deployment(
    screen: &Screen,
    path: &Path,
    work: impl AsyncFnMut(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    let (configs, has_mistakes) = load_what_is_valid(screen, path)?;
    let read = read_each(screen, configs, work).await;
    if has_mistakes { Err(Shown::FAILED) } else { read }
}

/// As [`read_each_deployment`], of configurations that were read already. Without an answer to whom the credentials belong, all would fail
/// alike: then it stops.
pub(super) async fn read_each(
    screen: &Screen,
    configs: Vec<Config>,
    mut work: impl AsyncFnMut(Session) -> Result<Done, Shown>,
) -> Result<Done, Shown> {
    let mut ended = Ok(Done::NothingToDo);
    let mut configs = configs.into_iter();
    while let Some(config) = configs.next() {
        let connected = Session::connect(screen, config).await;
        if let Err(Shown(Exit::Credentials)) = connected {
            say_what_was_not_reached(screen, configs.as_slice());
            return Err(Shown(Exit::Credentials));
        }
        let worked = Box::pin(async { work(connected?.of_the_named_account()?).await }).await;
        match (worked, &ended) {
            (Ok(Done::NothingToDo), _) | (_, Err(_)) => {}
            (other, Ok(_)) => ended = other,
        }
    }
    ended
}

fn say_what_was_not_reached(screen: &Screen, rest: &[Config]) {
    let names: Vec<String> = rest.iter().map(|config| format!("{} in {}", config.name, config.region)).collect();
    if !names.is_empty() {
        screen.note(format!("the run stopped here, and did not reach {}", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shared_if_both_tell_it_by_one_script_and_may_be_in_one_account() {
        let of = |rest: &str, instance: &str| {
            let yaml = format!(
                "name: m\nregion: eu-west-1\nsecret: {{name: s}}\niam_user: {{name: u}}\n{rest}instance: {{{instance}}}\n"
            );
            config::parse(Path::new("m.yaml"), &yaml).unwrap().remove(0)
        };
        let one = "id: i-0123456789abcdef0, script: /a";
        let first = of("", one);
        let shared = |other: &Config| shared_host(&first, other).map(str::to_owned);
        assert_eq!(shared(&of("", one)).as_deref(), Some("i-0123456789abcdef0"));
        assert_eq!(shared(&of("", "id: i-0123456789abcdef0, script: /b")), None);
        assert_eq!(shared(&of("", "id: i-0123456789abcdef1, script: /a")), None);
        let [a, b] = ["123456789012", "210987654321"].map(|account| of(&format!("account_id: '{account}'\n"), one));
        assert_eq!(shared_host(&a, &b), None);
    }
}
