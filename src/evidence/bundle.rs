//! Entry bundles: the entries below a tile of leaf hashes, each after its length in two bytes.

use super::error::EvidenceError;
use super::tile::TILE_WIDTH;

/// The longest entry that a bundle can have.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Adds an entry to the bytes of a bundle.
///
/// # Errors
/// When it is too long.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), EvidenceError> {
    let length = u16::try_from(entry.len()).map_err(|_| {
        EvidenceError::malformed(format!("an entry has more than {MAX_ENTRY_BYTES} bytes"))
    })?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// The entries of a bundle.
///
/// # Errors
/// When its bytes are no whole entries, or more than a bundle has.
pub fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, EvidenceError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let entry = after.get(..length).ok_or_else(cut_off)?;
        if entries.len() as u64 == TILE_WIDTH {
            let message = format!("the entry bundle has more than {TILE_WIDTH} entries");
            return Err(EvidenceError::malformed(message));
        }
        entries.push(entry);
        rest = &after[length..];
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(cut_off())
    }
}

/// The bytes of the first entries of a bundle.
///
/// # Errors
/// As [`entries`], and when it has fewer.
pub fn first_entries(bundle: &[u8], count: usize) -> Result<&[u8], EvidenceError> {
    let entries = entries(bundle)?;
    let wanted = entries.get(..count).ok_or_else(cut_off)?;
    let length = wanted.iter().map(|entry| 2 + entry.len()).sum::<usize>();
    bundle.get(..length).ok_or_else(cut_off)
}

fn cut_off() -> EvidenceError {
    EvidenceError::malformed("the entry bundle is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_as_they_went_in() {
        let long = vec![7; MAX_ENTRY_BYTES];
        let all: [&[u8]; 3] = [b"a", b"", &long];
        let mut bundle = Vec::new();
        for entry in all {
            push_entry(&mut bundle, entry).unwrap();
        }
        assert_eq!(entries(&bundle).unwrap(), all);
        assert_eq!(
            entries(first_entries(&bundle, 2).unwrap()).unwrap(),
            all[..2]
        );
        assert!(first_entries(&bundle, 4).is_err());
        for cut in [1, 4, bundle.len() - 1] {
            assert!(entries(&bundle[..cut]).is_err(), "{cut}");
        }
        assert!(push_entry(&mut bundle, &vec![0; MAX_ENTRY_BYTES + 1]).is_err());
        assert!(entries(&[0, 0].repeat(257)).is_err());
    }
}
