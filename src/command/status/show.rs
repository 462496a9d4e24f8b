//! How `orgtrail status` shows sources to people: the worst first, on lines of 80 columns.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::HumanCount;

use super::row::StatusRow;
use crate::command::print::{counted, span_text, word};
use crate::coverage::{Gap, Proof, Weight};
use crate::health::State;
use crate::status::LastError;
use crate::terminal::{columns, harmless, say, width, wrapped};

/// The most sources that are shown without `--all`.
const MAX_SOURCES: usize = 8;

/// The most gaps that are listed without `--all`.
const MAX_GAPS: usize = 8;

/// From this number on, sources with the same error, or gaps with the same reason, are shown as a group; `--all` shows each.
const MIN_GROUP: usize = 3;

/// How many sources of a group are named.
const MAX_NAMED: usize = 3;

/// How long lines are where no terminal says how long they may be.
const DEFAULT_WIDTH: usize = 80;

/// A gap that begins at most this long ago and was not scanned yet is the newest stretch, which every source has.
const NEWEST: TimeDelta = TimeDelta::minutes(30);

/// The widths of the columns; the last is as long as it is.
const WIDTHS: [usize; 3] = [12, 12, 8];

/// Where the lines below a source begin.
const INDENT: usize = 4;

/// What people see.
pub(super) struct StatusPrinter {
    width: usize,
    is_all: bool,
    now: DateTime<Utc>,
}

impl StatusPrinter {
    pub(super) fn new(is_all: bool, now: DateTime<Utc>) -> Self {
        Self {
            width: width().unwrap_or(DEFAULT_WIDTH),
            is_all,
            now,
        }
    }

    pub(super) fn say(&self, rows: Vec<StatusRow>) -> Result<()> {
        Ok(say(self.text(rows).trim_end())?)
    }

    fn text(&self, mut rows: Vec<StatusRow>) -> String {
        rows.sort_by_cached_key(|row| self.badness(row));
        let all: Vec<&StatusRow> = rows.iter().collect();
        let mut text = self.wrap(&summary(&all)) + "\n\n";
        text += &line(&["STATE".into(), "EVENTS".into(), "LAG".into()], "SOURCE");
        let groups = self.groups(&rows);
        let shown = if self.is_all {
            groups.len()
        } else {
            MAX_SOURCES
        };
        for group in groups.iter().take(shown) {
            text += &self.group(group);
        }
        let rest: Vec<&StatusRow> = groups.iter().skip(shown).flatten().copied().collect();
        if !rest.is_empty() {
            text += &self.wrap(&format!(
                "… and {} more: {}; --all shows them",
                rest.len(),
                states(&rest)
            ));
            text.push('\n');
        }
        text + &self.gaps(&rows)
    }

    /// The worst first: sources that need action, then sources with gaps, then the others.
    fn badness(&self, row: &StatusRow) -> (u8, bool, i64, String) {
        let state = match row.status.state {
            State::Refused => 0,
            State::Failing => 1,
            State::Clock => 2,
            State::Starting => 4,
            State::CatchingUp => 5,
            State::Stopped => 6,
            State::Live => 7,
            State::Left => 8,
        };
        let has_gaps = row.gaps.iter().any(|gap| self.is_worth_telling(gap));
        let lag = row.status.lag_seconds.unwrap_or(i64::MAX);
        (
            state,
            !has_gaps,
            lag.saturating_neg(),
            row.status.source.clone(),
        )
    }

    /// Whether a gap is only what happened a moment ago.
    fn is_newest(&self, gap: &Gap) -> bool {
        let since = gap.since.parse::<DateTime<Utc>>();
        match gap.reason.weight() {
            Weight::Held => true,
            Weight::OnItsWay => since.is_ok_and(|since| since >= self.now - NEWEST),
            Weight::ByDesign | Weight::Loss => false,
        }
    }

    /// Whether a gap says that something is missing that was asked for and may still come.
    fn is_worth_telling(&self, gap: &Gap) -> bool {
        gap.reason.weight() != Weight::ByDesign && !self.is_newest(gap)
    }

