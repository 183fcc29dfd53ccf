//! From text to raw documents, and from the YAML library's errors to ours.

use serde_saphyr::{
    Error, Location, MergeKeyPolicy, MessageFormatter, NonFiniteFloatPolicy, UserMessageFormatter,
    granit_parser::{self, Event, Parser, ScalarStyle, Span},
};

use super::{
    problem::{Problem, Source},
    raw::RawConfig,
    schema,
};

/// Reads every document of a text.
///
/// Anchors, aliases, merge keys and tags are refused, so that every value has one place, which an error can name.
pub(super) fn documents(source: Source<'_>) -> Result<Vec<RawConfig>, Problem> {
    let outline = Outline::of(source)?;
    let options = serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(source.text, options).map_err(|error| problem(source, &outline, &error))
}

/// Limit on the keys, values and groups of a file: enough for some 250 deployments with every key. The library needs a few
/// hundred bytes for each, so that this, and not the size of the file, bounds the memory.
const MAX_NODES: usize = 20_000;

/// Limit on the documents of a file. The library's own is a little higher.
const MAX_DOCUMENTS: usize = 1000;

/// Limit on nesting. The deepest value of a configuration is the item of a list in a group: three levels.
const MAX_DEPTH: usize = 8;

/// The place of every key and value in the file, to find the key that an error of the library is about.
struct Outline {
    nodes: Vec<Node>,
    keys: Vec<Key>,
}

struct Node {
    line: usize,
    column: usize,
    /// The last of the keys that lead to it; for a key, of those that lead to its group.
    within: Option<KeyId>,
    is_group: bool,
}

/// A key, kept once, however many nodes are below it.
struct Key {
    text: String,
    within: Option<KeyId>,
}

/// Index of a key.
type KeyId = usize;

/// A collection whose end was not read yet.
enum Open {
    Map { key: Option<KeyId> },
    List,
}

impl Outline {
    /// Walks through the text once. Stops at a syntax error, which the library will report.
    fn of(source: Source<'_>) -> Result<Self, Problem> {
        let mut options = granit_parser::Options::default();
        options.emit_unresolved_aliases = true;
        options.emit_anchor_events = true;
        let mut outline = Self { nodes: Vec::new(), keys: Vec::new() };
        let mut open: Vec<Open> = Vec::new();
        let mut begins = false;
        let mut documents = 0;
        for (event, span) in Parser::new_from_str_with_options(source.text, options).map_while(Result::ok) {
            if let Some(problem) = refused(source, &event, span, begins) {
                return Err(problem);
            }
            begins = matches!(event, Event::DocumentStart(..));
            outline.follow(&mut open, &event, span);
            documents += usize::from(begins);
            if let Some(problem) = too_large(source, span, documents, outline.nodes.len(), open.len()) {
                return Err(problem);
            }
        }
        if source.text.lines().all(is_blank) {
            return Err(Problem::of_file(format!("{} is empty", source.path.display()), FIRST_LINES));
        }
        Ok(outline)
    }

    fn follow(&mut self, open: &mut Vec<Open>, event: &Event<'_>, span: Span) {
        let is_group = matches!(event, Event::MappingStart(..));
        if is_group || matches!(event, Event::Scalar(..) | Event::SequenceStart(..)) {
            let (line, column) = (span.start.line(), span.start.col() + 1);
            self.nodes.push(Node { line, column, within: innermost(open), is_group });
        }
        match event {
            Event::Scalar(text, ..) => {
                let within = innermost(open);
                match open.last_mut() {
                    Some(Open::Map { key: key @ None }) => {
                        *key = Some(self.keys.len());
                        self.keys.push(Key { text: text.to_string(), within });
                    }
                    _ => end_value(open),
                }
            }
            Event::MappingStart(..) => open.push(Open::Map { key: None }),
            Event::SequenceStart(..) => open.push(Open::List),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                end_value(open);
            }
            _ => {}
        }
    }

    /// The path of the node at a place.
    fn path_at(&self, at: Location) -> String {
        let here = |node: &&Node| (node.line as u64, node.column as u64) == (at.line(), at.column());
        self.nodes.iter().find(here).map_or(String::new(), |node| self.path(node))
    }

    /// The keys that lead to a node, joined by dots.
    fn path(&self, node: &Node) -> String {
        let mut texts: Vec<&str> = Vec::new();
        let mut next = node.within;
        while let Some(key) = next.and_then(|id| self.keys.get(id)) {
            texts.push(&key.text);
            next = key.within;
        }
        texts.reverse();
        texts.join(".")
    }

    /// The beginning of the group that a place is in, by that group's path.
    fn group_around(&self, at: Location, path: &str) -> Option<&Node> {
        let before = |node: &&Node| (node.line as u64, node.column as u64) <= (at.line(), at.column());
        self.nodes.iter().take_while(before).filter(|node| node.is_group && self.path(node) == path).last()
    }
}

