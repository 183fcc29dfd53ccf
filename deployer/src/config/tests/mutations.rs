//! Random changes of valid files: each gives a configuration, or errors that have a place.

use std::{env, fs, path::Path};

use proptest::{prelude::*, sample::Index};

use super::{
    super::{load::decode, *},
    LEAST, as_text, root,
};

/// What a person, an editor or a broken disk does to a file.
#[derive(Clone, Debug)]
enum Mutation {
    DeleteBytes(Index, u8),
    InsertByte(Index, u8),
    ReplaceByte(Index, u8),
    DeleteLine(Index),
    DuplicateLine(Index),
    SwapLines(Index, Index),
    Indent(Index, i8),
    ReplaceWord(Index, &'static str),
    InsertToken(Index, &'static str),
    CutAt(Index),
}

const TOKENS: [&str; 40] = [
    "",
    "~",
    "null",
    "yes",
    "true",
    "0",
    "-1",
    "012",
    "1_000",
    "0x1F",
    "1.5",
    "9999999999999999999999",
    "30d",
    "1h30m",
    "2026-01-31",
    "[]",
    "{}",
    "[a, [b]]",
    "{a: {b: c}}",
    "? [a]",
    "<<: {a: b}",
    "&a",
    "*a",
    "!Sub",
    "!!str",
    "|",
    ">",
    "---",
    "...",
    "#",
    ": ",
    "- ",
    "\t",
    "\r",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "😀漢",
    "\"",
    "'",
];

fn a_mutation() -> impl Strategy<Value = Mutation> {
    let (at, token) = (any::<Index>, || prop::sample::select(&TOKENS[..]));
    prop_oneof![
        (at(), 1..20_u8).prop_map(|(at, count)| Mutation::DeleteBytes(at, count)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::InsertByte(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::ReplaceByte(at, byte)),
        at().prop_map(Mutation::DeleteLine),
        at().prop_map(Mutation::DuplicateLine),
        (at(), at()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        (at(), -4..5_i8).prop_map(|(at, columns)| Mutation::Indent(at, columns)),
        (at(), token()).prop_map(|(at, token)| Mutation::ReplaceWord(at, token)),
        (at(), token()).prop_map(|(at, token)| Mutation::InsertToken(at, token)),
        at().prop_map(Mutation::CutAt),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (length, count) = (bytes.len(), lines.len());
        match self {
            Self::DeleteBytes(at, width) => {
                drop(bytes.drain(at.index(length)..(at.index(length) + usize::from(*width)).min(length)));
            }
            Self::InsertByte(at, byte) => bytes.insert(at.index(length), *byte),
            Self::ReplaceByte(at, byte) => bytes[at.index(length)] = *byte,
            Self::CutAt(at) => bytes.truncate(at.index(length)),
            Self::InsertToken(at, token) => drop(bytes.splice(at.index(length)..at.index(length), token.bytes())),
            Self::ReplaceWord(at, token) => {
                let is_word = |byte: &u8| !byte.is_ascii_whitespace();
                let start =
                    bytes[..at.index(length)].iter().rposition(|byte| !is_word(byte)).map_or(0, |space| space + 1);
                let end = bytes[start..].iter().position(|byte| !is_word(byte)).map_or(length, |space| start + space);
                drop(bytes.splice(start..end, token.bytes()));
            }
            Self::DeleteLine(_) | Self::DuplicateLine(_) | Self::SwapLines(..) | Self::Indent(..) => {
                match self {
                    Self::DeleteLine(at) => drop(lines.remove(at.index(count))),
                    Self::DuplicateLine(at) => {
                        let line = lines[at.index(count)].clone();
                        lines.insert(at.index(count), line);
                    }
                    Self::SwapLines(one, other) => lines.swap(one.index(count), other.index(count)),
                    Self::Indent(at, columns) => indent(&mut lines[at.index(count)], *columns),
                    _ => {}
                }
                *bytes = lines.concat();
            }
        }
    }
}

fn indent(line: &mut Vec<u8>, columns: i8) {
    let width = usize::from(columns.unsigned_abs());
    if columns > 0 {
        drop(line.splice(..0, b" ".repeat(width)));
    } else {
        let spaces = line.iter().take(width).take_while(|byte| **byte == b' ').count();
        drop(line.drain(..spaces));
    }
}

fn a_valid_file() -> impl Strategy<Value = Vec<u8>> {
    let example = fs::read_to_string(root().join("config.example.yaml")).unwrap();
    let active =
        example.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n") + "\n";
    let two = format!("{LEAST}---\n{}", LEAST.replace("mail-prod", "mail-test"));
    let json = "{\"name\": \"a\", \"region\": \"eu-west-1\", \"secret\": {\"name\": \"a\"}, \"iam_user\": {\"name\": \"a\"}}\n";
    prop_oneof![
        Just(example),
        Just(active.clone()),
        Just(active.replace('\n', "\r\n")),
        Just(two),
        Just(json.to_owned())
    ]
    .prop_map(String::into_bytes)
}

/// How many files are tried. `MUTATIONS=100000 cargo test --release -p deployer mutations` tries more.
fn cases() -> u32 {
    env::var("MUTATIONS").map_or(3000, |count| count.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_gives_a_configuration_or_errors_with_a_place(
        mut bytes in a_valid_file(),
        mutations in prop::collection::vec(a_mutation(), 1..5),
    ) {
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        let path = Path::new("config.yaml");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Err(error) = decode(path, bytes).map_err(ConfigError::from).and_then(|text| parse(path, &text)) else {
            return Ok(());
        };
        let shown = as_text(&error);
        prop_assert!(!error.problems().is_empty());
        for problem in error.problems() {
            prop_assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{shown}");
            let Some(spot) = &problem.place.spot else {
                prop_assert!(matches!(problem.code, Code::Empty | Code::Encoding), "{shown}");
                continue;
            };
            let line = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').nth(spot.line - 1);
            prop_assert!(line.is_some_and(|line| spot.column <= line.chars().count() + 1), "{shown}");
            let place = format!("--> config.yaml:{}:{}\n", spot.line, spot.column);
            prop_assert!(shown.contains(&place), "{place}\n{shown}");
        }
    }
}
