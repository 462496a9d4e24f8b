//! What upstream wraps its answers in, read as they may come: members missing, null or of another type, errors in any shape.
//!
//! It does not know what was asked, nor what follows from an answer.

use std::fmt;

use orgtrail_cloudflare::envelope::{BadResult, NoEnvelope, Received, Success};
use orgtrail_cloudflare::error::ApiError;
use orgtrail_cloudflare::paging::NotText;
use serde_json::value::RawValue;

use super::error::UpstreamError;
use crate::mask::Mask;
use crate::position::Cursor;

/// How much of what upstream says is repeated in an error, in characters.
const MAX_SAID_CHARS: usize = 200;

/// How much of a body that could not be read is searched for words, in bytes.
const MAX_LOOKED_AT_BYTES: usize = 64 * 1024;

/// The envelope around every result, whose failures say what the caller does about them.
pub(super) struct Envelope<'a> {
    received: Received<'a>,
    /// Hides credentials in what is repeated of it.
    mask: &'a Mask,
}

impl<'a> Envelope<'a> {
    /// Reads an answer with status 200.
    ///
    /// # Errors
    /// [`UpstreamError::Unreadable`] when the answer is an object that breaks JSON's rules before its end;
    /// [`UpstreamError::Transient`] when it is cut, something else than an object, or reports a failure.
    pub(super) fn read(body: &'a [u8], mask: &'a Mask) -> Result<Self, UpstreamError> {
        let received = Received::read(body).map_err(|error| no_envelope(&error, body, mask))?;
        let envelope = Self { received, mask };
        let word = match envelope.received.success() {
            Success::Yes | Success::Unsaid => return Ok(envelope),
            Success::No => "false",
            // Anything but a short word is not repeated.
            Success::Strange => "…",
        };
        let said = envelope.said();
        Err(UpstreamError::Transient(format!(
            "upstream answered 200 with `success: {word}`{said}"
        )))
    }

    /// The list that is the result. An answer without a result, and an empty one beside errors, proves nothing: taken for an
    /// empty page it would say that nothing happened.
    ///
    /// # Errors
    /// [`UpstreamError::Transient`] when the answer lacks what it must have, [`UpstreamError::Unexpected`] when the result is
    /// no list.
    pub(super) fn result(&self) -> Result<Vec<&'a RawValue>, UpstreamError> {
        self.received
            .entries()
            .map_err(|error| self.bad_list(error))
    }

    fn bad_list(&self, error: BadResult) -> UpstreamError {
        let what = match error {
            BadResult::Missing => "without a `result`",
            BadResult::EmptyWithErrors => "with errors and without entries",
            BadResult::NullWithoutSuccess => "with `result: null` and without `success: true`",
            BadResult::WrongType => {
                return UpstreamError::Unexpected("the answer's `result` is not a list".into());
            }
        };
        let said = self.said();
        UpstreamError::Transient(format!("upstream answered 200 {what}{said}"))
    }

    fn said(&self) -> Errors {
        Errors::of(&self.received.errors(), self.mask)
    }

    /// The cursor, where the reference has it or where the official clients look for it.
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, UpstreamError> {
        self.received.info().cursor().map_err(not_text)
    }

    pub(super) fn next_page_token(&self) -> Result<Option<String>, UpstreamError> {
        self.received.info().next_page_token().map_err(not_text)
    }

    /// The items of a page of a list. A list that is null, or not there at all, is not an empty one.
    pub(super) fn items(&self) -> Result<Vec<&'a RawValue>, UpstreamError> {
        self.received.items().map_err(|error| match error {
            BadResult::Missing => UpstreamError::Unexpected("the answer has no `result`".into()),
            error => self.bad_list(error),
        })
    }

    /// How many items a list has on all its pages, if the answer says so.
    pub(super) fn total_size(&self) -> Option<u64> {
        self.received.info().total_size()
    }

    /// The one thing that was requested.
    pub(super) fn item(&self) -> Result<&'a RawValue, UpstreamError> {
        self.received
            .item()
            .map_err(|_| UpstreamError::Unexpected("the answer's `result` is not an object".into()))
    }
}

/// Taken for none, a cursor that cannot be read would make a page in the middle pass for the last one.
fn not_text(error: NotText) -> UpstreamError {
    UpstreamError::Unexpected(error.to_string())
}

