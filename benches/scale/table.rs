//! The one table: each figure beside what it is measured against and what is aimed at.

use std::fmt::Write as _;

use crate::Figures;

/// A row: what it says, the aim, and how it is read from the figures of one size.
struct Row {
    what: &'static str,
    aim: &'static str,
    figure: fn(&Figures) -> Option<String>,
}

const fn row(what: &'static str, aim: &'static str, figure: fn(&Figures) -> Option<String>) -> Row {
    Row { what, aim, figure }
}

/// What is aimed at.
const AIMS: &[Row] = &[
    row(
        "ingest, durable per page, beside typed + `RawValue`",
        "≥ 0.08",
        |f| ratio(f, "ingest.per_s", "parse.typed_per_s"),
    ),
    row("ingest beside `serde_json::Value`", "≥ 0.33", |f| {
        ratio(f, "ingest.per_s", "parse.value_per_s")
    }),
    row("store alone, durable, beside `Value`", "≥ 0.75", |f| {
        ratio(f, "store.per_s", "parse.value_per_s")
    }),
    row("rebuild of the index beside ingest", "≥ 1.0", |f| {
        ratio(f, "rebuild.per_s", "ingest.per_s")
    }),
    row(
        "newest 50 of many, with bodies, worst p99",
        "≤ 30 ms",
        |f| worst(f, &MANY, "p99"),
    ),
    row(
        "the same, search alone, worst p50",
        "≤ 4 × at ten times as many",
        |f| worst(f, &MANY.map(|kind| [kind, ": search"].concat()), "p50"),
    ),
    row("what must read everything, worst p99", "≤ 250 ms", |f| {
        worst(f, &EVERYTHING, "p99")
    }),
    row(
        "histogram, or four facets, with a filter, worst p99",
        "≤ 150 ms",
        |f| worst(f, &FILTERED, "p99"),
    ),
    row("disk, log and index, of the raw JSON", "≤ 0.44", |f| {
        let bytes = f.get("ingest.bytes.log")? + f.get("ingest.bytes.index")?;
        Some(format!("{:.3}", bytes / f.get("corpus.raw_bytes")?))
    }),
    row("kept → found, idle, p95", "≤ 100 ms", |f| {
        number(f, "quiet.p95_ms", 1.0, "ms")
    }),
    row("kept → found, under full load, worst", "≤ 6.5 s", |f| {
        number(f, "ingest.lag_worst_s", 1.0, "s")
    }),
    row(
        "memory, ingest, peak: its own",
        "≤ 250 MB, 1.5 × at ten times as many",
        |f| number(f, "ingest.own_mb", 1.0, "MB"),
    ),
    row(
        "the same with the pages of mapped files",
        "≤ 250 MB, 1.5 × at ten times as many",
        |f| number(f, "ingest.peak_mb", 1.0, "MB"),
    ),
    row("start to the first answer", "≤ 1 s", |f| {
        number(f, "start.seconds", 1_000.0, "ms")
    }),
];

/// Rates and sizes that the aims are made of.
const RATES: &[(&str, &str)] = &[
    ("read as `serde_json::Value`", "parse.value_per_s"),
    ("read as `RawValue` and typed structs", "parse.typed_per_s"),
    ("read as the log wants to know them", "parse.arrivals_per_s"),
    ("simulated", "corpus.per_s"),
    ("kept: log alone, durable per page", "store.per_s"),
    ("indexed: index alone, commit each second", "index.per_s"),
    ("ingested: both", "ingest.per_s"),
    ("index made again from the log", "rebuild.per_s"),
];

/// Questions with many answers: stopping early helps.
const MANY: [&str; 11] = [
    "actor",
    "common actor",
    "actor, 7 days",
    "action and result",
    "rare word",
    "common word",
    "phrase of common words",
    "everything",
    "everything, 7 days",
    "beginning of an e-mail",
    "middle of an e-mail",
];

/// Questions that read long lists to their end.
const EVERYTHING: [&str; 2] = ["two common, never together", "phrase that never stands"];

/// Numbers about the events that a filter keeps.
const FILTERED: [&str; 6] = [
    "four facets, 7 days",
    "four facets of an actor",
    "four facets of a common actor",
    "four facets of two fields",
    "histogram of a common actor",
    "histogram of two fields",
];

/// What is aimed at for a kind of question, by p99.
fn aim_of(kind: &str) -> &'static str {
    if MANY.contains(&kind) {
        "≤ 30"
    } else if EVERYTHING.contains(&kind) || kind.starts_with("count of") {
        "≤ 250"
    } else if FILTERED.contains(&kind) {
        "≤ 150"
    } else {
        ""
    }
}

