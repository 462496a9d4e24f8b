//! What upstream wraps its answers in, read as they may come: members missing, null or of another type, errors in any shape.
//!
//! It does not know what was asked, nor what follows from an answer.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::UpstreamError;
use crate::json;
use crate::position::Cursor;

/// How much of what upstream says is repeated in an error, in characters.
const MAX_SAID_CHARS: usize = 200;

/// The envelope around every result. Members may be missing, null, or of another type; only `success: false` fails.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    success: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, UpstreamError> {
        let envelope: Self = serde_json::from_slice(body).map_err(|error| {
            UpstreamError::Transient(format!(
                "the answer is not whole, or not JSON: {error}{}",
                Beginning(body)
            ))
        })?;
        if envelope
            .success
            .is_some_and(|success| success.get() == "false")
        {
            let said = envelope.errors.map_or_else(Errors::default, |errors| {
                Errors::of(errors.get().as_bytes())
            });
            return Err(UpstreamError::Transient(format!(
                "upstream answered 200 with `success: false`{said}"
            )));
        }
        Ok(envelope)
    }

    pub(super) fn result(&self) -> Result<Vec<&'a RawValue>, UpstreamError> {
        let Some(result) = self.result else {
            return Ok(Vec::new());
        };
        let list: Option<Vec<&RawValue>> = serde_json::from_str(result.get())
            .map_err(|_| UpstreamError::Unexpected("the answer's `result` is not a list".into()))?;
        Ok(list.unwrap_or_default())
    }

    /// The cursor, where the reference has it or where the official clients look for it.
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, UpstreamError> {
        let found = match self.what_follows(&["cursor"])? {
            None => self.what_follows(&["cursors", "after"])?,
            found => found,
        };
        Ok(found.map(Cursor))
    }

    pub(super) fn next_page_token(&self) -> Result<Option<String>, UpstreamError> {
        self.what_follows(&["next_page_token"])
    }

    /// The items of a page of a list. A list that is null, or not there at all, is not an empty one.
    pub(super) fn items(&self) -> Result<Vec<&'a RawValue>, UpstreamError> {
        match self.result.filter(|result| result.get() != "null") {
            Some(_) => self.result(),
            None => Err(UpstreamError::Unexpected(
                "the answer has no `result`".into(),
            )),
        }
    }

    /// How many items a list has on all its pages, if the answer says so.
    pub(super) fn total_size(&self) -> Option<u64> {
        let info = self.result_info.map_or("", RawValue::get);
        let value = json::member(info, &["total_size"])?;
        // Upstream writes other counts as text.
        value.trim_matches('"').parse().ok()
    }

    /// The one thing that was requested.
    pub(super) fn item(&self) -> Result<&'a RawValue, UpstreamError> {
        let object = self.result.filter(|result| result.get().starts_with('{'));
        object.ok_or_else(|| {
            UpstreamError::Unexpected("the answer's `result` is not an object".into())
        })
    }

    /// A text in `result_info` that leads on. One that cannot be read is an error: taken for none, a page in the middle
    /// would pass for the last one.
    fn what_follows(&self, path: &[&str]) -> Result<Option<String>, UpstreamError> {
        let info = self.result_info.map_or("", RawValue::get);
        let Some(value) = json::member(info, path).filter(|value| *value != "null") else {
            return Ok(None);
        };
        match serde_json::from_str::<String>(value) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => Err(UpstreamError::Unexpected(format!(
                "the answer's `result_info.{}` is not text",
                path.join(".")
            ))),
        }
    }
}

/// What upstream said went wrong.
#[derive(Default)]
pub(super) struct Errors {
    pub(super) codes: Vec<i64>,
    messages: Vec<String>,
}

impl Errors {
    pub(super) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Envelope<'_>>(body) {
            Ok(envelope) => envelope
                .errors
                .map_or_else(Self::default, |errors| Self::of(errors.get().as_bytes())),
            Err(_) => Self {
                codes: Vec::new(),
                messages: vec![plain(&String::from_utf8_lossy(body))],
            },
        }
    }

    fn of(errors: &[u8]) -> Self {
        let list: Vec<serde_json::Value> = serde_json::from_slice(errors).unwrap_or_default();
        let mut said = Self::default();
        for error in &list {
            let chain = error["error_chain"].as_array().into_iter().flatten();
            for error in std::iter::once(error).chain(chain) {
                said.codes.extend(error["code"].as_i64());
                said.messages.extend(error["message"].as_str().map(plain));
            }
        }
        said
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self
            .messages
            .iter()
            .map(String::as_str)
            .filter(|said| !said.is_empty())
            .collect();
        if messages.is_empty() {
            return Ok(());
        }
        let said: String = messages.join(": ").chars().take(MAX_SAID_CHARS).collect();
        write!(f, ": {said}")?;
        self.codes
            .first()
            .map_or(Ok(()), |code| write!(f, " (code {code})"))
    }
}