fn no_envelope(error: &NoEnvelope, body: &[u8], mask: &Mask) -> UpstreamError {
    let why = || {
        format!(
            "the answer is not whole, or not JSON: {}{}",
            mask.hide(&error.to_string()),
            Beginning(body, mask)
        )
    };
    match error {
        NoEnvelope::Malformed(_) => UpstreamError::Unreadable(why()),
        NoEnvelope::Incomplete(_) => UpstreamError::Transient(why()),
        NoEnvelope::NotAnObject => {
            UpstreamError::Transient("the answer is JSON, but not an object".to_owned())
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
    /// Reads the body of a failure. One that is no envelope is repeated as it is.
    pub(super) fn read(body: &[u8], mask: &Mask) -> Self {
        match Received::read(body) {
            Ok(envelope) => Self::of(&envelope.errors(), mask),
            Err(NoEnvelope::NotAnObject) => Self::default(),
            Err(_) => Self {
                codes: Vec::new(),
                messages: vec![plain(&String::from_utf8_lossy(body), mask)],
            },
        }
    }

    fn of(errors: &[ApiError], mask: &Mask) -> Self {
        let errors = || errors.iter().flat_map(ApiError::with_causes);
        let messages = errors().filter_map(|error| error.message.as_deref());
        Self {
            codes: errors().filter_map(|error| error.code).collect(),
            messages: messages.map(|text| plain(text, mask)).collect(),
        }
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
struct Beginning<'a>(&'a [u8], &'a Mask);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(body, mask) = self;
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_LOOKED_AT_BYTES)]);
        if text.trim_start().starts_with(['{', '[']) {
            return Ok(());
        }
        write!(f, "; it begins `{}`", plain(&text, mask))
    }
}

