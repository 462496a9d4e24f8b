//! Reads rules from files: the built-in ones and those of a directory. A file that cannot be read costs that file, a rule that cannot be
//! parsed costs that rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::assemble::{correlation_rule, event_rule};
use super::document::{self, Document, RuleBody};
use super::files;
use super::pack::BUILT_IN;
use super::rule::RuleError;
use super::set::Rules;
use super::yaml::{self, Fault};

/// The most rules.
const MAX_RULES: usize = 2_000;

/// The most mistakes that are kept.
const MAX_ERRORS: usize = 200;

/// The name of the directory itself in messages about it.
const DIRECTORY: &str = "rules_dir";

impl Rules {
    /// The built-in rules.
    #[must_use]
    pub fn built_in() -> Self {
        let (rules, errors) = Loader::with_built_in().finish();
        debug_assert!(errors.is_empty(), "{errors:?}");
        rules
    }

    /// The built-in rules and those of a directory, and what is wrong with those that cannot be used. The rules whose ids are in `disabled`
    /// raise nothing.
    #[must_use]
    pub fn load(dir: Option<&Path>, disabled: &[String]) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::with_built_in();
        if let Some(dir) = dir {
            loader.add_directory(dir);
        }
        let (mut rules, errors) = loader.finish();
        rules.disable(disabled);
        (rules, errors)
    }

    /// The built-in rules and those of some files, by their names in messages.
    #[must_use]
    pub fn with_files(files: &[(&Path, &str)]) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::with_built_in();
        for (path, name) in files {
            loader.add_file(path, name);
        }
        loader.finish()
    }

    /// The rules of a file, by its name in messages, and beside them the built-in ones and those of a directory. Where another rule has the
    /// same id or name, that of the file is taken: it may be a new version.
    #[must_use]
    pub fn with_file_first(
        (path, name): (&Path, &str),
        dir: Option<&Path>,
        disabled: &[String],
    ) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::default();
        loader.add_file(path, name);
        loader.first = loader.documents.len();
        loader.add_built_in();
        if let Some(dir) = dir {
            loader.add_directory(dir);
        }
        let (mut rules, errors) = loader.finish();
        rules.disable(disabled);
        (rules, errors)
    }

    /// The rules of one text alone, by the name of its file in messages.
    #[must_use]
    pub fn parse(name: &str, text: &str) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::default();
        loader.add_text(name, text);
        loader.finish()
    }
}

/// A file's name in messages, and its text.
pub(super) struct RuleFile {
    name: String,
    text: Arc<str>,
    is_built_in: bool,
}

impl RuleFile {
    fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().map(|(name, text)| Self {
            name: (*name).to_owned(),
            text: Arc::from(*text),
            is_built_in: true,
        })
    }
}

/// Rules on their way from files.
#[derive(Default)]
pub(super) struct Loader {
    documents: Vec<(String, bool, Document)>,
    errors: Vec<RuleError>,
    dropped_errors: usize,
    /// How many of the documents are taken instead of later ones with the same id or name.
    first: usize,
}

impl Loader {
    pub(super) fn with_built_in() -> Self {
        let mut loader = Self::default();
        loader.add_built_in();
        loader
    }

    fn add_built_in(&mut self) {
        RuleFile::built_in().for_each(|file| self.add(&file));
    }

    /// Adds the rules of each `.yml` and `.yaml` file in a directory and its folders.
    pub(super) fn add_directory(&mut self, dir: &Path) {
        let mut paths = Vec::new();
        if let Err(error) = files::list(dir, 0, &mut BTreeSet::new(), &mut paths) {
            self.error(
                DIRECTORY,
                &Fault::new(1, format!("cannot be read: {error}")),
            );
        }
        paths.sort();
        if paths.len() > files::MAX_FILES {
            let reason = format!(
                "has more than {} files; the others are not read",
                files::MAX_FILES
            );
            self.error(DIRECTORY, &Fault::new(1, reason));
            paths.truncate(files::MAX_FILES);
        }
        for path in paths {
            let name = path
                .strip_prefix(dir)
                .unwrap_or(&path)
                .display()
                .to_string();
            self.add_file(&path, &name);
        }
    }

