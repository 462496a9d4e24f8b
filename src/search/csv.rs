//! Events as lines of CSV (RFC 4180): a column for each of our own members, then one for each field of the table.
//!
//! Spreadsheets take a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula, and upstream's text is
//! whatever its callers wrote. Such a cell gets an apostrophe in front, which spreadsheets show as text. Every cell is quoted:
//! otherwise a spreadsheet that splits at `;` could read the rest of a cell as a formula. Several values of a field stand in one
//! cell, separated by `; `; a nested body stands there as its JSON.

use std::collections::HashMap;

use crate::event::AuditEvent;
use crate::field::{FIELDS, Field, Kind, Origin};
use crate::position::rfc3339;
use orgtrail_cloudflare::json::{self, Scalar};

/// The columns that are ours, before those of the entry.
const OWN: [&str; 7] = [
    "seq",
    "time",
    "received_at",
    "source",
    "revision",
    "problem",
    "sha256",
];

/// What a formula begins with, in the spreadsheets that people use; the wide ones are read as the narrow ones in some.
const FORMULA_SIGNS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The first line: the columns' names.
///
/// # Errors
/// None that is known: the text is made in memory.
pub fn header() -> Result<Vec<u8>, csv::Error> {
    let names = OWN.into_iter().chain(columns().map(|field| field.name));
    lines([names.map(ToOwned::to_owned).collect()])
}

/// A line for each event.
///
/// # Errors
/// As [`header`].
pub fn rows<'e>(events: impl IntoIterator<Item = &'e AuditEvent>) -> Result<Vec<u8>, csv::Error> {
    lines(events.into_iter().map(row))
}

fn columns() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| field.origin == Origin::Entry)
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.into_iter().map(safe))?;
    }
    writer
        .into_inner()
        .map_err(|error| error.into_error().into())
}

/// A cell that no spreadsheet takes for a formula.
fn safe(cell: String) -> String {
    if cell.starts_with(FORMULA_SIGNS) {
        format!("'{cell}")
    } else {
        cell
    }
}

fn row(event: &AuditEvent) -> Vec<String> {
    let mut values: HashMap<&str, String> = HashMap::new();
    json::walk(event.entry.get(), |path, value| {
        let text = match value {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.into(),
            Scalar::Bool(value) => value.to_string().into(),
            Scalar::Null => return,
        };
        if let Some(field) = columns().find(|field| field.name == path) {
            let cell = values.entry(field.name).or_default();
            if !cell.is_empty() {
                cell.push_str("; ");
            }
            cell.push_str(&text);
        }
    });
    // Of a damaged entry the log still knows the id.
    if let (true, Some(id)) = (event.is_damaged(), &event.id) {
        values.insert("id", id.clone());
    }
    let mut cells = vec![
        event.seq.to_string(),
        event.time.map(rfc3339).unwrap_or_default(),
        rfc3339(event.received_at),
        event.source.to_string(),
        event.revision.to_string(),
        event.problem.clone().unwrap_or_default(),
        event.sha256.clone().unwrap_or_default(),
    ];
    cells.extend(columns().map(|field| {
        let nested = nested(event, field);
        nested.unwrap_or_else(|| values.remove(field.name).unwrap_or_default())
    }));
    cells
}

/// The JSON of a field that may hold any, where it holds more than a plain value.
fn nested(event: &AuditEvent, field: &Field) -> Option<String> {
    if field.kind != Kind::Any {
        return None;
    }
    let path: Vec<&str> = field.name.split('.').collect();
    let text = json::member(event.entry.get(), &path)?;
    text.starts_with(['{', '['])
        .then(|| json::one_line(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reading;
    use crate::position::{Seq, Source};

    #[test]
    fn cells_are_quoted_and_no_formula() {
        let body = r#"{"id":"-1","action":{"time":"2026-08-03T08:00:00Z","description":"say \"hi\", twice\r\nor more"},
            "actor":{"email":"=HYPERLINK(\"http://x\")","token_name":"\t=1","ip_address":"@x"},
            "raw":{"status_code":200,"uri":["+a","b"],"user_agent":"＝1"},
            "resource":{"scope":"zones","request":{"a":
                [1]},"value":[]}}"#;
        let reading = Reading::of(body);
        let event = AuditEvent {
            seq: Seq(7),
            source: Source::account("a").unwrap(),
            id: reading.id,
            revision: 0,
            time: reading.time,
            received_at: crate::clock::from_micros(0),
            problem: reading.problem,
            entry: serde_json::value::RawValue::from_string(body.to_owned()).unwrap(),
            sha256: None,
        };
        let text = [header().unwrap(), rows(&[event]).unwrap()].concat();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let names = reader.headers().unwrap().clone();
        let record = reader.records().next().unwrap().unwrap();
        let cells: Vec<String> = names
            .iter()
            .zip(&record)
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(name, cell)| format!("{name}: {cell:?}"))
            .collect();
        insta::assert_debug_snapshot!(cells);
        assert!(text.ends_with(b"\r\n"));
        let mut every_cell_is_quoted = csv::ReaderBuilder::new();
        let mut plain = every_cell_is_quoted
            .quoting(false)
            .from_reader(text.as_slice());
        for name in plain.headers().unwrap() {
            assert!(name.starts_with('"') && name.ends_with('"'), "{name}");
        }
    }
}
