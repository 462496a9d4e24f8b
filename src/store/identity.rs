//! An entry's identity as the short key that the log's unique index holds.
//!
//! Most ids upstream are UUIDs or 32 hexadecimal digits: 16 bytes. The first byte says how the rest is to be read, so that
//! two identities never share a key unless their SHA-256 does. The source is a column of its own.

use uuid::Uuid;

use crate::event::{Identity, sha256};

/// The longest id that is kept as it is; a longer one is kept as its hash.
const MAX_PLAIN_ID_LEN: usize = 64;

/// The key of an identity. Of entries without an id, the `twin`-th equal one (from 1) has its own key.
pub(super) fn key(identity: &Identity, twin: u32) -> Vec<u8> {
    match identity {
        Identity::Content(hash) => [b"c", hash.as_slice(), &twin.to_be_bytes()].concat(),
        Identity::Id(id) => id_key(id),
    }
}

fn id_key(id: &str) -> Vec<u8> {
    if let Ok(uuid) = Uuid::try_parse(id) {
        // Only the two spellings that can be told from the tag alone.
        let mut buffer = Uuid::encode_buffer();
        if uuid.hyphenated().encode_lower(&mut buffer) == id {
            return [b"u", uuid.as_bytes().as_slice()].concat();
        }
        if uuid.simple().encode_lower(&mut buffer) == id {
            return [b"x", uuid.as_bytes().as_slice()].concat();
        }
    }
    if id.len() <= MAX_PLAIN_ID_LEN {
        return [b"t", id.as_bytes()].concat();
    }
    [b"h", sha256(id.as_bytes()).as_slice()].concat()
}

/// The id that a key was made from; `None` where the key does not keep it, or is damaged.
pub(super) fn id(key: &[u8]) -> Option<String> {
    let (kind, rest) = key.split_first()?;
    match kind {
        b'u' => Some(Uuid::from_slice(rest).ok()?.hyphenated().to_string()),
        b'x' => Some(Uuid::from_slice(rest).ok()?.simple().to_string()),
        b't' => String::from_utf8(rest.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn different_ids_have_different_keys_and_common_ones_are_short() {
        let long = "x".repeat(65);
        let ids = [
            "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
            "2DC5CB28-F5E7-4C0C-ADE0-BF58FBC3C103",
            "2dc5cb28f5e74c0cade0bf58fbc3c103",
            "{2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103}",
            "urn:uuid:2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
            "2dc5cb28",
            "ü",
            &long,
        ];
        let mut seen = HashMap::new();
        for id in ids {
            let key = id_key(id);
            let kept = (id.len() <= MAX_PLAIN_ID_LEN).then(|| id.to_owned());
            assert_eq!(super::id(&key), kept);
            assert_eq!(seen.insert(key, id), None, "{id}");
        }
        assert_eq!(id_key(ids[0]).len(), 17);
        assert_eq!(id_key(ids[2]).len(), 17);
    }

    #[test]
    fn twins_have_keys_of_their_own() {
        let identity = Identity::Content([7; 32]);
        assert_ne!(key(&identity, 1), key(&identity, 2));
    }
}
