//! Tests of the kinds of files, and of how a file is cut into records.

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
            Ok(Some(Record {
                line: Line::Bytes(line),
                ..
            })) => {
                found.push(Ok(String::from_utf8_lossy(line).into_owned()));
            }
            Ok(Some(Record { line, .. })) => found.push(Ok(format!("{line:?}"))),
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
    let mut next = |expect: Option<(u64, Line<'_>)>| {
        let found = lines.next().unwrap();
        assert_eq!(found, expect.map(|(number, line)| Record { number, line }));
        assert!(lines.held.capacity() <= MAX_LINE_BYTES + 2 * MAX_SPARE_BYTES);
    };
    next(Some((1, Line::Bytes(b"a"))));
    next(Some((2, Line::TooLong)));
    next(Some((3, Line::Bytes(b"b"))));
    next(None);
    assert!(lines.held.capacity() <= MAX_SPARE_BYTES);
}

/// What is found, with the number of the line where it begins; blank lines are left out.
fn records(input: &str) -> Vec<(u64, String)> {
    let mut lines = Lines::new(input.as_bytes());
    let mut found = Vec::new();
    loop {
        match lines.next() {
            Ok(Some(Record {
                number,
                line: Line::Bytes(line),
            })) => {
                let text = String::from_utf8_lossy(line).trim().to_owned();
                found.extend((!text.is_empty()).then_some((number, text)));
            }
            Ok(Some(Record { number, line })) => found.push((number, format!("{line:?}"))),
            Ok(None) => return found,
            Err(error) => {
                found.push((lines.number(), error.to_string()));
                return found;
            }
        }
    }
}

#[test]
fn the_entries_of_a_saved_page_are_found_however_it_is_printed() {
    let a = r#"{"id":"a","t":"]}\"{["}"#;
    let b = r#"{"id":"b"}"#;
    let page = format!(
        r#"{{"success":true,"errors":[],"messages":[],"result":[{a},{b}],"result_info":{{"count":"2"}}}}"#
    );
    let ours = format!(r#"{{"events":[{a},{b}],"next_cursor":null}}"#);
    let texts = [
        page.clone(),
        format!("{page}\n{page}\n"),
        format!(
            "{{\n  \"success\": true,\n  \"result\": [\n    {a},\n\n    {b}\n  ],\n  \"x\": [{{}}]\n}}\n"
        ),
        format!("\u{feff}  {{ \"result\"\n:\r\n[ {a} , {b} ] }}\n\n"),
        format!("[\n{a},\n{b}\n]\n"),
        ours,
        // As `jq '.result[]'` prints them.
        format!("{}\n{}\n", a.replace(":", ": \n"), b.replace(":", ":\n")).replace(": \n", ":\n"),
        format!("{page}\n{a}\n{b}\n"),
    ];
    for text in texts {
        let found = records(&text);
        let ids = found.iter().map(|(_, record)| {
            serde_json::from_str::<serde_json::Value>(record).unwrap()["id"].clone()
        });
        let ids: Vec<_> = ids.collect();
        let times = ids.len() / 2;
        assert!(
            times > 0 && ids == ["a", "b"].repeat(times),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn an_entry_whose_first_line_ends_like_an_entry_is_read_to_its_end() {
    let long = "{\"a\":{\"b\":1}\n,\"c\":2}";
    let next = "{\"d\":{}}";
    let found = records(&format!("{long}\n{next}\n  {next} \n\n{long}"));
    let found: Vec<&str> = found.iter().map(|(_, text)| text.trim()).collect();
    assert_eq!(found, [long, next, next, long]);
}

#[test]
fn what_is_broken_is_one_bad_record_and_the_next_line_begins_anew() {
    let check = |text: &str, expect: &[(u64, &str)]| {
        let expect: Vec<_> = expect
            .iter()
            .map(|(n, text)| (*n, (*text).to_owned()))
            .collect();
        assert_eq!(records(text), expect, "{text}");
    };
    check(
        "{\"a\":1\n{\"b\":2}\n",
        &[(1, "{\"a\":1"), (2, "{\"b\":2}")],
    );
    check(
        "{\"a\":\n{\"b\":2}\n{\"c\":3}\n",
        &[(1, "{\"a\":"), (2, "{\"b\":2}"), (3, "{\"c\":3}")],
    );
    check(
        "{\"a\":\"x\n{\"b\":2}",
        &[(1, "{\"a\":\"x"), (2, "{\"b\":2}")],
    );
    check("{\"a\":[\n{\"b\":2}", &[(1, "{\"a\":["), (2, "{\"b\":2}")]);
    check(
        "{\"b\":2} x\nid,time\n",
        &[(1, "{\"b\":2} x"), (2, "id,time")],
    );
    check(
        "[{\"b\":2}\n{\"c\":3}\n",
        &[(1, "{\"b\":2}"), (2, "NoComma"), (2, "{\"c\":3}")],
    );
    check(
        "{\"result\":[{\"b\":2},\n{\"c\" 3}\n{\"d\":4}\n",
        &[(1, "{\"b\":2}"), (2, "{\"c\" 3}"), (3, "{\"d\":4}")],
    );
    check("{\"result\":null}\n", &[(1, "{\"result\":null}")]);
    let cut = "the file ends in the middle of a list";
    check(
        "{\"result\":[{\"b\":2},\n{\"c\"",
        &[(1, "{\"b\":2}"), (2, cut)],
    );
    check("{\"result\":[{\"b\":2}]", &[(1, "{\"b\":2}"), (1, cut)]);
}

#[test]
fn a_page_that_is_longer_than_memory_is_read_element_by_element() {
    let element = format!("{{\"id\":\"{}\"}},", "x".repeat(100_000));
    let times = 2_000;
    let input = b"{\"result\":["
        .chain(io::Cursor::new(element.repeat(times)))
        .chain(b"{}],\"result_info\":{}}\n".as_slice());
    let mut lines = Lines::new(input);
    let (mut found, mut most) = (0, 0);
    while let Some(record) = lines.next().unwrap() {
        found += usize::from(
            matches!(record.line, Line::Bytes(bytes) if !bytes.trim_ascii().is_empty()),
        );
        most = most.max(lines.held.capacity());
    }
    assert_eq!(found, times + 1);
    assert!(most <= 2 * MAX_SPARE_BYTES, "{most}");
}

#[test]
fn an_element_that_is_too_long_is_skipped_without_being_held() {
    let input = b"[{\"a\":\""
        .chain(io::repeat(b'x').take(2 * MAX_LINE_BYTES as u64))
        .chain(b"\"},\n{\"b\":2}]".as_slice());
    let mut lines = Lines::new(input);
    assert_eq!(
        lines.next().unwrap(),
        Some(Record {
            number: 1,
            line: Line::TooLong
        })
    );
    assert_eq!(
        lines.next().unwrap(),
        Some(Record {
            number: 2,
            line: Line::Bytes(b"{\"b\":2}")
        })
    );
    assert_eq!(lines.next().unwrap(), None);
}