/// The tables, in Markdown.
pub(crate) fn render(columns: &[(u64, Figures)]) -> String {
    let mut out = String::new();
    let sizes: Vec<String> = columns
        .iter()
        .map(|(size, _)| grouped(*size as f64))
        .collect();
    heading(&mut out, &["what", "aim"], &sizes);
    for row in AIMS {
        line(&mut out, &[row.what, row.aim], columns, row.figure);
    }
    heading(&mut out, &["entries a second"], &sizes);
    for (what, name) in RATES {
        line(&mut out, &[what], columns, |f| {
            f.get(*name).map(|per_s| grouped(*per_s))
        });
    }
    heading(&mut out, &["bytes on disk an entry"], &sizes);
    line(&mut out, &["raw JSON"], columns, |f| {
        an_entry(f, "corpus.raw_bytes")
    });
    for name in names(columns, "ingest.bytes.") {
        let what = name
            .trim_start_matches("ingest.bytes.")
            .replace("index.", "index: .");
        line(&mut out, &[&what], columns, |f| an_entry(f, name));
    }
    heading(
        &mut out,
        &["question, p50 / p99 in ms", "aim", "search alone"],
        &sizes,
    );
    for name in names(columns, "questions.").filter(|name| is_kind(name)) {
        let kind = name
            .trim_start_matches("questions.")
            .trim_end_matches(" p50");
        let both = |f: &Figures, kind: &str| {
            let of = |share| f.get(&format!("questions.{kind} {share}"));
            Some(format!("{:.3} / {:.3}", of("p50")?, of("p99")?))
        };
        let alone: Vec<String> = columns
            .iter()
            .filter_map(|(_, f)| both(f, &format!("{kind}: search")))
            .collect();
        let first = [kind, aim_of(kind), &alone.join(" · ")];
        line(&mut out, &first, columns, |f| both(f, kind));
    }
    heading(
        &mut out,
        &["peak memory, MB: its own / with mapped files"],
        &sizes,
    );
    for name in names(columns, "").filter(|name| name.ends_with(".own_mb")) {
        let part = name.trim_end_matches(".own_mb");
        line(&mut out, &[part], columns, |f| {
            let mb = |what| number(f, &format!("{part}.{what}"), 1.0, "");
            Some(format!("{} / {}", mb("own_mb")?, mb("peak_mb")?))
        });
    }
    out
}

fn is_kind(name: &str) -> bool {
    name.ends_with(" p50") && !name.ends_with(": search p50")
}

fn names<'a>(columns: &'a [(u64, Figures)], start: &'a str) -> impl Iterator<Item = &'a String> {
    let first = columns.first().map(|(_, figures)| figures.keys());
    first
        .into_iter()
        .flatten()
        .filter(move |name| name.starts_with(start))
}

fn heading(out: &mut String, first: &[&str], sizes: &[String]) {
    let cells: Vec<&str> = first
        .iter()
        .copied()
        .chain(sizes.iter().map(String::as_str))
        .collect();
    writeln!(
        out,
        "\n| {} |\n|{}",
        cells.join(" | "),
        " --- |".repeat(cells.len())
    )
    .ok();
}

fn line(
    out: &mut String,
    first: &[&str],
    columns: &[(u64, Figures)],
    figure: impl Fn(&Figures) -> Option<String>,
) {
    let figures = columns
        .iter()
        .map(|(_, figures)| figure(figures).unwrap_or_default());
    let cells: Vec<String> = first
        .iter()
        .map(|cell| (*cell).to_owned())
        .chain(figures)
        .collect();
    writeln!(out, "| {} |", cells.join(" | ")).ok();
}

fn ratio(figures: &Figures, what: &str, beside: &str) -> Option<String> {
    Some(format!("{:.3}", figures.get(what)? / figures.get(beside)?))
}

fn number(figures: &Figures, name: &str, times: f64, unit: &str) -> Option<String> {
    Some(
        format!("{:.1} {unit}", figures.get(name)? * times)
            .trim_end()
            .to_owned(),
    )
}

fn an_entry(figures: &Figures, name: &str) -> Option<String> {
    Some(format!(
        "{:.1}",
        figures.get(name)? / figures.get("corpus.entries")?
    ))
}

fn worst(figures: &Figures, kinds: &[impl AsRef<str>], share: &str) -> Option<String> {
    let of = |kind: &str| figures.get(&format!("questions.{kind} {share}")).copied();
    let worst = kinds
        .iter()
        .filter_map(|kind| Some((of(kind.as_ref())?, kind.as_ref())))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(format!("{:.2} ms ({})", worst.0, worst.1))
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
