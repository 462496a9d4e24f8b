//! `orgtrail search`

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::Args as ClapArgs;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reach::{Reach, get};
use crate::clock::Clock;
use crate::index::{Index, Order, Range};
use crate::query::{self, QueryError};
use crate::search::{self, Question, SearchError, parse_moment};
use crate::store::Store;
use crate::terminal::{harmless, harmless_json, say};

/// What to look for, and where.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Words, phrases in quotes, `field:value`, `AND OR NOT`, wildcards, ranges; nothing for everything.
    #[arg(default_value = "")]
    query: String,
    /// Only what happened at this time or later: `2026-08-03`, `2026-08-03T08:00:00Z`.
    #[arg(long)]
    since: Option<String>,
    /// Only what happened before this time.
    #[arg(long)]
    before: Option<String>,
    /// The most events.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let events = match &args.reach.server {
        Some(server) => from_server(args, server)?,
        None => from_data_dir(args, &args.reach.data_dir(config)?)?,
    };
    if args.json {
        for event in &events {
            say(harmless_json(event.get()))?;
        }
        return Ok(());
    }
    if events.is_empty() {
        return Ok(say("Nothing found.")?);
    }
    Ok(say(table(&events))?)
}

/// As much of an answer as is shown. Events stay the bytes that came.
#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
}

fn from_server(args: &Args, server: &url::Url) -> Result<Vec<Box<RawValue>>> {
    let limit = args.limit.to_string();
    let mut parameters = vec![("q", args.query.as_str()), ("limit", &limit)];
    parameters.extend(args.since.as_deref().map(|since| ("since", since)));
    parameters.extend(args.before.as_deref().map(|before| ("before", before)));
    parameters.extend(args.oldest_first.then_some(("order", "asc")));
    let page: Page = serde_json::from_str(&get(server, "/v1/events", &parameters)?)
        .context("the server's answer cannot be read")?;
    Ok(page.events)
}

fn from_data_dir(args: &Args, dir: &Path) -> Result<Vec<Box<RawValue>>> {
    let moment = |name: &str, text: &Option<String>| -> Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        let time = parse_moment(text).with_context(|| format!("--{name}: {text:?} is no time"))?;
        Ok(Some(time.timestamp_micros()))
    };
    let now = Clock::system().now();
    let query = query::parse(&args.query, now).map_err(with_place)?;
    let range = Range {
        since_us: moment("since", &args.since)?,
        before_us: moment("before", &args.before)?,
    };
    let order = if args.oldest_first {
        Order::Ascending
    } else {
        Order::Descending
    };
    let store = Store::open_beside(dir)?;
    let snapshot = Index::open_beside(dir, store.log_id())?;
    let question = Question {
        query,
        range,
        order,
    };
    let answer = search::page(&store, &snapshot, &question, now, None, args.limit.into()).map_err(
        |error| match error {
            SearchError::Query(error) => with_place(error),
            error => error.into(),
        },
    )?;
    answer
        .events
        .iter()
        .map(|event| Ok(serde_json::value::to_raw_value(event)?))
        .collect()
}

fn with_place(error: QueryError) -> anyhow::Error {
    anyhow!("{error} (at character {})", error.at)
}

/// Events as people read them: when, who, what, to which resource.
fn table(events: &[Box<RawValue>]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["SEQ", "TIME", "ACTOR", "ACTION", "RESOURCE", "FROM"]);
    for event in events {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        let entry = &event["entry"];
        table.add_row([
            event["seq"].to_string(),
            text(&event["time"]).unwrap_or_else(|| "no time".into()),
            first(&[
                &entry["actor"]["email"],
                &entry["actor"]["token_name"],
                &entry["actor"]["type"],
                &entry["actor"]["id"],
            ]),
            join(" ", &[&entry["action"]["description"], failure(entry)]),
            join(
                " ",
                &[
                    &entry["resource"]["product"],
                    &entry["resource"]["type"],
                    &entry["resource"]["id"],
                ],
            ),
            first(&[&entry["actor"]["ip_address"], &entry["actor"]["context"]]),
        ]);
    }
    table
}

/// The action's result where it is not the usual one.
fn failure(entry: &Value) -> &Value {
    match &entry["action"]["result"] {
        Value::String(result) if result == "success" => &Value::Null,
        result => result,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(harmless)
}

fn first(values: &[&Value]) -> String {
    values
        .iter()
        .find_map(|value| text(value))
        .unwrap_or_else(|| "–".into())
}

fn join(separator: &str, values: &[&Value]) -> String {
    values
        .iter()
        .filter_map(|value| text(value))
        .collect::<Vec<_>>()
        .join(separator)
}
