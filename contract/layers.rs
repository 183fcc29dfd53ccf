//! Which files of a crate import which others, so that a test can hold them against a table of layers.
//!
//! Tests of several crates include this file; it is part of no crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, Macro, UseTree, Visibility, ext::IdentExt as _, visit::Visit};

/// The name of a module from the crate's root on.
type Module = Vec<String>;

/// Every file of a crate, by its path below `src`, with the files that it imports. What only tests see does not count.
#[derive(Debug, Default)]
pub(crate) struct Imports(BTreeMap<String, BTreeSet<String>>);

/// Reads the files of a crate: all that `lib.rs` and `main.rs` declare as modules, and modules of these.
pub(crate) fn of(src: &Path) -> Imports {
    let mut imports = Imports::default();
    for root in ["lib.rs", "main.rs"].into_iter().filter(|root| src.join(root).is_file()) {
        let mut modules = BTreeMap::new();
        read_file(src, Path::new(root), &mut vec![], &mut modules);
        for (module, (file, items)) in &modules {
            let mut visitor = Visitor { modules: &modules, module, found: BTreeSet::new() };
            for item in items {
                visitor.visit_item(item);
            }
            visitor.found.remove(file);
            imports.0.entry(file.clone()).or_default().extend(visitor.found);
        }
    }
    imports
}

type Modules = BTreeMap<Module, (String, Vec<Item>)>;

fn read_file(src: &Path, file: &Path, module: &mut Module, modules: &mut Modules) {
    let text = fs::read_to_string(src.join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
    // The modules of `lib.rs`, `main.rs` and `mod.rs` are beside it, those of another file in the folder of its name.
    let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    let folder = if is_root { file.parent().map(Path::to_owned).unwrap_or_default() } else { file.with_extension("") };
    read_modules(src, file, &folder, items, module, modules);
}

fn read_modules(src: &Path, file: &Path, folder: &Path, items: Vec<Item>, module: &mut Module, modules: &mut Modules) {
    for item in &items {
        let Item::Mod(declared) = item else { continue };
        if is_for_tests(&declared.attrs) {
            continue;
        }
        module.push(declared.ident.unraw().to_string());
        let below = folder.join(declared.ident.unraw().to_string());
        match &declared.content {
            Some((_, items)) => read_modules(src, file, &below, items.clone(), module, modules),
            None => read_file(src, &file_of(src, &below), module, modules),
        }
        module.pop();
    }
    let name = file.to_str().expect("a file name is text").replace('\\', "/");
    modules.insert(module.clone(), (name, items));
}

fn file_of(src: &Path, module: &Path) -> PathBuf {
    let beside = module.with_extension("rs");
    if src.join(&beside).is_file() { beside } else { module.join("mod.rs") }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_it = |it: &Attribute| {
        it.path().is_ident("cfg") && it.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    };
    attributes.iter().any(is_it)
}

/// Collects the files that the items of one module import.
struct Visitor<'a> {
    modules: &'a Modules,
    module: &'a Module,
    found: BTreeSet<String>,
}

impl Visitor<'_> {
    /// A path imports the file of the longest prefix that is a module. One that begins with none of the crate's modules is
    /// somebody else's.
    fn import(&mut self, path: &[String]) {
        let mut at = self.module.clone();
        let mut is_ours = false;
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" if index == 0 => at.clear(),
                "self" if index == 0 => {}
                "super" => drop(at.pop()),
                name => {
                    at.push(name.to_owned());
                    if !self.modules.contains_key(&at) {
                        at.pop();
                        break;
                    }
                }
            }
            is_ours = true;
        }
        if is_ours {
            self.found.extend(self.modules.get(&at).map(|(file, _)| file.clone()));
        }
    }

    fn import_tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.unraw().to_string());
                self.import_tree(before, &path.tree);
                before.pop();
            }
            UseTree::Name(name) => self.import_name(before, &name.ident.unraw().to_string()),
            UseTree::Rename(rename) => self.import_name(before, &rename.ident.unraw().to_string()),
            UseTree::Glob(_) => self.import(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import_tree(before, tree)),
        }
    }

    fn import_name(&mut self, before: &[String], name: &str) {
        let is_itself = name == "self" && !before.is_empty();
        let path: Vec<String> = before.iter().cloned().chain((!is_itself).then(|| name.to_owned())).collect();
        self.import(&path);
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            // A module inside a file is a module of its own.
            Item::Mod(_) => return,
            Item::Const(it) => &it.attrs,
            Item::Enum(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Macro(it) => &it.attrs,
            Item::Static(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Trait(it) => &it.attrs,
            Item::Type(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            _ => &vec![],
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import_tree(&mut vec![], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect();
            self.import(&names);
        }
        syn::visit::visit_path(self, path);
    }

    /// The parser leaves a macro's tokens alone, so their paths are found in the text.
    fn visit_macro(&mut self, macro_: &'ast Macro) {
        let text = macro_.tokens.to_string().replace(" ::", "::").replace(":: ", "::");
        for path in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if path.contains("::") {
                self.import(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
            }
        }
    }

    /// `pub(crate)` and `pub(super)` are paths to the parser.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

impl Imports {
    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        self.0.len()
    }

    /// What breaks a table of layers, lowest first: one sentence each. An entry is a file, or a folder that ends in `/`; for a
    /// file that several entries name, the longest counts. A file may import files of its own layer and of those below.
    pub(crate) fn against(&self, table: &[&[&str]]) -> Vec<String> {
        let entries =
            || table.iter().enumerate().flat_map(|(layer, entries)| entries.iter().map(move |it| (layer, *it)));
        let names = |entry: &str, file: &str| file == entry || (entry.ends_with('/') && file.starts_with(entry));
        let layer_of = |file: &str| {
            let entry = entries().filter(|(_, entry)| names(entry, file)).max_by_key(|(_, entry)| entry.len());
            entry.map(|(layer, _)| layer)
        };
        let names_nothing = entries().filter(|(_, entry)| !self.0.keys().any(|file| names(entry, file)));
        let mut broken: Vec<String> =
            names_nothing.map(|(_, entry)| format!("the table names {entry}, and there is no such file")).collect();
        for (file, imported) in &self.0 {
            let Some(layer) = layer_of(file) else {
                broken.push(format!("{file} has no layer"));
                continue;
            };
            let is_above = |other: &&String| layer_of(other).is_some_and(|it| it > layer);
            broken.extend(
                imported.iter().filter(is_above).map(|other| format!("{file} imports {other}, of a layer above")),
            );
        }
        broken
    }

    /// The files that import one another in circles: each circle with its files, the largest first.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let mut reached = self.0.clone();
        for _ in 0..self.0.len() {
            let before = reached.clone();
            for files in reached.values_mut() {
                let further = files.iter().filter_map(|file| before.get(file)).flatten().cloned().collect::<Vec<_>>();
                files.extend(further);
            }
            if reached == before {
                break;
            }
        }
        let is_with = |one: &String, other: &String| reached[one].contains(other) && reached[other].contains(one);
        let circle = |file| self.0.keys().filter(|other| is_with(file, other)).cloned().collect::<Vec<_>>();
        let circles: BTreeSet<Vec<String>> = self.0.keys().map(circle).filter(|circle| circle.len() > 1).collect();
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }
}
