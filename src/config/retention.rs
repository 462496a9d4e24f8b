//! `[retention]` and `[[retention.sources]]`: how long the bodies of events are kept.

use chrono::TimeDelta;

use super::error::Read;
use super::header::Header;
use super::reader::{Reader, Table, TableEntry};
use super::value::Value;
use crate::position::Source;
use crate::retention::{KeptFor, RetentionPolicies, SourcePolicy};
use crate::span;
use crate::wording::quoted;

/// The most sources with a policy of their own.
const MAX_SOURCES: usize = 10_000;

/// The shortest time that bodies are kept.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);

/// Reads both; `None` when something was refused. Without them, everything is kept forever.
pub(super) fn read<'t>(
    reader: &mut Reader<'t>,
    entry: Option<TableEntry<'t>>,
) -> Option<RetentionPolicies> {
    let (events, sources) = reader.read(Header::Table("retention"), entry, |table| {
        (
            table.take("events", None, kept_for).value,
            table.tables("sources"),
        )
    });
    let sources = sources?;
    if sources.len() > MAX_SOURCES {
        reader.object(
            None,
            format!("there are more than {MAX_SOURCES} `[[retention.sources]]`"),
        );
        return None;
    }
    let mut seen: Vec<Source> = Vec::new();
    let read: Vec<_> = sources
        .into_iter()
        .map(|entry| {
            reader.read(Header::Each("retention.sources"), Some(entry), |table| {
                read_source(table, &mut seen)
            })
        })
        .collect();
    let sources: Option<Vec<_>> = read.into_iter().collect();
    Some(RetentionPolicies {
        events: events?,
        sources: sources?,
    })
}

fn read_source(table: &mut Table<'_, '_>, seen: &mut Vec<Source>) -> Option<SourcePolicy> {
    let source = table.require("source", source);
    let events = table.require("events", kept_for);
    let policy = SourcePolicy {
        source: source.value?,
        events: events.value?,
    };
    if seen.contains(&policy.source) {
        table.object(
            source.place,
            format!(
                "`{}` has two `[[retention.sources]]`: write one of them",
                policy.source
            ),
        );
        return None;
    }
    seen.push(policy.source.clone());
    Some(policy)
}

/// `"forever"`, or a span.
fn kept_for(value: &Value<'_>) -> Read<Option<KeptFor>> {
    let text = value.text("`\"forever\"` or a span in quotes, such as `\"400d\"`")?;
    if text == "forever" {
        return Ok(None);
    }
    match KeptFor::read(text) {
        Ok(kept) if kept.span() >= SHORTEST => Ok(Some(kept)),
        Ok(_) => value.refuse(format!(
            "`{}` is {}: it is at least `{}`",
            value.key(),
            quoted(text),
            span::format(SHORTEST)
        )),
        Err(reason) => value.refuse(format!(
            "{} is neither `forever` nor a span: {reason}",
            quoted(text)
        )),
    }
}

/// A source by its whole name.
fn source(value: &Value<'_>) -> Read<Source> {
    let text = value.text("a source in quotes, such as `\"accounts/ID\"`")?;
    text.parse().or_else(|_| {
        value.refuse(format!(
            "{} is not a source: write `organizations/ID` or `accounts/ID`",
            quoted(text)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    const LEAST: &str = "[[organizations]]\nid = \"00000000000000000000000000000000\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        let text = format!("{text}\n{LEAST}");
        let parsed = Config::parse(&text, "orgtrail.toml", std::iter::empty());
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn everything_is_kept_unless_configured() {
        assert!(!parse("").unwrap().retention.erase_anything());
        let forever = parse("[retention]\nevents = \"forever\"").unwrap();
        assert!(!forever.retention.erase_anything());
        let some =
            parse("[retention]\n[[retention.sources]]\nsource = \"accounts/a\"\nevents = \"720h\"")
                .unwrap();
        let source = "accounts/a".parse().unwrap();
        let policy = some.retention.of(&source).unwrap();
        assert_eq!(
            (policy.events.as_str(), policy.source),
            ("720h", Some(&source))
        );
        assert!(some.retention.of(&"accounts/b".parse().unwrap()).is_none());
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let report = parse(
            "[retention]\nevents = \"30\"\nbodies = \"1d\"\n[[retention.sources]]\nsource = \"a\"\nevents = 30\n\
             [[retention.sources]]\nsource = \"accounts/a\"\nevents = \"0s\"\n[[retention.sources]]\nevents = \"1d\"\n\
             [[retention.sources]]\nsource = \"accounts/b\"\nevents = \"1d\"\n[[retention.sources]]\nsource = \"accounts/b\"\nevents = \"2d\"",
        )
        .unwrap_err();
        for expect in [
            "orgtrail.toml:2:10",
            "neither `forever` nor a span: a span needs a unit",
            "orgtrail.toml:3:1",
            "orgtrail.toml:5:10",
            "`a` is not a source",
            "orgtrail.toml:6:10",
            "orgtrail.toml:9:10",
            "it is at least `1s`",
            "`source` is missing in `[[retention.sources]]`",
            "`accounts/b` has two `[[retention.sources]]`",
            "orgtrail.toml:16:10",
        ] {
            assert!(report.contains(expect), "{expect}: {report}");
        }
    }
}
