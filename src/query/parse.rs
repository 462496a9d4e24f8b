//! Text to tree. See the module above for the grammar; each function here reads one of its lines.

mod syntax;
mod text;

use self::syntax::Parts;
pub use self::syntax::{Syntax, SyntaxNode};
use super::moment::When;
use super::pattern::Pattern;
use super::tree::{Query, QueryError};
use super::value::{Name, WrittenEnd, is_mark_or_joiner};
use crate::wording::quoted;

/// The longest question that is read, in bytes.
pub const MAX_QUERY_LEN: usize = 8 * 1024;

/// The most terms a question may have.
const MAX_TERMS: usize = 256;

/// The most of them that may have wildcards, be expressions or ranges: each costs a look through a dictionary.
const MAX_PATTERNS: usize = 64;

/// The deepest nesting of groups.
const MAX_DEPTH: usize = 50;

/// Reads a question, asked when `when` says.
///
/// # Errors
/// [`QueryError`] with the place of the first thing that cannot be read.
pub fn parse(text: &str, when: impl Into<When>) -> Result<Query, QueryError> {
    Ok(parse_with_places(text, when)?.0)
}

/// As [`parse`], with the question as it was written; `None` where nothing was.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_places(
    text: &str,
    when: impl Into<When>,
) -> Result<(Query, Option<Syntax>), QueryError> {
    if text.len() > MAX_QUERY_LEN {
        let message = format!(
            "the query has {} bytes, more than the {MAX_QUERY_LEN} that are read",
            text.len()
        );
        return Err(QueryError::new(0, message));
    }
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
        when: when.into(),
        terms: 0,
        patterns: 0,
        classes: 0,
        parts: Parts::default(),
    };
    reader.skip_space();
    if reader.is_at_end() {
        return Ok((Query::All, None));
    }
    let query = reader.any(None, 0)?;
    match reader.peek() {
        None => Ok((query, reader.parts.into_whole())),
        // Everything else is read as a term.
        Some(_) => Err(QueryError::new(
            reader.at,
            "this parenthesis closes nothing; write `\\)` for the character",
        )),
    }
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    when: When,
    /// How many terms were read.
    terms: usize,
    /// How many of them cost a look through a dictionary.
    patterns: usize,
    /// How many classes of characters their expressions have.
    classes: usize,
    /// What was read.
    parts: Parts,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.chars.len()
    }

    fn starts_with(&self, text: &str) -> bool {
        self.starts_with_at(self.at, text)
    }

    fn starts_with_at(&self, at: usize, text: &str) -> bool {
        let mut rest = self.chars.iter().skip(at);
        text.chars().all(|c| rest.next() == Some(&c))
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Takes an operator that is a word, if the next word is it.
    fn take_word(&mut self, word: &str) -> bool {
        let after = self.at + word.len();
        let is_alone = self
            .chars
            .get(after)
            .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'));
        let is_here = is_alone && self.starts_with(word);
        if is_here {
            self.at = after;
        }
        is_here
    }

    /// Takes an operator made of signs, if it comes next.
    fn take_sign(&mut self, sign: &str) -> bool {
        let is_here = self.starts_with(sign);
        if is_here {
            self.at += sign.len();
        }
        is_here
    }

    fn any(&mut self, field: Option<&Name>, depth: usize) -> Result<Query, QueryError> {
        let n_parts = self.parts.len();
        let mut parts = vec![self.all(field, depth)?];
        while self.take_word("OR") || self.take_sign("||") {
            parts.push(self.all(field, depth)?);
        }
        self.parts.join(n_parts, SyntaxNode::Or);
        Ok(Query::or(parts))
    }

    fn all(&mut self, field: Option<&Name>, depth: usize) -> Result<Query, QueryError> {
        let n_parts = self.parts.len();
        let mut parts = vec![self.one(field, depth)?];
        loop {
            self.skip_space();
            let is_joined = self.take_word("AND") || self.take_sign("&&");
            if !is_joined && (self.ends_all() || self.is_at_end()) {
                break;
            }
            parts.push(self.one(field, depth)?);
        }
        self.parts.join(n_parts, SyntaxNode::And);
        Ok(Query::and(parts))
    }

    /// Whether what comes next belongs to a line above.
    fn ends_all(&mut self) -> bool {
        let start = self.at;
        let is_or = self.take_word("OR") || self.take_sign("||");
        self.at = start;
        is_or || self.peek() == Some(')')
    }

    fn one(&mut self, field: Option<&Name>, depth: usize) -> Result<Query, QueryError> {
        let mut is_negated = false;
        self.skip_space();
        let begin = self.at;
        loop {
            let start = self.at;
            if self.take_word("NOT") || self.take_sign("!") || self.take_sign("-") {
                is_negated = !is_negated;
            } else if !self.take_sign("+") {
                break;
            }
            let sign: String = self.chars[start..self.at].iter().collect();
            if sign == "NOT" {
                self.skip_space();
            }
            // A sign by itself, as in `a - b`, is more likely a dash than an operator.
            if self.peek().is_none_or(char::is_whitespace) {
                let message = format!("nothing follows `{sign}`; put it in quotes to look for it");
                return Err(QueryError::new(start, message));
            }
        }
        let query = self.operand_with_place(field, depth)?;
        if !is_negated {
            return Ok(query);
        }
        self.parts.negate(begin);
        Ok(query.negated())
    }

    /// A group or a term, whose place is noted.
    fn operand_with_place(
        &mut self,
        field: Option<&Name>,
        depth: usize,
    ) -> Result<Query, QueryError> {
        let (start, n_parts) = (self.at, self.parts.len());
        let query = self.operand(field, depth)?;
        if self.parts.len() == n_parts {
            self.parts.add_term(&query, start, self.at)
        } else {
            self.parts.widen(start, self.at)
        }
        Ok(query)
    }

    /// A group or a term.
    fn operand(&mut self, field: Option<&Name>, depth: usize) -> Result<Query, QueryError> {
        self.expect_operand()?;
        if self.peek() == Some('(') {
            return self.group(field, depth);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(QueryError::new(
                self.at,
                format!("the query has more than {MAX_TERMS} terms"),
            ));
        }
        let start = self.at;
        if let Some(name) = self.name()? {
            return self.named(&name, depth);
        }
        match field {
            Some(name) => self.value(name),
            None => self.bare(start),
        }
    }

    /// Fails if an operator or the end comes where a term should.
    fn expect_operand(&mut self) -> Result<(), QueryError> {
        let start = self.at;
        for operator in ["AND", "OR"] {
            if self.take_word(operator) {
                let message = format!(
                    "`{operator}` needs a term on both sides; put it in quotes to look for it"
                );
                return Err(QueryError::new(start, message));
            }
        }
        let message = match self.peek() {
            None => "a term is missing at the end",
            Some(')') => "a term is missing before this parenthesis",
            Some('&') if self.starts_with("&&") => "`&&` needs a term on both sides",
            Some('|') if self.starts_with("||") => "`||` needs a term on both sides",
            Some(_) => return Ok(()),
        };
        Err(QueryError::new(start, message))
    }

    fn group(&mut self, field: Option<&Name>, depth: usize) -> Result<Query, QueryError> {
        let start = self.at;
        if depth == MAX_DEPTH {
            return Err(QueryError::new(
                start,
                format!("more than {MAX_DEPTH} groups in one another"),
            ));
        }
        self.at += 1;
        let query = self.any(field, depth + 1)?;
        if self.peek() != Some(')') {
            return Err(QueryError::new(start, "this parenthesis is not closed"));
        }
        self.at += 1;
        self.refuse_weight()?;
        Ok(query)
    }

    /// A field's name and its colon, if the term has them.
    fn name(&mut self) -> Result<Option<Name>, QueryError> {
        let start = self.at;
        if self.spells_address() {
            return Ok(None);
        }
        let mut path = String::new();
        let mut at = start;
        while let Some(&c) = self.chars.get(at) {
            let escaped = self.chars.get(at + 1).filter(|_| c == '\\');
            let is_name =
                c.is_alphanumeric() || is_mark_or_joiner(c) || matches!(c, '_' | '-' | '.' | '@');
            path.push(match escaped {
                Some(escaped) => *escaped,
                None if is_name => c,
                None => break,
            });
            at += if escaped.is_some() { 2 } else { 1 };
        }
        // A time has colons of its own, so a name does not begin with a digit; nor is `https://…` one.
        let begins = !path.is_empty() && !self.chars[start].is_ascii_digit();
        if !begins
            || !self.starts_with_at(at, ":")
            || (self.starts_with_at(at, "://") && !path.contains('.'))
        {
            return Ok(None);
        }
        self.at = at + 1;
        Ok(Some(Name { path, at: start }))
    }

    /// Whether the word here is an IPv6 address or network without quotes, whose colons are its own.
    fn spells_address(&self) -> bool {
        let word: String = self.chars[self.at..]
            .iter()
            .take_while(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '/'))
            .collect();
        let address = word.split('/').next().unwrap_or_default();
        address.parse::<std::net::Ipv6Addr>().is_ok()
    }

    /// What follows a name and its colon.
    fn named(&mut self, name: &Name, depth: usize) -> Result<Query, QueryError> {
        let colon = self.at;
        self.skip_space();
        if self.peek() == Some('(') {
            return self.group(Some(name), depth);
        }
        let is_operator = ["AND", "OR", "NOT"].iter().any(|word| self.take_word(word));
        if self.is_at_end() || is_operator || self.peek() == Some(')') {
            return Err(QueryError::new(
                colon,
                "a value is missing after the colon; write `*` for any, or put the text in quotes",
            ));
        }
        if name.path == "_exists_" {
            let at = self.at;
            let pattern = self.text()?;
            return match pattern.as_text() {
                Some(path) => Ok(Name {
                    path: path.to_owned(),
                    at,
                }
                .exists()),
                None => Err(QueryError::new(at, "a field's name has no wildcards here")),
            };
        }
        self.value(name)
    }

    fn value(&mut self, name: &Name) -> Result<Query, QueryError> {
        if let Some(regex) = self.regex()? {
            return Ok(name.matches(regex));
        }
        match self.peek() {
            Some('[' | '{') => self.range(name),
            Some('<' | '>') => self.comparison(name),
            _ => {
                let start = self.at;
                let pattern = self.text()?;
                let is_quoted = self.has_quotes(start);
                // Words are looked for in the field's whole dictionary.
                if name.has_words() && !is_quoted && !pattern.is_anything() {
                    self.count(start)?
                } else {
                    self.count_pattern(start, &pattern)?
                }
                name.is(pattern, start, is_quoted, self.when)
            }
        }
    }

    fn range(&mut self, name: &Name) -> Result<Query, QueryError> {
        let start = self.at;
        self.count(start)?;
        let with_lower = self.peek() == Some('[');
        self.at += 1;
        let mut lower = self.end_of_range(start)?;
        self.skip_space();
        if !self.take_word("TO") {
            return Err(QueryError::new(
                self.at,
                "a range is written `[a TO b]`, with `*` for an open end",
            ));
        }
        let mut upper = self.end_of_range(start)?;
        self.skip_space();
        let with_upper = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(QueryError::new(start, "this range is not closed")),
        };
        self.at += 1;
        lower.is_included = with_lower;
        upper.is_included = with_upper;
        self.refuse_weight()?;
        name.between(lower, upper, start, self.when)
    }

    fn end_of_range(&mut self, start: usize) -> Result<WrittenEnd, QueryError> {
        self.skip_space();
        let at = self.at;
        let pattern = self.text_until(|c| c.is_whitespace() || matches!(c, ']' | '}'))?;
        if pattern.is_empty() && at == self.at {
            return Err(QueryError::new(start, "this range misses an end"));
        }
        end(&pattern, at, self.has_quotes(at))
    }

    fn comparison(&mut self, name: &Name) -> Result<Query, QueryError> {
        let start = self.at;
        self.count(start)?;
        let is_lower = self.peek() == Some('>');
        self.at += 1;
        let is_included = self.take_sign("=");
        self.skip_space();
        let at = self.at;
        let pattern = self.text()?;
        let bound = WrittenEnd {
            is_included,
            ..end(&pattern, at, self.has_quotes(at))?
        };
        if bound.text.is_none() {
            return Err(QueryError::new(at, "a comparison needs a value"));
        }
        let open = WrittenEnd::open(start);
        if is_lower {
            name.between(bound, open, start, self.when)
        } else {
            name.between(open, bound, start, self.when)
        }
    }

    /// A term without a name.
    fn bare(&mut self, start: usize) -> Result<Query, QueryError> {
        if self.take_sign("*:*") {
            return Ok(Query::All);
        }
        if let Some(regex) = self.regex()? {
            return Ok(Query::WordMatches { regex, at: start });
        }
        if let Some(sign @ ('[' | '{' | '<' | '>')) = self.peek() {
            let message = format!(
                "`{sign}` needs a field's name before it; put the text in quotes to look for it"
            );
            return Err(QueryError::new(start, message));
        }
        let pattern = self.text()?;
        if pattern.is_anything() {
            return Ok(Query::All);
        }
        self.count_pattern(start, &pattern)?;
        let nothing = || {
            let text: String = self.chars[start..self.at].iter().collect();
            let message = format!("{} holds no letter or digit to look for", quoted(&text));
            QueryError::new(start, message)
        };
        match pattern.as_text() {
            Some(text) if !text.chars().any(char::is_alphanumeric) => Err(nothing()),
            Some(text) => Ok(Query::Words {
                part: None,
                text: text.to_owned(),
            }),
            None if pattern.words().is_empty() => Err(nothing()),
            None => Ok(Query::WordsLike { pattern, at: start }),
        }
    }

    fn count_pattern(&mut self, at: usize, pattern: &Pattern) -> Result<(), QueryError> {
        if pattern.as_text().is_some() || pattern.is_anything() {
            Ok(())
        } else {
            self.count(at)
        }
    }

    /// Counts a term that costs a look through a dictionary.
    fn count(&mut self, at: usize) -> Result<(), QueryError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(QueryError::new(
                at,
                format!("more than {MAX_PATTERNS} wildcards, expressions and ranges in one query"),
            ));
        }
        Ok(())
    }
}

fn end(pattern: &Pattern, at: usize, is_quoted: bool) -> Result<WrittenEnd, QueryError> {
    let text = match pattern.as_text() {
        Some(text) => Some(text.to_owned()),
        None if pattern.is_anything() => None,
        None => return Err(QueryError::new(at, "the end of a range has no wildcards")),
    };
    Ok(WrittenEnd {
        text,
        at,
        is_included: true,
        is_quoted,
    })
}

#[cfg(test)]
mod tests;
