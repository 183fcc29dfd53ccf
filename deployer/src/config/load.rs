//! Files and folders → [`Config`]s that do not conflict.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::{
    Config, ConfigError,
    check::{self, Placed},
    problem::{MAX_PROBLEMS, Place, Problem, Source},
    yaml,
};

/// Limit on a file's size; config.example.yaml, with every key and comments, has a few thousand bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the deployments of a file, or those of every `*.yaml` and `*.yml` file in a folder, in order of their names.
///
/// # Errors
/// Every mistake in every file; two deployments that have the same name and region, or share a secret or a user.
pub fn load(path: &Path) -> Result<Vec<Config>, ConfigError> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_owned()] };
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match read(&file).map_err(ConfigError::from).and_then(|text| documents(&file, &text)) {
            Ok(documents) => found.extend(documents),
            Err(error) => problems.extend(error.into_problems()),
        }
        problems.truncate(MAX_PROBLEMS);
    }
    configs(found, problems)
}

/// Reads the deployments of a text; `source` is the path that errors show.
pub fn parse(source: &Path, text: &str) -> Result<Vec<Config>, ConfigError> {
    configs(documents(source, text)?, Vec::new())
}

/// The smallest configuration of a deployment, for one whose file is not at hand. Everything else has its default.
///
/// # Errors
/// What a file could not hold either.
pub(crate) fn least(
    name: &str,
    region: &str,
    secret: &str,
    user: &str,
    function: Option<&str>,
) -> Result<Config, ConfigError> {
    let text = serde_json::json!({
        "name": name, "region": region, "secret": {"name": secret}, "iam_user": {"name": user}, "names": {"function": function},
    });
    // A text with one document has one deployment.
    parse(Path::new("(the record)"), &text.to_string()).map(|mut configs| configs.remove(0))
}

fn documents(path: &Path, text: &str) -> Result<Vec<Placed>, ConfigError> {
    let source = Source { path, text: text.strip_prefix('\u{feff}').unwrap_or(text) };
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for raw in yaml::documents(source)? {
        match check::check(source, &raw) {
            Ok(placed) => found.push(placed),
            Err(more) => problems.extend(more),
        }
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(ConfigError::new(problems)) }
}

fn configs(found: Vec<Placed>, mut problems: Vec<Problem>) -> Result<Vec<Config>, ConfigError> {
    for (index, later) in found.iter().enumerate() {
        let left = MAX_PROBLEMS.saturating_sub(problems.len());
        problems.extend(found[..index].iter().flat_map(|earlier| conflicts(earlier, later)).take(left));
    }
    if !problems.is_empty() {
        return Err(ConfigError::new(problems));
    }
    Ok(found.into_iter().map(|placed| placed.config).collect())
}

/// Finds what two deployments share and must not. Deployments in different accounts share nothing.
fn conflicts(earlier: &Placed, later: &Placed) -> Vec<Problem> {
    let (a, b) = (&earlier.config, &later.config);
    let other_account = a.account_id.is_some() && b.account_id.is_some() && a.account_id != b.account_id;
    if other_account {
        return Vec::new();
    }
    let problem = |here: &Place, there: &Place, message: String, hint: &str| {
        Problem::at(here.clone(), message, format!("{hint}; the other one is at {}", there.link()))
    };
    let mut problems = Vec::new();
    if a.region == b.region && a.name == b.name {
        let message = format!("there are two deployments `{}` in {}", b.name, b.region);
        problems.push(problem(&later.name, &earlier.name, message, "rename one of them"));
    }
    if a.region == b.region && a.secret.name == b.secret.name {
        let message = format!("two deployments rotate the secret `{}`", b.secret.name);
        problems.push(problem(&later.secret, &earlier.secret, message, "give each a secret of its own"));
    }
    // A user belongs to an account, not to a region, and IAM ignores the case of its name.
    if a.iam_user.name.eq_ignore_ascii_case(&b.iam_user.name) {
        let message = format!("two deployments rotate the keys of the user `{}`", b.iam_user.name);
        let hint =
            "give each a user of its own: a user has only two keys, and each deployment would delete the other's";
        problems.push(problem(&later.user, &earlier.user, message, hint));
    }
    problems
}

/// Hidden files are left out: editors keep backups and locks under such names.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(folder, &error))?;
    let is_yaml = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::of_file(
            format!("the folder {} contains no configuration", folder.display()),
            "name a file, or a folder with files whose names end in .yaml or .yml",
        ));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error| unreadable(path, &error))?;
    if size as u64 > MAX_FILE_BYTES {
        let message = format!("{} is larger than 1 MiB", path.display());
        return Err(Problem::of_file(message, "name the configuration file: no configuration is that large"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        let message = format!("{} is not UTF-8 text: see line {line}", path.display());
        Problem::of_file(message, "save the file as UTF-8")
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let hint = match error.kind() {
        ErrorKind::NotFound => "name the file or folder that holds the configuration; config.example.yaml shows one",
        ErrorKind::PermissionDenied => "check the permissions of the file, and of the folders above it",
        _ => "name another file or folder",
    };
    Problem::of_file(format!("failed to read {}: {error}", path.display()), hint)
}
