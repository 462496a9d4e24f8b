//! The envelope around every result: read as it may come, written as the API writes it.
//!
//! An answer that lacks a required member is not the same as one with an empty result: taken for an empty page, it would say that
//! nothing happened.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::paging::{ListInfo, LogInfo, ReceivedInfo};

/// An envelope as it was received. Its members may be missing, null, or of another type: what that means is said by the
/// method that needs them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Received<'a> {
    /// `None` when it is missing; the text `null` when it is null.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    success: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

/// A body that is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum NoEnvelope {
    /// An object that breaks JSON's rules before its end: the answer is complete, and cannot be read.
    #[error("{0}")]
    Malformed(serde_json::Error),
    /// Cut short, or never JSON.
    #[error("{0}")]
    Incomplete(serde_json::Error),
    /// JSON, but not an object.
    #[error("not an object")]
    NotAnObject,
}

/// What `success` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// `true`
    Yes,
    /// It is missing or null.
    Unsaid,
    /// `false`
    No,
    /// Something that is not a truth value.
    Strange,
}

/// A result that is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadResult {
    /// It is missing.
    Missing,
    /// It has another type than it must have.
    WrongType,
    /// It is empty or null beside errors.
    EmptyWithErrors,
    /// It is null without `success: true`.
    NullWithoutSuccess,
}

impl<'a> Received<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn read(body: &'a [u8]) -> Result<Self, NoEnvelope> {
        let is_object = body.trim_ascii_start().starts_with(b"{");
        match serde_json::from_slice(body) {
            Ok(envelope) if is_object => Ok(envelope),
            // An array is read like an object whose members come in order.
            Ok(_) => Err(NoEnvelope::NotAnObject),
            Err(error) if is_object && error.is_syntax() => Err(NoEnvelope::Malformed(error)),
            Err(error) => Err(NoEnvelope::Incomplete(error)),
        }
    }

    /// What `success` says.
    #[must_use]
    pub fn success(&self) -> Success {
        match self.success.map(RawValue::get) {
            None | Some("null") => Success::Unsaid,
            Some("true") => Success::Yes,
            Some("false") => Success::No,
            Some(_) => Success::Strange,
        }
    }

    /// The entries of a page of an audit log. `result: null` counts as an empty list where `success` is true.
    ///
    /// # Errors
    /// When the answer lacks what a page must have, or the result is not a list.
    pub fn entries(&self) -> Result<Vec<&'a RawValue>, BadResult> {
        let result = self.result.ok_or(BadResult::Missing)?;
        let list: Option<Vec<&RawValue>> =
            serde_json::from_str(result.get()).map_err(|_| BadResult::WrongType)?;
        match list {
            Some(list) if !list.is_empty() => Ok(list),
            _ if self.has_errors() => Err(BadResult::EmptyWithErrors),
            Some(list) => Ok(list),
            None if self.success() == Success::Yes => Ok(Vec::new()),
            None => Err(BadResult::NullWithoutSuccess),
        }
    }

    /// The items of a page of a list. A list that is null, or missing, is not an empty one.
    ///
    /// # Errors
    /// As [`Received::entries`], and when the result is null.
    pub fn items(&self) -> Result<Vec<&'a RawValue>, BadResult> {
        match self.result.filter(|result| result.get() != "null") {
            Some(_) => self.entries(),
            None => Err(BadResult::Missing),
        }
    }

    /// The one object that was asked for.
    ///
    /// # Errors
    /// When the result is not an object.
    pub fn item(&self) -> Result<&'a RawValue, BadResult> {
        let object = self.result.filter(|result| result.get().starts_with('{'));
        object.ok_or(BadResult::WrongType)
    }

    /// Where the next page begins, and how much there is.
    #[must_use]
    pub fn info(&self) -> ReceivedInfo<'a> {
        ReceivedInfo(self.result_info.map_or("", RawValue::get))
    }

    /// The errors that can be read.
    #[must_use]
    pub fn errors(&self) -> Vec<ApiError> {
        self.errors
            .map(|errors| ApiError::read_list(errors.get()))
            .unwrap_or_default()
    }

    /// Whether it reports an error, in whatever form.
    fn has_errors(&self) -> bool {
        self.errors.map(RawValue::get).is_some_and(|errors| {
            let list = serde_json::from_str::<Option<Vec<&RawValue>>>(errors);
            !list.is_ok_and(|list| list.is_none_or(|list| list.is_empty()))
        })
    }
}