    /// The sources, those with the same state and error together where there are several.
    fn groups<'a>(&self, rows: &'a [StatusRow]) -> Vec<Vec<&'a StatusRow>> {
        let error = |row: &'a StatusRow| {
            let error = row.status.last_error.as_ref()?;
            let is_failing = row.status.failing_since.is_some();
            is_failing.then(|| (word(row.status.state), error.message.as_str()))
        };
        let mut groups: Vec<Vec<&StatusRow>> = Vec::new();
        for row in rows {
            let same = |group: &&mut Vec<&'a StatusRow>| {
                error(row).is_some() && error(group[0]) == error(row)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        let apart = |group: Vec<&'a StatusRow>| match group.len() < MIN_GROUP {
            true => group.into_iter().map(|row| vec![row]).collect(),
            false => vec![group],
        };
        groups.into_iter().flat_map(apart).collect()
    }

    fn group(&self, group: &[&StatusRow]) -> String {
        let (Some(first), true) = (group.first(), group.len() > 1) else {
            return group.iter().map(|row| self.source(row, true)).collect();
        };
        let events: u64 = group.iter().map(|row| row.status.events).sum();
        let lag = group.iter().filter_map(|row| row.status.lag_seconds).max();
        let mut text = line(
            &[
                word(first.status.state),
                HumanCount(events).to_string(),
                lag.map_or_else(|| "–".to_owned(), span_text),
            ],
            &format!("{} sources", group.len()),
        );
        let since = group
            .iter()
            .filter_map(|row| row.status.failing_since.as_ref())
            .min();
        let last = group
            .iter()
            .filter_map(|row| row.status.last_error.as_ref());
        let last = last.max_by_key(|error| error.at.as_str());
        text += &self.below(last.map(|error| trouble(since, error)).unwrap_or_default());
        if self.is_all {
            let sources = group.iter().map(|row| self.source(row, false));
            return text + &sources.collect::<String>();
        }
        for row in group.iter().take(MAX_NAMED) {
            let name = row.status.name.as_ref();
            let name = name.map_or_else(String::new, |name| format!(" {name}"));
            text += &self.below(format!("{}{name}", row.status.source));
        }
        let more = group.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            text += &self.below(format!("… and {more} more like them; --all shows them"));
        }
        text
    }

    /// Something that is said below a source.
    fn below(&self, said: String) -> String {
        let said = wrapped(&harmless(&said), self.width.saturating_sub(INDENT), 0);
        let lines = said.lines();
        lines
            .map(|line| format!("{}{line}\n", " ".repeat(INDENT)))
            .collect()
    }

    /// The line of a source and what is said below it, with its error unless that was said of its group.
    fn source(&self, row: &StatusRow, has_error: bool) -> String {
        let status = &row.status;
        let lag = status.lag_seconds.map_or_else(|| "–".to_owned(), span_text);
        let events = HumanCount(status.events).to_string();
        let mut text = line(
            &[word(status.state), events, lag],
            &harmless(&status.source),
        );
        for said in self.about(row) {
            text += &self.below(said);
        }
        if let Some(error) = status.last_error.as_ref().filter(|_| has_error) {
            text += &self.below(trouble(status.failing_since.as_ref(), error));
        }
        text
    }

    /// What is said of a source below its line, besides its error.
    fn about(&self, row: &StatusRow) -> Vec<String> {
        let status = &row.status;
        let mut proven: Vec<String> = status.name.iter().map(|name| harmless(name)).collect();
        let proven_from = row.intervals.first().map(|interval| &interval.since);
        let proven_before = row.intervals.last().map(|interval| &interval.before);
        match proven_from.zip(proven_before) {
            Some((from, before)) => {
                proven.push(format!("proven {} to {}", minute(from), minute(before)));
            }
            None => proven.push("nothing proven yet".to_owned()),
        }
        let complete = row.intervals.iter();
        let mut complete = complete.filter(|interval| interval.state == Proof::Complete);
        if let Some(last) = complete.next_back() {
            proven.push(format!("complete to {}", minute(&last.before)));
        }
        let gaps = row
            .gaps
            .iter()
            .filter(|gap| self.is_worth_telling(gap))
            .count();
        match gaps {
            0 => {}
            1 => proven.push("1 gap".to_owned()),
            gaps => proven.push(format!("{gaps} gaps")),
        }
        let mut said = vec![harmless(&proven.join("; "))];
        if let (Some(since), false) = (&status.backfilled_to, status.backfill_done)
            && status.state != State::Stopped
        {
            said.push(harmless(&format!(
                "history is read back to {}",
                minute(since)
            )));
        }
        said
    }

    fn gaps(&self, rows: &[StatusRow]) -> String {
        let all = rows
            .iter()
            .flat_map(|row| row.gaps.iter().map(move |gap| (row, gap)));
        let (told, others): (Vec<_>, Vec<_>) =
            all.partition(|(_, gap)| self.is_all || self.is_worth_telling(gap));
        let mut text = String::new();
        if !told.is_empty() {
            text += "\nNot proven:\n";
        }
        let told = self.alike(told);
        let shown = if self.is_all { told.len() } else { MAX_GAPS };
        for gaps in told.iter().take(shown) {
            let said = wrapped(
                &harmless(&gaps_text(gaps)),
                self.width.saturating_sub(2),
                INDENT,
            );
            text += &format!("  {said}\n");
        }
        let more: usize = told.iter().skip(shown).map(Vec::len).sum();
        if more > 0 {
            text += &format!("  … and {more} more: --all shows them\n");
        }
        let newest = others.iter().filter(|(_, gap)| self.is_newest(gap)).count();
        let by_design = others.len() - newest;
        if newest > 0 || by_design > 0 {
            text += "\n";
        }
        if newest > 0 {
            text += &self.wrap(&format!(
                "The newest minutes of {newest} {} are not scanned yet, as always.",
                if newest == 1 { "source" } else { "sources" }
            ));
            text.push('\n');
        }
        if by_design > 0 {
            text += &self.wrap(&format!(
                "{by_design} further {} not asked for, or older than upstream keeps or the account; --all shows them.",
                if by_design == 1 { "gap is" } else { "gaps are" }
            ));
            text.push('\n');
        }
        text
    }

    /// Gaps, those with the same reason together where there are several.
    fn alike<'a>(&self, gaps: Vec<(&'a StatusRow, &'a Gap)>) -> Vec<Vec<(&'a StatusRow, &'a Gap)>> {
        let mut groups: Vec<Vec<(&StatusRow, &Gap)>> = Vec::new();
        for gap in gaps {
            let said = detail(gap.0, gap.1);
            let same = |group: &&mut Vec<(&'a StatusRow, &'a Gap)>| {
                let (row, first) = group[0];
                first.reason == gap.1.reason && detail(row, first) == said
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(gap),
                None => groups.push(vec![gap]),
            }
        }
        let apart =
            |group: Vec<(&'a StatusRow, &'a Gap)>| match self.is_all || group.len() < MIN_GROUP {
                true => group.into_iter().map(|gap| vec![gap]).collect(),
                false => vec![group],
            };
        groups.into_iter().flat_map(apart).collect()
    }

    fn wrap(&self, text: &str) -> String {
        wrapped(text, self.width, 2)
    }
}

