//! How messages to people name things: a value in backticks, an error with its causes, and the known name that was
//! probably meant.
//!
//! It knows nothing of what the names are names of.

/// The most characters of a value that a message repeats.
const MOST_SHOWN: usize = 60;

/// Names that differ in more than this share of their characters are not taken for one another.
const MOST_DIFFERENT: f64 = 0.4;

/// Names longer than this, in bytes, are not compared.
const MOST_COMPARED: usize = 100;

/// An error with its causes, on one line. A cause whose text the error contains already is left out.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.ends_with(&next) {
            said = format!("{said}: {next}");
        }
        cause = error.source();
    }
    said
}

/// The innermost cause of an error: of a call over the network, what the system said, without the layers between.
#[must_use]
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// A value in backticks, as a message shows it: on one line, cut when it is long, without control characters.
#[must_use]
pub fn quoted(value: &str) -> String {
    if value.is_empty() {
        return "an empty text".to_owned();
    }
    let mut shown = String::from("`");
    let mut characters = value.chars();
    for c in characters.by_ref().take(MOST_SHOWN) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// The name that was probably meant by `name`: the first that only goes on before it, as `actor.email` does for `email`, or
/// else the one that is spelled most like it, if any is. Case does not count.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase();
    if name.len() > MOST_COMPARED || !name.contains(char::is_alphanumeric) {
        return None;
    }
    let ends_with_it = |candidate: &str| {
        let before = candidate.strip_suffix(&name);
        before.is_some_and(|before| before.ends_with(['.', '_']))
    };
    let mut likest: Option<(usize, &str)> = None;
    let mut longer = None;
    for candidate in known {
        if candidate.len() > MOST_COMPARED {
            continue;
        }
        let folded = candidate.to_lowercase();
        let edits = strsim::osa_distance(&name, &folded);
        let longest = name.chars().count().max(candidate.chars().count()) as f64;
        let is_like_it = edits as f64 <= longest * MOST_DIFFERENT;
        if is_like_it && likest.is_none_or(|(fewest, _)| edits < fewest) {
            likest = Some((edits, candidate));
        }
        if longer.is_none() && ends_with_it(&folded) {
            longer = Some(candidate);
        }
    }
    longer.or(likest.map(|(_, candidate)| candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_on_one_line_and_not_for_ever() {
        assert_eq!(quoted("10m"), "`10m`");
        assert_eq!(quoted(""), "an empty text");
        assert_eq!(quoted("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quoted(&"é".repeat(60)), format!("`{}`", "é".repeat(60)));
        assert_eq!(quoted(&"é".repeat(61)), format!("`{}…`", "é".repeat(60)));
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["listen", "auth", "page_size", "max_requests"];
        let check = |name, expect| assert_eq!(nearest(name, known), expect, "{name}");
        check("lisetn", Some("listen"));
        check("Listen", Some("listen"));
        check("pagesize", Some("page_size"));
        check("max-requests", Some("max_requests"));
        check("size", Some("page_size"));
        check("ize", None);
        assert_eq!(nearest("*", ["accounts.*", "ab"]), None);
        check("colour", None);
        check("", None);
        check(&"a".repeat(1_000), None);
    }
}
