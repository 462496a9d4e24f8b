//! The parts of the file that have keys, and the environment variables of these keys.

use std::fmt;

/// The prefix of environment variables that set a key.
pub(super) const VARIABLE_PREFIX: &str = "ORGTRAIL__";

/// The prefix of a variable whose second underscore may be missing by mistake.
pub(super) const LIKE_OURS: &str = "ORGTRAIL_";

/// The variable with the token that commands send to a server. It sets no key.
pub(super) const SERVER_TOKEN: &str = "ORGTRAIL_TOKEN";

/// A part of the file that has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Header {
    /// The keys before the first header.
    Top,
    /// `[name]`, or `[name.inner]`.
    Table(&'static str),
    /// `[[name]]`, any number of them. Their keys have no environment variables.
    Each(&'static str),
}

impl Header {
    /// The header of a table inside this part.
    pub(super) fn path(self, name: &str) -> String {
        match self {
            Self::Top => name.to_owned(),
            Self::Table(outer) | Self::Each(outer) => format!("{outer}.{name}"),
        }
    }

    /// The environment variable that sets a key of this part.
    pub(super) fn variable(self, key: &str) -> Option<String> {
        let name = match self {
            Self::Top => key.to_owned(),
            Self::Table(table) => format!("{}__{key}", table.replace('.', "__")),
            Self::Each(_) => return None,
        };
        Some(format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase()))
    }
}

/// The place in words, for the end of a sentence.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => write!(f, "at the top of the file"),
            Self::Table(name) => write!(f, "in `[{name}]`"),
            Self::Each(name) => write!(f, "in `[[{name}]]`"),
        }
    }
}
