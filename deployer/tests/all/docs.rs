//! The shell blocks of the README and docs/ that no word marks as run by others: they run as they stand, page after page, on one deployment.

use std::process::{Command, Stdio};

use crate::support::{deployed::Deployed, example::root};

#[path = "../../src/docs/markdown.rs"]
mod markdown;

/// The access key of the pages.
const KEY_OF_THE_DOCS: &str = "AKIAIOSFODNN7EXAMPLE";

#[tokio::test]
async fn every_unmarked_shell_block_of_the_docs_runs_on_the_sandbox() {
    let deployed = Deployed::example(&[]).await;
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_deployer")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), deployed.sandbox.variable("PATH"));
    let mut pages = 0;
    for page in markdown::for_users(&root()) {
        let blocks: Vec<String> =
            page.blocks().into_iter().filter(|block| block.info == "sh").map(|block| block.text).collect();
        if blocks.is_empty() {
            continue;
        }
        let current = deployed.key_labelled("AWSCURRENT").await;
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &blocks.concat().replace(KEY_OF_THE_DOCS, &current)]);
        let output =
            deployed.sandbox.environment_of(&mut shell).env("PATH", &path).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}:\n{}\n{printed}", page.path.display(), blocks.concat());
        deployed.sandbox.was_printed(&printed);
        pages += 1;
    }
    assert!(pages > 2, "only {pages} pages have such a block");
    deployed.mail_works().await;
}
