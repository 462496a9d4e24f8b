//! The guide: its pages, their links, the files they name, and the blocks of commands in them.
//!
//! The pages are those in `docs/src` and the Markdown files at the root. The commands are run in [`crate::guide_commands`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use orgtrail::coverage::Reason;
use regex::Regex;

use crate::guide_commands::shell;

/// The pages outside `docs/src`.
const ROOT_PAGES: [&str; 5] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
];

/// Words that the glossary has another word for, and that word.
const OTHER_WORDS: [(&str, &str); 8] = [
    ("anew", "again"),
    ("heard", "received"),
    ("ledger", "coverage"),
    ("stretch", "range of time, or window"),
    ("stretches", "ranges of time, or windows"),
    ("tail", "stream"),
    ("tails", "streams"),
    ("told", "reported"),
];

/// A Markdown file; its path is relative to the repository.
pub(crate) struct GuidePage {
    pub(crate) path: PathBuf,
    text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    language: String,
    /// The comment in front of it, without its ends.
    mark: String,
    pub(crate) code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages.
pub(crate) fn pages() -> Vec<GuidePage> {
    let book = fs::read_dir(root().join("docs/src")).unwrap();
    let book = book.map(|entry| Path::new("docs/src").join(entry.unwrap().file_name()));
    // Beside the pages there are pictures.
    let book = book.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let pages = book.chain(ROOT_PAGES.map(PathBuf::from)).map(page);
    let pages: Vec<GuidePage> = pages.collect();
    assert!(pages.len() > 15, "the guide was not found");
    pages
}

/// One page; its path is relative to the repository.
pub(crate) fn page(path: impl Into<PathBuf>) -> GuidePage {
    let path = path.into();
    let text = fs::read_to_string(root().join(&path)).unwrap();
    GuidePage { path, text }
}

impl GuidePage {
    /// Its lines, each with whether it is prose and not in a block of code.
    fn lines(&self) -> Vec<(bool, &str)> {
        let mut is_prose = true;
        let mut lines = Vec::new();
        for line in self.text.lines() {
            let is_fence = line.starts_with("```");
            lines.push((is_prose && !is_fence, line));
            is_prose ^= is_fence;
        }
        assert!(is_prose, "{}: a block has no end", self.path.display());
        lines
    }

    fn prose(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines().into_iter();
        lines.filter_map(|(is_prose, line)| is_prose.then_some(line))
    }

    /// Its blocks of code.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut before = "";
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let mark = before.strip_prefix("<!-- ").unwrap_or_default();
                    open = Some(Block {
                        language: language.to_owned(),
                        mark: mark.trim_end_matches(" -->").to_owned(),
                        code: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.code.extend([line, "\n"]),
                (None, None) => {}
            }
            before = line;
        }
        blocks
    }

    /// The table that has this first column: of each row, the pieces of code in its first cell.
    pub(crate) fn first_cells(&self, column: &str) -> Vec<Vec<String>> {
        let table = self.text.split(&format!("| {column} |")).nth(1).unwrap();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        rows.map(|row| {
            // A bar that belongs to the text is written `\|` in a table.
            let row = row.replace("\\|", "\u{1}");
            let cell = row.split('|').nth(1).unwrap();
            let code = cell.split('`').skip(1).step_by(2);
            code.map(|piece| piece.replace('\u{1}', "|")).collect()
        })
        .collect()
    }

    /// The files that it includes.
    fn included(&self) -> Vec<PathBuf> {
        let include = Regex::new(r"^\{\{#include ([^}]+)\}\}$").unwrap();
        let files = self.text.lines().filter_map(|line| include.captures(line));
        files.map(|file| self.beside(&file[1])).collect()
    }

    /// Where a relative path leads from this page.
    fn beside(&self, target: &str) -> PathBuf {
        let mut path = self.path.parent().unwrap().to_owned();
        for part in Path::new(target).components() {
            match part {
                Component::ParentDir => assert!(path.pop(), "{target} leaves the repository"),
                part => path.push(part),
            }
        }
        path
    }

    /// The anchors of its headings, those of included pages among them.
    fn anchors(&self) -> BTreeSet<String> {
        let own = self.prose().filter(|line| line.starts_with('#'));
        let mut anchors: BTreeSet<String> = own.map(anchor).collect();
        for file in self.included() {
            if file.extension().is_some_and(|end| end == "md") {
                anchors.extend(page(file).anchors());
            }
        }
        anchors
    }

