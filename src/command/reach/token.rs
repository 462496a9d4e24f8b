//! The token with which a command asks a server that was named.

use std::env::VarError;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;

/// The environment variable with the token for `--server`.
const TOKEN_VARIABLE: &str = "ORGTRAIL_TOKEN";

/// The token for the server that was named, if one is given: from the file, or else from the environment.
pub(super) fn token(file: Option<&Path>) -> Result<Option<SecretString>> {
    let (text, place) = match file {
        Some(path) => {
            let place = format!("`{}`", path.display());
            let text = std::fs::read_to_string(path);
            (
                text.with_context(|| format!("could not read {place}"))?,
                place,
            )
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (text, TOKEN_VARIABLE.to_owned()),
            Err(VarError::NotPresent) => return Ok(None),
            Err(VarError::NotUnicode(_)) => bail!("{TOKEN_VARIABLE} is not text"),
        },
    };
    token_in(&text, &place).map(Some)
}

/// The token in a text from `place`. A text that no header can have is never shown.
fn token_in(text: &str, place: &str) -> Result<SecretString> {
    let token = text.trim();
    if token.is_empty() {
        bail!("{place} has no token");
    }
    if token.starts_with("Bearer ") {
        bail!("{place} starts with `Bearer`: write the token alone");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{place} has more than one token in it: write the token alone");
    }
    Ok(token.to_owned().into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        assert_eq!(
            token_in(" otr_abc\n", "F").unwrap().expose_secret(),
            "otr_abc"
        );
        for wrong in [
            "",
            " \n",
            "Bearer otr_abc",
            "otr_abc otr_def",
            "otr_\u{1}abc",
        ] {
            let refused = token_in(wrong, "F").unwrap_err().to_string();
            assert!(
                refused.starts_with('F') && !refused.contains("otr_"),
                "{refused}"
            );
        }
    }
}
