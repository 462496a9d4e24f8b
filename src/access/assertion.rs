//! Assertions of Cloudflare Access: JSON Web Tokens (RFC 7519) that say who is signed in.
//!
//! Only RS256 is accepted, and only the header's `alg` and `kid` are used: keys or addresses of keys in a token (`jwk`, `jku`,
//! `x5u`) have no effect. Nothing of the claims is read before the signature is verified.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::cloudflare::{AccessIdentity, CloudflareAccess};

/// The longest assertion that is read, in bytes. Those of Access have 1 to 4 KiB.
const MAX_ASSERTION_BYTES: usize = 16 * 1024;

/// The longest name of a key, in bytes.
const MAX_KEY_ID_BYTES: usize = 256;

/// The longest email address and the longest name of a service token, in bytes.
const MAX_NAME_BYTES: usize = 320;

/// The longest modulus of a key, in bytes: 8,192 bits.
const MAX_MODULUS_BYTES: usize = 1_024;

/// How far the clock that signs and this machine's clock may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// Why an assertion is refused. The messages do not repeat what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAssertion {
    /// It is longer than is read.
    #[error("it is longer than {MAX_ASSERTION_BYTES} bytes")]
    TooLong,
    /// It is not three parts in base64url with the JSON that belongs there.
    #[error("it is not a JSON Web Token")]
    Form,
    /// It is signed in another way, or not at all.
    #[error("it is not signed with RS256")]
    Algorithm,
    /// It has header fields that must be understood (`crit`).
    #[error("it has header fields that are not understood")]
    Critical,
    /// The signature does not belong to it.
    #[error("its signature is wrong")]
    Signature,
    /// Another team has issued it.
    #[error("it was issued by another team than `http.access.team_domain`")]
    Issuer,
    /// It was issued for another application.
    #[error("it was issued for another application than `http.access.audience`")]
    Audience,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet, or was issued in the future.
    #[error("it is not valid yet; compare the clocks of both machines")]
    NotYet,
    /// It names neither an email address nor a service token.
    #[error("it names neither an email address nor a service token")]
    Nameless,
}

/// A public key that signs assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl AssertionKey {
    /// The RSA key with this modulus and exponent in base64url; `None` if it cannot be one.
    #[must_use]
    pub fn from_base64url(modulus: &str, exponent: &str) -> Option<Self> {
        let bytes = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
            let first = bytes.iter().position(|byte| *byte != 0)?;
            Some(bytes[first..].to_vec())
        };
        let modulus = bytes(modulus).filter(|modulus| modulus.len() <= MAX_MODULUS_BYTES)?;
        let exponent = bytes(exponent).filter(|exponent| exponent.len() <= 4)?;
        Some(Self { modulus, exponent })
    }

    fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), signature)
            .is_ok()
    }
}

/// An assertion whose signature is not verified yet.
#[derive(Debug)]
pub struct Assertion<'t> {
    key_id: String,
    /// The part that is signed.
    signed: &'t str,
    /// The claims, in base64url.
    claims: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    #[serde(default)]
    kid: String,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    email: Option<String>,
    common_name: Option<String>,
    custom: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

