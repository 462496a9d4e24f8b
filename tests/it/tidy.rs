//! The house rules, as a test. The import table is read from ARCHITECTURE.md, so that it cannot say anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its module, its path, and its text without its tests.
struct SourceFile {
    module: String,
    path: PathBuf,
    whole: String,
    code: String,
}

fn source_files() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let inner = path.strip_prefix(&root).unwrap();
                let module = inner
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_string_lossy();
                let module = module.trim_end_matches(".rs").to_owned();
                let whole = fs::read_to_string(&path).unwrap();
                let is_test = inner
                    .components()
                    .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
                let code = if is_test {
                    ""
                } else {
                    whole
                        .split("#[cfg(test)]\nmod tests {")
                        .next()
                        .unwrap_or_default()
                };
                let code = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect::<Vec<_>>()
                    .join("\n");
                files.push(SourceFile {
                    module,
                    path: inner.to_owned(),
                    whole,
                    code,
                });
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    files
}

/// The table of rooms in ARCHITECTURE.md: module → what it may import.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../ARCHITECTURE.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rooms = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let imports = cells[3]
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        (
            cells[0].trim().trim_end_matches('`').to_owned(),
            imports.collect(),
        )
    });
    rooms.collect()
}

/// The names that follow `crate::` (or `orgtrail::`, in the program) in a text.
fn imported(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "orgtrail::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            let names = rest
                .strip_prefix('{')
                .and_then(|list| list.split('}').next())
                .unwrap_or(rest);
            let several = rest.starts_with('{');
            for name in names.split(',').take(if several { usize::MAX } else { 1 }) {
                let name: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn modules_import_only_what_the_architecture_says() {
    let rooms = rooms();
    let mut modules = BTreeSet::new();
    let mut broken = Vec::new();
    for file in source_files() {
        if file.module == "lib" {
            continue;
        }
        modules.insert(file.module.clone());
        let Some(allowed) = rooms.get(&file.module) else {
            continue;
        };
        for name in imported(&file.code) {
            if name != file.module && !allowed.contains(&name) {
                broken.push(format!("{} imports {name}", file.path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    let described: BTreeSet<String> = rooms.keys().cloned().collect();
    assert_eq!(
        modules, described,
        "ARCHITECTURE.md has a row for each module, and no other"
    );
}

#[test]
fn the_import_check_can_fail() {
    assert_eq!(
        imported("use crate::{store, poll::Lane};\ncrate::index::Index"),
        ["index", "poll", "store"].map(String::from).into()
    );
}

#[test]
fn each_technology_has_one_user() {
    let owners = [
        ("rusqlite", "store"),
        // Bodies on disk are the store's; files that somebody packed are read where they are imported.
        ("zstd", "store import"),
        ("tantivy", "index"),
        ("governor", "upstream"),
        ("sfv", "upstream"),
    ];
    for file in source_files() {
        for (technology, owner) in owners {
            let used = file.code.contains(&format!("{technology}::"));
            assert!(
                !used || owner.split(' ').any(|owner| owner == file.module),
                "{} uses {technology}, which is {owner}'s",
                file.path.display()
            );
        }
    }
}

#[test]
fn every_durable_step_is_among_those_that_the_simulation_breaks() {
    let mut declared = 0;
    for file in source_files() {
        let steps = file.code.split("durable::steps! {").nth(1);
        let steps = steps.and_then(|rest| rest.split('}').next()).unwrap_or("");
        declared += steps.matches(" = \"").count();
    }
    let all = crate::simulation::all_steps();
    let names: BTreeSet<&str> = all.iter().map(|step| step.name()).collect();
    assert_eq!(
        (names.len(), all.len()),
        (declared, declared),
        "`all_steps` has the steps of every module, each with a name of its own"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in source_files() {
        assert!(
            file.whole.starts_with("//!"),
            "{} does not",
            file.path.display()
        );
    }
}

#[test]
fn sql_lives_in_the_store() {
    for file in source_files() {
        let speaks = ["SELECT ", "INSERT INTO", "DELETE FROM", "PRAGMA "]
            .iter()
            .any(|word| file.code.contains(word));
        assert!(
            !speaks || file.module == "store",
            "{} speaks SQL",
            file.path.display()
        );
    }
}

#[test]
fn no_file_of_code_is_longer_than_a_sitting() {
    for file in source_files() {
        let lines = file.code.lines().count();
        assert!(
            lines <= 500,
            "{} has {lines} lines of code: two ideas that want a room each?",
            file.path.display()
        );
    }
}
