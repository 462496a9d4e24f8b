//! `[evidence]`: the transparency log of the events.

use chrono::TimeDelta;
use url::Url;

use super::error::Read;
use super::header::Header;
use super::kinds;
use super::local;
use super::reader::{Reader, Table, TableEntry};
use super::value::Value;
use crate::attest::{EvidenceConfig, WitnessConfig};
use crate::evidence::{STATEMENTS, VerifierKey, note};
use crate::wording::quoted;

/// The shortest time between two checkpoints.
const SHORTEST_EVERY: TimeDelta = TimeDelta::seconds(1);

/// The longest origin, in bytes.
const MAX_ORIGIN_BYTES: usize = 255;

/// The most witnesses.
const MAX_WITNESSES: usize = 32;

/// Reads it. The outer `None` is a mistake; the inner one: nothing is signed.
pub(super) fn read<'t>(
    reader: &mut Reader<'t>,
    entry: Option<TableEntry<'t>>,
) -> Option<Option<EvidenceConfig>> {
    let is_there = entry.is_some();
    let (settings, witnesses) = reader.read(Header::Table("evidence"), entry, |table| {
        (read_settings(table, is_there), table.tables("witnesses"))
    });
    let witnesses: Vec<_> = witnesses?
        .into_iter()
        .map(|entry| {
            reader.read(
                Header::Each("evidence.witnesses"),
                Some(entry),
                read_witness,
            )
        })
        .collect();
    let witnesses: Option<Vec<_>> = witnesses.into_iter().collect();
    let (settings, witnesses) = (settings?, witnesses?);
    let Some(settings) = settings else {
        return Some(None);
    };
    let config = EvidenceConfig {
        witnesses,
        ..settings
    };
    match mistake(&config) {
        None => Some(Some(config)),
        Some(message) => {
            reader.object(None, message);
            None
        }
    }
}

/// What is wrong with the witnesses together.
fn mistake(config: &EvidenceConfig) -> Option<String> {
    let count = config.witnesses.len();
    if count > MAX_WITNESSES {
        return Some(format!(
            "`evidence.witnesses` has {count} witnesses: it takes at most {MAX_WITNESSES}"
        ));
    }
    if config.quorum > count {
        let quorum = config.quorum;
        return Some(format!(
            "`evidence.quorum` is {quorum}, and there are {count} witnesses: it is at most their number"
        ));
    }
    let keys = |at: usize| config.witnesses[at].key.material();
    let is_double = (0..count).any(|at| (0..at).any(|other| keys(other) == keys(at)));
    is_double.then(|| "two of `evidence.witnesses` have the same key: keep one of them".to_owned())
}

fn read_settings(table: &mut Table<'_, '_>, is_there: bool) -> Option<Option<EvidenceConfig>> {
    let origin = table.find("origin", origin);
    let key_file = table.find("key_file", kinds::path);
    let every = table.take(
        "checkpoint_every",
        TimeDelta::minutes(1),
        kinds::span_from(SHORTEST_EVERY),
    );
    let public = table.take("public", false, |value| value.truth());
    let quorum = table.take("quorum", 0, |value| {
        value.whole_number(0..=MAX_WITNESSES as u32)
    });
    if !is_there && origin.place.is_none() && key_file.place.is_none() {
        return Some(None);
    }
    for (key, place) in [("origin", &origin.place), ("key_file", &key_file.place)] {
        if place.is_none() {
            table.object(None, format!("`{key}` is missing in `[evidence]`: add it"));
        }
    }
    Some(Some(EvidenceConfig {
        origin: origin.value?,
        key_file: key_file.value?,
        checkpoint_every: every.value?,
        public: public.value?,
        witnesses: Vec::new(),
        quorum: quorum.value? as usize,
    }))
}

fn read_witness(table: &mut Table<'_, '_>) -> Option<WitnessConfig> {
    let url = table.require("url", witness_url);
    let key = table.require("key", witness_key);
    Some(WitnessConfig {
        url: url.value?,
        key: key.value?,
    })
}

/// The name of the log: the name of a key, and a line of a checkpoint.
fn origin(value: &Value<'_>) -> Read<String> {
    let text = value.text("the name of the log, such as `\"log.example.com/orgtrail\"`")?;
    let ends_like_statements = text.ends_with(&format!("/{STATEMENTS}"));
    if !note::is_key_name(text) || text.len() > MAX_ORIGIN_BYTES || ends_like_statements {
        return value.refuse(format!(
            "{} cannot be the name of the log: write the address where it is served without `https://`, such as `log.example.com/orgtrail`, without spaces and `+`, and not with `/{STATEMENTS}` at its end",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// Where a witness takes checkpoints.
fn witness_url(value: &Value<'_>) -> Read<Url> {
    let text = value.text("the address of a witness, in quotes")?;
    let url = Url::parse(text).ok().filter(|url| {
        let is_safe = url.scheme() == "https" || local::is_this_machine(url);
        let is_plain = url.query().is_none() && url.fragment().is_none();
        let has_user = !url.username().is_empty() || url.password().is_some();
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && is_safe
            && is_plain
            && !has_user
    });
    match url {
        Some(url) => Ok(url),
        None => value.refuse(format!(
            "{} is not the submission prefix of a witness: write `https://` (`http://` is for this machine only), and no user name or query",
            quoted(text)
        )),
    }
}

fn witness_key(value: &Value<'_>) -> Read<VerifierKey> {
    let text = value.text("the key of a witness, as `NAME+ID+KEY`")?;
    match VerifierKey::parse(text) {
        Ok(key) if key.is_of_witness() => Ok(key),
        Ok(_) => value.refuse("this key is not that of a witness: its type is not 4"),
        Err(error) => value.refuse(format!(
            "{} is not the key of a witness: {error}",
            quoted(text)
        )),
    }
}
