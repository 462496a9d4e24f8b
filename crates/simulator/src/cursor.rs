//! The opaque word that says where the next page begins.
//!
//! It holds the place of the last entry given, and a check over that place and the query, so that it is good for
//! this query and for nothing else. The page's size is no part of the query: a reader may go on with smaller pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use chrono::DateTime;
use orgtrail_cloudflare::paging::Cursor;

use super::chance::Seed;
use super::log::{EntryOrigin, Key};

/// Seconds (8), nanoseconds (4), lane (1), number (8), empty pages (2), check (8): a length that leaves padding to be written.
const LEN: usize = 31;

/// A place in a log, as a cursor holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CursorPosition {
    /// The next page begins after this.
    pub(crate) key: Key,
    /// How many empty pages have led here from the same place.
    pub(crate) empty_pages: u16,
}

/// The cursor that goes on after `mark`.
pub(crate) fn encode(mark: CursorPosition, query: Seed) -> Cursor {
    let key = mark.key;
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend(key.time.timestamp().to_be_bytes());
    bytes.extend(key.time.timestamp_subsec_nanos().to_be_bytes());
    bytes.push(key.lane as u8);
    bytes.extend(key.number.to_be_bytes());
    bytes.extend(mark.empty_pages.to_be_bytes());
    bytes.extend(check(mark, query).to_be_bytes());
    Cursor(URL_SAFE.encode(bytes))
}

/// The place a cursor speaks of, unless it is damaged or another query's.
pub(crate) fn decode(cursor: &str, query: Seed) -> Option<CursorPosition> {
    let bytes = URL_SAFE.decode(cursor).ok()?;
    let bytes: &[u8; LEN] = bytes.as_slice().try_into().ok()?;
    let (seconds, rest) = bytes.split_first_chunk::<8>()?;
    let (nanos, rest) = rest.split_first_chunk::<4>()?;
    let (&lane, rest) = rest.split_first()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (empty_pages, sum) = rest.split_first_chunk::<2>()?;
    let key = Key {
        time: DateTime::from_timestamp(i64::from_be_bytes(*seconds), u32::from_be_bytes(*nanos))?,
        lane: match lane {
            0 => EntryOrigin::History,
            1 => EntryOrigin::Live,
            2 => EntryOrigin::Published,
            _ => return None,
        },
        number: u64::from_be_bytes(*number),
    };
    let mark = CursorPosition {
        key,
        empty_pages: u16::from_be_bytes(*empty_pages),
    };
    (sum == check(mark, query).to_be_bytes()).then_some(mark)
}

fn check(mark: CursorPosition, query: Seed) -> u64 {
    let key = mark.key;
    query
        .child(mark.empty_pages.into())
        .child(key.time.timestamp() as u64)
        .child(key.time.timestamp_subsec_nanos().into())
        .child(key.lane as u64)
        .child(key.number)
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_only_to_its_query() {
        for lane in [
            EntryOrigin::History,
            EntryOrigin::Live,
            EntryOrigin::Published,
        ] {
            let key = Key {
                time: "2026-08-03T12:00:00.123456789Z".parse().unwrap(),
                lane,
                number: 1 << 40,
            };
            let mark = CursorPosition {
                key,
                empty_pages: 3,
            };
            let Cursor(cursor) = encode(mark, Seed(1));
            assert!(cursor.ends_with('='), "{cursor}");
            assert_eq!(decode(&cursor, Seed(1)), Some(mark));
            assert_eq!(decode(&cursor, Seed(2)), None);
            assert_eq!(decode(&cursor[..20], Seed(1)), None);
            assert_eq!(decode(&cursor.replacen('A', "B", 1), Seed(1)), None);
        }
        assert_eq!(decode("", Seed(1)), None);
        assert_eq!(decode("größe", Seed(1)), None);
    }
}
