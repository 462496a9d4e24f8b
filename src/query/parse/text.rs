//! Texts as they are written: with quotes, escapes and wildcards; and regular expressions.

use std::convert::Infallible;

use regex_syntax::ast::{self, Ast, ClassSetItem};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, Look};

use super::Reader;
use crate::query::{Pattern, Piece, QueryError};

/// The longest regular expression, in bytes: reading one takes time for each class of characters in it.
const MAX_REGEX_LEN: usize = 1_024;

/// The deepest nesting of groups in a regular expression.
const MAX_REGEX_DEPTH: u32 = 50;

/// The most classes of characters (`[^a]`, `\w`, `\pL`) in the regular expressions of one query. To read a class can take
/// ten milliseconds, because each of its characters is looked up in both letter cases.
const MAX_CLASSES: usize = 64;

impl Reader {
    /// A regular expression, if the text here is one: then the next slash ends the term.
    pub(super) fn regex(&mut self) -> Result<Option<String>, QueryError> {
        let start = self.at;
        if self.peek() != Some('/') {
            return Ok(None);
        }
        let mut regex = String::new();
        let mut at = start + 1;
        loop {
            match self.chars.get(at) {
                None => return Ok(None),
                Some('/') => break,
                Some('\\') => {
                    let Some(&escaped) = self.chars.get(at + 1) else {
                        return Ok(None);
                    };
                    if escaped != '/' {
                        regex.push('\\');
                    }
                    regex.push(escaped);
                    at += 2;
                }
                Some(&c) => {
                    regex.push(c);
                    at += 1;
                }
            }
        }
        let ends = |c: &char| c.is_whitespace() || *c == ')';
        if regex.is_empty() || !self.chars.get(at + 1).is_none_or(ends) {
            return Ok(None);
        }
        self.count(start)?;
        self.check_regex(&regex)
            .map_err(|message| QueryError::new(start, message))?;
        self.at = at + 1;
        Ok(Some(regex))
    }

    /// Checks that an expression can be looked for; says what is wrong with it otherwise. The classes are counted before any of
    /// them is worked out.
    fn check_regex(&mut self, regex: &str) -> Result<(), String> {
        if regex.len() > MAX_REGEX_LEN {
            return Err(format!(
                "this regular expression has {} bytes, more than the {MAX_REGEX_LEN} that are read",
                regex.len()
            ));
        }
        let unreadable = |kind: String| format!("this regular expression cannot be read: {kind}");
        let ast = ast::parse::ParserBuilder::new()
            .nest_limit(MAX_REGEX_DEPTH)
            .build()
            .parse(regex)
            .map_err(|error| unreadable(error.kind().to_string()))?;
        let Ok(classes) = ast::visit(&ast, Classes(0));
        self.classes += classes;
        if self.classes > MAX_CLASSES {
            return Err(format!(
                "more than {MAX_CLASSES} classes of characters in the regular expressions of one query"
            ));
        }
        let hir: Hir = TranslatorBuilder::new()
            .build()
            .translate(regex, &ast)
            .map_err(|error| unreadable(error.kind().to_string()))?;
        let is_boundary = |look: Look| !matches!(look, Look::Start | Look::End);
        if hir.properties().look_set().iter().any(is_boundary) {
            return Err(
                "this regular expression asks for the bounds of words or lines, which cannot be looked for"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// A text up to the end of the term.
    pub(super) fn text(&mut self) -> Result<Pattern, QueryError> {
        let start = self.at;
        let pattern = self.text_until(|c| c.is_whitespace() || matches!(c, '(' | ')'))?;
        if self.at == start {
            return Err(QueryError::new(start, "a text is missing here"));
        }
        self.refuse_likeness(start)?;
        Ok(pattern)
    }

    /// Whether any of the text that began at `start` was in quotes.
    pub(super) fn has_quotes(&self, start: usize) -> bool {
        let mut chars = self.chars[start..self.at].iter();
        while let Some(c) = chars.next() {
            match c {
                '"' => return true,
                '\\' => _ = chars.next(),
                _ => {}
            }
        }
        false
    }

    pub(super) fn text_until(
        &mut self,
        ends: impl Fn(char) -> bool,
    ) -> Result<Pattern, QueryError> {
        let mut pattern = Pattern::default();
        while let Some(c) = self.peek() {
            if ends(c) || self.starts_with("&&") || self.starts_with("||") {
                break;
            }
            let start = self.at;
            self.at += 1;
            match c {
                '"' => self.quoted(start, &mut pattern)?,
                '*' => pattern.push_wildcard(Piece::AnyText),
                '?' => pattern.push_wildcard(Piece::AnyCharacter),
                '\\' => match self.peek() {
                    Some(escaped) => {
                        pattern.push_char(escaped);
                        self.at += 1;
                    }
                    None => {
                        let message =
                            "nothing follows this backslash; write `\\\\` for the character";
                        return Err(QueryError::new(start, message));
                    }
                },
                c => pattern.push_char(c),
            }
        }
        Ok(pattern)
    }

    /// The rest of a text in quotes, which began at `start`.
    fn quoted(&mut self, start: usize, pattern: &mut Pattern) -> Result<(), QueryError> {
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => return Ok(()),
                '\\' => {
                    if let Some(escaped) = self.peek() {
                        pattern.push_char(escaped);
                        self.at += 1;
                    }
                }
                c => pattern.push_char(c),
            }
        }
        Err(QueryError::new(start, "this quote is not closed"))
    }

    /// Refuses Lucene's `~2` and `^4` at the end of the text that began at `start`: they would be looked for as they are.
    fn refuse_likeness(&self, start: usize) -> Result<(), QueryError> {
        let text = &self.chars[start..self.at];
        let n_digits = text
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit() || **c == '.')
            .count();
        let Some(sign_at) = text.len().checked_sub(n_digits + 1) else {
            return Ok(());
        };
        let before = text[..sign_at].iter().rev();
        let is_escaped = before.take_while(|c| **c == '\\').count() % 2 == 1;
        match text[sign_at] {
            sign @ ('~' | '^') if sign_at > 0 && !is_escaped => Err(QueryError::new(
                start + sign_at,
                format!(
                    "`{sign}` at the end of a term has no meaning here; write `\\{sign}` for the character"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The same after a group or a range.
    pub(super) fn refuse_weight(&self) -> Result<(), QueryError> {
        match self.peek() {
            Some('^' | '~') => Err(QueryError::new(
                self.at,
                "weights have no meaning here: every answer counts the same",
            )),
            _ => Ok(()),
        }
    }
}

/// Counts the classes of characters in an expression, nested ones included.
struct Classes(usize);

impl ast::Visitor for Classes {
    type Output = usize;
    type Err = Infallible;

    fn finish(self) -> Result<usize, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        let is_class = matches!(
            ast,
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_)
        );
        self.0 += usize::from(is_class);
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        let is_class = matches!(
            item,
            ClassSetItem::Unicode(_) | ClassSetItem::Perl(_) | ClassSetItem::Bracketed(_)
        );
        self.0 += usize::from(is_class);
        Ok(())
    }
}