/// What went wrong last, and since when it does.
fn trouble(since: Option<&String>, error: &LastError) -> String {
    let at = minute(&error.at);
    match since {
        Some(since) => format!(
            "failing since {}, last at {at}: {}",
            minute(since),
            error.message
        ),
        None => format!("last error, at {at}: {}", error.message),
    }
}

/// What is said of a gap besides its reason; nothing where it is what the source's last error says.
fn detail<'a>(row: &StatusRow, gap: &'a Gap) -> &'a str {
    let detail = gap.detail.as_deref().unwrap_or_default();
    let error = row.status.last_error.as_ref();
    match error.is_some_and(|error| detail.ends_with(&error.message)) {
        true => "",
        false => detail,
    }
}

/// Gaps with the same reason.
fn gaps_text(gaps: &[(&StatusRow, &Gap)]) -> String {
    let Some((row, first)) = gaps.first() else {
        return String::new();
    };
    let detail = match detail(row, first) {
        "" => String::new(),
        detail => format!(", {detail}"),
    };
    let reason = first.reason.words();
    if gaps.len() == 1 {
        return format!(
            "{}: {reason}{detail}; from {} to {}",
            row.status.source, first.since, first.before
        );
    }
    let mut sources: Vec<&str> = gaps
        .iter()
        .map(|(row, _)| row.status.source.as_str())
        .collect();
    sources.dedup();
    let of = match sources.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("{} sources", several.len()),
    };
    let since = gaps.iter().map(|(_, gap)| gap.since.as_str()).min();
    let before = gaps.iter().map(|(_, gap)| gap.before.as_str()).max();
    format!(
        "{of}: {reason}{detail}; {} gaps between {} and {}",
        gaps.len(),
        since.unwrap_or_default(),
        before.unwrap_or_default()
    )
}

/// A line of the table.
fn line(cells: &[String; 3], source: &str) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        line.push_str(cell);
        // A cell that is longer moves what follows it.
        let rest = width.saturating_sub(columns(cell)).max(1);
        line.push_str(&" ".repeat(rest));
    }
    line + source + "\n"
}

/// How many sources there are, and how they are.
fn summary(rows: &[&StatusRow]) -> String {
    let events: u64 = rows.iter().map(|row| row.status.events).sum();
    let sources = if rows.len() == 1 { "source" } else { "sources" };
    format!(
        "{} {sources}: {}. {}. Times are in UTC.",
        rows.len(),
        states(rows),
        counted(events, "event")
    )
}

/// How many sources are in which state, in the order of the rows.
fn states(rows: &[&StatusRow]) -> String {
    let mut counts: BTreeMap<usize, (String, usize)> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        let state = word(row.status.state);
        match counts.values_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => {
                counts.insert(n, (state, 1));
            }
        }
    }
    let counts = counts
        .values()
        .map(|(state, count)| format!("{count} {state}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// A time to the minute, in UTC; `--json` has all of it.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

#[cfg(test)]
mod tests;
