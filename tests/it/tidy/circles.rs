//! Files that use each other in a circle: there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{crates, source_files};

/// The modules of a crate, each with its file.
pub(super) fn modules_of<'a>(
    paths: impl Iterator<Item = &'a str>,
) -> BTreeMap<Vec<String>, String> {
    paths
        .map(|path| (module_of(path), path.to_owned()))
        .collect()
}

/// The module that a file below `src` is.
pub(super) fn module_of(path: &str) -> Vec<String> {
    let module = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    module.filter(|part| part != "lib").collect()
}

/// The paths from `src` on that a file uses: `crate::`, `super::` and `self::` paths, and those of its own children.
pub(super) fn paths_used(
    code: &str,
    module: &[String],
    modules: &BTreeMap<Vec<String>, String>,
) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let first = &before[before.trim_end_matches(of_name).len()..];
        let is_inner = before[..before.len() - first.len()].ends_with("::");
        let mut start = module.to_vec();
        match first {
            // `pub(in crate::…)` uses nothing.
            _ if is_inner || before.ends_with("pub(in crate") => continue,
            "crate" => start.clear(),
            "super" => {
                start.pop();
            }
            "self" => {}
            child => start.push(child.to_owned()),
        }
        let is_child = !matches!(first, "crate" | "super" | "self");
        if !is_child || modules.contains_key(&start) {
            tree(&mut &code[at + 2..], start, &mut paths);
        }
    }
    paths
}

/// The files that a file uses.
fn files_used(
    code: &str,
    module: &[String],
    modules: &BTreeMap<Vec<String>, String>,
) -> BTreeSet<String> {
    let nearest = |path: &Vec<String>| {
        let lengths = (0..=path.len()).rev();
        lengths
            .into_iter()
            .find_map(|len| modules.get(&path[..len]))
    };
    let paths = paths_used(code, module, modules);
    paths.iter().filter_map(nearest).cloned().collect()
}

/// Reads what follows a `::`: a name, a list in braces, or the end of the path.
fn tree(rest: &mut &str, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(list) = rest.strip_prefix('{') {
        *rest = list;
        loop {
            *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if rest.is_empty() || rest.starts_with('}') {
                *rest = rest.get(1..).unwrap_or_default();
                return;
            }
            tree(rest, path.clone(), paths);
            // What is renamed is not looked at.
            *rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        }
    }
    let name = &rest[..rest.len() - rest.trim_start_matches(of_name).len()];
    *rest = &rest[name.len()..];
    match name {
        "super" => {
            path.pop();
        }
        "" | "self" => {}
        name => path.push(name.to_owned()),
    }
    match rest.strip_prefix("::") {
        Some(inner) if !name.is_empty() => {
            *rest = inner;
            tree(rest, path, paths);
        }
        _ => paths.push(path),
    }
}

/// The groups of nodes of a graph that lead in circles, sorted.
pub(super) fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(node) = next.pop() {
            for other in graph.get(node).into_iter().flatten() {
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
        reached
    };
    let all: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|node| (node, reached(node))).collect();
    let mut groups = BTreeSet::new();
    for (node, reached) in &all {
        let group = reached.iter().filter(|other| {
            let back = all.get(*other);
            other != &node && back.is_some_and(|back| back.contains(node))
        });
        let mut group: Vec<String> = group.map(|other| (*other).clone()).collect();
        if !group.is_empty() {
            group.push((*node).clone());
            group.sort();
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

/// The circles of a crate's files, each as a line: the folder that they have in common, and the files below it.
fn file_circles<'a>(source: &str, files: impl Iterator<Item = (&'a Path, &'a str)>) -> Vec<String> {
    let files: Vec<(Vec<String>, String, &str)> = files
        .map(|(path, code)| {
            let path = path.to_string_lossy().into_owned();
            (module_of(&path), path, code)
        })
        .collect();
    let modules = modules_of(files.iter().map(|(_, path, _)| &**path));
    let graph = files.iter().map(|(module, path, code)| {
        let mut used = files_used(code, module, &modules);
        used.remove(path);
        (path.clone(), used)
    });
    let groups = circles(&graph.collect());
    groups.iter().map(|group| line(source, group)).collect()
}

fn line(source: &str, group: &[String]) -> String {
    let folder = |path: &String| -> Vec<String> {
        let path = path.trim_end_matches(".rs").split('/');
        path.map(str::to_owned).collect()
    };
    let mut common = folder(&group[0]);
    for path in group {
        let path = folder(path);
        let same = common.iter().zip(&path).take_while(|(a, b)| a == b).count();
        common.truncate(same);
    }
    let start: String = common.iter().map(|part| format!("{part}/")).collect();
    let files = group.iter().map(|path| match path.strip_prefix(&start) {
        Some(below) => below.to_owned(),
        None => format!("../{}", path.rsplit('/').next().unwrap_or(path)),
    });
    let files: Vec<String> = files.collect();
    format!("{source}/{start}: {}", files.join(" "))
}

#[test]
fn files_use_each_other_in_no_circle() {
    let files = source_files();
    let mut found = Vec::new();
    for (owner, krate) in crates() {
        let source = match krate.folder {
            "." => "src".to_owned(),
            folder => format!("{folder}/src"),
        };
        let own = files
            .iter()
            .filter(|file| file.owner == owner && !file.code.is_empty());
        let own = own.map(|file| (&*file.inner, &*file.code));
        found.extend(file_circles(&source, own));
    }
    assert_eq!(
        found,
        Vec::<String>::new(),
        "files use each other in a circle"
    );
}

#[test]
fn the_circle_check_can_fail() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let files = files.iter().map(|(path, code)| (Path::new(*path), *code));
        assert_eq!(file_circles("src", files), expected);
    };
    check(
        &[
            ("a.rs", "mod b;\nmod c;\npub use self::b::B;"),
            ("a/b.rs", "use std::fmt;\nuse super::c::C;"),
            ("a/c.rs", "pub struct C;"),
        ],
        &[],
    );
    // Through a parent, in braces, over two levels, by a path in the code, and by a child's own name.
    check(
        &[
            ("a.rs", "mod b;\nuse b::B;"),
            ("a/b.rs", "fn f() -> super::Error {}"),
            ("c.rs", "use crate::{a::Error, d::e::{self, E}};"),
            ("d.rs", "mod e;"),
            ("d/e.rs", "use super::super::c as other;\nuse super::f;"),
            ("d/f.rs", "crate::d::e::f()"),
            ("lib.rs", "mod a;\nmod g;"),
            ("g.rs", "use crate::g::G;\nuse super::Root;"),
        ],
        &["src/a/: ../a.rs b.rs", "src/: c.rs d/e.rs d/f.rs"],
    );
}