fn end_value(open: &mut [Open]) {
    if let Some(Open::Map { key }) = open.last_mut() {
        *key = None;
    }
}

/// The key of which the value is being read.
fn innermost(open: &[Open]) -> Option<KeyId> {
    open.iter().rev().find_map(|open| match open {
        Open::Map { key } => *key,
        Open::List => None,
    })
}

/// Refuses what no person writes, and what would need memory without bound.
fn too_large(source: Source<'_>, span: Span, documents: usize, nodes: usize, depth: usize) -> Option<Problem> {
    let several = "put the deployments into several files of one folder, and name the folder";
    let (message, hint) = if depth > MAX_DEPTH {
        let hint = "check the brackets and the indentation: a configuration has three levels";
        (format!("groups and lists are nested deeper than {MAX_DEPTH} levels"), hint)
    } else if documents > MAX_DOCUMENTS {
        (format!("the file has more than {MAX_DOCUMENTS} deployments"), several)
    } else if nodes > MAX_NODES {
        (format!("the file has more than {MAX_NODES} keys and values"), several)
    } else {
        return None;
    };
    Some(Problem::at(source.place_of(span.start.line(), span.start.col() + 1, 1), message, hint))
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// Refuses YAML that a configuration may not use. `begins`: the event is a document's first.
fn refused(source: Source<'_>, event: &Event<'_>, span: Span, begins: bool) -> Option<Problem> {
    let place = |span: Span| source.place_of(span.start.line(), span.start.col() + 1, span.len());
    match event {
        Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, _, Some(_)) | Event::MappingStart(_, _, Some(_)) => {
            Some(Problem::at(
                place(span.tag_span().unwrap_or(span)),
                "YAML tags such as `!Sub` or `!!str` are not accepted",
                "remove the tag; text that begins with `!` needs quotes",
            ))
        }
        Event::Alias(_) | Event::UnresolvedAlias(_) => Some(Problem::at(
            place(span),
            "a value that begins with `*` needs quotes",
            "write \"*@example.com\" with its quotes; aliases are not accepted: write the value out",
        )),
        Event::Anchor(..) => Some(Problem::at(
            place(span),
            "anchors are not accepted",
            "remove the anchor, and write the value out at every place; text that begins with `&` needs quotes",
        )),
        Event::Scalar(text, ScalarStyle::Plain, ..) if begins && matches!(&**text, "" | "~" | "null") => {
            Some(Problem::at(place(span), "this document is empty", "remove the `---`, or write a deployment after it"))
        }
        _ => None,
    }
}

fn problem(source: Source<'_>, outline: &Outline, error: &Error) -> Problem {
    let error = error.without_snippet();
    let Some(at) = error.location() else {
        return Problem::of_file(format!("{} cannot be read as YAML", source.path.display()), rendered(error));
    };
    let path = outline.path_at(at);
    let path = path.as_str();
    let place = source.place(at);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            Problem::at(place, format!("unknown key `{field}`{}", in_group(path)), unknown_key_hint(field, expected))
        }
        Error::SerdeMissingField { field, .. } => Problem::at(
            outline.group_around(at, path).map_or(place, |group| source.place_of(group.line, group.column, 1)),
            if path.is_empty() { format!("`{field}` is missing") } else { format!("`{path}` has no `{field}`") },
            missing_key_hint(path, field),
        ),
        Error::DuplicateMappingKey { key, .. } => Problem::at(
            place,
            key.as_ref().map_or_else(
                || format!("duplicate key{}", in_group(path)),
                |key| format!("duplicate key `{key}`{}", in_group(path)),
            ),
            "remove one of the two",
        ),
        Error::MergeKeyNotAllowed { .. } => {
            Problem::at(place, "merge keys (`<<`) are not accepted", "write the keys out at every place")
        }
        Error::Unexpected { .. } if path.is_empty() => {
            Problem::at(place, "a deployment must be a group of keys", not_yaml(source.text).unwrap_or(FIRST_LINES))
        }
        Error::Unexpected { .. } => Problem::at(
            place,
            format!("`{path}` must be a group of keys"),
            format!(
                "write the keys on indented lines below it, such as `  {}: …`, or remove `{path}`",
                first_key(path)
            ),
        ),
        _ => syntax_problem(source, at, &rendered(error)),
    }
}

