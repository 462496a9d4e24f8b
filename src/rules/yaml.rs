//! The YAML of rules as a tree that knows the line of each part. Bounded in size, depth and number of parts; without anchors, aliases and
//! tags, so that a small file is a small tree. Does not know rules.

use serde_json::{Map, Number, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{ScanError, TScalarStyle};

/// The deepest nesting of lists and mappings.
pub(super) const MAX_DEPTH: usize = 24;

/// The most values and keys in a file.
pub(super) const MAX_NODES: usize = 20_000;

/// The most documents in a file.
pub(super) const MAX_DOCUMENTS: usize = 100;

/// Why a text is not the YAML that rules are written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line: line.max(1),
            reason: reason.into(),
        }
    }
}

/// A value, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlNode {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) content: YamlContent,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum YamlContent {
    /// Null, true, false, a number or a text.
    Scalar(Value),
    List(Vec<YamlNode>),
    Mapping(Vec<YamlMember>),
}

/// A key of a mapping with its value. Keys are different from each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlMember {
    /// The key's line, from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: YamlNode,
}

impl YamlNode {
    pub(super) fn as_mapping(&self) -> Option<&[YamlMember]> {
        match &self.content {
            YamlContent::Mapping(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[YamlNode]> {
        match &self.content {
            YamlContent::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_scalar(&self) -> Option<&Value> {
        match &self.content {
            YamlContent::Scalar(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        self.as_scalar()?.as_str()
    }

    /// The member of that name.
    pub(super) fn get(&self, key: &str) -> Option<&YamlNode> {
        let member = self.as_mapping()?.iter().find(|member| member.key == key)?;
        Some(&member.value)
    }

    /// The same as JSON. Keys are sorted.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            YamlContent::Scalar(value) => value.clone(),
            YamlContent::List(items) => items.iter().map(YamlNode::to_json).collect(),
            YamlContent::Mapping(members) => {
                let members = members.iter();
                let object: Map<String, Value> = members
                    .map(|member| (member.key.clone(), member.value.to_json()))
                    .collect();
                Value::Object(object)
            }
        }
    }
}

/// The documents of a file.
///
/// # Errors
/// When the text is not YAML, uses what rules may not use, or is over a limit.
pub(super) fn documents(text: &str) -> Result<Vec<YamlNode>, Fault> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    loop {
        let (event, marker) = parser.next_token().map_err(|error| scan_fault(&error))?;
        let is_last = event == Event::StreamEnd;
        builder.take(event, marker.line())?;
        if is_last {
            return Ok(builder.documents);
        }
    }
}

/// The scanner has a limit of its own for `[` and `{`, and may come to it first because it reads ahead.
fn scan_fault(error: &ScanError) -> Fault {
    let line = error.marker().line();
    match error.info() {
        "recursion limit exceeded" => too_deep(line),
        info => Fault::new(line, info),
    }
}

fn too_deep(line: usize) -> Fault {
    Fault::new(line, format!("nested deeper than {MAX_DEPTH} levels"))
}

/// A list or a mapping whose end has not been read.
enum OpenNode {
    List(usize, Vec<YamlNode>),
    /// With the key whose value comes next.
    Mapping(usize, Vec<YamlMember>, Option<(usize, String)>),
}

#[derive(Default)]
struct Builder {
    documents: Vec<YamlNode>,
    open: Vec<OpenNode>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event, line: usize) -> Result<(), Fault> {
        match event {
            Event::Alias(_) => Err(Fault::new(line, "aliases are not allowed in rules")),
            Event::Scalar(text, style, anchor, tag) => {
                self.check(line, anchor, tag.as_ref())?;
                self.scalar(text, style, line)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check(line, anchor, tag.as_ref())?;
                self.begin(OpenNode::List(line, Vec::new()), line)
            }
            Event::MappingStart(anchor, tag) => {
                self.check(line, anchor, tag.as_ref())?;
                self.begin(OpenNode::Mapping(line, Vec::new(), None), line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::DocumentStart if self.documents.len() >= MAX_DOCUMENTS => Err(Fault::new(
                line,
                format!("more than {MAX_DOCUMENTS} documents in a file"),
            )),
            _ => Ok(()),
        }
    }

    fn check(&mut self, line: usize, anchor: usize, tag: Option<&Tag>) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault::new(line, format!("more than {MAX_NODES} values")));
        }
        if anchor > 0 {
            return Err(Fault::new(line, "anchors are not allowed in rules"));
        }
        if tag.is_some() {
            return Err(Fault::new(line, "tags are not allowed in rules"));
        }
        Ok(())
    }

    fn begin(&mut self, open: OpenNode, line: usize) -> Result<(), Fault> {
        if matches!(self.open.last(), Some(OpenNode::Mapping(_, _, None))) {
            return Err(Fault::new(line, "a key must be a text"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Fault> {
        let node = match self.open.pop() {
            Some(OpenNode::List(line, items)) => YamlNode {
                line,
                content: YamlContent::List(items),
            },
            Some(OpenNode::Mapping(line, members, None)) => YamlNode {
                line,
                content: YamlContent::Mapping(members),
            },
            _ => return Err(Fault::new(line, "a key has no value")),
        };
        self.add(node)
    }

    fn scalar(&mut self, text: String, style: TScalarStyle, line: usize) -> Result<(), Fault> {
        if let Some(OpenNode::Mapping(_, members, key @ None)) = self.open.last_mut() {
            if members.iter().any(|member| member.key == text) {
                return Err(Fault::new(
                    line,
                    format!("the key `{}` occurs twice", cut(&text)),
                ));
            }
            *key = Some((line, text));
            return Ok(());
        }
        let value = match style {
            TScalarStyle::Plain => plain(text),
            _ => Value::String(text),
        };
        self.add(YamlNode {
            line,
            content: YamlContent::Scalar(value),
        })
    }

    fn add(&mut self, node: YamlNode) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(OpenNode::List(_, items)) => items.push(node),
            Some(OpenNode::Mapping(_, members, key)) => {
                let Some((line, key)) = key.take() else {
                    return Err(Fault::new(node.line, "a key must be a text"));
                };
                members.push(YamlMember {
                    line,
                    key,
                    value: node,
                });
            }
        }
        Ok(())
    }
}

/// A text that a message repeats, not longer than fits in a line.
pub(super) fn cut(text: &str) -> String {
    const LEN: usize = 60;
    let one_line: String = text.chars().take(LEN).map(printable).collect();
    let mark = if text.chars().nth(LEN).is_some() {
        "…"
    } else {
        ""
    };
    one_line + mark
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// What a scalar without quotes means, by the core schema of YAML 1.2.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::String(text);
    }
    match number(text.strip_prefix('+').unwrap_or(&text)) {
        Some(number) => Value::Number(number),
        None => Value::String(text),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Value {
        documents(text).unwrap()[0].to_json()
    }

    fn fault(text: &str) -> (usize, String) {
        let fault = documents(text).unwrap_err();
        (fault.line, fault.reason)
    }

    #[test]
    fn scalars_mean_what_yaml_says() {
        let text = "[1, -2, 1.5, 0x10, true, 'true', null, ~, yes, 1.2.3.4, 12a, '', +7, 1e3]";
        assert_eq!(
            json(text),
            json!([
                1, -2, 1.5, 16, true, "true", null, null, "yes", "1.2.3.4", "12a", "", 7, 1000.0
            ])
        );
    }

    #[test]
    fn a_part_knows_its_line() {
        let documents = documents("a: 1\nb:\n  - x\n  - y: z\n---\nc: 2\n").unwrap();
        let b = documents[0].get("b").unwrap().as_list().unwrap();
        assert_eq!((b[0].line, b[1].line), (3, 4));
        assert_eq!(documents[1].as_mapping().unwrap()[0].line, 6);
    }

    #[test]
    fn what_could_grow_or_surprise_is_an_error() {
        assert_eq!(fault("a: &x 1").1, "anchors are not allowed in rules");
        assert!(fault("a: *x").1.contains("anchor"), "{}", fault("a: *x").1);
        assert_eq!(fault("a: !!binary x").1, "tags are not allowed in rules");
        assert_eq!(
            fault("a: 1\na: 2"),
            (2, "the key `a` occurs twice".to_owned())
        );
        assert_eq!(fault("? [x]\n: 1").1, "a key must be a text");
        assert!(fault("a: [").1.len() > 3);
        let deep = "[".repeat(10_000);
        assert_eq!(fault(&deep).1, "nested deeper than 24 levels");
        let wide = "- 1\n".repeat(MAX_NODES + 1);
        assert_eq!(fault(&wide).1, "more than 20000 values");
        let many = "---\na: 1\n".repeat(MAX_DOCUMENTS + 1);
        assert_eq!(fault(&many).1, "more than 100 documents in a file");
    }
}
