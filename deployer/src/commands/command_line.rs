//! The command line as a whole, and what clap makes of it: completions for shells, and man pages.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path};

use clap::{
    Arg, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue},
};
use clap_complete::Shell;

use super::ended::{Done, Shown};
use crate::{
    cli::Cli,
    error::{Error, ErrorKind},
    exit::Exit,
    package,
    screen::{Screen, Verbosity},
};

/// The command line, with what this program consists of as its long version, and its exit codes.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().long_version(package::LONG_VERSION.as_str()).after_long_help(Exit::help())
}

/// Reads the command line.
///
/// # Errors
/// A mistake in it. Help and the version are "errors" too, as clap has it.
pub fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(words);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|mistake| with_two_dashes(mistake, words))
}

/// Terraform's options have one dash. Clap takes `-auto-approve` for `-a`.
fn with_two_dashes(mut mistake: clap::Error, words: &[OsString]) -> clap::Error {
    let command = command();
    let options: BTreeSet<_> =
        command.get_subcommands().flat_map(clap::Command::get_opts).filter_map(Arg::get_long).collect();
    let is_one = |word: &&str| {
        let name = word.strip_prefix('-').and_then(|rest| rest.split('=').next());
        name.is_some_and(|name| options.contains(name))
    };
    let words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    if let Some(word) =
        words.into_iter().find(is_one).filter(|_| mistake.kind() == clap::error::ErrorKind::UnknownArgument)
    {
        mistake.insert(ContextKind::InvalidArg, ContextValue::String(word.to_owned()));
        mistake.insert(ContextKind::SuggestedArg, ContextValue::String(format!("-{word}")));
        // How to pass `-a` as a value.
        mistake.remove(ContextKind::Suggested);
    }
    mistake
}

/// Shows a mistake in the command line as `--json` shows every error.
pub fn show_mistake_as_json(mistake: &clap::Error) {
    Screen::new(true, Verbosity::Normal, None).error(&mistake_of(mistake));
}

/// Clap's text has paragraphs: what is wrong, tips, the usage.
fn mistake_of(mistake: &clap::Error) -> Error {
    let text = mistake.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = paragraphs.next().unwrap_or_default();
    let error = Error::new(what.strip_prefix("error: ").unwrap_or(&what)).of_kind(ErrorKind::CommandLine);
    let is_help = |paragraph: &String| paragraph.starts_with("For more information");
    paragraphs
        .filter(|paragraph| !is_help(paragraph) && !paragraph.is_empty())
        .fold(error, |error, paragraph| error.hint(paragraph.strip_prefix("tip: ").unwrap_or(&paragraph).to_owned()))
}