/// The library's message without its place: [`Problem`] shows the place.
fn rendered(error: &Error) -> String {
    UserMessageFormatter.format_message(error).into_owned()
}

fn in_group(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in `{path}`") }
}

fn unknown_key_hint(key: &str, allowed: &[&str]) -> String {
    if let Some(near) = nearest(key, allowed.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let groups = schema::groups_with(key);
    if !groups.is_empty() {
        let groups: Vec<String> = groups.iter().map(|group| format!("`{group}`")).collect();
        return format!("`{key}` is a key of {}", groups.join(" and of "));
    }
    format!("the keys here are {}", allowed.join(", "))
}

/// The nearest candidate, if it is only a few typing mistakes away.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let tolerated = 1.max(word.chars().count() / 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, candidate)| candidate)
}

const FIRST_LINES: &str = "begin with `name: mail-prod`; config.example.yaml shows every key";

fn missing_key_hint(group: &str, key: &str) -> String {
    let example = match (group, key) {
        ("", "name") => "name: mail-prod",
        ("", "region") => "region: eu-west-1",
        ("", "secret") => "secret: {name: mail-prod/smtp}",
        ("", "iam_user") => "iam_user: {name: mail-prod-smtp}",
        ("secret", _) => "name: mail-prod/smtp",
        ("iam_user", _) => "name: mail-prod-smtp",
        (_, "subnets") => "subnets: [subnet-0123456789abcdef0]",
        (_, "security_groups") => "security_groups: [sg-0123456789abcdef0]",
        _ => "script: /usr/local/bin/rotate_smtp.sh",
    };
    format!("add `{example}`")
}

/// A key of the group, for an example.
fn first_key(group: &str) -> &'static str {
    match group {
        "instance" => "id",
        "ses" => "sender",
        "rotation" => "schedule",
        "function" => "timeout",
        "function.vpc" => "subnets",
        _ => "name",
    }
}

fn syntax_problem(source: Source<'_>, at: Location, message: &str) -> Problem {
    let message = format!("this is not YAML: {message}");
    let place = source.place(at).beginning();
    if let Some(other_language) = not_yaml(source.text) {
        return Problem::at(place, message, other_language);
    }
    // The library may notice a tab only at the value before it.
    let indentation = |line: &str| line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t');
    let tab = source.text.lines().enumerate().find_map(|(index, line)| Some((index + 1, indentation(line)? + 1)));
    if let Some((line, column)) = tab {
        let place = source.place_of(line, column, 1);
        return Problem::at(place, message, "indent with spaces: YAML does not allow tabs");
    }
    let hint = if place.text().starts_with(['@', '`', '%', '!', '&', '|', '>']) {
        "a value that begins with a special character needs quotes"
    } else {
        "check the indentation, the quotes and the brackets here; text with `: ` or ` #` in it needs quotes"
    };
    Problem::at(place, message, hint)
}

/// Tells from its first line whether a file is in another configuration language.
fn not_yaml(text: &str) -> Option<&'static str> {
    let first = text.lines().find(|line| !is_blank(line) && !line.trim_start().starts_with("//"))?.trim();
    let word = first.split([' ', '=', '{', '"']).next().unwrap_or_default();
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let assigns = is_word && first[word.len()..].trim_start().starts_with('=');
    let is_section = first.starts_with('[') && first.ends_with(']') && !first.contains(',');
    let is_block = is_word && first.contains('{') && !first.contains(':');
    (assigns || is_section || is_block)
        .then_some("this looks like TOML or Terraform: in YAML, write one key per line, such as `name: mail-prod`")
}
