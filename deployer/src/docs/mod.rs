//! That the Markdown files lead somewhere, and that what they tell a person to type is what the programs take.

mod markdown;
mod prose;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use self::markdown::{Block, Page, all, for_users};
use crate::{cli::Cli, config};

/// Who runs a block of shell commands. A block without such a word runs on the sandbox (`deployer/tests/all/docs.rs`).
const NOT_ON_THE_SANDBOX: [&str; 3] = ["ci", "by-hand", "real-account"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_link_leads_to_a_file_or_a_heading_that_exists() {
    let pages = all(&root());
    let leads_somewhere = |page: &Page, link: &str| {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
        let target = without_dots(&target);
        let Some(anchor) = anchor else { return root().join(target).exists() };
        pages.iter().any(|other| other.path == target && other.anchors().iter().any(|it| it == anchor))
    };
    let is_on_the_web = |link: &str| link.starts_with("https://");
    let mut broken = Vec::new();
    for page in &pages {
        let links = page.links().into_iter();
        let bad = links.filter(|link| !is_on_the_web(link) && !leads_somewhere(page, link));
        broken.extend(bad.map(|link| format!("{}: {link}", page.path.display())));
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_page_of_docs_is_in_the_readmes_list() {
    let pages = for_users(&root());
    let readme = pages.iter().find(|page| page.path == Path::new("README.md")).unwrap().links();
    let listed = |page: &&Page| readme.iter().any(|link| Path::new(link) == page.path);
    let docs = pages.iter().filter(|page| page.path.starts_with("docs"));
    let missing: Vec<_> = docs.filter(|page| !listed(page)).map(|page| &page.path).collect();
    assert_eq!(missing, Vec::<&PathBuf>::new());
}

#[test]
fn every_verb_has_a_row_in_the_readme_and_a_heading_of_its_own() {
    let page = |name: &str| for_users(&root()).into_iter().find(|page| page.path == Path::new(name)).unwrap().text;
    let (readme, commands) = (page("README.md"), page("docs/commands.md"));
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let rows = rows.collect::<Vec<_>>().join(" `");
    for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        assert!(rows.contains(&format!("{name}`")), "README.md has no row for `{name}`");
        assert!(commands.contains(&format!("\n## {name}\n")), "docs/commands.md has no heading for {name}");
    }
}

#[test]
fn every_command_of_the_deployer_in_the_docs_is_one_that_it_takes() {
    let mut refused = Vec::new();
    for page in for_users(&root()) {
        let blocks = page.blocks();
        let in_blocks = blocks.iter().filter(|block| is_shell(block)).flat_map(commands);
        let in_text = page.codes().into_iter().filter_map(|code| shell_words::split(&code).ok());
        let in_text = in_text.filter_map(as_a_command);
        for words in in_blocks.chain(in_text).filter(|words| words[0] == "deployer") {
            if let Some(error) = refusal(&words) {
                refused.push(format!("{}: {}: {error}", page.path.display(), words.join(" ")));
            }
        }
    }
    assert_eq!(refused, [""; 0], "\n{}", refused.join("\n"));
}

#[test]
fn a_verb_in_the_place_of_config_is_no_command_for_the_docs() {
    let refused = |command: &str| refusal(&shell_words::split(command).unwrap()).is_some();
    assert!(refused("deployer policy destroy") && !refused("deployer policy --for destroy OLD-FILE"));
}

#[test]
fn every_block_of_shell_commands_says_who_runs_it() {
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let mut wrong = Vec::new();
    for page in for_users(&root()) {
        for block in page.blocks().iter().filter(|block| is_shell(block)) {
            let mut report = |what: &str| wrong.push(format!("{}: {what}:\n{}", page.path.display(), block.text));
            let runner = block.info.strip_prefix("sh").unwrap().trim();
            if !runner.is_empty() && !NOT_ON_THE_SANDBOX.contains(&runner) {
                report("the word after sh is none of ci, by-hand and real-account");
            }
            if runner == "real-account" && !page.text.contains("real AWS account") {
                report("nothing says that the page needs a real AWS account");
            }
            for words in commands(block) {
                if runner == "ci" && !ci.contains(&words.join(" ")) {
                    report(&format!(".ci/run does not run `{}`", words.join(" ")));
                }
                let program = words.iter().find(|word| *word != "sudo" && !word.contains('=')).unwrap();
                if program.contains('/') && !root().join(program).is_file() {
                    report(&format!("there is no {program}"));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0], "\n{}", wrong.join("\n"));
}

#[test]
fn every_configuration_in_the_docs_is_valid() {
    for page in for_users(&root()) {
        for block in page.blocks().iter().filter(|block| block.info == "yaml") {
            // What does not begin with `name` is a part of a configuration.
            let least = "name: mail-prod\nregion: eu-west-1\nsecret: {name: mail-prod/smtp}\niam_user: {name: mail-prod-smtp}\n";
            let is_whole = block.text.contains("name: ") && block.text.contains("region: ");
            let text = if is_whole { block.text.clone() } else { least.to_owned() + &block.text };
            if let Err(error) = config::parse(Path::new("config.yaml"), &text) {
                panic!("{}: {error}\n{text}", page.path.display());
            }
        }
    }
}

#[test]
fn every_test_that_proves_a_guarantee_exists() {
    let tests = root().join("deployer/tests/all");
    let mut named = 0;
    for code in for_users(&root()).iter().flat_map(Page::codes) {
        let Some((module, test)) = code.split_once("::") else { continue };
        let file = tests.join("scenarios").join(module).with_extension("rs");
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{code}");
        named += 1;
    }
    assert!(named > 8, "only {named} tests are named");
}

#[test]
fn every_action_that_a_policy_names_is_on_the_security_page() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (policies, page) = (read("deployer/src/deployment/policy.rs"), read("docs/security.md"));
    let policies = policies.split_once("#[cfg(test)]").unwrap().0;
    let texts = policies.split('"').skip(1).step_by(2);
    let named = texts.filter_map(|text| text.split_once(':')).filter(|(_, name)| name.starts_with(char::is_uppercase));
    let missing: Vec<_> = named.filter(|(_, name)| !page.contains(name)).collect();
    assert_eq!(missing, [("", ""); 0]);
}

fn is_shell(block: &Block) -> bool {
    block.info.split(' ').next() == Some("sh")
}

/// The words of each line's first command, without comments. A line that ends with a backslash goes on in the next.
fn commands(block: &Block) -> Vec<Vec<String>> {
    let text = block.text.replace("\\\n", " ");
    let is_of_the_first = |word: &String| !["|", "||", "&&", ";", ">"].contains(&word.as_str());
    let first = |line| shell_words::split(line).unwrap().into_iter().take_while(is_of_the_first).collect::<Vec<_>>();
    text.lines().map(first).filter(|words| !words.is_empty()).collect()
}

/// `rotate --leaked KEY` in the text is a command without its program.
fn as_a_command(mut words: Vec<String>) -> Option<Vec<String>> {
    let is_verb = |word: &String| Cli::command().find_subcommand(word).is_some();
    if words.len() < 2 {
        return None;
    }
    if is_verb(&words[0]) {
        words.insert(0, "deployer".to_owned());
    }
    Some(words)
}

fn refusal(words: &[String]) -> Option<String> {
    let typed = words.iter().map(|word| if word == "REGION" { "eu-west-1" } else { word });
    match Cli::try_parse_from(typed) {
        Ok(cli) => named_as_a_verb(&cli),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// What is wrong with `deployer policy destroy`, which the program takes: it reads a file named `destroy`.
fn named_as_a_verb(cli: &Cli) -> Option<String> {
    let file = cli.command.config()?.to_str()?;
    Cli::command().find_subcommand(file).map(|_| format!("{file} is a verb, and stands where CONFIG does"))
}

/// `docs/../README.md` is `README.md`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}
