//! How an answer is shown: a table for people, or lines for programs. Upstream's text is made harmless on its way.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use chrono::{DateTime, Local, SecondsFormat, Utc};
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use crossterm::style::Stylize as _;
use serde_json::json;

use super::asked::Colors;
use super::found::FoundEvent;
use super::place::Values;
use crate::event::AuditEvent;
use crate::position::{SourceKind, rfc3339};
use crate::search::csv;
use crate::terminal::{self, columns, harmless, harmless_json, say};
use orgtrail_cloudflare::json::{self, Scalar};

/// The columns of a table of events.
const HEADER: [&str; N_COLUMNS] = [
    "SEQ", "TIME", "ACTOR", "ACTION", "RESOURCE", "ACCOUNT", "FROM",
];

/// How many there are.
const N_COLUMNS: usize = 7;

/// The least widths of the columns while following, so that they line up.
const WIDTHS: [u16; N_COLUMNS] = [8, 34, 28, 28, 36, 20, 16];

/// The space around a column of a table.
const PADDING: usize = 2;

/// Where the lines of an event begin that has more than one.
const INDENT: usize = 4;

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
    Csv,
}

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventPrinter {
    form: Form,
    is_colored: bool,
    is_utc: bool,
    /// How many columns there are for a line; `None` when it may be as long as it likes.
    width: Option<usize>,
}

/// A part of an event, with its colour if it has one.
struct TableField {
    text: String,
    color: Option<Color>,
}

impl TableField {
    fn new(text: impl Into<String>, color: Option<Color>) -> Self {
        Self {
            text: text.into(),
            color,
        }
    }
}

/// An event's fields, in the order of [`HEADER`].
type TableRow = [TableField; N_COLUMNS];

