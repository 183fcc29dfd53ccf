//! `deployer export`: writes a folder with which Terraform takes over the deployed resources. Reads AWS, and changes nothing there.

use std::{collections::BTreeMap, fs, io, path::Path};

use contract::{Command, text};

use super::{
    each::{for_each, load},
    ended::{Done, Shown, show},
    session::{Session, with_events},
};
use crate::{
    cli::ExportArgs,
    config::Config,
    engine::op::{Toward, Verb},
    error::Error,
    kinds::topic::Topic,
    package::Package,
    read_once,
    screen::Screen,
    terraform::{self, Arns},
};

pub(super) async fn run(screen: &Screen, args: &ExportArgs) -> Result<Done, Shown> {
    let folder = &args.terraform;
    let configs = load(screen, &args.target.config)?;
    let region = check(folder, &configs).map_err(|error| show(screen, &error))?;
    let account = configs.iter().find_map(|config| config.account_id.as_ref()).map(ToString::to_string);
    let provider = terraform::provider(&region, account.as_deref()).map_err(|error| show(screen, &error))?;
    let (mut texts, mut packages) = (vec![provider], BTreeMap::new());
    for_each(screen, configs, async |session: Session| {
        let (zip, known) = read(&session).await?;
        let package = package_name(&session.deployment.config, &zip, &packages);
        texts.push(session.or_show(terraform::deployment(&session.deployment, &package, &known))?);
        packages.insert(package, zip);
        Ok(Done::NothingToDo)
    })
    .await?;
    write(folder, &texts.join("\n"), &packages).map_err(|error| {
        let what = format!("failed to write into {}", folder.display());
        show(screen, &Error::new(what).cause(error))
    })?;
    let path = folder.display();
    screen.done(&format!("wrote {path}: run `terraform fmt`, `terraform init` and `terraform plan` there"));
    Ok(Done::NothingToDo)
}

/// Deployments with the same code have one zip.
fn package_name(config: &Config, zip: &[u8], packages: &BTreeMap<String, Vec<u8>>) -> String {
    let same = packages.iter().find(|(_, other)| *other == zip).map(|(name, _)| name.clone());
    same.unwrap_or_else(|| {
        let name = format!("{}.zip", config.function.architecture.as_str());
        if packages.contains_key(&name) { format!("{}-{name}", config.name) } else { name }
    })
}

/// Returns the region of the deployments: a provider of Terraform's has one.
fn check(folder: &Path, configs: &[Config]) -> Result<String, Error> {
    let is_empty = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::new(format!("failed to read {}", folder.display())).cause(error)),
        Ok(mut files) => files.next().is_none(),
    };
    if !is_empty {
        let what = format!("{} is not empty, and nothing is overwritten", folder.display());
        return Err(Error::new(what).hint("name a folder that does not exist"));
    }
    configs.iter().try_for_each(terraform::check)?;
    let regions: std::collections::BTreeSet<_> = configs.iter().map(|config| config.region.to_string()).collect();
    let [region] = regions.iter().collect::<Vec<_>>()[..] else {
        let regions = regions.into_iter().collect::<Vec<_>>().join(" and ");
        return Err(Error::new(format!("the deployments are in {regions}"))
            .cause("one folder is for one region")
            .hint("export the files of each region into a folder of its own"));
    };
    Ok(region.clone())
}

/// The function's zip, and what only AWS knows. Refuses a deployment of which something is missing: Terraform imports only what is there.
async fn read(session: &Session) -> Result<(Vec<u8>, Arns), Shown> {
    let prepared = session.plan(Toward::Present).await?;
    let missing = prepared.plan.resources.iter().filter(|resource| resource.verb() == Some(Verb::Create));
    let missing: Vec<_> = missing.map(|resource| resource.address.to_string()).collect();
    if !missing.is_empty() {
        let error = Error::new(format!("{} is not there", missing.join(", ")));
        return session.or_show(Err(error.hint(text!["deploy it first: ", Command::deployer("apply")])));
    }
    if !prepared.plan.is_empty() {
        let apply = Command::deployer("apply");
        session.screen.note(text![
            "AWS is not as the file declares, and Terraform's plan will say so too; ",
            apply,
            " changes that"
        ]);
    }
    let config = &session.deployment.config;
    let zip = with_events(&session.screen, async |events| Package::locate(config)?.build(&events).await).await;
    Ok((session.or_show(zip)?, session.or_show(arns(session).await)?))
}

async fn arns(session: &Session) -> Result<Arns, Error> {
    let (aws, config, names) = (&session.aws, &session.deployment.config, &session.deployment.names);
    let secret = read_once::secret(aws, &names.secret).await?.and_then(|secret| secret.arn);
    let secret = secret.ok_or_else(|| Error::new(format!("secret {} does not exist", names.secret)))?;
    let subscription = match &config.notify {
        Some(notify) => Topic::of(names).subscription_arn(aws, &notify.email).await?,
        None => None,
    };
    if config.notify.is_some() && subscription.is_none() {
        session.screen.note(
            "the address of notify has not confirmed its subscription, and SNS tells no ARN before it has: Terraform subscribes it again",
        );
    }
    Ok(Arns { secret, subscription })
}

fn write(folder: &Path, main: &str, packages: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let module = folder.join(terraform::MODULE_FOLDER);
    fs::create_dir_all(&module)?;
    for (name, text) in terraform::MODULE {
        fs::write(module.join(name), text)?;
    }
    for (name, zip) in packages {
        fs::write(folder.join(name), zip)?;
    }
    fs::write(folder.join("main.tf"), main)
}
