//! A file as records: decompressed if its first bytes say that it is compressed, and never more of it in memory than a record.
//!
//! It knows nothing of what records say.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use memchr::memchr;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::scan::{JsonScanner, ScanStep};

/// The longest line, in bytes: as long as the largest page that is read from upstream.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// How much room a line's buffer keeps for the next one, in bytes.
const MAX_SPARE_BYTES: usize = 1024 * 1024;

/// How far back a zstd frame may refer, as a power of two: 128 MiB, what the `zstd` tool accepts when not told otherwise.
/// A frame that needs more memory than this is refused.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// The most bytes before the list of a page.
const MAX_BEFORE_LIST: usize = 64 * 1024;

/// The members that hold a page's entries: of the API, and of `/v1/events`.
const LISTS: [&str; 2] = ["result", "events"];

/// The members that may come before them.
const BEFORE_LIST: [&str; 4] = ["success", "errors", "messages", "result_info"];

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

/// The records of an input, one at a time: usually one on each line.
///
/// A record may also span lines, as tools print JSON to be read by people, and may be an element of a list: of a saved page of the
/// API (`{"result": […]}`), of `/v1/events` (`{"events": […]}`), or of a list by itself. The lists are read element by
/// element, so a list may be longer than memory. What is broken is one bad line, and the next line begins anew.
pub(super) struct Lines<R> {
    input: R,
    /// What was read; before `at` it is done with.
    held: Vec<u8>,
    at: usize,
    is_end: bool,
    /// The number of the line at `at`, from 1.
    line: u64,
    /// How many bytes came before `held`.
    passed: u64,
    /// Up to here records are looked for line by line, because a longer one turned out to be broken here.
    lines_until: u64,
    list: Option<JsonListReader>,
    /// Why reading failed, while there is something to give before.
    failed: Option<io::Error>,
}

/// A list that is being read.
#[derive(Clone, Copy)]
struct JsonListReader {
    /// Whether the list is a member of an object, which goes on behind it.
    is_member: bool,
    is_first: bool,
}

/// A record, and the number of the line where it begins, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) number: u64,
    pub(super) line: Line<'a>,
}

/// A record without the end of its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Bytes(&'a [u8]),
    /// It has more than [`MAX_LINE_BYTES`], and was skipped.
    TooLong,
    /// After an element of a list comes neither the next one nor the list's end.
    NoComma,
}

