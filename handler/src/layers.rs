//! The layers of this crate, and that every file keeps to them.
#![expect(clippy::print_stdout, reason = "the size of the largest circle is what a reader wants to know")]

#[path = "../../contract/layers.rs"]
mod imports;

use std::{fs, path::Path};

/// Lowest first. A file may import files of its own layer and of those below.
const LAYERS: &[&[&str]] = &[
    &["date.rs", "log.rs", "sensitive.rs"],
    &["decide/"],
    &["error/"],
    &["event.rs", "services/aws.rs", "services/ses.rs", "time.rs"],
    &["invocation.rs"],
    &["services/"],
    &["guard.rs", "since.rs", "situation.rs"],
    &["slot.rs"],
    &["steps/"],
    &["events/"],
    &["serve.rs"],
    &["lib.rs", "main.rs"],
];

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

#[test]
fn every_file_keeps_to_its_layer_and_none_is_in_a_circle() {
    let imports = imports::of(src());
    let circles = imports.circles();
    println!("{} files, {} in the largest circle", imports.files(), circles.first().map_or(0, Vec::len));
    assert_eq!(imports.against(LAYERS), [""; 0]);
    assert_eq!(circles, [[""; 0]; 0]);
}

#[test]
fn what_decides_knows_no_sdk_and_no_error_of_ours() {
    for entry in fs::read_dir(src().join("decide")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for word in ["aws_sdk", "lettre", "crate::error"] {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

/// What the checker finds in a crate of these files.
mod checker {
    use super::*;

    fn imports_of(files: &[(&str, &str)]) -> imports::Imports {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        imports::of(folder.path())
    }

    const TABLE: &[&[&str]] = &[&["low.rs"], &["high/"], &["lib.rs"]];

    #[test]
    fn an_import_of_a_layer_above_is_named() {
        for import in [
            "use crate::high::top::f;",
            "use super::high::{top};",
            "fn g() { crate::high::top::f() }",
            "fn g() { assert!(crate::high::top::f()) }",
            "pub(crate) struct S(crate::high::top::T);",
        ] {
            let imports = imports_of(&[
                ("lib.rs", "mod low; mod high;"),
                ("low.rs", import),
                ("high/mod.rs", "mod top;"),
                ("high/top.rs", ""),
            ]);
            assert_eq!(imports.files(), 4);
            assert_eq!(imports.against(TABLE), ["low.rs imports high/top.rs, of a layer above"], "{import}");
        }
    }

    #[test]
    fn an_import_of_a_layer_below_is_not() {
        let imports = imports_of(&[
            ("lib.rs", "mod low; mod high; pub use high::top;"),
            ("low.rs", "use std::fs; pub(crate) fn low() {}"),
            ("high/mod.rs", "pub mod top; fn f() { top::g() }"),
            ("high/top.rs", "use crate::low;"),
        ]);
        assert_eq!(imports.against(TABLE), [""; 0]);
        assert_eq!(imports.circles(), [[""; 0]; 0]);
    }

    #[test]
    fn an_import_that_only_tests_see_does_not_count() {
        let low = "#[cfg(test)] use crate::high; #[cfg(test)] mod tests { use crate::high; }
                   struct S; impl S { #[cfg(test)] fn f() { crate::high::f() } }";
        let imports = imports_of(&[
            ("lib.rs", "mod low; mod high; #[cfg(test)] mod fake;"),
            ("low.rs", low),
            ("high/mod.rs", ""),
            ("fake.rs", "use crate::high;"),
        ]);
        assert_eq!((imports.files(), imports.against(TABLE)), (3, vec![]));
    }

    #[test]
    fn the_files_of_a_circle_are_named_together() {
        let imports = imports_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c::X;"),
            ("c.rs", "use crate::{a, d};"),
            ("d.rs", "use crate::e;"),
            ("e.rs", "use super::d::*;"),
        ]);
        assert_eq!(imports.circles(), [vec!["a.rs", "b.rs", "c.rs"], vec!["d.rs", "e.rs"]]);
    }

    #[test]
    fn a_file_without_a_layer_and_an_entry_without_a_file_are_named() {
        let imports = imports_of(&[("lib.rs", "mod low; mod other;"), ("low.rs", ""), ("other.rs", "")]);
        assert_eq!(
            imports.against(TABLE),
            ["the table names high/, and there is no such file", "other.rs has no layer"]
        );
    }
}
