//! Where a JSON value ends, found byte by byte: enough of JSON's grammar to tell a value that goes on in the next line from one
//! that is broken. It keeps nothing of the value, and does not judge strings and numbers.

/// The most brackets that may be open at once.
const MAX_OPEN: usize = 1_000_000;

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanStep {
    /// The value goes on.
    More,
    /// The value ends with this byte.
    Done,
    /// The value ended before this byte.
    DoneBefore,
    /// It is no JSON value.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// Inside a string; whether it is a key, and whether a backslash came before.
    Text {
        is_key: bool,
        is_escaped: bool,
    },
    /// Inside a number or a word.
    Literal,
}

/// A value that is being read.
#[derive(Debug)]
pub(super) struct JsonScanner {
    /// The closing bracket of each open one.
    open: Vec<u8>,
    expect: Expect,
}

impl JsonScanner {
    /// At the beginning of a value.
    pub(super) fn new() -> Self {
        Self {
            open: Vec::new(),
            expect: Expect::Value,
        }
    }

    /// Inside an object, after one of its members.
    pub(super) fn after_member() -> Self {
        Self {
            open: vec![b'}'],
            expect: Expect::CommaOrEnd,
        }
    }

    pub(super) fn feed(&mut self, byte: u8) -> ScanStep {
        match self.expect {
            Expect::Text { is_key, is_escaped } => return self.text(byte, is_key, is_escaped),
            Expect::Literal => match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => {
                    return ScanStep::More;
                }
                _ if self.open.is_empty() => return ScanStep::DoneBefore,
                _ => self.expect = Expect::CommaOrEnd,
            },
            _ => {}
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return ScanStep::More;
        }
        match (self.expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{') => self.begin(b'}', Expect::KeyOrEnd),
            (Expect::Value | Expect::ValueOrEnd, b'[') => self.begin(b']', Expect::ValueOrEnd),
            (Expect::Value | Expect::ValueOrEnd, b'"') => self.then(Expect::Text {
                is_key: false,
                is_escaped: false,
            }),
            (Expect::Value | Expect::ValueOrEnd, b'0'..=b'9' | b'a'..=b'z' | b'-') => {
                self.then(Expect::Literal)
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => self.then(Expect::Text {
                is_key: true,
                is_escaped: false,
            }),
            (Expect::Colon, b':') => self.then(Expect::Value),
            (Expect::CommaOrEnd, b',') => match self.open.last() {
                Some(b'}') => self.then(Expect::Key),
                _ => self.then(Expect::Value),
            },
            (Expect::CommaOrEnd | Expect::KeyOrEnd | Expect::ValueOrEnd, b'}' | b']')
                if self.open.last() == Some(&byte) =>
            {
                self.open.pop();
                self.ended()
            }
            _ => ScanStep::Broken,
        }
    }

    fn text(&mut self, byte: u8, is_key: bool, is_escaped: bool) -> ScanStep {
        match byte {
            b'"' if !is_escaped && is_key => self.then(Expect::Colon),
            b'"' if !is_escaped => self.ended(),
            // No line ends inside a string.
            b'\n' => ScanStep::Broken,
            _ => self.then(Expect::Text {
                is_key,
                is_escaped: byte == b'\\' && !is_escaped,
            }),
        }
    }

    fn then(&mut self, expect: Expect) -> ScanStep {
        self.expect = expect;
        ScanStep::More
    }

    fn begin(&mut self, end: u8, expect: Expect) -> ScanStep {
        if self.open.len() >= MAX_OPEN {
            return ScanStep::Broken;
        }
        self.open.push(end);
        self.then(expect)
    }

    fn ended(&mut self) -> ScanStep {
        if self.open.is_empty() {
            return ScanStep::Done;
        }
        self.then(Expect::CommaOrEnd)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How long the value is with which a text begins; `None` when it is broken or does not end.
    fn len(text: &str) -> Option<usize> {
        let mut scan = JsonScanner::new();
        for (at, byte) in text.bytes().enumerate() {
            match scan.feed(byte) {
                ScanStep::More => {}
                ScanStep::Done => return Some(at + 1),
                ScanStep::DoneBefore => return Some(at),
                ScanStep::Broken => return None,
            }
        }
        None
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        assert_eq!(len(r#"{"a": [1, {"b": "}\"]"}, []], "c": {}} x"#), Some(38));
        assert_eq!(len("  [\n1\n,\n2 ] "), Some(11));
        assert_eq!(len("12.5e-3,"), Some(7));
        assert_eq!(len("\"a\\\\\" "), Some(5));
        for broken in [
            "{\"a\":1\n{",
            "{\"a\n\"",
            "[1 2]",
            "{1}",
            "[1}",
            "{\"a\" 1}",
            ":",
            "[,]",
            "{\"a\":1,}",
            "}",
        ] {
            assert_eq!(len(broken), None, "{broken}");
        }
        assert_eq!(len(&"[".repeat(2 * MAX_OPEN)), None);
    }

    proptest! {
        #[test]
        fn every_json_text_ends_at_its_end(value in "[a-z\"\\\\{}\\[\\]:, 0-9\n]{0,30}", pretty in any::<bool>()) {
            let json = serde_json::json!({"a": value, "b": [value, {"c": [null, true, 1.5e-7, value]}]});
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
            let text = text.unwrap();
            prop_assert_eq!(len(&format!("{text}{value}")), Some(text.len()));
            for end in 0..text.len() {
                prop_assert_eq!(len(text.get(..end).unwrap_or_default()), None);
            }
        }
    }
}
