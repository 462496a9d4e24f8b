//! `orgtrail status`

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;

use super::reach::{Reach, get};
use crate::clock::Clock;
use crate::status::{self, SourceStatus};
use crate::store::Store;
use crate::terminal::{harmless, harmless_json, say};

/// Whom to ask, and how to show it.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Deserialize)]
struct Sources {
    sources: Vec<SourceStatus>,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let sources = match &args.reach.server {
        Some(server) => {
            let answer = get(server, "/v1/sources", &[])?;
            let answer: Sources =
                serde_json::from_str(&answer).context("the server's answer cannot be read")?;
            answer.sources
        }
        None => {
            let store = Store::open_beside(&args.reach.data_dir(config)?)?;
            status::sources(&store, None, Clock::system().now())?
        }
    };
    if args.json {
        for source in &sources {
            say(harmless_json(&serde_json::to_string(source)?))?;
        }
        return Ok(());
    }
    if sources.is_empty() {
        return Ok(say("No source has been followed yet.")?);
    }
    Ok(say(table(&sources))?)
}

fn table(sources: &[SourceStatus]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "SOURCE",
        "NAME",
        "STATE",
        "EVENTS",
        "NEWEST",
        "PROVEN BEFORE",
        "LAG",
        "HISTORY FROM",
        "LAST ERROR",
    ]);
    for source in sources {
        let or_dash =
            |text: &Option<String>| text.as_deref().map_or_else(|| "–".to_owned(), harmless);
        let state = serde_json::to_value(source.state).ok();
        table.add_row([
            harmless(&source.source),
            or_dash(&source.name),
            state
                .and_then(|state| Some(state.as_str()?.replace('_', " ")))
                .unwrap_or_default(),
            source.events.to_string(),
            or_dash(&source.newest_event),
            or_dash(&source.sealed_before),
            source
                .lag_seconds
                .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s")),
            or_dash(&source.backfilled_to),
            or_dash(
                &source
                    .last_error
                    .as_ref()
                    .map(|error| format!("{}: {}", error.at, error.message)),
            ),
        ]);
    }
    table
}