    /// What is wrong with a relative link on this page.
    fn fault(&self, link: &str) -> Option<String> {
        let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => self.path.clone(),
            file => self.beside(file),
        };
        let is_book = |path: &Path| path.starts_with("docs/src");
        if !root().join(&target).exists() {
            Some("no such file".to_owned())
        } else if is_book(&self.path) && !is_book(&target) {
            Some("it leaves the book".to_owned())
        } else if !fragment.is_empty() && !page(target).anchors().contains(fragment) {
            Some("no such heading".to_owned())
        } else {
            None
        }
    }
}

impl Block {
    /// Whether it is run in such a place, and what the mark says besides.
    pub(crate) fn runs_in(&self, place: &str) -> Option<&str> {
        let rest = self.mark.strip_prefix("run: ")?.strip_prefix(place)?;
        Some(rest.trim_start_matches(','))
    }

    /// Its commands: what continues on the next line is one, and comments are none.
    pub(crate) fn commands(&self) -> Vec<String> {
        let code = self.code.replace("\\\n", " ");
        let lines = code.lines();
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[test]
fn every_link_of_the_guide_leads_somewhere() {
    let code = Regex::new("`[^`]*`").unwrap();
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut faults = Vec::new();
    let mut count = 0;
    for page in pages() {
        for line in page.prose() {
            let line = code.replace_all(line, "");
            for found in link.captures_iter(&line) {
                let target = &found[1];
                if target.contains("://") {
                    continue;
                }
                count += 1;
                let fault = page.fault(target);
                faults.extend(
                    fault.map(|fault| format!("{}: {target}: {fault}", page.path.display())),
                );
            }
        }
    }
    assert!(count > 30, "only {count} links were found");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let page = page("docs/src/use.md");
    assert_eq!(page.fault("start.md"), None);
    assert_eq!(page.fault("#import-files"), None);
    assert_eq!(page.fault("nowhere.md").unwrap(), "no such file");
    assert_eq!(page.fault("../../README.md").unwrap(), "it leaves the book");
    assert_eq!(page.fault("api.md#nothing").unwrap(), "no such heading");
    assert_eq!(page.fault("architecture.md#invariants"), None);
}

#[test]
fn the_summary_has_every_page_and_every_included_file_exists() {
    let summary = page("docs/src/SUMMARY.md");
    for page in pages() {
        for file in page.included() {
            assert!(root().join(&file).exists(), "{}", file.display());
        }
        let is_listed = |name: &str| summary.text.contains(&format!("({name})"));
        let name = page.path.file_name().unwrap().to_str().unwrap();
        assert!(
            !page.path.starts_with("docs/src") || name == "SUMMARY.md" || is_listed(name),
            "{name} is not in the summary"
        );
    }
}

#[test]
fn every_file_that_the_guide_names_exists() {
    let named =
        Regex::new(r"`((?:src|tests|docs|examples|benches|deploy|fuzz|\.ci)/[\w./-]*)`").unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for page in pages() {
        for line in page.prose() {
            for found in named.captures_iter(line) {
                count += 1;
                if !root().join(&found[1]).exists() {
                    missing.push(format!("{}: {}", page.path.display(), &found[1]));
                }
            }
        }
    }
    assert!(count > 20, "only {count} names were found");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_block_of_commands_says_whether_it_is_run() {
    let places = ["service", "directory", "simulator"];
    for page in pages() {
        for block in page.blocks() {
            let is_run = places.iter().any(|place| block.runs_in(place).is_some());
            let is_not_run = block
                .mark
                .strip_prefix("not run: ")
                .is_some_and(|why| !why.is_empty());
            assert!(
                block.language != "sh" || is_run || is_not_run,
                "{}: no mark in front of\n{}",
                page.path.display(),
                block.code
            );
        }
    }
}

/// The words of a text that the glossary has another word for.
fn other_words(text: &str) -> Vec<(&'static str, &'static str)> {
    let text = text.to_lowercase();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let mut found: Vec<_> = OTHER_WORDS.into_iter().collect();
    found.retain(|(word, _)| words.contains(word));
    if text.contains("asked for") {
        found.push(("asked for", "requested"));
    }
    found
}

#[test]
fn the_guide_uses_the_words_of_its_glossary() {
    let code = Regex::new("`[^`]*`").unwrap();
    let mut faults = Vec::new();
    // The list of changes speaks of what was, in the words of the time.
    let is_own = |page: &GuidePage| page.path != Path::new("CHANGELOG.md");
    for page in pages().iter().filter(|page| is_own(page)) {
        for line in page.prose() {
            // The last cell of a table in ARCHITECTURE.md lists modules, by names of code.
            let is_row = page.path == Path::new("ARCHITECTURE.md") && line.starts_with("| `");
            let (line, _) = line
                .rsplit_once(" | ")
                .filter(|_| is_row)
                .unwrap_or((line, ""));
            let line = code.replace_all(line, "");
            for (word, instead) in other_words(&line) {
                let path = page.path.display();
                faults.push(format!("{path}: `{word}` instead of `{instead}`: {line}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

/// What the program says: texts in quotes, of several words. A name of one word may be part of the API.
#[test]
fn the_programs_messages_use_the_words_of_the_glossary() {
    let quoted = Regex::new(r#""((?:[^"\\]|\\.)* (?:[^"\\]|\\.)*)""#).unwrap();
    let mut faults = Vec::new();
    let mut count = 0;
    for file in crate::tidy::source_files() {
        for line in file.code.lines() {
            for text in quoted.captures_iter(line) {
                count += 1;
                let mut words = other_words(&text[1]);
                // The reason `not_asked_for` has its words.
                words.retain(|(word, _)| *word != "asked for");
                faults.extend(words.iter().map(|(word, instead)| {
                    let path = file.path.display();
                    format!("{path}: `{word}` instead of `{instead}`: {}", &text[1])
                }));
            }
        }
    }
    assert!(count > 1_000, "only {count} texts were found");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn another_word_than_the_glossarys_is_noticed() {
    assert_eq!(
        other_words("A Stretch is `told`"),
        [OTHER_WORDS[3], OTHER_WORDS[7]]
    );
    assert_eq!(other_words("asked for again").len(), 1);
    assert_eq!(other_words("the range is reported"), []);
}

#[test]
fn the_glossary_is_in_order_and_has_each_word_once() {
    let glossary = page("docs/src/glossary.md");
    let rows = glossary
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("| "));
    let words: Vec<&str> = rows
        .filter_map(|row| row.split(" | ").next())
        .skip(2)
        .collect();
    assert!(words.len() > 30, "{words:?}");
    assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
}

#[test]
fn the_guides_commands_are_those_of_the_program() {
    let table = page("docs/src/use.md").first_cells("command").concat();
    let named = table.iter().filter_map(|cell| cell.split(' ').nth(1));
    let named: BTreeSet<String> = named.map(ToOwned::to_owned).collect();
    let help = shell("orgtrail --help", root()).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let listed = help.split("Commands:\n").nth(1).unwrap();
    let listed = listed.split("\n\n").next().unwrap().lines();
    // A description goes on in lines that are indented further.
    let listed = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut listed: BTreeSet<String> = listed.map(ToOwned::to_owned).collect();
    listed.retain(|name| !name.is_empty() && name != "help");
    assert_eq!(named, listed);
}

#[test]
fn the_recipes_that_contributing_names_exist() {
    let justfile = fs::read_to_string(root().join("justfile")).unwrap();
    let recipes = page("CONTRIBUTING.md").first_cells("command").concat();
    assert!(recipes.len() > 5, "{recipes:?}");
    for recipe in recipes {
        let name = recipe.split(' ').nth(1).unwrap();
        let heads = justfile.lines().filter(|line| line.contains(':'));
        let mut names = heads.map(|head| head.split([' ', ':']).next().unwrap());
        assert!(names.any(|known| known == name), "{recipe}");
    }
}

#[test]
fn the_guides_reasons_for_a_gap_are_those_of_the_program() {
    let reasons = page("docs/src/completeness.md")
        .first_cells("reason")
        .concat();
    let of_guide: BTreeSet<&str> = reasons.iter().map(String::as_str).collect();
    let of_program: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(of_guide, of_program);
}