    /// Adds the rules of one file.
    pub(super) fn add_file(&mut self, path: &Path, name: &str) {
        match files::read(path) {
            Ok(text) => self.add(&RuleFile {
                name: name.to_owned(),
                text: Arc::from(text),
                is_built_in: false,
            }),
            Err(reason) => self.error(name, &Fault::new(1, reason)),
        }
    }

    /// Adds the rules of a text.
    pub(super) fn add_text(&mut self, name: &str, text: &str) {
        self.add(&RuleFile {
            name: name.to_owned(),
            text: Arc::from(text),
            is_built_in: false,
        });
    }

    fn add(&mut self, file: &RuleFile) {
        let nodes = match yaml::documents(&file.text) {
            Ok(nodes) => nodes,
            Err(fault) => return self.error(&file.name, &fault),
        };
        if nodes.is_empty() {
            return self.error(&file.name, &Fault::new(1, "there is no rule in the file"));
        }
        let starts: Vec<usize> = nodes.iter().map(|node| node.line).collect();
        for (number, node) in nodes.iter().enumerate() {
            let text = if nodes.len() == 1 {
                file.text.clone()
            } else {
                lines(&file.text, starts[number], starts.get(number + 1).copied())
            };
            match document::read(node, text) {
                Ok(document) => self.add_document(file, document),
                Err(fault) => self.error(&file.name, &fault),
            }
        }
    }

    fn add_document(&mut self, file: &RuleFile, document: Document) {
        if self.documents.len() >= MAX_RULES {
            let reason = format!("there are more than {MAX_RULES} rules; this one is not used");
            return self.error(&file.name, &Fault::new(document.line, reason));
        }
        let is_same = |other: &&(String, bool, Document)| {
            other.2.id == document.id || other.2.name.is_some() && other.2.name == document.name
        };
        if self.documents[..self.first]
            .iter()
            .any(|other| is_same(&other))
        {
            return;
        }
        if let Some((name, _, other)) = self.documents.iter().find(is_same) {
            let what = if other.id == document.id {
                "id"
            } else {
                "name"
            };
            let reason = format!("its {what} is also the {what} of {name}:{}", other.line);
            return self.error(&file.name, &Fault::new(document.id_line, reason));
        }
        self.documents
            .push((file.name.clone(), file.is_built_in, document));
    }

    fn error(&mut self, file: &str, fault: &Fault) {
        if self.errors.len() >= MAX_ERRORS {
            self.dropped_errors += 1;
            return;
        }
        self.errors.push(RuleError {
            file: file.to_owned(),
            line: fault.line,
            reason: fault.reason.clone(),
        });
    }

    /// The rules, sorted by id, with references resolved; and what is wrong with the others.
    pub(super) fn finish(mut self) -> (Rules, Vec<RuleError>) {
        let documents = std::mem::take(&mut self.documents);
        let (events, correlations): (Vec<_>, Vec<_>) = documents
            .into_iter()
            .partition(|(_, _, document)| matches!(document.body, RuleBody::Event(..)));
        let mut rules = Rules::default();
        let mut references = BTreeMap::new();
        for (file, is_built_in, document) in events {
            if let Some(rule) = event_rule(file, is_built_in, document) {
                references.insert(rule.id.0.clone(), rule.id.clone());
                references.extend(rule.name.clone().map(|name| (name, rule.id.clone())));
                rules.insert(rule);
            }
        }
        for (file, is_built_in, document) in correlations {
            match correlation_rule(file.clone(), is_built_in, document, &references, &rules) {
                Ok(Some(rule)) => rules.insert(rule),
                Ok(None) => {}
                Err(fault) => self.error(&file, &fault),
            }
        }
        if self.dropped_errors > 0 {
            let reason = format!("{} more mistakes are not listed", self.dropped_errors);
            self.errors.push(RuleError {
                file: DIRECTORY.to_owned(),
                line: 1,
                reason,
            });
        }
        (rules, self.errors)
    }
}

/// The lines from one document's first to the next one's.
fn lines(text: &str, first: usize, next: Option<usize>) -> Arc<str> {
    let count = next.map_or(usize::MAX, |next| next.saturating_sub(first));
    let lines = text.split_inclusive('\n').skip(first.saturating_sub(1));
    let document: String = lines.take(count).collect();
    let document = document.trim_end();
    Arc::from(document.strip_suffix("---").unwrap_or(document))
}
