//! Joins the modules that the first view needs into one: one request instead of twenty, and a smaller one.
//!
//! The modules stay modules: each name of their top level must occur once among them, and each import is one line,
//! `import { a, b } from './file.js';`.

use std::collections::{BTreeMap, BTreeSet};

use super::strip;

/// The module that the page begins with.
pub(crate) const FIRST: &str = "main.js";

/// The modules, by their names, stripped, with those of the first view joined in [`FIRST`].
///
/// # Panics
/// When they cannot be joined: the build says why.
pub(crate) fn merge(sources: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let stripped = sources.iter();
    let stripped = stripped.map(|(name, source)| (name.clone(), strip::javascript(source)));
    let modules: &BTreeMap<String, String> = &stripped.collect();
    let order = ordered(modules);
    assert_names_are_different(&order, sources);
    assert_is_not_loaded_later(&order, modules);
    let joined: BTreeSet<&str> = order.iter().map(String::as_str).collect();
    let mut merged = BTreeMap::new();
    let first = order.iter().map(|name| body(&modules[name], &joined));
    merged.insert(FIRST.to_owned(), first.collect());
    for (name, source) in modules {
        if !joined.contains(name.as_str()) {
            merged.insert(name.clone(), redirected(source, &joined));
        }
    }
    merged
}

/// The modules of the first view, each behind those that it imports.
fn ordered(modules: &BTreeMap<String, String>) -> Vec<String> {
    fn walk(
        name: &str,
        modules: &BTreeMap<String, String>,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<String>,
    ) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        let module = modules.get(name);
        let module = module.unwrap_or_else(|| panic!("ui/{name} is imported, and does not exist"));
        for imported in module.lines().filter_map(import) {
            walk(imported, modules, seen, order);
        }
        order.push(name.to_owned());
    }
    let mut order = Vec::new();
    walk(FIRST, modules, &mut BTreeSet::new(), &mut order);
    order
}

/// The file that a line imports from.
fn import(line: &str) -> Option<&str> {
    // As it is stripped.
    let rest = line.strip_prefix("import{")?;
    let found = rest
        .split_once("}from './")
        .and_then(|(_, rest)| rest.strip_suffix("';"));
    Some(found.unwrap_or_else(|| panic!("an import is one line: `{line}`")))
}

/// A module without its imports of modules that it is joined with.
fn body(source: &str, joined: &BTreeSet<&str>) -> String {
    let lines = source.lines();
    let kept = lines.filter(|line| !import(line).is_some_and(|file| joined.contains(file)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// A module that imports from the joined one what is in it.
fn redirected(source: &str, joined: &BTreeSet<&str>) -> String {
    let lines = source.lines().map(|line| match import(line) {
        Some(file) if joined.contains(file) => {
            line.replace(&format!("'./{file}'"), &format!("'./{FIRST}'"))
        }
        _ => line.to_owned(),
    });
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Two modules of the first view must not use one name for two things.
fn assert_names_are_different(order: &[String], sources: &BTreeMap<String, String>) {
    let mut declared: BTreeMap<&str, &str> = BTreeMap::new();
    for file in order {
        for name in sources[file].lines().filter_map(declaration) {
            if let Some(other) = declared.insert(name, file) {
                panic!(
                    "ui/{other} and ui/{file} both have `{name}`: give one of them another name"
                );
            }
        }
    }
}

/// A module of the first view has no file of its own.
fn assert_is_not_loaded_later(order: &[String], modules: &BTreeMap<String, String>) {
    for file in order {
        let loads = format!("import('./{file}')");
        let later = modules.values().any(|module| module.contains(&loads));
        assert!(
            !later,
            "ui/{file} is a part of the first view: import it at the top of the file"
        );
    }
}

/// The name that a line of the top level declares. Lines within functions are indented.
fn declaration(line: &str) -> Option<&str> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let kinds = ["function ", "const ", "let ", "class "];
    let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    Some(&rest[..end.unwrap_or(rest.len())])
}
