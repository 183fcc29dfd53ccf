//! The Markdown files of the repository, as tests see them.
//!
//! The unit tests have this file as a module, and the end-to-end tests include it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A Markdown file.
pub(crate) struct Page {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    /// What stands behind the fence, such as `sh by-hand`.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// Every Markdown file of the repository.
pub(crate) fn all(root: &Path) -> Vec<Page> {
    let mut pages = Vec::new();
    collect(root, Path::new(""), &mut pages);
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    pages
}

/// The README and docs/: what users read.
pub(crate) fn for_users(root: &Path) -> Vec<Page> {
    all(root).into_iter().filter(|page| page.path == Path::new("README.md") || page.path.starts_with("docs")).collect()
}

fn collect(root: &Path, folder: &Path, pages: &mut Vec<Page>) {
    for entry in fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = folder.join(&name);
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(entry.path()).unwrap();
            pages.push(Page { path, text });
        }
    }
}

impl Page {
    pub(super) fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// The fenced blocks of code.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        for event in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    is_open = true;
                    blocks.push(Block { info: info.into_string(), text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => is_open = false,
                Event::Text(text) if is_open => blocks.last_mut().unwrap().text.push_str(&text),
                _ => {}
            }
        }
        blocks
    }
}
