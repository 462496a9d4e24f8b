//! What people see: lines on standard output, and upstream's text made harmless for a terminal.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line to standard output.
///
/// # Errors
/// When nobody reads it any more ([`io::ErrorKind::BrokenPipe`]), or it cannot be written.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Writes a line to standard error: what is being done, for whoever waits.
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
    fn json_stays_the_same_json_on_one_line() {
        let json = "{\n\t\"a\": \"x\u{9b}y\u{202e}\\n é 🏢\"\r\n}";
        let line = harmless_json(json);
        assert_eq!(line, "{  \"a\": \"x\\u009by\\u202e\\n é 🏢\"  }");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(json));
    }
}
