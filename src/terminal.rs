//! What people see: lines on standard output, and upstream's text made harmless for a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use unicode_width::UnicodeWidthStr as _;

/// Writes a line to standard output.
///
/// # Errors
/// [`io::ErrorKind::BrokenPipe`] when the reader has closed it, or another error of writing.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Writes a line of progress to standard error.
///
/// # Errors
/// When it cannot be written.
pub fn note(line: impl Display) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}

/// Whether an error is only that the reader of our output has gone: `orgtrail search … | head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// How many columns a line of standard output may have: what `COLUMNS` says, or the terminal's width; `None` when neither does.
#[must_use]
pub fn width() -> Option<usize> {
    let set = std::env::var("COLUMNS").ok();
    let set = set.and_then(|columns| columns.parse().ok());
    let set = set.filter(|columns| *columns > 0);
    set.or_else(|| {
        let is_terminal = io::stdout().is_terminal();
        let (columns, _) = is_terminal.then(|| crossterm::terminal::size().ok())??;
        (columns > 0).then_some(columns.into())
    })
}

/// How many columns a text takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text on lines of at most `width` columns, broken between words only; a longer word has a line of its own. Each line after
/// the first begins with `indent` spaces.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut used = 0;
    for word in text.split_whitespace() {
        let len = columns(word);
        if used > 0 && used + 1 + len > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += len;
    }
    lines
}

/// Text that moves no cursor and turns no line around: control characters, and those that change the direction of what
/// follows, as a visible mark.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmful(c) { '\u{fffd}' } else { c })
        .collect()
}

/// As [`harmless`], and lines stay lines.
#[must_use]
pub fn harmless_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(harmless).collect();
    lines.join("\n")
}

/// The same JSON on one line, with the characters that [`harmless`] replaces written as escapes.
#[must_use]
pub fn harmless_json(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Outside a string, which cannot hold them as they are.
            '\n' | '\r' | '\t' => line.push(' '),
            c if is_harmful(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\r\n\u{9b}c\u{202e}d é 🏢"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c\u{fffd}d é 🏢"
        );
    }

    #[test]
    fn lines_are_broken_between_words_and_nowhere_else() {
        let text = "failing since 2026-08-03T09:10:00Z: zo\u{eb}@b\u{fc}cher.example refused";
        assert_eq!(
            wrapped(text, 24, 2),
            "failing since\n  2026-08-03T09:10:00Z:\n  zo\u{eb}@b\u{fc}cher.example\n  refused"
        );
        // A word that is too long stays whole, and wide characters take two columns each.
        assert_eq!(wrapped("a 0123456789 b", 5, 1), "a\n 0123456789\n b");
        assert_eq!(
            wrapped("\u{682a}\u{5f0f} \u{4f1a}\u{793e}", 8, 0),
            "\u{682a}\u{5f0f}\n\u{4f1a}\u{793e}"
        );
        assert_eq!(wrapped("", 5, 1), "");
    }

    #[test]
    fn json_stays_the_same_json_on_one_line() {
        let json = "{\n\t\"a\": \"x\u{9b}y\u{202e}\\n é 🏢\"\r\n}";
        let line = harmless_json(json);
        assert_eq!(line, "{  \"a\": \"x\\u009by\\u202e\\n é 🏢\"  }");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(json));
    }
}