impl<'t> Assertion<'t> {
    /// Reads the form of an assertion and its header.
    ///
    /// # Errors
    /// [`BadAssertion`] if no key can make it valid.
    pub fn parse(text: &'t str) -> Result<Self, BadAssertion> {
        if text.len() > MAX_ASSERTION_BYTES {
            return Err(BadAssertion::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(BadAssertion::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(BadAssertion::Form)?;
        let header: JwtHeader = json(header)?;
        if header.alg != "RS256" {
            return Err(BadAssertion::Algorithm);
        }
        if header.crit.is_some() {
            return Err(BadAssertion::Critical);
        }
        if header.kid.is_empty() || header.kid.len() > MAX_KEY_ID_BYTES {
            return Err(BadAssertion::Form);
        }
        Ok(Self {
            key_id: header.kid,
            signed,
            claims,
            signature: decode(signature)?,
        })
    }

    /// The name of the key that it says to be signed with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Verifies it with the key of its [`key_id`](Self::key_id), and says who is signed in.
    ///
    /// # Errors
    /// [`BadAssertion`] if it is not valid here and `now`.
    pub fn verify(
        &self,
        key: &AssertionKey,
        settings: &CloudflareAccess,
        now: DateTime<Utc>,
    ) -> Result<AccessIdentity, BadAssertion> {
        if !key.has_signed(self.signed, &self.signature) {
            return Err(BadAssertion::Signature);
        }
        let claims: Claims = json(self.claims)?;
        if claims.iss != settings.issuer() {
            return Err(BadAssertion::Issuer);
        }
        if !claims.aud.contains(&settings.audience) {
            return Err(BadAssertion::Audience);
        }
        let latest = seconds(now + LEEWAY);
        if claims.exp <= seconds(now - LEEWAY) {
            return Err(BadAssertion::Expired);
        }
        let begins = [claims.nbf, claims.iat].into_iter().flatten();
        if begins.into_iter().any(|begin| begin > latest) {
            return Err(BadAssertion::NotYet);
        }
        claims.identity()
    }
}

impl Claims {
    fn identity(self) -> Result<AccessIdentity, BadAssertion> {
        let name = |name: Option<String>| match name {
            Some(name) if is_name(&name) => Ok(Some(name.to_ascii_lowercase())),
            Some(name) if !name.is_empty() => Err(BadAssertion::Nameless),
            _ => Ok(None),
        };
        let email = name(self.email)?;
        let common_name = name(self.common_name)?;
        if email.is_none() && common_name.is_none() {
            return Err(BadAssertion::Nameless);
        }
        Ok(AccessIdentity {
            email,
            common_name,
            groups: groups(self.custom.as_ref()),
            expires_at: moment(self.exp),
        })
    }
}

/// The texts of `custom.groups`, which is a list or one text.
fn groups(custom: Option<&Value>) -> Vec<String> {
    match custom.and_then(|custom| custom.get("groups")) {
        Some(Value::String(group)) => vec![group.clone()],
        Some(Value::Array(groups)) => {
            let texts = groups.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a text can name somebody in a log: short, without white space and control characters.
fn is_name(text: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.contains(is_odd)
}

fn decode(part: &str) -> Result<Vec<u8>, BadAssertion> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| BadAssertion::Form)
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, BadAssertion> {
    serde_json::from_slice(&decode(part)?).map_err(|_| BadAssertion::Form)
}

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}

/// The moment so many seconds after 1970; one that is too far away is the last that there is.
fn moment(seconds: f64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(header: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part("{}"), part("signature"))
    }

    fn refused(text: &str) -> BadAssertion {
        Assertion::parse(text).unwrap_err()
    }

    #[test]
    fn only_rs256_with_a_named_key_is_read() {
        for alg in ["none", "None", "HS256", "RS512", "ES256", "rs256", ""] {
            let text = assertion(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#));
            assert_eq!(refused(&text), BadAssertion::Algorithm, "{alg}");
        }
        let critical = assertion(r#"{"alg":"RS256","kid":"a","crit":["b64"]}"#);
        assert_eq!(refused(&critical), BadAssertion::Critical);
        let long = "a".repeat(MAX_KEY_ID_BYTES + 1);
        for header in [
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":""}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"none","alg":"RS256","kid":"a"}"#,
            "[]",
            "",
            &format!(r#"{{"alg":"RS256","kid":"{long}"}}"#),
        ] {
            assert_eq!(refused(&assertion(header)), BadAssertion::Form, "{header}");
        }
        let right = assertion(r#"{"alg":"RS256","kid":"a","jku":"https://evil.example"}"#);
        assert_eq!(Assertion::parse(&right).unwrap().key_id(), "a");
    }

    #[test]
    fn other_texts_are_refused_before_they_are_decoded() {
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "ä.b.c",
            "e30.e30.",
            "e30=.e30.e30",
        ] {
            assert_eq!(refused(text), BadAssertion::Form, "{text}");
        }
        let long = "a".repeat(MAX_ASSERTION_BYTES + 1);
        assert_eq!(refused(&long), BadAssertion::TooLong);
    }

    #[test]
    fn a_key_that_is_none_is_not_read() {
        for (modulus, exponent) in [("", "AQAB"), ("AA", "AQAB"), ("AQAB", ""), ("%", "AQAB")] {
            assert!(AssertionKey::from_base64url(modulus, exponent).is_none());
        }
        let huge = URL_SAFE_NO_PAD.encode([1; MAX_MODULUS_BYTES + 1]);
        assert!(AssertionKey::from_base64url(&huge, "AQAB").is_none());
        // A small key is read, and verifies nothing.
        let small = AssertionKey::from_base64url("AQAB", "AQAB").unwrap();
        assert!(!small.has_signed("text", b"signature"));
    }

    #[test]
    fn groups_are_texts_of_the_custom_claim() {
        let check = |custom: &str, expect: &[&str]| {
            let custom: Value = serde_json::from_str(custom).unwrap();
            assert_eq!(groups(Some(&custom)), expect, "{custom}");
        };
        check(r#"{"groups":["a","B c",1,null]}"#, &["a", "B c"]);
        check(r#"{"groups":"a"}"#, &["a"]);
        check(r#"{"groups":{"a":1}}"#, &[]);
        check(r#""groups""#, &[]);
    }
}
