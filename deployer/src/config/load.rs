//! Files and folders → [`Config`]s that do not conflict.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use contract::Command;

use super::{
    Config, ConfigError, ResourceNames,
    check::{self, Placed, Places},
    nearest::nearest,
    node::At,
    problem::{Code, Place, Problem, Problems, Source},
    yaml,
};

/// Limit on a file's size; config.example.yaml, with every key and comments, has a few thousand bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What follows from a deployment's file, and is not computed here.
pub(crate) struct Derived {
    /// What would be too long for AWS.
    pub(crate) excess: fn(&Config) -> Vec<Excess>,
    /// The names of its resources that a file may choose.
    pub(crate) taken: fn(&Config) -> Vec<Taken>,
}

/// The name of a resource, which no other deployment may have.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Taken {
    /// Its key under `names`.
    pub(crate) key: &'static str,
    /// As AWS compares it with others.
    pub(crate) name: String,
    /// The region that it belongs to; none: it belongs to the account.
    pub(crate) region: Option<String>,
}

/// What AWS would refuse because it is too long, and which part of the file decides how long it is.
pub(crate) struct Excess {
    pub(crate) of: Part,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// A part of a deployment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `ses.from`.
    Senders,
    /// `instance.ids`.
    Instances,
    /// `tags`.
    Tags,
    /// Several keys together.
    Deployment,
}

/// Reads the deployments of a file, or those of every `*.yaml` and `*.yml` file in a folder, in any case, in order of their names.
///
/// # Errors
/// Every mistake in every file; two deployments that have the same name and region, or share a secret, a user, or a name that the files
/// choose.
pub(crate) fn load(path: &Path, derived: &Derived) -> Result<Vec<Config>, ConfigError> {
    let (configs, error) = load_what_is_valid(path, derived);
    error.map_or(Ok(configs), Err)
}

/// As [`load`], with the deployments that can be read although others have mistakes.
pub(crate) fn load_what_is_valid(path: &Path, derived: &Derived) -> (Vec<Config>, Option<ConfigError>) {
    match found_in(path, derived) {
        Ok((found, problems)) => (found.into_iter().map(|placed| placed.config).collect(), problems.or(()).err()),
        Err(problem) => (Vec::new(), Some(problem.into())),
    }
}

fn found_in(path: &Path, derived: &Derived) -> Result<(Vec<Placed>, Problems), Problem> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_owned()] };
    let mut found = Vec::new();
    let mut problems = Problems::default();
    for file in files {
        let (documents, of_file) =
            read(&file).and_then(|text| documents(&file, &text)).unwrap_or_else(|problem| (Vec::new(), problem.into()));
        found.extend(documents);
        problems.append(of_file);
    }
    let mut too_long = Problems::default();
    for Placed { config, places } in &found {
        for Excess { of, message, hint } in (derived.excess)(config) {
            too_long.add(|| Problem::at(places.of(of).clone(), Code::AwsLimit, message, hint));
        }
    }
    problems.append(too_long);
    problems.append(taken_twice(&found, derived.taken));
    problems.append(shared(&found));
    Ok((found, problems))
}

/// Reads the deployments of a text; `source` is the path that errors show.
///
/// # Errors
/// Every mistake in the text.
pub fn parse(source: &Path, text: &str) -> Result<Vec<Config>, ConfigError> {
    let (found, mut problems) = documents(source, text)?;
    problems.append(shared(&found));
    problems.or(found.into_iter().map(|placed| placed.config).collect())
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
    // A key without a value is a mistake, also here.
    let names: BTreeMap<_, _> = function.map(|function| ("function", function)).into_iter().collect();
    let text = serde_json::json!({
        "name": name, "region": region, "secret": {"name": secret}, "iam_user": {"name": user}, "names": names,
    });
    // A text with one document has one deployment.
    parse(Path::new("(the record)"), &text.to_string()).map(|mut configs| configs.remove(0))
}

/// The deployments of a file that have no mistake, and the mistakes of the others. `Err`: the file cannot be read as YAML.
fn documents(path: &Path, text: &str) -> Result<(Vec<Placed>, Problems), Problem> {
    let source = Source::new(path, text.strip_prefix('\u{feff}').unwrap_or(text));
    let (documents, mut problems) = yaml::documents(&source)?;
    let mut found = Vec::new();
    for document in documents {
        found.extend(check::check(&source, document, &mut problems));
    }
    Ok((found, problems.sorted()))
}

/// What deployments have in common and must not.
fn shared(found: &[Placed]) -> Problems {
    let mut shared = Problems::default();
    for (index, later) in found.iter().enumerate() {
        // One of the others is enough to find the rest.
        let others = found[..index].iter().map(|earlier| conflicts(earlier, later));
        let conflicts = others.into_iter().find(|conflicts| !conflicts.is_empty());
        conflicts.into_iter().flatten().for_each(|conflict| shared.add(|| conflict));
    }
    shared
}

impl Places {
    fn of(&self, part: Part) -> &Place {
        let part = match part {
            Part::Senders => self.senders.as_ref(),
            Part::Instances => self.instances.as_ref(),
            Part::Tags => self.tags.as_ref(),
            Part::Deployment => None,
        };
        part.unwrap_or(&self.name)
    }
}

