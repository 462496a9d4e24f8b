//! The tokens of a JSON text, and the meaning of its strings.

use std::borrow::Cow;

/// Deeper than this, [`walk`](super::walk) no longer lengthens the path, and [`canonical()`](super::canonical()) no longer sorts keys.
pub const MAX_DEPTH: usize = 128;

/// One token. Texts are still escaped: see [`unescape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonToken<'a> {
    /// `{`
    BeginObject,
    /// `}`
    EndObject,
    /// `[`
    BeginArray,
    /// `]`
    EndArray,
    /// A member's name, without its quotes, escapes as written.
    Key(&'a str),
    /// A string, without its quotes, escapes as written.
    Text(&'a str),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

/// The tokens of a JSON text, in order.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    open: Vec<OpenContainer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenContainer {
    Array,
    ObjectBeforeKey,
    ObjectBeforeValue,
}

impl<'a> Tokens<'a> {
    /// Reads `text` from its start.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            open: Vec::new(),
        }
    }

    /// How many objects and arrays are open after the last token.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Skips the next value, whole, and gives its text.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let skipped = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | ',' | ':');
        let start = self.text.len() - rest.trim_start_matches(skipped).len();
        self.at = start;
        if matches!(self.text.as_bytes().get(start), Some(b'{' | b'[')) {
            self.value_follows();
            self.skip_members()?;
        } else {
            self.next()?;
        }
        self.text.get(start..self.at)
    }

    /// Skips the object or array that begins here. Its tokens are not looked at, only where strings end and brackets close.
    fn skip_members(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let mut depth = 0;
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            end += quote_or_backslash(bytes.get(end..)?)?;
            if bytes[end] == b'"' {
                break;
            }
            end += 2;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    fn literal(&mut self) -> Option<JsonToken<'a>> {
        let rest = self.text.get(self.at..)?;
        let ends = |c: char| matches!(c, ',' | '}' | ']' | ' ' | '\t' | '\n' | '\r');
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        match word {
            "true" => Some(JsonToken::Bool(true)),
            "false" => Some(JsonToken::Bool(false)),
            "null" => Some(JsonToken::Null),
            "" => None,
            number => Some(JsonToken::Number(number)),
        }
    }

    fn begin(&mut self, open: OpenContainer, token: JsonToken<'a>) -> Option<JsonToken<'a>> {
        self.value_follows();
        self.open.push(open);
        self.at += 1;
        Some(token)
    }

    fn end(&mut self, token: JsonToken<'a>) -> Option<JsonToken<'a>> {
        self.open.pop();
        self.at += 1;
        Some(token)
    }

    /// Notes that the innermost object's next string is a key again, since its value is here.
    fn value_follows(&mut self) {
        if let Some(open @ OpenContainer::ObjectBeforeValue) = self.open.last_mut() {
            *open = OpenContainer::ObjectBeforeKey;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = JsonToken<'a>;

    fn next(&mut self) -> Option<JsonToken<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(
            bytes.get(self.at)?,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':'
        ) {
            self.at += 1;
        }
        match bytes[self.at] {
            b'{' => self.begin(OpenContainer::ObjectBeforeKey, JsonToken::BeginObject),
            b'[' => self.begin(OpenContainer::Array, JsonToken::BeginArray),
            b'}' => self.end(JsonToken::EndObject),
            b']' => self.end(JsonToken::EndArray),
            b'"' => {
                let string = self.string()?;
                if let Some(open @ OpenContainer::ObjectBeforeKey) = self.open.last_mut() {
                    *open = OpenContainer::ObjectBeforeValue;
                    return Some(JsonToken::Key(string));
                }
                self.value_follows();
                Some(JsonToken::Text(string))
            }
            _ => {
                self.value_follows();
                self.literal()
            }
        }
    }
}

/// Where the first quote or backslash is: strings are most of a text, and are read eight bytes at a time.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = bytes.get(at..)?.first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let found = marks_of(eight, b'"') | marks_of(eight, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let mut rest = bytes[at..].iter();
    let found = rest.position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + found)
}

/// The highest bit of the first of eight bytes that is `wanted`. Bits above it mean nothing.
fn marks_of(eight: u64, wanted: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([128; 8]);
    // Zero where it is wanted.
    let other = eight ^ (ONES * u64::from(wanted));
    other.wrapping_sub(ONES) & !other & HIGHEST
}

/// A string's meaning. A surrogate without its other half becomes U+FFFD, and `Err` holds the result.
///
/// # Errors
/// When the text holds such a surrogate, or an escape JSON does not have: the meaning is then not the whole of it.
pub fn unescape(raw: &str) -> Result<Cow<'_, str>, String> {
    let Some(first) = raw.find('\\') else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut text = String::with_capacity(raw.len());
    text.push_str(&raw[..first]);
    let mut exact = true;
    let mut rest = &raw[first..];
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, len) = escaped(rest);
        exact &= c.is_some();
        text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = rest.get(len..).unwrap_or("");
    }
    text.push_str(rest);
    if exact {
        Ok(Cow::Owned(text))
    } else {
        Err(text)
    }
}

/// The character of the escape at the start of `rest`, and the escape's length in bytes.
fn escaped(rest: &str) -> (Option<char>, usize) {
    let simple = |c| (Some(c), 2);
    match rest.as_bytes().get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(c @ (b'"' | b'\\' | b'/')) => simple(char::from(*c)),
        Some(b'u') => escaped_unit(rest),
        _ => (None, rest.chars().take(2).map(char::len_utf8).sum()),
    }
}

fn escaped_unit(rest: &str) -> (Option<char>, usize) {
    let unit = |at: usize| u16::from_str_radix(rest.get(at..at + 4)?, 16).ok();
    let Some(first) = unit(2) else {
        return (None, 2);
    };
    let second = if rest.get(6..8) == Some("\\u") {
        unit(8)
    } else {
        None
    };
    let units = [first, second.unwrap_or(0)];
    match char::decode_utf16(units).next() {
        Some(Ok(c)) if c.len_utf16() == 2 => (Some(c), 12),
        Some(Ok(c)) => (Some(c), 6),
        _ => (None, 6),
    }
}

/// What a string says, as well as it can be read.
#[must_use]
pub fn meaning(raw: &str) -> Cow<'_, str> {
    unescape(raw).unwrap_or_else(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_is() {
        // Neighbours of a quote and a backslash, and bytes of several that are not ASCII.
        for filler in ["x", "!", "#", "[", "]", "é", "\u{a2}", "\u{5c22}"] {
            for len in 0..20 {
                let text = filler.repeat(len);
                assert_eq!(quote_or_backslash(text.as_bytes()), None, "{filler} {len}");
                for mark in ["\"", "\\"] {
                    let text = format!("{text}{mark}{text}\"");
                    let at = filler.len() * len;
                    assert_eq!(quote_or_backslash(text.as_bytes()), Some(at), "{text}");
                }
            }
        }
        let mut tokens = Tokens::new(r#"["a\\\"b", "unfinished \"#);
        assert_eq!(tokens.next(), Some(JsonToken::BeginArray));
        assert_eq!(tokens.next(), Some(JsonToken::Text(r#"a\\\"b"#)));
        assert_eq!(tokens.next(), None);
    }
}
