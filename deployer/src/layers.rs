//! The layers of this crate, and that every file keeps to them.
#![expect(clippy::print_stdout, reason = "the size of the largest circle is what a reader wants to know")]

#[path = "../../contract/layers.rs"]
mod imports;

use std::path::Path;

/// Lowest first. A file may import files of its own layer and of those below.
const LAYERS: &[&[&str]] = &[
    &["date.rs", "digest.rs", "error.rs", "exit.rs", "config/", "cli.rs", "credentials.rs"],
    &[
        "answers.rs",
        "aws.rs",
        "changes.rs",
        "interrupt.rs",
        "offers.rs",
        "read_once.rs",
        "sentences.rs",
        "silence.rs",
        "simulation.rs",
        "deployment/names.rs",
        "deployment/policy.rs",
        "deployment/caller.rs",
    ],
    &["engine/op.rs", "engine/tags.rs", "engine/events.rs", "engine/eventually.rs"],
    &[
        "deployment/key_life.rs",
        "deployment/mod.rs",
        "deployment/record.rs",
        "package/",
        "rotation/labels.rs",
        "rotation/function.rs",
        "rotation/retirement.rs",
        "sending.rs",
    ],
    &["deployment/facts.rs"],
    &["engine/"],
    &["kinds/"],
    &["stack.rs", "leftovers.rs", "planning.rs", "sizes.rs", "terraform/", "would_fail.rs"],
    &["drift.rs", "lease.rs", "listed.rs", "overview/", "rotation/", "saved_plan/", "status.rs"],
    &["doctor/"],
    &["screen/"],
    &["commands/"],
    &["lib.rs", "main.rs"],
];

/// The configuration's files describe one format together.
const CONFIG: &str = "config/";

#[test]
fn every_file_keeps_to_its_layer_and_none_is_in_a_circle_but_the_configurations() {
    let imports = imports::of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    let circles = imports.circles();
    println!("{} files, {} in the largest circle", imports.files(), circles.first().map_or(0, Vec::len));
    assert_eq!(imports.against(LAYERS), [""; 0]);
    let others: Vec<_> =
        circles.into_iter().filter(|circle| !circle.iter().all(|file| file.starts_with(CONFIG))).collect();
    assert_eq!(others, [[""; 0]; 0]);
}

/// ARCHITECTURE.md names files from the root of the repository, or from the folder that a table's heading names.
#[test]
fn every_path_in_architecture_md_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let bases = ["", "deployer/src", "deployer/src/engine", "handler", "handler/src", "deployer/tests/all/support"];
    // `config/` names more than `deployer/src/config/`: inside a row, files are named from the row's own folder.
    let mut folder = String::new();
    let mut missing = Vec::new();
    for line in text.lines() {
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            let exists = |base: &str| root.join(base).join(word).exists();
            let is_in_folder = bases.iter().any(|base| root.join(base).join(&folder).join(word).exists());
            if !bases.iter().any(|base| exists(base)) && !is_in_folder {
                missing.push(word.to_owned());
            }
            if word.ends_with('/') {
                word.clone_into(&mut folder);
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

fn is_path(word: &str) -> bool {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
    let extension = Path::new(word).extension().and_then(std::ffi::OsStr::to_str);
    let is_file = extension.is_some_and(|it| ["rs", "py", "sh", "toml", "yaml", "md"].contains(&it));
    // ARCHITECTURE.md says why `.cargo/` does not exist.
    is_plain && (is_file || word.ends_with('/')) && word.len() > 1 && !word.starts_with(".cargo/")
}
