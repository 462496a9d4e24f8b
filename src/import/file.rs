//! A file as lines: decompressed if its first bytes say that it is compressed, and never more of it in memory than a line.
//!
//! It knows nothing of what lines say.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// The longest line, in bytes: as long as the largest page that is read from upstream.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// How much room a line's buffer keeps for the next one, in bytes.
const MAX_SPARE_BYTES: usize = 1024 * 1024;

/// How far back a zstd frame may refer, as a power of two: 128 MiB, what the `zstd` tool accepts when not told otherwise.
/// A frame that needs more memory than this is refused.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const UTF8_BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The input as it was before it was compressed. The name of a file has no say in this.
pub(super) fn decompressed<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut start = Vec::new();
    input
        .by_ref()
        .take(ZSTD.len() as u64)
        .read_to_end(&mut start)?;
    let is_gzip = start.starts_with(&GZIP);
    // The second is a frame to be skipped, with which some tools begin.
    let is_zstd = start == ZSTD || matches!(start.as_slice(), [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    let whole = Cursor::new(start).chain(input);
    Ok(if is_gzip {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, whole));
        Box::new(BufReader::with_capacity(CHUNK_BYTES, decoder))
    } else if is_zstd {
        let mut decoder = ZstdDecoder::new(whole)?;
        decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
        Box::new(BufReader::with_capacity(CHUNK_BYTES, decoder))
    } else {
        Box::new(BufReader::with_capacity(CHUNK_BYTES, whole))
    })
}

/// The lines of an input, one at a time.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Bytes(&'a [u8]),
    /// It has more than [`MAX_LINE_BYTES`], and was skipped.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the input breaks off: in the middle of a line, then it is the one after [`Lines::number`].
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.line.shrink_to(MAX_SPARE_BYTES);
        // The longest line and its end.
        let mut part = self.input.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        if part.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > MAX_LINE_BYTES {
            self.input.skip_until(b'\n')?;
            self.number += 1;
            return Ok(Some(Line::TooLong));
        }
        self.number += 1;
        let has_mark = self.number == 1 && self.line.starts_with(&UTF8_BOM);
        let start = if has_mark { UTF8_BOM.len() } else { 0 };
        Ok(Some(Line::Bytes(&self.line[start..])))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    /// The lines up to the end or a break, which comes as `Err`.
    fn lines(input: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = Lines::new(decompressed(input).unwrap());
        let mut found = Vec::new();
        loop {
            match lines.next() {
                Ok(Some(Line::Bytes(line))) => {
                    found.push(Ok(String::from_utf8_lossy(line).into_owned()));
                }
                Ok(Some(Line::TooLong)) => found.push(Ok("too long".into())),
                Ok(None) => return found,
                Err(error) => {
                    found.push(Err(error.to_string()));
                    return found;
                }
            }
        }
    }

    #[test]
    fn lines_are_the_same_however_they_are_packed() {
        let text = "\u{feff}a\n\nb\u{feff}\r\nlast".as_bytes();
        let expect = ["a", "", "b\u{feff}\r", "last"].map(|line| Ok(line.to_owned()));
        assert_eq!(lines(text), expect);
        assert_eq!(lines(&gzip(text)), expect);
        assert_eq!(lines(&zstd(text)), expect);
        // Files put one behind the other, and a frame to be skipped before one.
        let (start, end) = text.split_at(5);
        assert_eq!(lines(&[gzip(start), gzip(end)].concat()), expect);
        assert_eq!(lines(&[zstd(start), zstd(end)].concat()), expect);
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        assert_eq!(lines(&[skipped.as_slice(), &zstd(text)].concat()), expect);
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [Ok(String::new())]);
    }

    #[test]
    fn what_was_cut_off_gives_its_whole_lines_and_an_error() {
        let mut rng = fastrand::Rng::with_seed(1);
        let text: String = (0..20_000)
            .map(|n| format!("{n} {}\n", rng.u64(..)))
            .collect();
        for packed in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
            let mut found = lines(&packed[..packed.len() / 2]);
            assert!(found.pop().unwrap().is_err());
            assert!(found.len() > 1_000, "{}", found.len());
            let whole = text.lines().map(|line| Ok(line.to_owned()));
            assert!(
                found
                    .into_iter()
                    .zip(whole)
                    .all(|(found, whole)| found == whole)
            );
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_without_being_held() {
        let input = b"a\n"
            .chain(io::repeat(b'x').take(2 * MAX_LINE_BYTES as u64))
            .chain(b"\nb".as_slice());
        let mut lines = Lines::new(BufReader::new(input));
        assert_eq!(lines.next().unwrap(), Some(Line::Bytes(b"a")));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Line::Bytes(b"b")));
        assert!(lines.line.capacity() <= MAX_SPARE_BYTES);
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.number(), 3);
    }
}
