//! How an answer is shown: a table for people, or lines for programs. Upstream's text is made harmless on its way.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use chrono::{DateTime, Local, SecondsFormat, Utc};
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use serde_json::json;

use super::Colors;
use super::place::{Found, Values};
use crate::event::AuditEvent;
use crate::json::{self, Scalar};
use crate::position::rfc3339;
use crate::search::csv;
use crate::terminal::{harmless, harmless_json, say};

const HEADER: [&str; 6] = ["SEQ", "TIME", "ACTOR", "ACTION", "RESOURCE", "FROM"];

/// How wide the columns are at least when events are shown as they come, so that they stand below one another.
const WIDTHS: [u16; 6] = [8, 34, 28, 28, 36, 16];

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
    Csv,
}

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    form: Form,
    is_colored: bool,
    is_utc: bool,
}

impl Show {
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
        Self {
            form,
            is_colored,
            is_utc,
        }
    }

    /// Shows events that are all there.
    pub(super) fn events(self, events: &[Found]) -> Result<()> {
        if self.form == Form::Table {
            if events.is_empty() {
                return Ok(say("Nothing found.")?);
            }
            let mut table = self.table(&HEADER);
            for event in events {
                table.add_row(self.row(&event.event));
            }
            return Ok(say(table)?);
        }
        self.in_pieces()?.add(events)
    }

    /// Shows events as they come.
    pub(super) fn in_pieces(self) -> Result<Pieces> {
        match self.form {
            Form::Csv => write(&csv::header()?)?,
            Form::Table => say(aligned(self.table(&HEADER)))?,
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

    /// A table without a header.
    fn bare_table(self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if self.is_colored {
            // The table would look at `NO_COLOR` for itself, and what was said on the command line counts for more.
            crossterm::style::force_color_output(true);
            table.enforce_styling();
        }
        table
    }

    fn cell(self, text: String, color: Color) -> Cell {
        let cell = Cell::new(text);
        if self.is_colored {
            cell.fg(color)
        } else {
            cell
        }
    }

    /// An event as people read it: when, who, what, to which resource.
    fn row(self, event: &AuditEvent) -> [Cell; 6] {
        let entry = Leaves::of(event);
        // The action's result where it is not the usual one.
        let failure = entry.0.get("action.result").filter(|it| *it != "success");
        let action = entry.join(&["action.description"]);
        let action = match failure {
            Some(failure) => format!("{action} {failure}").trim_start().to_owned(),
            None => action,
        };
        let action = match failure {
            Some(_) => self.cell(action, Color::Red),
            None => Cell::new(action),
        };
        let who = ["actor.email", "actor.token_name", "actor.type", "actor.id"];
        let what = ["resource.product", "resource.type", "resource.id"];
        let time = event
            .time
            .map_or_else(|| "no time".into(), |at| self.time(at));
        [
            Cell::new(event.seq),
            self.cell(time, Color::DarkGrey),
            self.cell(entry.first(&who), Color::Cyan),
            action,
            Cell::new(entry.join(&what)),
            Cell::new(entry.first(&["actor.ip_address", "actor.context"])),
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

/// Events that are shown as they come.
pub(super) struct Pieces(Show);

impl Pieces {
    pub(super) fn add(&mut self, events: &[Found]) -> Result<()> {
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
                    let mut table = show.bare_table();
                    table.add_row(show.row(&event.event));
                    say(aligned(table))?;
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

/// The plain values of an entry by their paths, harmless; of several the first.
struct Leaves(HashMap<String, String>);

impl Leaves {
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
