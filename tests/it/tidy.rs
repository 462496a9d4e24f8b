//! Checks the rules of the code. The import table is read from ARCHITECTURE.md, so that the page is true.

mod circles;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::circles::circles;

/// A source file: its crate, its module, its path, and its text without its tests.
struct SourceFile {
    /// The crate's name in code.
    owner: String,
    /// The first part of its module's path.
    module: String,
    /// From the crate's `src` on.
    inner: PathBuf,
    /// From the workspace on.
    path: PathBuf,
    whole: String,
    code: String,
}

impl SourceFile {
    fn read(owner: &str, folder: &Path, path: &Path) -> Self {
        let inner = path.strip_prefix(folder).unwrap();
        let parts: Vec<_> = inner
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        let whole = fs::read_to_string(path).unwrap();
        let is_test = parts.iter().any(|part| part.starts_with("tests"));
        Self {
            owner: owner.to_owned(),
            module: parts[0].trim_end_matches(".rs").to_owned(),
            inner: inner.to_owned(),
            path: path.strip_prefix(root()).unwrap().to_owned(),
            code: if is_test {
                String::new()
            } else {
                code_of(&whole)
            },
            whole,
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's lines without its tests and comments.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or_default().lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The source files of all crates of the workspace.
fn source_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for (owner, krate) in crates() {
        let source = root().join(krate.folder).join("src");
        // `./src` and `src` are one folder.
        let source: PathBuf = source.components().collect();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    files.push(SourceFile::read(&owner, &source, &path));
                }
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

/// The rows of a table in ARCHITECTURE.md: the cells below the heading `title`, the first one without its quotes.
fn table(title: &str) -> Vec<Vec<&'static str>> {
    let page = include_str!("../../ARCHITECTURE.md");
    let (_, rest) = page.split_once(&format!("\n## {title}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        row.split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect()
    })
    .collect()
}

fn names(list: &str) -> BTreeSet<String> {
    let names = list.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// A row of the table of crates.
struct Crate {
    folder: &'static str,
    may_use: BTreeSet<String>,
}

/// The table of crates in ARCHITECTURE.md, by their names in code.
fn crates() -> BTreeMap<String, Crate> {
    let rows = table("The crates").into_iter();
    rows.map(|cells| {
        let krate = Crate {
            folder: cells[1],
            may_use: names(cells[3]),
        };
        (cells[0].to_owned(), krate)
    })
    .collect()
}

/// The table of modules in ARCHITECTURE.md: module → what it may import.
fn module_table() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table("The modules").into_iter();
    rows.map(|cells| (cells[0].to_owned(), names(cells[3])))
        .collect()
}

/// The crates of the workspace that a text names.
fn crates_used(code: &str) -> BTreeSet<String> {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    let names = code
        .match_indices("::")
        .map(|(at, _)| &code[..at])
        .map(|before| &before[before.trim_end_matches(of_name).len()..])
        .filter(|name| name.starts_with("orgtrail"));
    names.map(str::to_owned).collect()
}

/// The names that follow `crate::` (or `orgtrail::`, in the program) in a text.
fn imported(code: &str) -> BTreeSet<String> {
    let mut found = crates_used(code);
    found.remove("orgtrail");
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
    let modules_allowed = module_table();
    let mut modules = BTreeSet::new();
    let mut broken = Vec::new();
    for file in source_files() {
        if file.owner != "orgtrail" || file.module == "lib" {
            continue;
        }
        modules.insert(file.module.clone());
        let Some(allowed) = modules_allowed.get(&file.module) else {
            continue;
        };
        for name in imported(&file.code) {
            if name != file.module && !allowed.contains(&name) {
                broken.push(format!("{} imports {name}", file.path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    let described: BTreeSet<String> = modules_allowed.keys().cloned().collect();
    assert_eq!(
        modules, described,
        "ARCHITECTURE.md has a row for each module, and no other"
    );
}

#[test]
fn the_import_check_can_fail() {
    let found = imported(
        "use crate::{store, poll::Lane};\ncrate::engine::Engine; orgtrail_simulator::Faults",
    );
    let expected = ["engine", "orgtrail_simulator", "poll", "store"];
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn the_tables_have_no_circles() {
    let crates = crates().into_iter().map(|(name, row)| (name, row.may_use));
    for graph in [module_table(), crates.collect()] {
        assert_eq!(circles(&graph), Vec::<Vec<String>>::new());
    }
}

#[test]
fn crates_use_only_what_the_architecture_says() {
    let crates = crates();
    let mut broken = Vec::new();
    for file in source_files() {
        let may_use = &crates[&file.owner].may_use;
        for name in crates_used(&file.code) {
            if name != file.owner && !may_use.contains(&name) {
                broken.push(format!("{} uses {name}", file.path.display()));
            }
        }
    }
    for (name, row) in &crates {
        let manifest = fs::read_to_string(root().join(row.folder).join("Cargo.toml")).unwrap();
        for line in manifest
            .lines()
            .filter(|line| line.ends_with(".workspace = true"))
        {
            let used = line.trim_end_matches(".workspace = true").replace('-', "_");
            if used.starts_with("orgtrail") && !row.may_use.contains(&used) {
                broken.push(format!("{name}'s manifest has {used}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_workspace_has_the_crates_that_the_architecture_says() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for line in ["members = [", "default-members = ["] {
        let list = manifest.lines().find_map(|text| text.strip_prefix(line));
        let list = list.unwrap().trim_end_matches(']').replace('"', "");
        let mut found = names(&list);
        found.insert(".".to_owned());
        let described = crates().into_values().map(|row| row.folder.to_owned());
        assert_eq!(found, described.collect(), "{line}");
    }
}

#[test]
fn each_technology_has_one_user() {
    let owners = [
        ("rusqlite", "store"),
        // The store compresses bodies; `import` reads compressed files.
        ("zstd", "store import"),
        ("tantivy", "engine/tantivy"),
        ("governor", "upstream"),
        ("sfv", "upstream"),
        ("prometheus_client", "metrics"),
    ];
    for file in source_files() {
        let inner = file.inner.with_extension("");
        for (technology, owner) in owners {
            let name = format!("{technology}::");
            let mut uses = file.code.match_indices(&name);
            // A module of ours may have the technology's name: it is behind another one.
            let used = uses.any(|(at, _)| !file.code[..at].ends_with("::"));
            let is_owner =
                file.owner == "orgtrail" && owner.split(' ').any(|owner| inner.starts_with(owner));
            assert!(
                !used || is_owner,
                "{} uses {technology}, which is {owner}'s",
                file.path.display()
            );
        }
    }
}

/// `search` and `http` use engines through `engine` only, and `query` does not depend on an engine.
#[test]
fn no_technology_of_an_engine_leaks() {
    let engines = ["engine::tantivy", "engine::memory"];
    for file in source_files() {
        if ["search", "http"].contains(&file.module.as_str()) {
            let leaked = engines.iter().find(|engine| file.code.contains(**engine));
            assert_eq!(leaked, None, "in {}", file.path.display());
        }
        if file.owner == "orgtrail" && file.module == "query" {
            assert!(!file.code.contains("tantivy"), "{}", file.path.display());
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
fn only_the_store_has_sql() {
    for file in source_files() {
        let speaks = ["SELECT ", "INSERT INTO", "DELETE FROM", "PRAGMA "]
            .iter()
            .any(|word| file.code.contains(word));
        assert!(
            !speaks || file.owner == "orgtrail" && file.module == "store",
            "{} has SQL",
            file.path.display()
        );
    }
}

#[test]
fn no_file_has_more_than_500_lines_of_code() {
    for file in source_files() {
        let lines = file.code.lines().count();
        assert!(
            lines <= 500,
            "{} has {lines} lines of code: does it have two ideas, for two files?",
            file.path.display()
        );
    }
}