impl EventPrinter {
    pub(super) fn new(form: Form, colors: Colors, is_utc: bool) -> Self {
        let is_colored = match colors {
            Colors::Always => true,
            Colors::Never => false,
            Colors::Auto => {
                let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        };
        if is_colored {
            // The libraries would look at `NO_COLOR` for themselves, and what was said on the command line counts for more.
            crossterm::style::force_color_output(true);
        }
        Self {
            form,
            is_colored,
            is_utc,
            width: terminal::width(),
        }
    }

    /// Shows events that are all there. `has_loss` says that some may be missing.
    pub(super) fn events(self, events: &[FoundEvent], has_loss: bool) -> Result<()> {
        if self.form != Form::Table {
            return self.in_pieces()?.add(events);
        }
        if events.is_empty() {
            return Ok(say(match has_loss {
                true => "Nothing found, but the answer is incomplete.",
                false => "Nothing found.",
            })?);
        }
        let rows: Vec<TableRow> = events.iter().map(|found| self.row(found)).collect();
        let header = HEADER.map(columns);
        let widths = rows.iter().fold(header, |widths, row| {
            let mut row = row.iter().map(|field| columns(&field.text));
            widths.map(|width| row.next().unwrap_or(0).max(width))
        });
        if !self.has_room_for(&widths) {
            say(self.header_in_lines())?;
            for row in &rows {
                say(self.in_lines(row))?;
            }
            return Ok(());
        }
        let mut table = self.table(&HEADER);
        for row in rows {
            table.add_row(self.cells(row));
        }
        Ok(say(table)?)
    }

    /// Shows events as they come.
    pub(super) fn in_pieces(self) -> Result<Pieces> {
        match self.form {
            Form::Csv => write(&csv::header()?)?,
            Form::Table if self.has_room_for(&WIDTHS.map(usize::from)) => {
                say(aligned(self.table(&HEADER)))?;
            }
            Form::Table => say(self.header_in_lines())?,
            Form::Json => {}
        }
        Ok(Pieces(self))
    }

    /// Shows the most frequent values of some fields.
    pub(super) fn values(self, all: &Values) -> Result<()> {
        for (i, (field, values)) in all.iter().enumerate() {
            if self.form == Form::Json {
                for found in values {
                    let line = json!({"field": field, "value": found.value, "label": found.label, "count": found.count});
                    say(harmless_json(&line.to_string()))?;
                }
                continue;
            }
            let mut table = self.table(&["COUNT", &harmless(field).to_uppercase()]);
            for found in values {
                let value = self.cell(harmless(&found.label), Color::Cyan);
                table.add_row([Cell::new(found.count), value]);
            }
            say(format_args!("{}{table}", if i > 0 { "\n" } else { "" }))?;
        }
        Ok(())
    }

    fn table(self, header: &[&str]) -> Table {
        let mut table = self.bare_table();
        table.set_header(header.iter().map(|name| {
            let cell = Cell::new(name);
            if self.is_colored {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        table
    }

    /// A table without a header. It does not break lines: the caller checks that the cells fit.
    fn bare_table(self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if self.is_colored {
            table.enforce_styling();
        }
        table
    }

    /// Whether a line has room for columns of these widths.
    fn has_room_for(self, widths: &[usize]) -> bool {
        let wanted: usize = widths.iter().map(|width| width + PADDING).sum();
        self.width.is_none_or(|width| wanted <= width)
    }

    fn cell(self, text: String, color: Color) -> Cell {
        self.cell_of(TableField::new(text, Some(color)))
    }

    fn cell_of(self, field: TableField) -> Cell {
        let cell = Cell::new(field.text);
        match field.color.filter(|_| self.is_colored) {
            Some(color) => cell.fg(color),
            None => cell,
        }
    }

    fn cells(self, row: TableRow) -> [Cell; N_COLUMNS] {
        row.map(|field| self.cell_of(field))
    }

    fn header_in_lines(self) -> String {
        self.in_lines(&HEADER.map(|name| TableField::new(name, None)))
    }

    /// An event on several lines, for a terminal that has no room for the table: broken between fields, and where one is too
    /// long, between its words.
    fn in_lines(self, row: &TableRow) -> String {
        let width = self.width.unwrap_or(usize::MAX);
        let mut lines = String::new();
        let mut used = 0;
        for (n, field) in row.iter().enumerate() {
            let len = columns(&field.text);
            // What was done to which resource and from where has a line of its own.
            let begins_line = HEADER[n] == "RESOURCE";
            if used > 0 && (begins_line || used + PADDING + len > width) {
                lines.push('\n');
                lines.push_str(&" ".repeat(INDENT));
                used = INDENT;
            } else if used > 0 {
                lines.push_str(&" ".repeat(PADDING));
                used += PADDING;
            }
            let text = terminal::wrapped(&field.text, width.saturating_sub(used), INDENT);
            match field.color.filter(|_| self.is_colored) {
                Some(color) => lines.push_str(&text.with(of_terminal(color)).to_string()),
                None => lines.push_str(&text),
            }
            used += len;
        }
        lines
    }

    /// An event as people read it: when, who, what, to which resource, in which account, from where.
    fn row(self, found: &FoundEvent) -> TableRow {
        let event = &found.event;
        let entry = EntryValues::of(event);
        // The action's result where it is not the usual one.
        let failure = entry.0.get("action.result").filter(|it| *it != "success");
        let action = entry.join(&["action.description"]);
        let action = match failure {
            Some(failure) => format!("{action} {failure}").trim_start().to_owned(),
            None => action,
        };
        let who = ["actor.email", "actor.token_name", "actor.type", "actor.id"];
        let what = ["resource.product", "resource.type", "resource.id"];
        let time = event
            .time
            .map_or_else(|| "no time".into(), |at| self.time(at));
        [
            TableField::new(event.seq.to_string(), None),
            TableField::new(time, Some(Color::DarkGrey)),
            TableField::new(entry.first(&who), Some(Color::Cyan)),
            TableField::new(action, failure.map(|_| Color::Red)),
            TableField::new(entry.join(&what), None),
            TableField::new(account(found, &entry), None),
            TableField::new(entry.first(&["actor.ip_address", "actor.context"]), None),
        ]
    }

    fn time(self, time: DateTime<Utc>) -> String {
        if self.is_utc {
            rfc3339(time)
        } else {
            let local = time.with_timezone(&Local);
            local.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        }
    }
}

/// The same colour outside a table.
fn of_terminal(color: Color) -> crossterm::style::Color {
    match color {
        Color::DarkGrey => crossterm::style::Color::DarkGrey,
        Color::Red => crossterm::style::Color::Red,
        _ => crossterm::style::Color::Cyan,
    }
}

/// Events that are shown as they come.
pub(super) struct Pieces(EventPrinter);

impl Pieces {
    pub(super) fn add(&mut self, events: &[FoundEvent]) -> Result<()> {
        let show = self.0;
        match show.form {
            _ if events.is_empty() => Ok(()),
            Form::Csv => {
                let events = events.iter().map(|found| &found.event);
                write(&csv::rows(events)?)
            }
            Form::Json => {
                for event in events {
                    say(harmless_json(&event.json))?;
                }
                Ok(())
            }
            Form::Table => {
                // Each by itself: how many come together is chance.
                for event in events {
                    let row = show.row(event);
                    let widths = (WIDTHS.iter().zip(&row))
                        .map(|(width, field)| columns(&field.text).max((*width).into()))
                        .collect::<Vec<_>>();
                    if show.has_room_for(&widths) {
                        let mut table = show.bare_table();
                        table.add_row(show.cells(row));
                        say(aligned(table))?;
                    } else {
                        say(show.in_lines(&row))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A row of events that come one by one, its columns below those of the row before.
fn aligned(mut table: Table) -> String {
    let widths = WIDTHS
        .map(Width::Fixed)
        .map(ColumnConstraint::LowerBoundary);
    table.set_constraints(widths);
    table.trim_fmt()
}

/// Bytes as they are: for a file or another program.
fn write(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let is_terminal = io::stdout().is_terminal();
    let mut out = io::stdout().lock();
    for line in text.split_inclusive("\r\n") {
        let bare = line.trim_end_matches("\r\n");
        let shown = if is_terminal {
            harmless(bare)
        } else {
            bare.to_owned()
        };
        out.write_all(shown.as_bytes())?;
        out.write_all(b"\r\n")?;
    }
    Ok(out.flush()?)
}

/// The account whose log it is from: its name if one is known, or else its id.
fn account(found: &FoundEvent, entry: &EntryValues) -> String {
    let source = &found.event.source;
    let is_account = source.kind() == SourceKind::Account;
    let known = json::text_of(&found.json, "account_name").map(|name| harmless(&name));
    let name = entry.0.get("account.name").cloned().or(known);
    name.or_else(|| entry.0.get("account.id").cloned())
        .or_else(|| is_account.then(|| source.id().to_owned()))
        .unwrap_or_else(|| "–".into())
}

/// The plain values of an entry by their paths, harmless; of several the first.
struct EntryValues(HashMap<String, String>);

impl EntryValues {
    fn of(event: &AuditEvent) -> Self {
        let mut leaves = HashMap::new();
        json::walk(event.entry.get(), |path, value| {
            if let Scalar::Text(text) = value
                && !text.is_empty()
                && path.matches('.').count() == 1
            {
                leaves
                    .entry(path.to_owned())
                    .or_insert_with(|| harmless(&text));
            }
        });
        Self(leaves)
    }

    fn first(&self, paths: &[&str]) -> String {
        let found = paths.iter().find_map(|path| self.0.get(*path));
        found.cloned().unwrap_or_else(|| "–".into())
    }

    fn join(&self, paths: &[&str]) -> String {
        let found = paths.iter().filter_map(|path| self.0.get(*path));
        found.cloned().collect::<Vec<_>>().join(" ")
    }
}
