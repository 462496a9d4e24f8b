//! Text as HTML. Everything that is shown passes here.

use std::fmt::{self, Display, Write as _};

/// A text in which HTML's own characters are written as references.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A sentence in which what stands between backticks is code.
pub(super) struct Prose<'a>(pub(super) &'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, piece) in self.0.split('`').enumerate() {
            match number % 2 {
                0 => write!(f, "{}", Escaped(piece))?,
                _ => write!(f, "<code>{}</code>", Escaped(piece))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_a_tag() {
        let shown = Prose("a <b> & `<script>` \"'").to_string();
        assert_eq!(
            shown,
            "a &lt;b&gt; &amp; <code>&lt;script&gt;</code> &quot;&#39;"
        );
    }
}
