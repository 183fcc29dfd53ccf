//! From text to documents: trees of values with their places.

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span};

use super::{
    group::FIRST_LINES,
    node::{At, Found, Node},
    problem::{Code, Problem, Problems, Source},
    reader::invisible,
};

/// Reads every document of a text, and finds what YAML a configuration may not use. A syntax error ends the reading, and is the
/// one problem of its file.
///
/// Anchors, aliases, merge keys and tags are refused, so that every value has one place, which an error can name.
pub(super) fn documents(source: &Source<'_>) -> Result<(Vec<Node>, Problems), Problem> {
    let mut options = granit_parser::Options::default();
    options.emit_unresolved_aliases = true;
    options.emit_anchor_events = true;
    let mut tree = Tree::default();
    let mut problems = Problems::default();
    for step in Parser::new_from_str_with_options(source.text, options) {
        let (event, span) = step.map_err(|error| syntax_problem(source, &error))?;
        if let Some((at, what, hint)) = refused(&event, span) {
            problems.add(|| Problem::at(source.place(at), Code::UnsupportedYaml, what, hint));
        }
        tree.follow(event, span);
        if let Some((what, hint)) = tree.excess() {
            return Err(Problem::at(source.place(at(span).beginning()), Code::TooLarge, what, hint));
        }
    }
    if source.text.lines().all(is_blank) {
        let message = format!("{} is empty", source.path.display());
        return Err(Problem::of_file(source.path, Code::Empty, message, FIRST_LINES));
    }
    Ok((tree.documents, problems))
}

/// Limit on the keys, values and groups of a file: enough for some 250 deployments with every key. Each needs a few hundred
/// bytes, so that this, and not the size of the file, bounds the memory.
const MAX_NODES: usize = 20_000;

/// Limit on the documents of a file.
const MAX_DOCUMENTS: usize = 1000;

/// Limit on nesting. The deepest value of a configuration is the item of a list in a group: three levels.
const MAX_DEPTH: usize = 8;

/// The documents that have been read, and what is open in the one that is being read.
#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    open: Vec<Open>,
    begun: usize,
    nodes: usize,
}

/// A collection whose end was not read yet.
enum Open {
    Map { at: At, entries: Vec<(Node, Node)>, key: Option<Node> },
    List { at: At, items: Vec<Node> },
}

impl Tree {
    fn follow(&mut self, event: Event<'_>, span: Span) {
        let at = at(span);
        match event {
            Event::DocumentStart(..) => self.begun += 1,
            Event::Scalar(text, style, _, tag) => {
                // A refused tag hides the type of a value; a key is text anyway.
                let found = match style {
                    _ if tag.is_some() && !self.is_at_a_key() => Found::Refused,
                    ScalarStyle::Plain => Found::plain(&text),
                    _ => Found::Text(text.into_owned()),
                };
                self.add(Node { found, at });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.add(Node { found: Found::Refused, at }),
            Event::MappingStart(..) => self.open.push(Open::Map { at, entries: Vec::new(), key: None }),
            Event::SequenceStart(..) => self.open.push(Open::List { at, items: Vec::new() }),
            Event::MappingEnd | Event::SequenceEnd => match self.open.pop() {
                Some(Open::Map { at, entries, .. }) => self.add(Node { found: Found::Map(entries), at }),
                Some(Open::List { at, items }) => self.add(Node { found: Found::List(items), at }),
                None => {}
            },
            _ => {}
        }
    }

    fn is_at_a_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn add(&mut self, node: Node) {
        self.nodes += 1;
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }

    /// Refuses what no person writes, and what would need memory without bound.
    fn excess(&self) -> Option<(String, &'static str)> {
        let several = "put the deployments into several files of one folder, and name the folder";
        if self.open.len() > MAX_DEPTH {
            let hint = "check the brackets and the indentation: a configuration has three levels";
            Some((format!("groups and lists are nested deeper than {MAX_DEPTH} levels"), hint))
        } else if self.begun > MAX_DOCUMENTS {
            Some((format!("the file has more than {MAX_DOCUMENTS} deployments"), several))
        } else if self.nodes + self.open.len() > MAX_NODES {
            Some((format!("the file has more than {MAX_NODES} keys and values"), several))
        } else {
            None
        }
    }
}

fn at(span: Span) -> At {
    let range = span.byte_range().unwrap_or_default();
    At { start: range.start, end: range.end }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// YAML that a configuration may not use: where it is, what it is, and what to write instead.
fn refused(event: &Event<'_>, span: Span) -> Option<(At, &'static str, &'static str)> {
    match event {
        Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, _, Some(_)) | Event::MappingStart(_, _, Some(_)) => {
            Some((
                at(span.tag_span().unwrap_or(span)),
                "YAML tags such as `!Sub` or `!!str` are not accepted",
                "remove the tag; text that begins with `!` needs quotes",
            ))
        }
        Event::Alias(_) | Event::UnresolvedAlias(_) => Some((
            at(span),
            "a value that begins with `*` needs quotes",
            "write \"*@example.com\" with its quotes; aliases are not accepted: write the value out",
        )),
        Event::Anchor(..) => Some((
            at(span),
            "anchors are not accepted",
            "remove the anchor, and write the value out at every place; text that begins with `&` needs quotes",
        )),
        _ => None,
    }
}

fn syntax_problem(source: &Source<'_>, error: &ScanError) -> Problem {
    let start = error.marker().byte_offset().unwrap_or_default();
    let here = At { start, end: start };
    let message = format!("this is not YAML: {}", error.info());
    let problem = |at: At, hint: &str| Problem::at(source.place(at), Code::Syntax, &*message, hint);
    if let Some(other_language) = other_language(source.text) {
        return problem(here, other_language);
    }
    // The library may notice a tab only at the value before it.
    if let Some(tab) = tab_in_indentation(source.text) {
        return problem(tab, "indent with spaces: YAML does not allow tabs");
    }
    let rest = source.text.get(start..).unwrap_or_default();
    if rest.starts_with('\0') {
        return problem(here, "remove the NUL character: the file may be a binary file, or UTF-16 text");
    }
    if let Some(name) = rest.chars().next().and_then(|first| invisible(&first.to_string())) {
        return problem(here, &format!("delete the invisible character here, {name}"));
    }
    let hint = if rest.starts_with(['@', '`', '%', '!', '&', '|', '>']) {
        "a value that begins with a special character needs quotes"
    } else {
        "check the indentation, the quotes and the brackets here; text with `: ` or ` #` in it needs quotes"
    };
    problem(here, hint)
}

fn tab_in_indentation(text: &str) -> Option<At> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indentation = line.len() - line.trim_start().len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(At { start: start + tab, end: start + tab });
        }
        start += line.len();
    }
    None
}

/// Tells from its first line whether a file is in another configuration language.
pub(super) fn other_language(text: &str) -> Option<&'static str> {
    let first = text.lines().find(|line| !is_blank(line) && !line.trim_start().starts_with("//"))?.trim();
    let word = first.split([' ', '=', '{', '"']).next().unwrap_or_default();
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let assigns = is_word && first[word.len()..].trim_start().starts_with('=');
    let is_section = first.starts_with('[') && first.ends_with(']') && !first.contains(',');
    let is_block = is_word && first.contains('{') && !first.contains(':');
    (assigns || is_section || is_block)
        .then_some("this looks like TOML or Terraform: in YAML, write one key per line, such as `name: mail-prod`")
}
