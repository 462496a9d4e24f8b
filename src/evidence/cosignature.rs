//! Cosignatures of witnesses (`cosignature/v1`): a time, and a signature of that time and of a checkpoint.

/// How many bytes the time has.
const TIME_BYTES: usize = 8;

/// What is signed.
pub(super) fn message(at: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

/// The time and the signature in the bytes of a cosignature.
pub(super) fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
    let at = u64::from_be_bytes(*time);
    // What is not a time is none of a cosignature.
    i64::try_from(at).is_ok().then_some((at, signature))
}

/// The bytes of a cosignature.
pub(super) fn join(at: u64, signature: &[u8]) -> Vec<u8> {
    let mut bytes = at.to_be_bytes().to_vec();
    bytes.extend(signature);
    bytes
}
