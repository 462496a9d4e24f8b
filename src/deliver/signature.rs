//! Signatures of Standard Webhooks, version 1: HMAC-SHA256 over the message's id, the time of the attempt and the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::secret::SigningKey;

/// The headers of a signed request.
pub(super) struct Signature {
    /// `webhook-timestamp`: whole seconds since 1970.
    pub(super) timestamp: String,
    /// `webhook-signature`: one signature for each key, with a space between them.
    pub(super) signatures: String,
}

/// Signs a body with each key.
pub(super) fn sign(keys: &[SigningKey], id: &str, now: DateTime<Utc>, body: &[u8]) -> Signature {
    let timestamp = now.timestamp().to_string();
    let signatures: Vec<String> = keys
        .iter()
        .map(|key| format!("v1,{}", STANDARD.encode(mac(key, id, &timestamp, body))))
        .collect();
    Signature {
        timestamp,
        signatures: signatures.join(" "),
    }
}

fn mac(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(
            &[key.clone(), key],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            now,
            body,
        );
        let expect = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed.timestamp, "1614265330");
        assert_eq!(signed.signatures, format!("{expect} {expect}"));
    }
}