/// The completions of a shell, as a script.
pub(super) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "deployer", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a man page for each verb.
pub(super) fn man_pages(screen: &Screen, folder: &Path) -> Result<Done, Shown> {
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder));
    written.map(|()| Done::NothingToDo).map_err(|error| {
        screen.error(&Error::new(format!("failed to write into {}", folder.display())).cause(error));
        Shown::FAILED
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// GitHub alone can run it. So what can be checked here is checked.
    #[test]
    fn the_example_for_github_actions_is_yaml_its_policies_are_json_and_its_commands_are_ours() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/github-actions");
        let read = |name: &str| fs::read_to_string(example.join(name)).unwrap();
        let workflow: Value = serde_saphyr::from_str(&read("rotation.yml")).unwrap();
        let steps = workflow["jobs"].as_object().unwrap().values().flat_map(|job| job["steps"].as_array().unwrap());
        let scripts: Vec<_> = steps.filter_map(|step| step["run"].as_str()).collect();
        let words = |line: &str| {
            let typed = line.split(['>', '|']).next().unwrap_or_default();
            typed.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let typed: Vec<_> = scripts
            .iter()
            .flat_map(|script| script.lines())
            .filter(|line| line.starts_with("deployer "))
            .map(words)
            .collect();
        assert_eq!(typed.len(), 2, "{typed:?}");
        for words in typed {
            command().try_get_matches_from(&words).unwrap();
        }
        for policy in ["trust-plan.json", "trust-apply.json"] {
            let policy: Value = serde_json::from_str(&read(policy)).unwrap();
            let conditions = &policy["Statement"][0]["Condition"]["StringEquals"];
            assert!(
                !conditions["token.actions.githubusercontent.com:sub"].is_null(),
                "any repository could be the role"
            );
        }
    }

    #[test]
    fn a_mistake_in_the_command_line_is_an_error_with_claps_tips_as_hints() {
        let told = |words: &[&str]| {
            let error = mistake_of(&command().try_get_matches_from(words).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::CommandLine);
            let hints: Vec<_> = error.hints.iter().map(ToString::to_string).collect();
            format!("{} | {}", error.in_one_line(), hints.join(" | "))
        };
        let unknown = told(&["deployer", "plan", "--detailed-exit-code"]);
        assert!(
            unknown.starts_with("unexpected argument '--detailed-exit-code' found | a similar argument exists"),
            "{unknown}"
        );
        assert!(unknown.ends_with("| Usage: deployer plan --detailed-exitcode [CONFIG]"), "{unknown}");
        let region = told(&["deployer", "list", "--region", "foo"]);
        assert!(region.contains("`foo` is not an AWS region: write the region's code, such as eu-west-1"), "{region}");
        let output = told(&["deployer", "output", "prod.yaml"]);
        assert!(output.contains("CONFIG comes after NAME: deployer output all prod.yaml"), "{output}");
        assert!(told(&["deployer", "output", "secret"]).contains("'secret_arn'"));
    }

    #[test]
    fn every_verb_has_completions_and_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        man_pages(&Screen::new(false, Verbosity::Normal, None), folder.path()).unwrap();
        let script = script(Shell::Bash);
        for verb in command().get_subcommands().map(|verb| verb.get_name().to_owned()) {
            assert!(script.contains(&verb), "{verb}");
            assert!(folder.path().join(format!("deployer-{verb}.1")).is_file(), "{verb}");
        }
    }

    /// Exit codes that a help text names, each with words of what it means there.
    const NAMED: [(&str, &str); 3] = [("1", "something is,"), ("12", "another run"), ("15", "could not be read")];

    #[test]
    fn a_help_text_that_names_an_exit_code_says_what_it_means_in_the_table() {
        let mut named = 0;
        for verb in command().get_subcommands() {
            let texts = verb.get_arguments().filter_map(|it| it.get_long_help().or(it.get_help()));
            let texts = texts.chain(verb.get_long_about().or(verb.get_about())).map(ToString::to_string);
            for text in texts.filter(|text| text.contains("xit ")) {
                named += 1;
                let said = &text[text.find("xit ").unwrap()..];
                let codes = said.split(|c: char| !c.is_ascii_digit()).filter(|code| !["", "0", "2"].contains(code));
                for code in codes {
                    let words = NAMED.iter().find(|(named, _)| *named == code);
                    assert!(
                        words.is_some_and(|(_, words)| text.contains(words)),
                        "{}: {code}: {text}",
                        verb.get_name()
                    );
                }
            }
        }
        assert!(named > 5, "{named}");
    }

    #[test]
    fn the_help_of_every_verb_has_an_example_that_can_be_typed() {
        for verb in command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  deployer ")).collect();
            assert!(!examples.is_empty(), "{} has no example", verb.get_name());
            for example in examples {
                // What follows is the shell's.
                let typed = example.split(['#', '>']).next().unwrap();
                let words = ["deployer"].into_iter().chain(typed.split_whitespace());
                let parsed = command().try_get_matches_from(words);
                assert_eq!(parsed.unwrap().subcommand_name(), Some(verb.get_name()), "{example}");
            }
        }
    }
}
