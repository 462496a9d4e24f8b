//! What is wrong with a configuration, all of it at once, each mistake with its place.
//!
//! While a configuration is read, a mistake is a [`KeyMistake`] at a [`Place`]; at the end the places are turned into
//! lines and columns, once, and the findings into the [`ConfigError`] that people see.

use std::fmt;

/// The most mistakes that a report shows. A file of another kind altogether has one on each line.
const MOST_SHOWN: usize = 50;

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `FILE:LINE:COLUMN`, the file alone, or the name of an environment variable.
    pub at: String,
    /// What is wrong and what to do about it, on one line.
    pub message: String,
}

impl ConfigError {
    /// The mistakes: those in the file in its order, then those in the environment, then what is missing.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The error that the file as a whole could not be had.
    pub(super) fn unreadable(file_name: &str, message: String) -> Self {
        Self {
            mistakes: vec![Mistake {
                at: file_name.to_owned(),
                message,
            }],
        }
    }

    pub(super) fn new(file_name: &str, text: &str, mut findings: Vec<KeyMistake>) -> Self {
        findings.sort();
        let mistakes = findings
            .into_iter()
            .map(|finding| Mistake {
                at: finding.place.describe(file_name, text),
                message: finding.message,
            })
            .collect();
        Self { mistakes }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        if count > 1 {
            writeln!(f, "{count} mistakes in the configuration:")?;
        }
        for (i, mistake) in self.mistakes.iter().take(MOST_SHOWN).enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        if count > MOST_SHOWN {
            write!(f, "\nand {} more", count - MOST_SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Where a value came from. The order is the order of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The byte of the file where it starts.
    Byte(usize),
    /// The environment variable with this name.
    Variable(String),
    /// Nowhere: it is missing, and the file as a whole is at fault.
    File,
}

impl Place {
    fn describe(&self, file_name: &str, text: &str) -> String {
        match self {
            Self::Byte(offset) => {
                let (line, column) = line_and_column(text, *offset);
                format!("{file_name}:{line}:{column}")
            }
            Self::Variable(name) => name.clone(),
            Self::File => file_name.to_owned(),
        }
    }

    /// How a message about another place speaks of this one.
    pub(super) fn mention(&self, text: &str) -> String {
        match self {
            Self::Byte(offset) => format!("on line {}", line_and_column(text, *offset).0),
            Self::Variable(name) => format!("in `{name}`"),
            Self::File => "by default".to_owned(),
        }
    }
}

/// Line and column of a byte, both counted from 1, the column in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_starts = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before[line_starts..].chars().count();
    (line, column)
}

/// One mistake, while the rest of the configuration is still being read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyMistake {
    pub(super) place: Place,
    pub(super) message: String,
}

/// A value, or the mistakes in it: a list can hold several.
pub(super) type Read<T> = Result<T, Vec<KeyMistake>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "ä = 1\r\n\tb = 2\n";
        let check = |offset, expect| assert_eq!(line_and_column(text, offset), expect);
        check(0, (1, 1));
        check(3, (1, 3));
        check(8, (2, 1));
        check(9, (2, 2));
        check(text.len(), (3, 1));
        check(text.len() + 100, (3, 1));
        // In the middle of a character: its start.
        check(1, (1, 1));
    }

    #[test]
    fn a_report_without_end_is_cut() {
        let findings = (0..1_000)
            .map(|n| KeyMistake {
                place: Place::Byte(n),
                message: "no".to_owned(),
            })
            .collect();
        let report = ConfigError::new("f", "", findings).to_string();
        assert_eq!(report.lines().count(), 1 + MOST_SHOWN + 1);
        assert!(report.ends_with("f:1:1: no\nand 950 more"), "{report}");
    }
}
