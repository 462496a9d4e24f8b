//! Text to tree. See the module above for the grammar.

use super::{Query, QueryError};

/// The longest question that is read, in bytes.
pub const MAX_QUERY_LEN: usize = 8 * 1024;

/// The most terms a question may have.
const MAX_TERMS: usize = 128;

/// Reads a question.
///
/// # Errors
/// [`QueryError`] with the place of the first thing that cannot be read.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > MAX_QUERY_LEN {
        let message = format!(
            "the query has {} bytes, more than the {MAX_QUERY_LEN} that are read",
            text.len()
        );
        return Err(QueryError { at: 0, message });
    }
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
    };
    let mut terms = Vec::new();
    while reader.skip_space() {
        if terms.len() == MAX_TERMS {
            return Err(reader.error(
                reader.at,
                format!("the query has more than {MAX_TERMS} terms"),
            ));
        }
        terms.push(reader.term()?);
    }
    Ok(Query::and(terms))
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> QueryError {
        QueryError {
            at,
            message: message.into(),
        }
    }

    /// Goes to the next term; says whether there is one.
    fn skip_space(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.at < self.chars.len()
    }

    fn term(&mut self) -> Result<Query, QueryError> {
        let start = self.at;
        let name = self.name();
        let text_at = self.at;
        let text = match self.peek() {
            Some('"') => self.quoted()?,
            _ => self.word(name.is_some())?,
        };
        match name {
            Some(_) if text.is_empty() => Err(self.error(
                text_at,
                "a value is missing after the colon; write `\"\"` in quotes for words with spaces",
            )),
            Some(path) => Ok(Query::Equals {
                path,
                value: text,
                at: start,
            }),
            None if !text.chars().any(char::is_alphanumeric) => Err(self.error(
                text_at,
                format!(
                    "`{}` holds no letter or digit to look for",
                    text.escape_debug()
                ),
            )),
            None => Ok(Query::Words { part: None, text }),
        }
    }

    /// A field's name and its colon, if the term has them.
    fn name(&mut self) -> Option<String> {
        let is_name = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name: String = self.chars[self.at..]
            .iter()
            .take_while(|c| is_name(c))
            .collect();
        let len = name.chars().count();
        // Time and address have colons of their own: a name does not begin with a digit.
        let begins = name
            .chars()
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_');
        if !begins || self.chars.get(self.at + len) != Some(&':') {
            return None;
        }
        // An IPv6 address such as `fe80::1` is no name either.
        if self.chars.get(self.at + len + 1) == Some(&':') {
            return None;
        }
        self.at += len + 1;
        Some(name)
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => return Ok(text),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                c => text.push(c),
            }
        }
        Err(self.error(start, "this quote is not closed"))
    }

    /// A text without quotes, up to the next white space.
    fn word(&mut self, named: bool) -> Result<String, QueryError> {
        let start = self.at;
        while self.peek().is_some_and(|c| !c.is_whitespace()) {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        if let Some(reserved) = reserved_in(&word, named) {
            let sign = word.chars().nth(reserved).unwrap_or(' ');
            let what = if matches!(word.as_str(), "AND" | "OR" | "NOT") {
                word.clone()
            } else {
                sign.to_string()
            };
            let message = format!(
                "`{what}` has no meaning here yet; put the text in quotes to look for it as it is"
            );
            return Err(self.error(start + reserved, message));
        }
        Ok(word)
    }
}

/// The place of the first sign in a word that only a fuller language gives a meaning.
fn reserved_in(word: &str, named: bool) -> Option<usize> {
    if matches!(word, "AND" | "OR" | "NOT" | "&&" | "||") {
        return Some(0);
    }
    let leading = if named {
        &['>', '<', '='][..]
    } else {
        &['-', '+', '!', '>', '<', '='][..]
    };
    if word.starts_with(leading) {
        return Some(0);
    }
    if word.len() > 1 && word.starts_with('/') && word.ends_with('/') {
        return Some(0);
    }
    word.chars().position(|c| {
        matches!(
            c,
            '(' | ')' | '[' | ']' | '{' | '}' | '*' | '?' | '"' | '\\' | '~' | '^'
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_and_their_trees() {
        let questions = [
            "",
            "  ",
            "alice",
            "alice@example.com  DNS",
            "\"Add Member\"",
            r#"action.description:"say \"hi\" \\""#,
            "actor.email:alice@example.com raw.uri:/client/v4/zones",
            "2001:db8::1",
            "fe80::1",
            "actor.ip_address:2001:db8::1",
            "08:30",
            "株式会社サンプル",
            "a-b",
            "actor.email:",
            "actor.email: x",
            "a OR b",
            "x (b)",
            "-dns",
            "raw.status_code:>=400",
            "name:a*",
            "/re.*/",
            "\"open",
            "---",
            "a\"b\"",
        ];
        let mut table = String::new();
        for question in questions {
            match parse(question) {
                Ok(tree) => writeln!(table, "{question:?}\n    {tree:?}").unwrap(),
                Err(error) => {
                    writeln!(table, "{question:?}\n    at {}: {error}", error.at).unwrap()
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(parse(&"a ".repeat(MAX_TERMS)).is_ok());
        assert!(parse(&"a ".repeat(MAX_TERMS + 1)).is_err());
        assert!(parse(&"a".repeat(MAX_QUERY_LEN + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_tree_or_an_error_within_it(text in r#"[a-z:."\\/*() \-🏢é]{0,40}"#) {
            if let Err(error) = parse(&text) {
                prop_assert!(error.at <= text.chars().count(), "{error:?}");
            }
        }

        #[test]
        fn quoted_text_is_found_as_it_is(text in "[a-z]\\PC{0,20}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
            prop_assert_eq!(parse(&quoted), Ok(Query::Words { part: None, text }));
        }
    }
}
