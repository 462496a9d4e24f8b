//! A mistake in a query, shown with its place.

use crate::terminal::columns;

/// A mistake in a query, and its place.
#[derive(Debug, thiserror::Error)]
#[error("{message} (at character {at})")]
pub(in crate::command) struct Misread {
    message: String,
    /// The character, from 0.
    at: usize,
}

impl Misread {
    pub(in crate::command) fn new(message: impl ToString, at: usize) -> Self {
        Self {
            message: message.to_string(),
            at,
        }
    }

    /// The same, with a line of the query below it and a mark below the place. A query of several lines is not shown.
    pub(in crate::command) fn point_into(&self, query: &str) -> String {
        if query.is_empty() || query.chars().any(char::is_control) {
            return self.to_string();
        }
        let before: String = query.chars().take(self.at).collect();
        let mark = " ".repeat(columns(&before));
        format!("{self}\n  {query}\n  {mark}^")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_query_is_pointed_at() {
        let misread = Misread::new("this parenthesis is not closed", 6);
        let said = "this parenthesis is not closed (at character 6)";
        assert_eq!(
            misread.point_into("東京 a (b"),
            format!("{said}\n  東京 a (b\n          ^")
        );
        assert_eq!(misread.point_into(""), said);
        assert_eq!(misread.point_into("a\nb"), said);
    }
}
