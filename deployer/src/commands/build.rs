//! `deployer build`: builds the function from a checkout, without one AWS call.

use super::{
    ended::{Done, Shown},
    session::with_events,
};
use crate::{
    cli::BuildArgs,
    config::Architecture,
    error::Error,
    package::{Built, carried_architectures},
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &BuildArgs) -> Result<Done, Shown> {
    for architecture in architectures(args) {
        if let Err(error) = build(screen, args, architecture).await {
            screen.error(&error);
            return Err(Shown::FAILED);
        }
    }
    Ok(Done::NothingToDo)
}

/// By default the ones to compare with, or the configuration's default.
fn architectures(args: &BuildArgs) -> Vec<Architecture> {
    let mut architectures = args.architectures.clone();
    if architectures.is_empty() && args.verify {
        architectures = carried_architectures();
    }
    if architectures.is_empty() {
        architectures = vec![Architecture::X86_64];
    }
    architectures
}

async fn build(screen: &Screen, args: &BuildArgs, architecture: Architecture) -> Result<(), Error> {
    let built = with_events(screen, async |events| Built::of_checkout(architecture, &events).await).await?;
    let digests = format!("sources {}, CodeSha256 {}", built.source_digest, built.code_sha256());
    if let Some(folder) = &args.out {
        built.write(folder)?;
        screen.done(&format!("wrote {architecture}.zip into {}: {digests}", folder.display()));
    }
    if args.verify {
        built.check_against_carried()?;
        screen.done(&format!(
            "the function for {architecture} that this deployer carries is what the checkout gives: {digests}"
        ));
    }
    if args.out.is_none() && !args.verify {
        screen.done(&format!("built the function for {architecture}: {digests}"));
    }
    Ok(())
}