/// Finds resources that two deployments would have in common because a file chooses their names. Derived names are different.
fn taken_twice(found: &[Placed], taken: fn(&Config) -> Vec<Taken>) -> Problems {
    let mut problems = Problems::default();
    if found.iter().all(|placed| placed.config.names == ResourceNames::default()) {
        return problems;
    }
    let mut owners: HashMap<Taken, Vec<&Placed>> = HashMap::new();
    for later in found {
        for taken in taken(&later.config) {
            let (key, message) = (taken.key, format!("two deployments have the {} `{}`", taken.key, taken.name));
            let owners = owners.entry(taken).or_default();
            if let Some(earlier) = owners.iter().find(|earlier| earlier.config.may_share_an_account(&later.config)) {
                // The other may have derived the name.
                let is_chosen = |placed: &Placed| placed.places.names.contains_key(key);
                let (wrong, other) = if is_chosen(later) { (later, *earlier) } else { (*earlier, later) };
                let place = |placed: &Placed| placed.places.names.get(key).unwrap_or(&placed.places.name).clone();
                let hint = "each would change the other's: choose another name, or remove the line";
                problems.add(|| {
                    Problem::at(place(wrong), Code::Shared, message, hint).beside(place(other), "the other deployment")
                });
            }
            owners.push(later);
        }
    }
    problems
}

/// Finds what two deployments share and must not. Deployments in different accounts share nothing.
fn conflicts(earlier: &Placed, later: &Placed) -> Vec<Problem> {
    if !earlier.config.may_share_an_account(&later.config) {
        return Vec::new();
    }
    let (a, b) = (&earlier.config, &later.config);
    let problem = |place: fn(&Places) -> &Place, message: String, hint: &str| {
        Problem::at(place(&later.places).clone(), Code::Shared, message, hint)
            .beside(place(&earlier.places).clone(), "the other deployment")
    };
    let mut problems = Vec::new();
    if a.region == b.region && a.name == b.name {
        let message = format!("there are two deployments `{}` in {}", b.name, b.region);
        problems.push(problem(|places| &places.name, message, "rename one of them"));
    }
    let was = |new: &Config, old: &Config| new.region == old.region && new.moved_from.as_ref() == Some(&old.name);
    if was(a, b) || was(b, a) {
        let message = format!(
            "the deployment `{}` gets another name here, and is declared too",
            if was(a, b) { &b.name } else { &a.name }
        );
        let hint = "if it has its new name already, remove `moved_from`; else declare it under its new name only";
        problems.push(problem(|places| &places.name, message, hint));
    }
    if a.region == b.region && a.secret.name == b.secret.name {
        let message = format!("two deployments rotate the secret `{}`", b.secret.name);
        problems.push(problem(|places| &places.secret, message, "give each a secret of its own"));
    }
    // A user belongs to an account, not to a region, and IAM ignores the case of its name.
    if a.iam_user.name.eq_ignore_ascii_case(&b.iam_user.name) {
        let message = format!("two deployments rotate the keys of the user `{}`", b.iam_user.name);
        let hint =
            "give each a user of its own: a user has only two keys, and each deployment would delete the other's";
        problems.push(problem(|places| &places.user, message, hint));
    }
    problems
}

/// Hidden files are left out: editors keep backups and locks under such names.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(folder, &error))?;
    let is_yaml = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden
            && path
                .extension()
                .is_some_and(|extension| ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)))
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::of_file(
            folder,
            Code::Empty,
            format!("the folder {} contains no configuration", folder.display()),
            "name a file, or a folder with files whose names end in .yaml or .yml",
        ));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Problem> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        // Nobody may ever write into a pipe, and a second reading of the file would find nothing.
        let message = format!("{} is not a regular file", path.display());
        let hint = "write the configuration into a file, and name that file";
        return Err(Problem::of_file(path, Code::Unreadable, message, hint));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error| unreadable(path, &error))?;
    if size as u64 > MAX_FILE_BYTES {
        let message = format!("{} is larger than 1 MiB", path.display());
        let hint = "name the configuration file: no configuration is that large";
        return Err(Problem::of_file(path, Code::TooLarge, message, hint));
    }
    decode(path, bytes)
}

/// The text of a file.
pub(super) fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| not_utf8(path, error.as_bytes(), error.utf8_error().valid_up_to()))
}

/// `valid`: how many bytes at the beginning are UTF-8.
fn not_utf8(path: &Path, bytes: &[u8], valid: usize) -> Problem {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if is_utf16 {
        let message = format!("{} is UTF-16 text", path.display());
        return Problem::of_file(path, Code::Encoding, message, "save the file as UTF-8");
    }
    let text = String::from_utf8_lossy(bytes);
    // What is valid stays as it is, so the first replaced character is at the same place.
    let place = Source::new(path, &text).place(At { start: valid, end: valid });
    Problem::at(place, Code::Encoding, "this is not UTF-8 text", "save the file as UTF-8")
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let hint = match error.kind() {
        ErrorKind::NotFound if path.is_symlink() => {
            "it is a link to a file that does not exist: correct the link".to_owned()
        }
        ErrorKind::NotFound if path == Path::new("-") => {
            "standard input is not read: write the configuration into a file, and name that file".to_owned()
        }
        ErrorKind::NotFound => {
            let similar = similar(path).map(|similar| format!("did you mean {}?", similar.display()));
            similar.unwrap_or_else(|| {
                let init = Command::deployer("init").in_shell(Some(&path.to_string_lossy()));
                format!("name the file or folder that holds the configuration, or write a new one with `{init}`")
            })
        }
        ErrorKind::PermissionDenied => "check the permissions of the file, and of the folders above it".to_owned(),
        _ => "name another file or folder".to_owned(),
    };
    Problem::of_file(path, Code::Unreadable, format!("failed to read {}: {error}", path.display()), hint)
}

/// A file of the same folder with nearly the same name.
fn similar(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> =
        fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str)).map(|name| path.with_file_name(name))
}