/// How far a value reaches.
enum ValueEnd {
    /// So many bytes from where it was looked for.
    Whole(usize),
    /// It is broken after so many bytes.
    Broken(usize),
    /// The input ends before it does.
    Cut,
    TooLong,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            held: Vec::new(),
            at: 0,
            is_end: false,
            line: 1,
            passed: 0,
            lines_until: 0,
            list: None,
            failed: None,
        }
    }

    /// The number of the line that is being read, from 1.
    pub(super) fn number(&self) -> u64 {
        self.line
    }

    /// The next record, blank ones included; `None` at the end.
    ///
    /// # Errors
    /// When the input breaks off, in the line [`Lines::number`].
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        // Only here: what is found below is known by its place.
        if self.at >= CHUNK_BYTES || self.at == self.held.len() {
            self.let_go();
        }
        if self.passed == 0 && self.at == 0 && self.look(UTF8_BOM.len() - 1)?.is_some() {
            let has_mark = self.held.starts_with(&UTF8_BOM);
            self.at = if has_mark { UTF8_BOM.len() } else { 0 };
        }
        loop {
            let found = match self.list {
                Some(list) => self.element(list)?,
                None => {
                    if self.look(0)?.is_none() {
                        return Ok(None);
                    }
                    self.record()?
                }
            };
            let Some((number, found)) = found else {
                continue;
            };
            let line = match found {
                ListPosition::Bytes(start, end) => Line::Bytes(&self.held[start..end]),
                ListPosition::TooLong => Line::TooLong,
                ListPosition::NoComma => Line::NoComma,
            };
            return Ok(Some(Record { number, line }));
        }
    }

    /// A record at the beginning of a line; `None` when a list begins there.
    fn record(&mut self) -> io::Result<Option<(u64, ListPosition)>> {
        if self.passed + self.at as u64 >= self.lines_until {
            if let Some((len, is_member)) = self.list_start()? {
                self.pass(len);
                self.list = Some(JsonListReader {
                    is_member,
                    is_first: true,
                });
                return Ok(None);
            }
            if let Some(found) = self.long_value()? {
                return Ok(Some(found));
            }
        }
        self.plain_line().map(Some)
    }

    /// Whether a list begins here, how long what comes before its first element is, and whether it is a member of an object.
    fn list_start(&mut self) -> io::Result<Option<(usize, bool)>> {
        let mut at = self.skip_space(0, false)?;
        match self.look(at)? {
            Some(b'[') => return Ok(Some((at + 1, false))),
            Some(b'{') => at += 1,
            _ => return Ok(None),
        }
        // The members before the list are few and short.
        while at < MAX_BEFORE_LIST {
            let key = self.skip_space(at, true)?;
            let mut end = key + 1;
            while end < MAX_BEFORE_LIST && !matches!(self.look(end)?, None | Some(b'"')) {
                end += 1;
            }
            let name = self.held.get(self.at + key..self.at + end);
            let name = name.and_then(|name| name.strip_prefix(b"\""));
            let is_one_of = |names: &[&str]| names.iter().any(|one| name == Some(one.as_bytes()));
            let is_list = is_one_of(&LISTS);
            if !is_list && !is_one_of(&BEFORE_LIST) {
                return Ok(None);
            }
            let colon = self.skip_space(end + 1, true)?;
            if self.look(colon)? != Some(b':') {
                return Ok(None);
            }
            let value = self.skip_space(colon + 1, true)?;
            if is_list {
                let begins = self.look(value)? == Some(b'[');
                return Ok(begins.then_some((value + 1, true)));
            }
            let ValueEnd::Whole(len) = self.reach(value, MAX_BEFORE_LIST)? else {
                return Ok(None);
            };
            let comma = self.skip_space(value + len, true)?;
            if self.look(comma)? != Some(b',') {
                return Ok(None);
            }
            at = comma + 1;
        }
        Ok(None)
    }

    /// An object that spans lines. One on a line of its own is left to [`Self::plain_line`].
    fn long_value(&mut self) -> io::Result<Option<(u64, ListPosition)>> {
        let start = self.skip_space(0, false)?;
        if self.look(start)? != Some(b'{') || self.has_own_line() {
            return Ok(None);
        }
        let len = match self.reach(start, MAX_LINE_BYTES)? {
            ValueEnd::Whole(len) => len,
            ValueEnd::Broken(len) => {
                self.lines_until = self.passed + (self.at + start + len) as u64;
                return Ok(None);
            }
            ValueEnd::Cut | ValueEnd::TooLong => {
                self.lines_until = self.passed + self.held.len() as u64;
                return Ok(None);
            }
        };
        let end = start + len;
        if !self.held[self.at..self.at + end].contains(&b'\n') {
            return Ok(None);
        }
        // What follows it on its last line is the next record's, unless it is nothing.
        let after = self.skip_space(end, false)?;
        let next = match self.look(after)? {
            Some(b'\n') => after + 1,
            _ => end,
        };
        let (from, number) = (self.at, self.line);
        self.pass(next);
        Ok(Some((number, ListPosition::Bytes(from, from + end))))
    }

    /// Whether the object that begins here surely ends with its line: the line ends with `}`, and the next one begins with `{`.
    /// Nearly all lines are so, and need not be read byte by byte. Looks only at what was read already.
    fn has_own_line(&self) -> bool {
        let rest = &self.held[self.at..];
        let Some(end) = memchr(b'\n', rest) else {
            return false;
        };
        let (line, after) = rest.split_at(end);
        line.trim_ascii_end().ends_with(b"}") && after.trim_ascii_start().starts_with(b"{")
    }

    fn plain_line(&mut self) -> io::Result<(u64, ListPosition)> {
        let (from, number) = (self.at, self.line);
        let mut len = 0;
        loop {
            let rest = &self.held[self.at + len..];
            if let Some(end) = memchr(b'\n', rest) {
                len += end;
                self.pass(len + 1);
                break;
            }
            len += rest.len();
            if len > MAX_LINE_BYTES {
                self.skip_line()?;
                return Ok((number, ListPosition::TooLong));
            }
            if !self.fill()? {
                self.pass(len);
                break;
            }
        }
        if len > MAX_LINE_BYTES {
            return Ok((number, ListPosition::TooLong));
        }
        Ok((number, ListPosition::Bytes(from, from + len)))
    }

    /// Passes what is left of a line without holding it.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let rest = &self.held[self.at..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                self.pass(end + 1);
                return Ok(());
            }
            self.pass(rest.len());
            if !self.fill_anew()? {
                return Ok(());
            }
        }
    }

    /// The next element of a list; `None` at its end.
    fn element(&mut self, list: JsonListReader) -> io::Result<Option<(u64, ListPosition)>> {
        self.pass_space()?;
        let mut next = self.look(0)?;
        if next == Some(b']') {
            self.pass(1);
            self.list = None;
            if list.is_member {
                self.pass_members()?;
            }
            return Ok(None);
        }
        if !list.is_first {
            if next.is_some_and(|byte| byte != b',') {
                self.list = None;
                return Ok(Some((self.line, ListPosition::NoComma)));
            }
            self.pass(usize::from(next.is_some()));
            self.pass_space()?;
            next = self.look(0)?;
        }
        if next.is_none() {
            return Err(cut());
        }
        self.list = Some(JsonListReader {
            is_first: false,
            ..list
        });
        let (from, number) = (self.at, self.line);
        match self.reach(0, MAX_LINE_BYTES)? {
            ValueEnd::Whole(len) => {
                self.pass(len);
                Ok(Some((number, ListPosition::Bytes(from, from + len))))
            }
            ValueEnd::Cut => Err(cut()),
            ValueEnd::TooLong => {
                self.pass_value(JsonScanner::new())?;
                Ok(Some((number, ListPosition::TooLong)))
            }
            ValueEnd::Broken(len) => {
                self.list = None;
                self.lines_until = self.passed + (self.at + len) as u64;
                self.plain_line().map(Some)
            }
        }
    }

    /// Passes the members of an object behind its list, and its end.
    fn pass_members(&mut self) -> io::Result<()> {
        self.pass_value(JsonScanner::after_member())
    }

    /// Passes a value without holding it.
    fn pass_value(&mut self, mut scan: JsonScanner) -> io::Result<()> {
        loop {
            while let Some(byte) = self.held.get(self.at) {
                match scan.feed(*byte) {
                    ScanStep::More => self.pass(1),
                    ScanStep::Done => {
                        self.pass(1);
                        return Ok(());
                    }
                    ScanStep::DoneBefore => return Ok(()),
                    ScanStep::Broken => {
                        let message = "the list's page is not JSON behind the list";
                        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                    }
                }
            }
            if !self.fill_anew()? {
                return Err(cut());
            }
        }
    }

    /// How far the value reaches that begins `at` bytes from here.
    fn reach(&mut self, at: usize, most: usize) -> io::Result<ValueEnd> {
        let mut scan = JsonScanner::new();
        let mut len = 0;
        loop {
            for byte in &self.held[(self.at + at + len).min(self.held.len())..] {
                match scan.feed(*byte) {
                    ScanStep::More => len += 1,
                    ScanStep::Done => return Ok(ValueEnd::Whole(len + 1)),
                    ScanStep::DoneBefore => return Ok(ValueEnd::Whole(len)),
                    ScanStep::Broken => return Ok(ValueEnd::Broken(len)),
                }
            }
            if len > most {
                return Ok(ValueEnd::TooLong);
            }
            if !self.fill()? {
                return Ok(ValueEnd::Cut);
            }
        }
    }

    /// The byte that is so many behind the present one; `None` behind the end.
    fn look(&mut self, ahead: usize) -> io::Result<Option<u8>> {
        while self.at + ahead >= self.held.len() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(self.held.get(self.at + ahead).copied())
    }

    /// Where the next byte is that is not white space, counted from here; a line's end is white space if lines do not count.
    fn skip_space(&mut self, mut at: usize, with_lines: bool) -> io::Result<usize> {
        while at <= MAX_BEFORE_LIST {
            match self.look(at)? {
                Some(b' ' | b'\t' | b'\r') => at += 1,
                Some(b'\n') if with_lines => at += 1,
                _ => break,
            }
        }
        Ok(at)
    }

    fn pass_space(&mut self) -> io::Result<()> {
        while matches!(self.look(0)?, Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.pass(1);
            if self.at >= CHUNK_BYTES {
                self.let_go();
            }
        }
        Ok(())
    }

    /// Is done with so many bytes.
    fn pass(&mut self, len: usize) {
        let passed = &self.held[self.at..self.at + len];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at += len;
    }

    /// Forgets what is done with.
    fn let_go(&mut self) {
        self.held.drain(..self.at);
        self.passed += self.at as u64;
        self.at = 0;
        if self.held.len() < MAX_SPARE_BYTES {
            self.held.shrink_to(MAX_SPARE_BYTES);
        }
    }

    /// Reads more, and forgets what is done with. Whether there was more.
    fn fill_anew(&mut self) -> io::Result<bool> {
        self.let_go();
        self.fill()
    }

    /// Reads more behind what is held, which stays where it is. Whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        if self.is_end {
            return Ok(false);
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let len = self.held.len();
        let mut part = self.input.by_ref().take(CHUNK_BYTES as u64);
        let read = part.read_to_end(&mut self.held);
        let has_more = self.held.len() > len;
        match read {
            Err(error) if has_more => self.failed = Some(error),
            Err(error) => return Err(error),
            Ok(_) => self.is_end = !has_more,
        }
        Ok(has_more)
    }
}

/// What was found, by its places in what is held.
enum ListPosition {
    Bytes(usize, usize),
    TooLong,
    NoComma,
}

fn cut() -> io::Error {
    let message = "the file ends in the middle of a list";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

#[cfg(test)]
mod tests;
