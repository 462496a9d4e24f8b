//! `result_info`: where the next page begins, and how much there is.
//!
//! The audit logs page by a cursor, which the reference has at `cursor` and the official clients read at `cursors.after`.
//! Lists page by a token. A reader accepts every place; a writer chooses one.

use serde::Serialize;
use utoipa::ToSchema;

use crate::json;

/// The opaque text that continues a query of an audit log. It is good for one query only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

/// Where a page of an audit log has its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorForm {
    /// `result_info.cursor`, missing on the last page; `count` is a text.
    Documented,
    /// `result_info.cursors.after`, missing on the last page; `count` is a number.
    After,
    /// Both, and both empty texts on the last page; `count` is a text.
    Both,
}

/// How well the resource of a history is known: `result_info.history_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CloudflareHistoryStatus)]
pub enum HistoryStatus {
    /// By its URI.
    Exact,
    /// By its id, product and type.
    Approximate,
    /// Not at all: the result is empty.
    Unavailable,
}

/// `result_info` of a page of an audit log, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CloudflareLogInfo)]
pub struct LogInfo {
    #[schema(value_type = String)]
    count: Count,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Cursors, required = false)]
    cursors: Option<Cursors>,
    /// On pages of a history only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = HistoryStatus, required = false)]
    pub history_status: Option<HistoryStatus>,
}

/// The number of entries on a page: the reference has a text, and an official program reads a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Count {
    Text(String),
    Number(usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CloudflareCursors)]
struct Cursors {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    after: Option<String>,
}

impl LogInfo {
    /// Of a page with `count` entries, whose cursor is `cursor`; the last page has none.
    #[must_use]
    pub fn new(count: usize, cursor: Option<&Cursor>, form: CursorForm) -> Self {
        let cursor = cursor.map(|Cursor(text)| text.clone());
        let (cursor, after) = match form {
            CursorForm::Documented => (cursor, None),
            CursorForm::After => (None, Some(cursor)),
            CursorForm::Both => {
                let text = Some(cursor.unwrap_or_default());
                (text.clone(), Some(text))
            }
        };
        Self {
            count: match form {
                CursorForm::After => Count::Number(count),
                CursorForm::Documented | CursorForm::Both => Count::Text(count.to_string()),
            },
            cursor,
            cursors: after.map(|after| Cursors { after }),
            history_status: None,
        }
    }
}

/// `result_info` of a page of a list, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CloudflareListInfo)]
pub struct ListInfo {
    /// Left out on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub next_page_token: Option<String>,
    /// How many items there are on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = usize, required = false)]
    pub total_size: Option<usize>,
}

/// `result_info` as it was received: JSON text of any shape, empty when there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceivedInfo<'a>(pub &'a str);

/// A member of `result_info` that continues the query cannot be read. It must not count as missing: a page in the middle
/// would pass for the last one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's `result_info.{0}` is not text")]
pub struct NotText(pub String);

impl ReceivedInfo<'_> {
    /// The cursor of the next page of an audit log, in either of its two places.
    ///
    /// # Errors
    /// When it is not text.
    pub fn cursor(self) -> Result<Option<Cursor>, NotText> {
        let found = match self.next(&["cursor"])? {
            None => self.next(&["cursors", "after"])?,
            found => found,
        };
        Ok(found.map(Cursor))
    }

    /// The token of the next page of a list.
    ///
    /// # Errors
    /// When it is not text.
    pub fn next_page_token(self) -> Result<Option<String>, NotText> {
        self.next(&["next_page_token"])
    }

    /// How many items a list has on all its pages, if the answer says so, as a number or as a text.
    #[must_use]
    pub fn total_size(self) -> Option<u64> {
        let value = json::member(self.0, &["total_size"])?;
        value.trim_matches('"').parse().ok()
    }

    /// A text that leads to the next page. Missing, null and empty are the same: there is none.
    fn next(self, path: &[&str]) -> Result<Option<String>, NotText> {
        let Some(value) = json::member(self.0, path).filter(|value| *value != "null") else {
            return Ok(None);
        };
        match serde_json::from_str::<String>(value) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => Err(NotText(path.join("."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_wherever_it_is_written() {
        let cursor = Cursor("a=".to_owned());
        for (form, with, without) in [
            (
                CursorForm::Documented,
                r#"{"count":"2","cursor":"a="}"#,
                r#"{"count":"0"}"#,
            ),
            (
                CursorForm::After,
                r#"{"count":2,"cursors":{"after":"a="}}"#,
                r#"{"count":0,"cursors":{}}"#,
            ),
            (
                CursorForm::Both,
                r#"{"count":"2","cursor":"a=","cursors":{"after":"a="}}"#,
                r#"{"count":"0","cursor":"","cursors":{"after":""}}"#,
            ),
        ] {
            for (count, cursor, expected) in [(2, Some(&cursor), with), (0, None, without)] {
                let info = LogInfo::new(count, cursor, form);
                let text = serde_json::to_string(&info).unwrap();
                assert_eq!(text, expected);
                assert_eq!(ReceivedInfo(&text).cursor(), Ok(cursor.cloned()), "{text}");
            }
        }
    }

    #[test]
    fn a_list_says_how_much_there_is_and_where_it_continues() {
        let info = ListInfo {
            next_page_token: Some("t".to_owned()),
            total_size: Some(37),
        };
        let text = serde_json::to_string(&info).unwrap();
        let read = ReceivedInfo(&text);
        assert_eq!(read.next_page_token(), Ok(Some("t".to_owned())));
        assert_eq!(read.total_size(), Some(37));
        let last = serde_json::to_string(&ListInfo::default()).unwrap();
        assert_eq!(ReceivedInfo(&last).next_page_token(), Ok(None));
        assert_eq!(ReceivedInfo("").total_size(), None);
        assert_eq!(
            ReceivedInfo(r#"{"next_page_token":7}"#).next_page_token(),
            Err(NotText("next_page_token".to_owned()))
        );
    }
}
