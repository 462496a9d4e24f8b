//! What one module alone may know: each library has one user, and which engine answers is known where it is opened and filled.

use std::collections::BTreeMap;

use super::circles::{module_of, modules_of, paths_used};
use super::{SourceFile, source_files};

/// A library, and the files or folders of `src` that use it.
const OWNERS: [(&str, &str); 14] = [
    ("rusqlite", "store"),
    // The store compresses bodies; `import` reads compressed files.
    ("zstd", "store import"),
    ("tantivy", "engine/tantivy"),
    ("governor", "upstream"),
    ("sfv", "upstream"),
    ("prometheus_client", "metrics"),
    ("x509_parser", "tls"),
    ("lettre", "deliver/email"),
    ("hmac", "deliver/signature"),
    ("rsigma_parser", "rules"),
    ("rsigma_eval", "rules"),
    ("yaml_rust2", "rules"),
    ("ed25519_dalek", "evidence"),
    // Cloudflare's API, the keys of Access, the monitor's URL, destinations of alerts, witnesses, and commands that ask the running
    // service.
    (
        "reqwest",
        "upstream keyring heartbeat deliver attest/witness command",
    ),
];

/// The engines, each a module below `engine`.
const ENGINES: [&str; 2] = ["tantivy", "memory"];

/// The files that may know which engine it is: the choice itself, the follower that fills the index, and what opens or verifies it.
const KNOW_AN_ENGINE: [&str; 10] = [
    "command/check",
    "command/reindex",
    "command/search/found",
    "engine",
    "engine/matches",
    "engine/view",
    "follow/index",
    "follow/index/verify",
    "service",
    "service/parts",
];

/// Whether a text uses a library: by a path that begins with its name, or by importing it under another one.
fn uses_library(code: &str, library: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut named = code.match_indices(library);
    named.any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + library.len()..]);
        // A module of ours may have the library's name: it is behind another one.
        let is_first = !before.ends_with(of_name) && !before.ends_with("::");
        let is_imported = before.ends_with("use ") || before.ends_with("extern crate ");
        is_first && (after.starts_with("::") || is_imported && !after.starts_with(of_name))
    })
}

/// The engines that the files of a crate know, by the files' paths without `.rs`. Knowing the whole of `engine` as a module
/// would hide which engine is used; it counts as knowing one.
fn engines_known<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let files: Vec<_> = files.collect();
    let modules = modules_of(files.iter().map(|(path, _)| *path));
    let mut known = BTreeMap::new();
    for (path, code) in files {
        let file = path.trim_end_matches(".rs");
        let module = module_of(path);
        for used in paths_used(code, &module, &modules) {
            let used: Vec<&str> = used.iter().map(String::as_str).collect();
            let is_engine = match used.as_slice() {
                ["engine"] => module.first().is_some_and(|first| first != "engine"),
                ["engine", engine, ..] => ENGINES.contains(engine),
                _ => false,
            };
            let is_its_own = ENGINES
                .iter()
                .any(|engine| file.starts_with(&format!("engine/{engine}")));
            if is_engine && !is_its_own {
                known.insert(file.to_owned(), used.join("::"));
            }
        }
    }
    known
}

#[test]
fn each_technology_has_one_user() {
    for file in source_files() {
        let inner = file.inner.with_extension("");
        for (library, owners) in OWNERS {
            let mut owners = owners.split(' ');
            let is_owner = file.owner == "orgtrail" && owners.any(|owner| inner.starts_with(owner));
            assert!(
                is_owner || !uses_library(&file.code, library),
                "{} uses {library}, which is another's",
                file.path.display()
            );
        }
    }
}

/// `search` and `http` use engines through `engine` only, and `query` does not depend on an engine.
#[test]
fn no_technology_of_an_engine_leaks() {
    let files = source_files();
    let own = files.iter().filter(|file| file.owner == "orgtrail");
    let own: Vec<(String, &SourceFile)> = own
        .map(|file| (file.inner.to_string_lossy().into_owned(), file))
        .collect();
    let known = engines_known(own.iter().map(|(path, file)| (&**path, &*file.code)));
    let found: Vec<&String> = known.keys().collect();
    assert_eq!(
        found,
        KNOW_AN_ENGINE.iter().collect::<Vec<_>>(),
        "these files know an engine, and the list names those that may: {known:#?}"
    );
    for (path, file) in &own {
        assert!(
            file.module != "query" || !file.code.contains("tantivy"),
            "{path} depends on an engine"
        );
    }
}

#[test]
fn the_leak_checks_can_fail() {
    let files = [
        ("engine.rs", "mod tantivy;\npub use self::view::View;"),
        ("engine/tantivy.rs", "use super::memory::Memory;"),
        ("engine/view.rs", "use super::Engine;"),
        ("http.rs", "use crate::engine::{View, tantivy::Index};"),
        ("search.rs", "use crate::engine::{Hit, View};"),
        ("search/page.rs", "use super::super::engine::memory;"),
        ("status.rs", "use crate::{engine, store};"),
    ];
    let found = engines_known(files.into_iter());
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(file, used)| (&**file, &**used))
        .collect();
    let expected = [
        ("http", "engine::tantivy::Index"),
        ("search/page", "engine::memory"),
        ("status", "engine"),
    ];
    assert_eq!(found, expected);

    for used in [
        "use reqwest::Client;",
        "use reqwest as web;",
        "fn f() -> reqwest::Result<()> {}",
    ] {
        assert!(uses_library(used, "reqwest"), "{used}");
    }
    for unused in [
        "crate::reqwest::Client",
        "use reqwests::Client;",
        "let reqwest = 1;",
    ] {
        assert!(!uses_library(unused, "reqwest"), "{unused}");
    }
}