/// A member that is there, even if it is null.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// An envelope as it is written. What an answer does not have is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CloudflareAnswer)]
pub struct Envelope<T> {
    /// Empty on success.
    pub errors: Vec<ApiError>,
    /// Always empty where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<ApiError>, required = false)]
    pub messages: Option<Vec<ApiError>>,
    /// The result.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    pub result: Option<T>,
    /// For pages of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ListInfo, required = false)]
    pub result_info: Option<ListInfo>,
    /// Whether the call did what was asked.
    pub success: bool,
}

impl<T> Envelope<T> {
    /// Around a result.
    #[must_use]
    pub fn of(result: T) -> Self {
        Self {
            errors: Vec::new(),
            messages: Some(Vec::new()),
            result: Some(result),
            result_info: None,
            success: true,
        }
    }

    /// Around a page of a list.
    #[must_use]
    pub fn of_list(items: T, info: ListInfo) -> Self {
        Self {
            result_info: Some(info),
            ..Self::of(items)
        }
    }
}

impl<T> Envelope<Vec<T>> {
    /// Around a list that comes as a whole.
    #[must_use]
    pub fn of_whole(items: Vec<T>) -> Self {
        Self {
            messages: None,
            ..Self::of(items)
        }
    }
}

/// A page of an audit log in its envelope, as [`log_page`] writes it: for the description of the API.
#[derive(Debug, ToSchema)]
#[schema(as = CloudflareLogPage, description = "A page of an audit log in its envelope.")]
pub struct LogPageForm {
    /// Empty.
    pub errors: Vec<ApiError>,
    /// On pages of a history: empty.
    #[schema(value_type = Vec<ApiError>, required = false)]
    pub messages: Option<Vec<ApiError>>,
    /// The entries, byte for byte as Cloudflare sent them.
    pub result: Vec<Value>,
    /// Where the next page begins.
    pub result_info: LogInfo,
    /// Always true.
    pub success: bool,
}

/// A page of an audit log in its envelope. It is put together as text, because an entry goes out byte for byte as it is held,
/// JSON or not.
///
/// # Errors
/// When `info` cannot be written, which does not happen.
pub fn log_page<T: AsRef<str>>(entries: &[T], info: &LogInfo) -> serde_json::Result<String> {
    let length: usize = entries.iter().map(|entry| entry.as_ref().len() + 1).sum();
    let mut body = String::with_capacity(length + 256);
    body.push_str(r#"{"errors":[],"result":["#);
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        body.push_str(entry.as_ref());
    }
    body.push_str(r#"],"result_info":"#);
    body.push_str(&serde_json::to_string(info)?);
    body.push_str(r#","success":true"#);
    if info.history_status.is_some() {
        body.push_str(r#","messages":[]"#);
    }
    body.push('}');
    Ok(body)
}

impl Envelope<Value> {
    /// A failure in the platform's usual form: the result is null.
    #[must_use]
    pub fn of_error(error: ApiError) -> Self {
        Self {
            errors: vec![error],
            success: false,
            ..Self::of(Value::Null)
        }
    }

    /// A failure as the audit logs' schema has it for a 4xx: a message without a code, and no result.
    #[must_use]
    pub fn of_message(message: impl Into<String>) -> Self {
        Self {
            result: None,
            ..Self::of_error(ApiError::of_message(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    fn text(envelope: &impl Serialize) -> String {
        serde_json::to_string(envelope).unwrap()
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let info = ListInfo {
            next_page_token: Some("t".to_owned()),
            total_size: Some(3),
        };
        let text = text(&Envelope::of_list(vec![1, 2], info));
        let read = Received::read(text.as_bytes()).unwrap();
        assert_eq!(read.success(), Success::Yes);
        assert_eq!(read.items().unwrap().len(), 2);
        assert_eq!(read.info().next_page_token(), Ok(Some("t".to_owned())));
        assert_eq!(read.info().total_size(), Some(3));
        assert_eq!(read.errors(), []);
        assert_eq!(read.item().err(), Some(BadResult::WrongType));
    }

    #[test]
    fn both_forms_of_a_failure_are_read_as_they_are_written() {
        let usual = ApiError::coded(error::AUTHENTICATION, "Authentication error");
        let usual = text(&Envelope::of_error(usual));
        assert_eq!(
            usual,
            r#"{"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null,"success":false}"#
        );
        let own = text(&Envelope::of_message("since is required"));
        assert_eq!(
            own,
            r#"{"errors":[{"message":"since is required"}],"messages":[],"success":false}"#
        );
        for (text, code) in [(usual, Some(error::AUTHENTICATION)), (own, None)] {
            let read = Received::read(text.as_bytes()).unwrap();
            assert_eq!(read.success(), Success::No);
            assert_eq!(read.errors()[0].code, code);
            assert!(read.entries().is_err() && read.items().is_err());
        }
    }
}
