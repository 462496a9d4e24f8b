//! Reads rules from files: the built-in ones and those of a directory. A file that cannot be read costs that file, a rule that cannot be
//! parsed costs that rule.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Body, Document};
use super::pack::BUILT_IN;
use super::rule::{Rule, RuleError, RuleId, RuleKind};
use super::yaml::{self, Fault, cut};
use super::{Rules, document::hash_of};

/// The largest file, in bytes.
pub(super) const MAX_FILE_LEN: u64 = 256 * 1024;

/// The most files that are read from a directory.
const MAX_FILES: usize = 2_000;

/// The most rules.
const MAX_RULES: usize = 2_000;

/// The deepest folder below the directory.
const MAX_FOLDERS: usize = 8;

/// The most mistakes that are kept.
const MAX_ERRORS: usize = 200;

/// The name of the directory itself in messages about it.
const DIRECTORY: &str = "rules_dir";

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
}

impl Loader {
    pub(super) fn with_built_in() -> Self {
        let mut loader = Self::default();
        RuleFile::built_in().for_each(|file| loader.add(&file));
        loader
    }

    /// Adds the rules of each `.yml` and `.yaml` file in a directory and its folders.
    pub(super) fn add_directory(&mut self, dir: &Path) {
        let mut files = Vec::new();
        if let Err(error) = list(dir, 0, &mut files) {
            self.error(
                DIRECTORY,
                &Fault::new(1, format!("cannot be read: {error}")),
            );
        }
        files.sort();
        if files.len() > MAX_FILES {
            let reason = format!("has more than {MAX_FILES} files; the others are not read");
            self.error(DIRECTORY, &Fault::new(1, reason));
            files.truncate(MAX_FILES);
        }
        for path in files {
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
        match read(path) {
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
            .partition(|(_, _, document)| matches!(document.body, Body::Event(..)));
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

fn event_rule(file: String, is_built_in: bool, document: Document) -> Option<Rule> {
    let Body::Event(detection, hash) = &document.body else {
        return None;
    };
    let (detection, hash) = (detection.clone(), *hash);
    let reads_bodies = detection.reads_bodies();
    Some(rule(
        file,
        is_built_in,
        document,
        hash,
        reads_bodies,
        RuleKind::Event(detection),
    ))
}

fn correlation_rule(
    file: String,
    is_built_in: bool,
    document: Document,
    references: &BTreeMap<String, RuleId>,
    rules: &Rules,
) -> Result<Option<Rule>, Fault> {
    let Body::Correlation(unresolved, text) = &document.body else {
        return Ok(None);
    };
    let correlation = unresolved.clone().resolve(|line, reference| {
        references.get(reference).cloned().ok_or_else(|| {
            let reason = format!(
                "`{}` is not the id or name of a rule with a detection",
                cut(reference)
            );
            Fault::new(line, reason)
        })
    })?;
    let named: Vec<&Rule> = correlation
        .rules
        .iter()
        .filter_map(|id| rules.get(id))
        .collect();
    let hashes: Vec<String> = named.iter().map(|rule| rule.hash.to_string()).collect();
    let decides = serde_json::json!({ "rules": hashes, "correlation": text });
    let hash = hash_of(&decides.to_string());
    let fields = correlation.fields();
    let reads_bodies = named.iter().any(|rule| rule.reads_bodies)
        || fields.iter().any(|field| crate::field::is_body(field));
    let kind = RuleKind::Correlation(correlation);
    Ok(Some(rule(
        file,
        is_built_in,
        document,
        hash,
        reads_bodies,
        kind,
    )))
}

fn rule(
    file: String,
    is_built_in: bool,
    document: Document,
    hash: super::rule::RuleHash,
    reads_bodies: bool,
    kind: RuleKind,
) -> Rule {
    Rule {
        id: document.id,
        name: document.name,
        hash,
        title: document.title,
        level: document.level,
        status: document.status,
        tags: document.tags,
        description: document.description,
        falsepositives: document.falsepositives,
        reads_bodies,
        is_built_in,
        file,
        line: document.line,
        text: document.text,
        cases: document.cases,
        kind,
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

fn list(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // Follows links: a mounted secret or a config map is one.
        let Ok(metadata) = fs::metadata(&path) else {
            files.extend(is_rule_file(&path).then_some(path));
            continue;
        };
        if metadata.is_dir() {
            if depth < MAX_FOLDERS {
                list(&path, depth + 1, files)?;
            }
        } else if is_rule_file(&path) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Ok(());
        }
    }
    Ok(())
}

fn is_rule_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yml" | "yaml"))
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        // A pipe would never end.
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_FILE_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(format!("is larger than {} KiB", MAX_FILE_LEN / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