/// The one place that upstream's words pass before they are shown: on one line, without tags and control characters, without
/// credentials, and only then cut to a length, so that no credential is cut in two and missed.
fn plain(text: &str, mask: &Mask) -> String {
    let mut in_tag = false;
    let visible = text.chars().filter(|&c| {
        let keep = !in_tag && c != '<';
        in_tag = (in_tag || c == '<') && c != '>';
        keep
    });
    let spaced: String = visible
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    mask.hide(&line).chars().take(MAX_SAID_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static MASK: LazyLock<Mask> = LazyLock::new(Mask::default);

    fn cursor(body: &str) -> Option<String> {
        let envelope = Envelope::read(body.as_bytes(), &MASK).unwrap();
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
            let envelope = Envelope::read(body.as_bytes(), &MASK).unwrap();
            assert!(envelope.cursor().is_err(), "{strange}");
            assert!(envelope.next_page_token().is_err(), "{strange}");
        }
    }

    #[test]
    fn a_list_that_is_not_there_is_not_an_empty_one() {
        let items = |body: &str| {
            let envelope = Envelope::read(body.as_bytes(), &MASK).unwrap();
            envelope.items().map(|items| items.len())
        };
        assert_eq!(items(r#"{"result":[]}"#), Ok(0));
        assert_eq!(items(r#"{"result":[{},{}]}"#), Ok(2));
        for body in ["{}", r#"{"result":null}"#, r#"{"result":{}}"#] {
            assert!(items(body).is_err(), "{body}");
        }
        let total = |total: &str| {
            let body = format!(r#"{{"result_info":{{"total_size":{total}}}}}"#);
            Envelope::read(body.as_bytes(), &MASK).unwrap().total_size()
        };
        assert_eq!((total("37"), total("\"37\"")), (Some(37), Some(37)));
        for strange in ["null", "-1", "1e3", "[]", "\"\"", "99999999999999999999"] {
            assert_eq!(total(strange), None, "{strange}");
        }
    }

    #[test]
    fn an_answer_that_lacks_what_a_page_must_have_is_not_an_empty_page() {
        let len = |body: &str| {
            let envelope = Envelope::read(body.as_bytes(), &MASK)?;
            envelope.result().map(|list| list.len())
        };
        let is_refused = |body: &str| matches!(len(body), Err(UpstreamError::Transient(_)));
        assert_eq!(len(r#"{"result":[],"success":true,"errors":[]}"#), Ok(0));
        assert_eq!(
            len(r#"{"result":null,"success":true,"errors":null,"result_info":null}"#),
            Ok(0)
        );
        assert_eq!(len(r#"{"result":[]}"#), Ok(0));
        assert_eq!(len(r#"{"result":[{},7]}"#), Ok(2));
        // The reference's own example has an error beside entries and `success: true`.
        assert_eq!(
            len(r#"{"errors":[{"message":"m"}],"result":[{}],"success":true}"#),
            Ok(1)
        );
        for lacking in [
            "{}",
            "[]",
            "null",
            r#"[{"a":1}]"#,
            r#"[[{}],null,true,null]"#,
            r#"{"success":true}"#,
            r#"{"result":null}"#,
            r#"{"result":null,"success":null}"#,
            r#"{"result":null,"success":true,"errors":[{"message":"timeout"}]}"#,
            r#"{"result":null,"success":true,"errors":"timeout"}"#,
            r#"{"result":null,"success":true,"errors":{"message":"timeout"}}"#,
            r#"{"result":[],"success":true,"errors":[{"message":"timeout"}]}"#,
            r#"{"result":[],"success":false}"#,
            r#"{"result":[],"success":"no"}"#,
            r#"{"result":[],"success":0}"#,
        ] {
            assert!(is_refused(lacking), "{lacking}: {:?}", len(lacking));
        }
        assert!(matches!(
            len(r#"{"result":{}}"#),
            Err(UpstreamError::Unexpected(_))
        ));
    }

    #[test]
    fn an_answer_that_is_broken_inside_is_told_from_one_that_is_cut() {
        let whole =
            br#"{"errors":[],"result":[{"id":"a","t":"xyz"}],"result_info":{},"success":true}"#;
        assert!(Envelope::read(whole, &MASK).is_ok());
        let read = |body: &[u8]| Envelope::read(body, &MASK).err();
        for at in 1..whole.len() {
            assert!(
                matches!(read(&whole[..at]), Some(UpstreamError::Transient(_))),
                "cut at {at}"
            );
        }
        let at = whole.iter().position(|byte| *byte == b'x').unwrap();
        for bad in [0x00, 0x01, 0x0a, 0x1f, 0x80, 0xff] {
            let mut broken = whole.to_vec();
            broken[at] = bad;
            assert!(
                matches!(read(&broken), Some(UpstreamError::Unreadable(_))),
                "{bad:#x}"
            );
        }
        // What was never upstream's answer says nothing of an entry.
        assert!(matches!(
            read(b"<html></html>"),
            Some(UpstreamError::Transient(_))
        ));
    }

    #[test]
    fn bodies_that_are_no_answer_are_told_shortly() {
        let told = |body: &str| {
            Envelope::read(body.as_bytes(), &MASK)
                .err()
                .unwrap()
                .to_string()
        };
        insta::assert_debug_snapshot!(
            [
                told(r#"{"errors":[],"result":[{"id":"6b3e"#),
                told("<html>\n<head><title>502 Bad Gateway</title></head>\x1b[2J</html>"),
                told(r#"{"success":false,"errors":[{"code":null,"message":"partial failure"}],"result":[]}"#),
                Errors::read(br#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format"}]}]}"#, &MASK).to_string(),
                Errors::read(b"", &MASK).to_string(),
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

    #[test]
    fn a_message_is_cut_after_the_credential_in_it_is_hidden() {
        let token = "Zx81kPq0aB3cD5eF7gH9iJ1kL3mN5oP7qR9sTuVw";
        let mask = Mask::new(token);
        let (first, rest) = token.split_at(17);
        for long in 0..MAX_SAID_CHARS + 50 {
            let words = "-".repeat(long);
            let error = format!(r#"{{"errors":[{{"message":"{words} {token}"}}]}}"#);
            let page = format!("<html>{words}{first}<b>\n</b>{rest}");
            for said in [
                Errors::read(error.as_bytes(), &mask).to_string(),
                Errors::read(page.as_bytes(), &mask).to_string(),
                Envelope::read(page.as_bytes(), &mask)
                    .err()
                    .unwrap()
                    .to_string(),
            ] {
                let shown = (0..token.len() - 6).find(|at| said.contains(&token[*at..at + 6]));
                assert_eq!(shown, None, "{said}");
            }
        }
        let text = format!("\"{token}\"");
        let error = Envelope::read(text.as_bytes(), &mask).err().unwrap();
        assert!(!error.to_string().contains(token), "{error}");
    }
}
