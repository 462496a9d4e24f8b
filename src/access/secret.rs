//! The secrets that prove who sends a request: API tokens, the keys of sessions, and those of feeds.
//!
//! A token is `otr_`, 40 random base62 characters, and 6 more with the CRC-32 of those 40: a mistyped token is recognised
//! without asking anybody, and scanners of repositories can find leaked ones by their form. What is stored is the SHA-256
//! of a secret. A secret of 238 random bits cannot be guessed from it, so no slow hash is needed.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The digits of base62, in the order of their values.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What every token begins with.
const TOKEN_PREFIX: &str = "otr_";

/// What the secret of every feed begins with.
const FEED_PREFIX: &str = "otr_feed_";

/// How many random characters a secret has.
const RANDOM_LEN: usize = 40;

/// How many characters its checksum has: enough for 32 bits.
const CHECKSUM_LEN: usize = 6;

/// Why a text is no token of ours. The messages do not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadApiToken {
    /// It has another form.
    #[error("a token is `otr_` and 46 letters and digits")]
    Form,
    /// A character is wrong.
    #[error("the checksum of the token does not match: a character is wrong or missing")]
    Checksum,
}

/// The SHA-256 of a secret: what is stored and compared.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The hash that was stored as `bytes`; `None` if they are not 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same. The time that it takes does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Does not print the hash: a log must not contain hashes that stolen tokens could be compared with.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// An API token of ours. It is shown once, when it is created.
#[derive(Clone, Debug)]
pub struct ApiToken(SecretString);

impl ApiToken {
    /// A new token.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self(with_checksum(TOKEN_PREFIX)?))
    }

    /// Reads a token as a client sent it.
    ///
    /// # Errors
    /// [`BadApiToken`] if it cannot be one.
    pub fn parse(text: &str) -> Result<Self, BadApiToken> {
        check(TOKEN_PREFIX, text)?;
        Ok(Self(text.to_owned().into()))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose_secret())
    }

    /// The token itself, for the one who created it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The secret in the URLs of a feed of alerts: `otr_feed_`, 40 random base62 characters, and their checksum as a token has it. It is
/// shown once, when the feed is created.
#[derive(Clone, Debug)]
pub struct FeedKey(SecretString);

impl FeedKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self(with_checksum(FEED_PREFIX)?))
    }

    /// Reads a key as a client sent it; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        check(FEED_PREFIX, text).ok()?;
        Some(Self(text.to_owned().into()))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose_secret())
    }

    /// The key itself, for the URLs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A new secret: the prefix, random characters, and their checksum.
fn with_checksum(prefix: &str) -> std::io::Result<SecretString> {
    let random = random_text()?;
    let checksum = checksum(&random);
    Ok(format!("{prefix}{random}{checksum}").into())
}

/// Checks that a text has the form of such a secret, and that its checksum matches.
fn check(prefix: &str, text: &str) -> Result<(), BadApiToken> {
    let body = text.strip_prefix(prefix).ok_or(BadApiToken::Form)?;
    let is_base62 = body.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if body.len() != RANDOM_LEN + CHECKSUM_LEN || !is_base62 {
        return Err(BadApiToken::Form);
    }
    let (random, written) = body.split_at(RANDOM_LEN);
    if checksum(random) != written {
        return Err(BadApiToken::Checksum);
    }
    Ok(())
}

/// What a browser's cookie holds in place of a token.
#[derive(Clone, Debug)]
pub struct SessionKey(SecretString);

impl SessionKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self(random_text()?.into()))
    }

    /// Reads a key as a browser sent it; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_base62 = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (text.len() == RANDOM_LEN && is_base62).then(|| Self(text.to_owned().into()))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose_secret())
    }

    /// The key itself, for the cookie.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Random base62 characters, each as likely as every other.
fn random_text() -> std::io::Result<String> {
    /// The bytes below this are a multiple of 62; the others would favour the first digits.
    const BELOW: u8 = 248;
    let mut text = String::with_capacity(RANDOM_LEN);
    let mut bytes = [0; 64];
    while text.len() < RANDOM_LEN {
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let fair = bytes.iter().filter(|byte| **byte < BELOW);
        let digits = fair.map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(digits.take(RANDOM_LEN - text.len()));
    }
    Ok(text)
}

/// The CRC-32 of `text` in base62, the most significant digit first, filled up with zeros.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_feed_is_read_again_and_is_no_token() {
        let key = FeedKey::generate().unwrap();
        let text = key.reveal();
        assert!(FeedKey::parse(text).unwrap().hash().matches(&key.hash()));
        assert!(ApiToken::parse(text).is_err());
        let token = ApiToken::generate().unwrap();
        for wrong in [
            &text[..text.len() - 1],
            &text[9..],
            "",
            "otr_feed_",
            token.reveal(),
        ] {
            assert!(FeedKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_has_the_documented_form_and_is_read_again() {
        let token = ApiToken::generate().unwrap();
        let text = token.reveal();
        assert!(text.starts_with("otr_") && text.len() == 50, "{text}");
        let again = ApiToken::parse(text).unwrap();
        assert!(again.hash().matches(&token.hash()));
        let other = ApiToken::generate().unwrap();
        assert!(!other.hash().matches(&token.hash()));
    }

    #[test]
    fn the_checksum_is_the_crc_32_in_base62() {
        // CRC-32 of the ASCII digits 1 to 9 is 0xCBF43926 = 3421780262.
        let mut value: u64 = 0;
        for digit in checksum("123456789").bytes() {
            let at = DIGITS.iter().position(|known| *known == digit).unwrap();
            value = value * 62 + at as u64;
        }
        assert_eq!(value, 0xCBF4_3926);
        assert_eq!(checksum("").len(), 6);
        assert_eq!(checksum(""), "000000");
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let token = ApiToken::generate().unwrap();
        let text = token.reveal();
        for at in 4..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                ApiToken::parse(&changed).unwrap_err(),
                BadApiToken::Checksum
            );
        }
        for strange in ["", "otr_", "otr_ü", &text[1..], &text[..49]] {
            assert_eq!(ApiToken::parse(strange).unwrap_err(), BadApiToken::Form);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = ApiToken::generate().unwrap();
        let key = SessionKey::generate().unwrap();
        let printed = format!("{token:?} {key:?} {:?}", token.hash());
        assert!(!printed.contains(token.reveal()) && !printed.contains(key.reveal()));
        assert!(SessionKey::parse(key.reveal()).is_some());
        assert!(SessionKey::parse("short").is_none());
    }

    #[test]
    fn all_digits_occur_in_random_text() {
        let text: String = (0..200).map(|_| random_text().unwrap()).collect();
        let missing = DIGITS
            .iter()
            .filter(|digit| !text.as_bytes().contains(digit));
        assert_eq!(missing.count(), 0);
    }
}
