//! Tree to text: what [`parse`](super::parse()) reads as the same tree again.

use std::fmt::{self, Display, Formatter, Write as _};

use chrono::{DateTime, Utc};

use super::escape::write_escaped;
use super::tree::{Bound, Interval, Query};
use crate::clock::from_micros;
use crate::position::rfc3339;

impl Display for Query {
    /// What only a request's parameters can ask (a part of the entry, the last revision) is shown, and cannot be read again.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::And(parts) => write_joined(f, parts, " AND ", |part| {
                matches!(part, Self::And(_) | Self::Or(_))
            }),
            Self::Or(parts) => write_joined(f, parts, " OR ", |part| matches!(part, Self::Or(_))),
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                write_joined(f, std::slice::from_ref(&**inner), "", |part| {
                    matches!(part, Self::And(_) | Self::Or(_))
                })
            }
            Self::Words { part: None, text } => write_quoted(f, text),
            Self::Words {
                part: Some(part),
                text,
            } => {
                write!(f, "<{part:?}>")?;
                write_quoted(f, text)
            }
            Self::WordsLike { pattern, .. } => pattern.fmt(f),
            Self::WordMatches { regex, .. } => write_regex(f, regex),
            Self::Equals { path, value, .. } => {
                write_name(f, path)?;
                write_quoted(f, value)
            }
            Self::Contains { path, text, .. } => {
                write_name(f, path)?;
                // Lest it be read as an operator, its first character is escaped, too.
                f.write_char('\\')?;
                let first = text.chars().next().unwrap_or_default();
                f.write_char(first)?;
                write_escaped(f, &text[first.len_utf8()..])
            }
            Self::Like { path, pattern, .. } => {
                write_name(f, path)?;
                pattern.fmt(f)
            }
            Self::Matches { path, regex, .. } => {
                write_name(f, path)?;
                write_regex(f, regex)
            }
            Self::Within { path, interval, .. } => {
                write_name(f, path)?;
                interval.fmt(f)
            }
            Self::Exists { path, .. } => {
                write_name(f, path)?;
                f.write_str("*")
            }
            Self::OneOf { path, values } => {
                write_name(f, path)?;
                write!(f, "<one of {}>", values.len())
            }
            Self::At(places) => write!(f, "<one of {} events>", places.len()),
            Self::Latest => f.write_str("<latest>"),
        }
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time {
                since_us,
                before_us,
            } => {
                let shown = |micros: &Option<i64>| match micros {
                    Some(micros) => rfc3339(from_micros(*micros)),
                    None => "*".to_owned(),
                };
                write!(f, "[{} TO {}}}", shown(since_us), shown(before_us))
            }
            Self::Addresses { first, last } => write!(f, "[{first} TO {last}]"),
            Self::Values { lower, upper } => {
                f.write_char(if matches!(lower, Bound::Excluding(_)) {
                    '{'
                } else {
                    '['
                })?;
                write_bound(f, lower)?;
                f.write_str(" TO ")?;
                write_bound(f, upper)?;
                f.write_char(if matches!(upper, Bound::Excluding(_)) {
                    '}'
                } else {
                    ']'
                })
            }
        }
    }
}

/// The text that a moment is in fields whose values are texts.
pub(super) fn moment_text(micros: i64) -> String {
    let time: DateTime<Utc> = from_micros(micros);
    rfc3339(time)
}

fn write_joined(
    f: &mut Formatter<'_>,
    parts: &[Query],
    between: &str,
    needs_group: impl Fn(&Query) -> bool,
) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        if needs_group(part) {
            write!(f, "({part})")?;
        } else {
            part.fmt(f)?;
        }
    }
    Ok(())
}

fn write_name(f: &mut Formatter<'_>, path: &str) -> fmt::Result {
    for (i, c) in path.chars().enumerate() {
        // What begins with a digit is read as a name only where that is escaped.
        let is_plain = matches!(c, '_' | '.' | '@') || c.is_alphanumeric();
        if !is_plain || (i == 0 && c.is_numeric()) {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char(':')
}

fn write_quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

fn write_regex(f: &mut Formatter<'_>, regex: &str) -> fmt::Result {
    f.write_char('/')?;
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        if c == '/' {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
        // An escape's second half stays with it.
        if c == '\\'
            && let Some(next) = chars.next()
        {
            f.write_char(next)?;
        }
    }
    f.write_char('/')
}

fn write_bound(f: &mut Formatter<'_>, bound: &Bound) -> fmt::Result {
    match bound {
        Bound::Open => f.write_char('*'),
        Bound::Including(text) | Bound::Excluding(text) => write_quoted(f, text),
    }
}
