//! A type name has one meaning in the workspace, a function fits on one screen, and a choice between two values is an `if`.
//! `doubles.txt` and `functions.txt` list the exceptions that remain. How many there may be is a constant here, which may only fall.

use std::collections::{BTreeMap, BTreeSet};

use super::{SourceFile, source_files};

/// Names that each place declares for itself: the arguments of a command, and what the clones of a handle share.
const CONVENTIONS: [&str; 2] = ["Args", "Inner"];

/// The most lines of a function, without comments.
const MAX_FUNCTION_LINES: usize = 70;

// How many exceptions there are. Lower a constant when an exception goes; never raise it.
/// Declarations of type names that are declared more than once.
const MAX_DOUBLES: usize = 53;
/// Functions of more than [`MAX_FUNCTION_LINES`].
const MAX_LONG: usize = 1;
/// Matches on a bool.
const MAX_BOOL_MATCHES: usize = 12;

/// The type that a line declares: a struct, an enum, a trait, or an alias at the top of a file.
fn declared(line: &str) -> Option<&str> {
    let is_inner = line.starts_with(' ');
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || *word == "in" || word.ends_with("::super)") || *word == "unsafe"
    });
    let kind = words.next()?;
    // An alias inside of something is the associated type of a trait.
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "union");
    if !is_type && (is_inner || kind != "type") {
        return None;
    }
    let rest = words.next()?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// The names of types that are declared more than once, each with its number of declarations.
fn doubles<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        for name in text.lines().filter_map(declared) {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts.retain(|name, count| *count > 1 && !CONVENTIONS.contains(&name.as_str()));
    counts
}

/// The functions of a text that are too long, with their numbers of lines.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some((before, rest)) = line.split_once("fn ") else {
            continue;
        };
        let is_item = before
            .split_whitespace()
            .all(|word| matches!(word, "const" | "async" | "unsafe") || word.starts_with("pub"));
        let end = lines[at..]
            .iter()
            .position(|end| *end == format!("{indent}}}"));
        let (true, Some(end)) = (is_item, end) else {
            continue;
        };
        if end + 1 > MAX_FUNCTION_LINES {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            long.push((name.to_owned(), end + 1));
        }
    }
    long
}

/// The lines of a text on which the first arm of a match is `true` or `false`.
fn bool_matches(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_first_arm = |(head, arm): (&&str, &&str)| {
        let value = ["true ", "false "]
            .iter()
            .find_map(|value| arm.strip_prefix(value));
        let is_arm = value.is_some_and(|rest| rest.starts_with("=>") || rest.starts_with("if "));
        head.ends_with('{') && is_arm
    };
    let pairs = lines.iter().zip(lines.iter().skip(1));
    (2..)
        .zip(pairs)
        .filter(|(_, pair)| is_first_arm(*pair))
        .map(|(line, _)| line)
        .collect()
}

/// That there are no more exceptions than there may be.
fn check_budget(found: usize, most: usize, what: &str) {
    assert!(
        found <= most,
        "{found} {what}, and at most {most}: lower the constant when an exception goes; never raise it"
    );
}

/// Compares what was found with a list of exceptions: nothing new, and nothing that is gone.
fn compare(found: &BTreeSet<String>, list: &str, file: &str) {
    let known = list.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "{file} lists the known exceptions.\nFound, and not in it: {new:#?}\nIn it, and not found: {gone:#?}"
    );
}

#[test]
fn a_type_name_is_declared_once() {
    let files = source_files();
    let found = doubles(files.iter().map(|file| &*file.code));
    check_budget(
        found.values().sum(),
        MAX_DOUBLES,
        "declarations of names that have several",
    );
    let found = found.into_iter();
    let found = found.map(|(name, count)| format!("{name} {count}"));
    compare(
        &found.collect(),
        include_str!("doubles.txt"),
        "tests/it/tidy/doubles.txt",
    );
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let of_file = |file: &SourceFile| {
        let path = file.path.display().to_string();
        let long = long_functions(&file.code).into_iter();
        long.map(|(name, _)| format!("{path} {name}"))
            .collect::<Vec<_>>()
    };
    let found: BTreeSet<String> = source_files().iter().flat_map(of_file).collect();
    check_budget(found.len(), MAX_LONG, "long functions");
    compare(
        &found,
        include_str!("functions.txt"),
        "tests/it/tidy/functions.txt",
    );
}

#[test]
fn no_match_on_a_bool() {
    let of_file = |file: &SourceFile| {
        let path = file.path.display().to_string();
        let lines = bool_matches(&file.code).into_iter();
        lines.map(|_| path.clone()).collect::<Vec<_>>()
    };
    let found: Vec<String> = source_files().iter().flat_map(of_file).collect();
    check_budget(
        found.len(),
        MAX_BOOL_MATCHES,
        &format!("matches on a bool, where `if` and `else` read better, in {found:#?}"),
    );
}

#[test]
fn the_name_and_length_checks_can_fail() {
    let texts = [
        "pub struct Page<T> {\n}\nimpl A {\n    type Page = u8;\n}",
        "pub(in super::super) enum Page {}\ntrait Once: Sized {}\nlet x = struct_of();",
        "    struct Inside;\npub(super) type Inside = u8;\nstruct Args;",
        "struct Args;",
    ];
    let expected = [("Inside", 2), ("Page", 2)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(doubles(texts.into_iter()), expected.into());

    let body = "        work();\n".repeat(MAX_FUNCTION_LINES);
    let text = format!(
        "impl A {{\n    pub(super) async fn long<T>() {{\n{body}    }}\n    fn short() {{\n    }}\n}}"
    );
    let found = long_functions(&text);
    assert_eq!(found, [("long".to_owned(), MAX_FUNCTION_LINES + 2)]);

    let text = "match is_so {\n    true => 1,\n    false => 2,\n}\nmatch x\n    .is_so()\n{\n    false if y => 3,\n    _ => 4,\n}\n\
                match x {\n    Some(true) => 5,\n    true_name => 6,\n}";
    assert_eq!(bool_matches(text), [2, 8]);
}
