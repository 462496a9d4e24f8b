//! Texts as the language writes them outside quotes.

use std::fmt::{self, Formatter, Write as _};

/// A text outside quotes, in which nothing has a meaning of its own.
pub(super) fn write_escaped(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if !c.is_alphanumeric() {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    Ok(())
}