/// The beginning of a body that could not be read, for a person.
struct Beginning<'a>(&'a [u8]);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0[..self.0.len().min(4 * MAX_SAID_CHARS)]);
        if text.trim_start().starts_with(['{', '[']) {
            return Ok(());
        }
        write!(f, "; it begins `{}`", plain(&text))
    }
}

/// Upstream's text on one line, without its tags and control characters, cut to a length.
fn plain(text: &str) -> String {
    let mut in_tag = false;
    let visible = text.chars().filter(|&c| {
        let keep = !in_tag && c != '<';
        in_tag = (in_tag || c == '<') && c != '>';
        keep
    });
    let spaced: String = visible
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    spaced
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MAX_SAID_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(body: &str) -> Option<String> {
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        envelope.cursor().unwrap().map(|cursor| cursor.0)
    }

    #[test]
    fn the_cursor_is_found_in_both_places() {
        assert_eq!(
            cursor(r#"{"result_info":{"count":"1","cursor":"a="}}"#).as_deref(),
            Some("a=")
        );
        assert_eq!(
            cursor(r#"{"result_info":{"count":1,"cursors":{"after":"b"}}}"#).as_deref(),
            Some("b")
        );
        assert_eq!(
            cursor(r#"{"result_info":{"cursor":"","cursors":{"after":"b"}}}"#).as_deref(),
            Some("b")
        );
        assert_eq!(cursor(r#"{"result_info":{"cursor":""}}"#), None);
        assert_eq!(
            cursor(r#"{"result_info":{"cursor":null,"cursors":[]}}"#),
            None
        );
        assert_eq!(cursor(r#"{"result_info":null}"#), None);
        assert_eq!(cursor("{}"), None);
    }

    #[test]
    fn a_page_that_leads_on_is_never_taken_for_the_last() {
        // What else stands beside it may be as strange as it likes.
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        for beside in [r#""\ud800""#, "1e999", &deep] {
            let body = format!(r#"{{"result_info":{{"count":{beside},"cursor":"a"}}}}"#);
            assert_eq!(cursor(&body).as_deref(), Some("a"), "{beside}");
        }
        for strange in ["17", "{}", r#""\ud800""#] {
            let body =
                format!(r#"{{"result_info":{{"cursor":{strange},"next_page_token":{strange}}}}}"#);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert!(envelope.cursor().is_err(), "{strange}");
            assert!(envelope.next_page_token().is_err(), "{strange}");
        }
    }

    #[test]
    fn a_list_that_is_not_there_is_not_an_empty_one() {
        let items = |body: &str| {
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            envelope.items().map(|items| items.len())
        };
        assert_eq!(items(r#"{"result":[]}"#), Ok(0));
        assert_eq!(items(r#"{"result":[{},{}]}"#), Ok(2));
        for body in ["{}", r#"{"result":null}"#, r#"{"result":{}}"#] {
            assert!(items(body).is_err(), "{body}");
        }
        let total = |total: &str| {
            let body = format!(r#"{{"result_info":{{"total_size":{total}}}}}"#);
            Envelope::read(body.as_bytes()).unwrap().total_size()
        };
        assert_eq!((total("37"), total("\"37\"")), (Some(37), Some(37)));
        for strange in ["null", "-1", "1e3", "[]", "\"\"", "99999999999999999999"] {
            assert_eq!(total(strange), None, "{strange}");
        }
    }

    #[test]
    fn results_may_be_null_or_missing_but_are_lists() {
        let len = |body: &str| {
            Envelope::read(body.as_bytes())
                .unwrap()
                .result()
                .map(|list| list.len())
        };
        assert_eq!(len(r#"{"result":null,"success":true}"#), Ok(0));
        assert_eq!(len("{}"), Ok(0));
        assert_eq!(len(r#"{"result":[{},7]}"#), Ok(2));
        assert!(matches!(
            len(r#"{"result":{}}"#),
            Err(UpstreamError::Unexpected(_))
        ));
    }

    #[test]
    fn bodies_that_are_no_answer_are_told_shortly() {
        let told = |body: &str| Envelope::read(body.as_bytes()).err().unwrap().to_string();
        insta::assert_debug_snapshot!(
            [
                told(r#"{"errors":[],"result":[{"id":"6b3e"#),
                told("<html>\n<head><title>502 Bad Gateway</title></head>\x1b[2J</html>"),
                told(r#"{"success":false,"errors":[{"code":null,"message":"partial failure"}],"result":[]}"#),
                Errors::read(br#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format"}]}]}"#).to_string(),
                Errors::read(b"").to_string(),
            ],
            @r#"
        [
            "the answer is not whole, or not JSON: EOF while parsing a string at line 1 column 34",
            "the answer is not whole, or not JSON: expected value at line 1 column 1; it begins `502 Bad Gateway [2J`",
            "upstream answered 200 with `success: false`: partial failure",
            ": Invalid request headers: Invalid format (code 6003)",
            "",
        ]
        "#
        );
    }
}
