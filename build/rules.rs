//! Puts the files of `rules/` into the program.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Writes `rules.rs`: a list of the names and texts of the built-in rules, sorted by name.
pub(crate) fn embed(rules: &Path, out: &Path) {
    let entries = fs::read_dir(rules).expect("the folder of the rules is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    paths.sort();
    let mut code = String::from("pub(super) const BUILT_IN: &[(&str, &str)] = &[\n");
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a rule's file has a name in UTF-8");
        let path = fs::canonicalize(&path).expect("a rule's file is there");
        writeln!(code, "    ({name:?}, include_str!({path:?})),").expect("a text takes everything");
    }
    code.push_str("];\n");
    fs::write(out.join("rules.rs"), code).expect("the build's folder can be written to");
}
