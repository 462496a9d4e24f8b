//! The index answers what the reference says: lists, counts, values and counts over time, of any question over any entries, in
//! both orders, at any paging, after any commits.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::TimeDelta;
use orgtrail::clock::{Clock, Deadline, from_micros};
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{
    Engine, EngineError, Hit, Matches, Memory, Order, Range, Rank, RankedValues, Scope, ValueCount,
    ValuesOf, entry_of,
};
use orgtrail::field::Part;
use orgtrail::position::Seq;
use orgtrail::query::{Matcher, Query, parse};
use orgtrail::search::check_names;
use proptest::prelude::*;
use uuid::Uuid;

use crate::engine_queries::{Asked, in_memory};
use crate::reference::{Entry, counted_values, matches, now};

/// An index of some entries, committed after each of the given numbers of them.
pub(crate) fn indexed(dir: &Path, entries: &[Entry], cuts: &[usize]) -> Index {
    let (index, _) = Index::open(dir, Uuid::nil(), Seq::ZERO, Failpoints::default()).unwrap();
    let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
    let mut rest = events.as_slice();
    for cut in cuts {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        index.add(now).unwrap();
        index.commit().unwrap();
        rest = later;
    }
    index.add(rest).unwrap();
    index.commit().unwrap();
    index
}

/// Each engine with some entries, and its name: the index, committed after each of the given numbers of them, and the plain one.
pub(crate) fn engines(
    dir: &Path,
    entries: &[Entry],
    cuts: &[usize],
) -> [(&'static str, Engine); 2] {
    let index = indexed(dir, entries, cuts);
    [
        ("tantivy", Engine::Tantivy(index)),
        (
            "memory",
            in_memory(entries.iter().map(|entry| &entry.event)),
        ),
    ]
}

pub(crate) fn hit(entry: &Entry) -> Hit {
    Hit {
        at_us: entry.event.ordered_at().timestamp_micros(),
        seq: entry.event.seq,
    }
}

/// What the reference answers, in order.
pub(crate) fn expected(query: &Query, entries: &[Entry], range: Range, order: Order) -> Vec<Hit> {
    let mut hits: Vec<Hit> = entries
        .iter()
        .filter(|entry| matches(query, entry))
        .map(hit)
        .filter(|hit| {
            range.since_us.is_none_or(|since| hit.at_us >= since)
                && range.before_us.is_none_or(|before| hit.at_us < before)
        })
        .collect();
    hits.sort_by_key(|hit| (hit.at_us, hit.seq));
    if order == Order::Descending {
        hits.reverse();
    }
    hits
}

/// Edges of a histogram: before, among and after the times of most entries.
pub(crate) const EDGES: [i64; 5] = [
    0,
    1_785_715_200_000_000,
    1_785_744_000_000_000,
    1_785_744_000_500_000,
    1_785_801_600_000_000,
];

/// How many events the reference finds between each two edges.
pub(crate) fn over_time(query: &Query, entries: &[Entry], range: Range) -> Vec<u64> {
    let hits = expected(query, entries, range, Order::Ascending);
    let between = |pair: &[i64]| {
        let within = hits
            .iter()
            .filter(|hit| (pair[0]..pair[1]).contains(&hit.at_us));
        within.count() as u64
    };
    EDGES.windows(2).map(between).collect()
}

/// The values that most of the events have that the reference finds.
pub(crate) fn by_value(
    query: &Query,
    entries: &[Entry],
    range: Range,
    field: &str,
    size: usize,
) -> Vec<ValueCount> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for found in expected(query, entries, range, Order::Ascending) {
        let entry = entries.iter().find(|entry| hit(entry) == found).unwrap();
        for value in counted_values(entry, field) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let counts = counts.into_iter();
    let mut counts: Vec<ValueCount> = counts
        .map(|(value, count)| ValueCount { value, count })
        .collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(size);
    counts
}

/// What a facet and a split histogram are made of.
#[derive(Debug, PartialEq)]
struct Counts {
    rare: RankedValues,
    containing: Vec<ValueCount>,
    /// How many events have any value.
    with_any: u64,
    /// When events have the most frequent value.
    over_time: Vec<u64>,
}

/// A text that some values have.
const PART: &str = "E";

/// What an engine says of the values of a field.
fn counts_of(matches: &Matches, field: &str) -> Counts {
    let ranked = |wanted: &ValuesOf<'_>| matches.ranked(wanted, None).unwrap().unwrap();
    let rare = ranked(&ValuesOf::new(field, 3).ranked(Rank::Rare).with_totals());
    let first = ranked(&ValuesOf::new(field, 1)).values;
    let first = first.first().map_or("none", |first| &first.value);
    Counts {
        rare,
        containing: ranked(&ValuesOf::new(field, 4).containing(PART)).values,
        with_any: matches.count_with(field).unwrap(),
        over_time: matches.with(field, first).unwrap().histogram(&EDGES),
    }
}

/// What the reference says of them.
fn counted(query: &Query, entries: &[Entry], range: Range, field: &str) -> Counts {
    let mut all = by_value(query, entries, range, field, usize::MAX);
    let found = expected(query, entries, range, Order::Ascending);
    let having = |is_so: &dyn Fn(&Entry) -> bool| -> Vec<Hit> {
        let entry = |found: &Hit| entries.iter().find(|entry| hit(entry) == *found).unwrap();
        let having = found.iter().filter(|found| is_so(entry(found)));
        having.copied().collect()
    };
    let with_any = having(&|entry| !counted_values(entry, field).is_empty());
    let first = all.first().map(|first| first.value.clone());
    let with_first = having(&|entry| {
        let values = counted_values(entry, field);
        first.as_ref().is_some_and(|first| values.contains(first))
    });
    let between = |pair: &[i64]| {
        let times = with_first.iter().map(|hit| hit.at_us);
        times.filter(|at| (pair[0]..pair[1]).contains(at)).count() as u64
    };
    let over_time = EDGES.windows(2).map(between).collect();
    let containing = all
        .iter()
        .filter(|found| found.value.contains(&PART.to_lowercase()));
    let containing = containing.take(4).cloned().collect();
    let (distinct, total) = (all.len() as u64, all.iter().map(|found| found.count).sum());
    all.sort_by(|a, b| a.count.cmp(&b.count).then_with(|| a.value.cmp(&b.value)));
    all.truncate(3);
    Counts {
        rare: RankedValues {
            values: all,
            distinct,
            total,
        },
        containing,
        with_any: with_any.len() as u64,
        over_time,
    }
}

/// What the index answers, page by page.
pub(crate) fn walked(
    asked: &Asked,
    query: &Query,
    range: Range,
    order: Order,
    size: usize,
) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    loop {
        let after = found.last().copied();
        let upto = Seq(u64::MAX);
        let page = asked.hits(query, range, order, after, upto, size).unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

/// Texts that meet each other in many ways.
const TEXTS: [&str; 43] = [
    "Add Member",
    "add member to zone",
    "alice@example.com",
    "ALICE@Example.com",
    "bob@evil-corp.com",
    "dns",
    "DNS record",
    "zone's",
    "10.0.0.7",
    "10.0.0.200",
    "192.168.1.1",
    "10.0.0.300",
    "fe80::1%eth0",
    "10.0.0.0/99",
    "2001:DB8::1",
    "2001:db8:0:0::1",
    "::ffff:10.0.0.7",
    "300",
    "0300",
    "300.0",
    "+300",
    "3e2",
    "-1.5",
    "1e400",
    "1e+400",
    "-1.5e-50",
    "Ünï Öde",
    "ΟΔΟΣ",
    "οδος",
    "7fdbafab9bbb2e9f9f94738212edfd85",
    "7FDBAFAB9BBB2E9F9F94738212EDFD85",
    "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
    "x 2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103x",
    "/zones/abc/dns_records",
    "a b",
    "*",
    "",
    " ",
    "true",
    "株式会社 サンプル",
    "İstanbul ẞ",
    "2026-08-03T10:00:00.5+02:00",
    "a\\b\"c\nd",
];

/// Times, and what stands in their place.
const TIMES: [&str; 12] = [
    r#""2026-08-03T08:00:00Z""#,
    r#""2026-08-03T08:00:00.5Z""#,
    r#""2026-08-03T10:00:00.500+02:00""#,
    r#""2026-08-03T08:00:00.5000009Z""#,
    r#""2026-08-03T23:59:59.999999Z""#,
    r#""2026-08-04T00:00:00Z""#,
    r#""2026-08-01""#,
    r#""yesterday""#,
    "1785748201",
    "null",
    r#""1969-12-31T23:59:59.9Z""#,
    r#""2026-08-02T00:00:00-11:00""#,
];

pub(crate) fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => prop::sample::select(TEXTS.to_vec()).prop_map(|text| serde_json::to_string(text).unwrap()),
        2 => prop::sample::select(vec!["300", "300.0", "3e2", "200", "404", "-1.5", "0", "-0.0", "15e-1", "1e400", "10E+399", "-1e400", "1e-400", "-15.0e-51", "1e41", "1e40"]).prop_map(String::from),
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(String::from),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let member = (
            prop::sample::select(vec!["name", "ttl", "Name", "a", "b.c", "x y", "É"]),
            inner.clone(),
        );
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4).prop_map(object),
        ]
    })
}

/// An object, duplicate keys included.
fn object<K: std::fmt::Display>(members: Vec<(K, String)>) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

pub(crate) fn any_entry() -> impl Strategy<Value = String> {
    let time =
        prop::sample::select(TIMES.to_vec()).prop_map(|time| ("time".to_owned(), time.to_owned()));
    let of = |names: Vec<&'static str>| {
        (
            prop::sample::select(names).prop_map(String::from),
            any_value(),
        )
    };
    let action = prop_oneof![3 => time, 3 => of(vec!["type", "description", "description", "TIME", "result"])];
    let section = prop_oneof![
        3 => prop::collection::vec(action, 0..4).prop_map(|members| ("action".to_owned(), object(members))),
        2 => prop::collection::vec(of(vec!["email", "Email", "ip_address", "id", "type"]), 0..4)
            .prop_map(|members| ("actor".to_owned(), object(members))),
        1 => prop::collection::vec(of(vec!["status_code", "uri"]), 0..3).prop_map(|members| ("raw".to_owned(), object(members))),
        3 => prop::collection::vec(of(vec!["id", "request", "request", "product", "scope"]), 0..4)
            .prop_map(|members| ("resource".to_owned(), object(members))),
        1 => of(vec!["id", "New", "source", "problem", "seq", "ACTOR", r"\u001ftimes"]),
    ];
    prop_oneof![
        12 => prop::collection::vec(section, 0..6).prop_map(object),
        1 => any_value(),
    ]
}

pub(crate) const NAMES: [&str; 22] = [
    "actor.email",
    "ACTOR.Email",
    "actor.ip_address",
    "actor.id",
    "raw.status_code",
    "action.time",
    "action.type",
    "action.description",
    "resource.id",
    "resource.request",
    "resource.request.name",
    "resource.request.ttl",
    "resource.request.a",
    r"resource.request.b.c",
    r"resource.request.x\ y",
    "source",
    "problem",
    "seq",
    "revision",
    "Received_At",
    "new",
    "id",
];

fn any_text() -> impl Strategy<Value = String> {
    let text = || prop::sample::select(TEXTS.to_vec());
    let escape = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_alphanumeric() {
                    c.to_string()
                } else {
                    format!("\\{c}")
                }
            })
            .collect()
    };
    prop_oneof![
        4 => text().prop_map(|text| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))),
        2 => (text(), 0..6_usize, 0..6_usize, prop::sample::select(vec!["*", "?", "*?"])).prop_map(move |(text, start, end, wildcard)| {
            let chars: Vec<char> = text.chars().collect();
            let start = start.min(chars.len());
            let end = chars.len().saturating_sub(end).max(start);
            let middle: String = chars[start..end].iter().collect();
            let before = if start > 0 { wildcard } else { "" };
            format!("{before}{}{wildcard}", escape(&middle))
        }),
        2 => prop::sample::select(vec!["dns", "DNS", "member", "add-member", "zone's", "example.com", "öde", "stanbul", "İstanbul", "οδοσ", "300", "株式会社", "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103", "\\*"]).prop_map(String::from),
        1 => prop::sample::select(vec!["al*", "*b*", "?lice*", "*member*zone*", "d?s", "3*", "*.0", "*-corp*", "evil*corp*com", "*", "7fdb*"]).prop_map(String::from),
        1 => prop::sample::select(vec!["/al.*/", "/[a-z ]+/", "/3.*|true/", "/(add|remove) member/", "/.*[^a-z].*/", "/^dns$/", "/.?/", "/οδοσ/"]).prop_map(String::from),
    ]
}

fn any_term() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(NAMES.to_vec());
    let numbers = || {
        prop::sample::select(vec![
            "300", "299.99", "-1.5", "0", "3e2", "a", "m", "\"\"", "true", "*", "1e400", "-1e399",
            "1e-401", "1e41",
        ])
    };
    let times = || {
        prop::sample::select(vec![
            "2026-08-03",
            "2026-08-03T08:00:00.5Z",
            "2026-08-03T10:00:00+02:00",
            "2026-08-04",
            "now-1d",
            "now/d",
            "now-1d/d",
            "*",
        ])
    };
    let range = |bounds: BoxedStrategy<&'static str>| {
        (
            prop::sample::select(vec!["[", "{"]),
            bounds.clone(),
            bounds,
            prop::sample::select(vec!["]", "}"]),
        )
            .prop_map(|(open, from, to, close)| format!("{open}{from} TO {to}{close}"))
    };
    prop_oneof![
        3 => any_text(),
        5 => (name(), any_text()).prop_map(|(name, text)| format!("{name}:{text}")),
        1 => name().prop_map(|name| format!("{name}:*")),
        2 => (name(), range(numbers().boxed())).prop_map(|(name, range)| format!("{name}:{range}")),
        1 => (prop::sample::select(vec!["raw.status_code", "resource.request.ttl", "resource.request"]),
            prop::sample::select(vec![">", ">=", "<", "<="]), numbers()).prop_map(|(name, sign, to)| format!("{name}:{sign}{to}")),
        2 => range(times().boxed()).prop_map(|range| format!("action.time:{range}")),
        1 => range(times().boxed()).prop_map(|range| format!("received_at:{range}")),
        2 => (prop::sample::select(vec!["seq", "SEQ", "revision"]),
            prop::sample::select(vec!["3", "\"7\"", "[2 TO 9]", "{2 TO 9}", "[2.5 TO *]", ">4", "<=12", "1*", "/.?/", "*", "2e0"]))
            .prop_map(|(name, value)| format!("{name}:{value}")),
        1 => times().prop_map(|time| format!("action.time:{time}")),
        1 => prop::sample::select(vec!["10.0.0.0/8", "10.0.0.0/25", "2001:db8::/32", "::/0", "0.0.0.0/0", "[10.0.0.7 TO 192.168.1.1}", ">2001:db8::", "10.0.0.7"])
            .prop_map(|network| format!("actor.ip_address:{network}")),
        // RankedValues that should not occur, and may.
        1 => (prop::sample::select(vec!["actor.ip_address", "raw.status_code", "action.time"]),
            prop::sample::select(vec!["10.0.0.300", "fe80::1%eth0", "10.0.0.0/99", "abc", "", "yesterday", "7d"]))
            .prop_map(|(name, text)| format!("{name}:\"{text}\"")),
    ]
}

pub(crate) fn any_question() -> impl Strategy<Value = String> {
    any_term().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" ")),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.clone().prop_map(|part| format!("NOT ({part})")),
            inner.prop_map(|part| format!("-{part}")),
        ]
    })
}

/// What `actor`, `action` and `resource` ask, marked as such.
fn in_a_part() -> impl Strategy<Value = String> {
    let texts =
        prop::sample::select(TEXTS.to_vec()).prop_filter("no text", |text| !text.is_empty());
    (0..3_usize, texts).prop_map(|(part, text)| format!("part {part}{text}"))
}

fn in_some_part(text: &str) -> Query {
    let (part, text) = text.split_at(1);
    let part = Part::ALL[part.parse::<usize>().unwrap()];
    let text = text.to_owned();
    Query::Words {
        part: Some(part),
        text,
    }
}

/// More cases when there is time for them.
pub(crate) fn cases() -> u32 {
    if crate::skip_slow_tests() { 40 } else { 500 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn each_engine_answers_what_the_reference_says(
        bodies in prop::collection::vec(any_entry(), 1..40),
        cuts in prop::collection::vec(1..25_usize, 0..3),
        questions in prop::collection::vec(prop_oneof![8 => any_question(), 1 => in_a_part()], 30),
        since in prop::option::of(0..3_i64),
        size in 1..9_usize,
        field in prop::sample::select(NAMES.to_vec()).prop_map(|name| name.replace('\\', "")),
    ) {
        let entries: Vec<Entry> = (1..).zip(&bodies).map(|(seq, body)| Entry::new(seq, body)).collect();
        let dir = tempfile::tempdir().unwrap();
        let engines = engines(dir.path(), &entries, &cuts);
        // Midnight of the day of most entries, and hours after it.
        let since_us = since.map(|hours| 1_785_715_200_000_000 + hours * 4 * 3_600_000_000);
        let range = Range { since_us, before_us: None };
        for question in questions {
            // What cannot be read is another test's.
            let query = match question.strip_prefix("part ") {
                Some(text) => in_some_part(text),
                None => match parse(&question, now()) {
                    Ok(query) => query,
                    Err(_) => continue,
                },
            };
            let counts = counted(&query, &entries, range, &field);
            for (name, engine) in &engines {
                let asked = Asked::everything(engine.view());
                for order in [Order::Descending, Order::Ascending] {
                    let expect = expected(&query, &entries, range, order);
                    prop_assert_eq!(walked(&asked, &query, range, order, size), expect, "{}: {} means {:?}", name, question, query);
                }
                let mut expect: Vec<Seq> = expected(&query, &entries, range, Order::Ascending).iter().map(|hit| hit.seq).collect();
                expect.sort_unstable();
                prop_assert_eq!(asked.arrivals(&query, range, Seq::ZERO, 1_000).unwrap(), expect, "{}: {}", name, question);
                let matches = asked.matches(&query, range, Seq(u64::MAX)).unwrap();
                prop_assert_eq!(matches.histogram(&EDGES), over_time(&query, &entries, range), "{}: {} over time", name, question);
                for size in [2, 1_000] {
                    let found = matches.values(&field, "", size, None).unwrap().unwrap();
                    let expect = by_value(&query, &entries, range, &field, size);
                    prop_assert_eq!(found, expect, "{}: {} by {}", name, question, field);
                }
                prop_assert_eq!(&counts_of(&matches, &field), &counts, "{}: {} by {}", name, question, field);
                let all = expected(&query, &entries, Range::default(), Order::Descending).len() as u64;
                prop_assert_eq!(asked.count(&query, Range::default()).unwrap(), all, "{}: {} means {:?}", name, question, query);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() * 4, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_query_matches_one_event_when_the_reference_says_so(
        bodies in prop::collection::vec(any_entry(), 1..6),
        questions in prop::collection::vec(prop_oneof![8 => any_question(), 1 => in_a_part()], 30),
    ) {
        for body in &bodies {
            let entry = Entry::new(1, body);
            let as_asked = entry_of(&entry.event);
            for question in &questions {
                let query = match question.strip_prefix("part ") {
                    Some(text) => in_some_part(text),
                    None => match parse(question, now()) {
                        Ok(query) => query,
                        Err(_) => continue,
                    },
                };
                let found = orgtrail::query::matches(&query, &as_asked).unwrap();
                prop_assert_eq!(found, matches(&query, &entry), "{} means {:?}", question, query);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn an_event_matches_in_memory_when_the_reference_says_so(
        bodies in prop::collection::vec(any_entry(), 1..30),
        cut in 0..30_usize,
        questions in prop::collection::vec(any_question(), 30),
        since in prop::option::of(0..3_i64),
        after in 0..30_u64,
    ) {
        let entries: Vec<Entry> = (1..).zip(&bodies).map(|(seq, body)| Entry::new(seq, body)).collect();
        let dir = tempfile::tempdir().unwrap();
        let (index, _) = Index::open(dir.path(), Uuid::nil(), Seq::ZERO, Failpoints::default()).unwrap();
        let following = index.recent().follow();
        let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
        let (committed, later) = events.split_at(cut.min(events.len()));
        index.add(committed).unwrap();
        index.commit().unwrap();
        // What is not committed is not found yet.
        index.add(later).unwrap();
        let (asked, after) = (Asked::index(&index), after.min(committed.len() as u64));
        let upto = asked.view.seq();
        let since_us = since.map(|hours| 1_785_715_200_000_000 + hours * 4 * 3_600_000_000);
        let range = Range { since_us, before_us: None };
        for question in questions {
            let Ok(query) = parse(&question, now()) else { continue };
            let matcher = Matcher::of(&query, true).unwrap();
            let found = index.recent().arrivals(&matcher, range, &asked.caller, Seq(after), upto).unwrap();
            let expect = expected(&query, &entries[..committed.len()], range, Order::Ascending);
            let mut expect: Vec<Seq> = expect.iter().map(|hit| hit.seq).filter(|seq| seq.0 > after).collect();
            expect.sort_unstable();
            prop_assert_eq!(found.unwrap_or_default(), expect, "{} means {:?}", question, query);
        }
        drop(following);
        let everything = Matcher::of(&Query::All, true).unwrap();
        let found = index.recent().arrivals(&everything, range, &asked.caller, Seq(after), upto).unwrap();
        prop_assert_eq!(found, None, "nobody follows any more");
    }
}

#[test]
fn the_last_revision_is_the_last_of_those_asked_about() {
    // The second entry is replaced by the fourth, that by the fifth; the sixth replaces the third.
    let replaces = HashMap::from([(4, 2), (5, 4), (6, 3)]);
    // An entry may say what it likes of the first one.
    let first = 1_785_744_001_000_000_u64 ^ (1 << 63);
    let lie = format!(r"\u001freplaces {first:016x} {:016x}", 1);
    let bodies: Vec<String> = (1..=6)
        .map(|seq| {
            let time = format!("2026-08-03T08:00:0{}Z", seq % 3);
            format!(r#"{{"id":"{seq}","action":{{"time":"{time}"}},"{lie}":"x"}}"#)
        })
        .collect();
    let entries: Vec<Entry> = (1..)
        .zip(&bodies)
        .map(|(seq, body)| Entry::new(seq, body))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let (index, _) =
        Index::open(dir.path(), Uuid::nil(), Seq::ZERO, Failpoints::default()).unwrap();
    let replaced: HashMap<Seq, Hit> = replaces
        .iter()
        .map(|(seq, older)| (Seq(*seq), hit(&entries[*older - 1])))
        .collect();
    for entry in &entries {
        index
            .add_revisions(std::slice::from_ref(&entry.event), &replaced)
            .unwrap();
        index.commit().unwrap();
    }
    let memory = Memory::default();
    memory.add_all(entries.iter().map(|entry| {
        let older = replaces
            .get(&entry.event.seq.0)
            .map(|older| Seq(*older as u64));
        (&entry.event, older)
    }));
    for engine in [Engine::Tantivy(index), Engine::Memory(memory)] {
        let asked = Asked::everything(engine.view());
        let latest = |upto: u64| -> Vec<u64> {
            let (range, order) = (Range::default(), Order::Ascending);
            let hits = asked
                .hits(&Query::Latest, range, order, None, Seq(upto), 10)
                .unwrap();
            let mut found: Vec<u64> = hits.iter().map(|hit| hit.seq.0).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(latest(3), [1, 2, 3]);
        assert_eq!(latest(4), [1, 3, 4]);
        assert_eq!(latest(5), [1, 3, 5]);
        assert_eq!(latest(6), [1, 5, 6]);
        assert_eq!(asked.count(&Query::Latest, Range::default()).unwrap(), 3);
    }
}

#[test]
fn a_question_that_takes_too_long_is_cut_off_and_harms_no_other() {
    let bodies = (0..2_000).map(|n| {
        format!(r#"{{"actor":{{"email":"user{n}@example.com"}},"note":"word{n} and more"}}"#)
    });
    let entries: Vec<Entry> = (1..)
        .zip(bodies)
        .map(|(seq, body)| Entry::new(seq, &body))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let engines = engines(dir.path(), &entries, &[]);
    let clock = Clock::manual(from_micros(0));
    let questions = [
        "actor.email:*r1*",
        "*ord1*",
        "*d1-and-m*",
        "/.*9.*/",
        "note:>a",
        "\"and more\" -\"more and\"",
        "*",
        "example",
        "a OR b OR c OR d OR example",
    ];
    for (name, engine) in &engines {
        for question in questions {
            let query = parse(question, now()).unwrap();
            let ask = |asked: &Asked| {
                let (range, order) = (Range::default(), Order::Descending);
                asked.hits(&query, range, order, None, Seq(u64::MAX), 5_000)
            };
            let deadline = Deadline::after(&clock, TimeDelta::seconds(10));
            let asked = Asked::of(engine.view(), Scope::everything(), Some(deadline));
            assert!(
                !ask(&asked).unwrap().is_empty(),
                "{name}: {question} has time"
            );
            clock.advance(TimeDelta::seconds(11));
            let error = ask(&asked).unwrap_err();
            assert!(
                matches!(error, EngineError::CutOff { seconds: 10 }),
                "{name}: {question}: {error}"
            );
            assert!(
                ask(&Asked::everything(engine.view())).is_ok(),
                "{name}: {question} without a limit, afterwards"
            );
        }
    }
}

#[test]
fn a_pattern_that_would_grow_without_bound_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let engines = engines(dir.path(), &[Entry::new(1, r#"{"a":"b"}"#)], &[]);
    for question in [
        r"x a:/(\w{90}){90}/",
        r"x a:/.*a.{60}b.*/",
        &format!("x a:*a{}b*", "?".repeat(60)),
        r"x a:/(\pL\d){400}/",
    ] {
        let query = parse(question, now()).unwrap();
        for (name, engine) in &engines {
            match Asked::everything(engine.view()).count(&query, Range::default()) {
                Err(EngineError::Question(error)) => assert_eq!(error.at, 2, "{error}"),
                other => panic!("{name}: {question}: {other:?}"),
            }
        }
    }
}

/// How many of some entries a query finds: in the index, and in memory.
fn found(bodies: &[String], question: &str) -> u64 {
    found_by(bodies, &parse(question, now()).unwrap())
}

/// As [`found`], for a query that is read already.
fn found_by(bodies: &[String], query: &Query) -> u64 {
    let entries: Vec<Entry> = (1..)
        .zip(bodies)
        .map(|(seq, body)| Entry::new(seq, body))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let (index, _) =
        Index::open(dir.path(), Uuid::nil(), Seq::ZERO, Failpoints::default()).unwrap();
    let following = index.recent().follow();
    for entry in &entries {
        index.add(std::slice::from_ref(&entry.event)).unwrap();
    }
    index.commit().unwrap();
    let (asked, range) = (Asked::index(&index), Range::default());
    check_names(query, &asked.view, &asked.caller).unwrap();
    let found = asked.count(query, range).unwrap();
    let matcher = Matcher::of(query, true).unwrap();
    let upto = asked.view.seq();
    let recent = index
        .recent()
        .arrivals(&matcher, range, &asked.caller, Seq::ZERO, upto);
    let recent = recent.unwrap().unwrap().len() as u64;
    drop(following);
    let memory = in_memory(entries.iter().map(|entry| &entry.event));
    let in_memory = Asked::everything(memory.view()).count(query, range);
    assert_eq!(
        (recent, in_memory.unwrap()),
        (found, found),
        "{:.80} for tails and in memory, and in the index",
        query.to_string()
    );
    found
}

#[test]
fn patterns_and_ranges_see_a_long_value_up_to_its_limit_and_never_its_hash() {
    for c in ["x", "é", "…"] {
        let long = c.repeat(3_000 / c.len());
        let other = format!("{long}y");
        let bodies = [&long, &other].map(|text| format!(r#"{{"note":"{text}","n":1}}"#));
        let check = |question: &str, expect: u64| {
            assert_eq!(found(&bodies, question), expect, "{c}: {question:.80}");
        };
        check(&format!("note:\"{long}\""), 1);
        check(&format!("note:\"{other}\""), 1);
        check(&format!("note:\"{}\"", c.repeat(2_048 / c.len())), 0);
        check(&format!("note:{c}*"), 2);
        check(&format!("note:*{c}"), 2);
        check(&format!("note:/{c}+/"), 2);
        check(&format!("note:[{c} TO {c}\u{ffff}]"), 2);
        check("note:/.*[0-9a-f].*/", 0);
        check("note:*y", 0);
    }
}

#[test]
fn patterns_see_a_long_word_up_to_its_limit_and_never_its_hash() {
    let (long, other) = ("w".repeat(300), "w".repeat(301));
    let bodies = [&long, &other].map(|text| format!(r#"{{"note":"so {text} on"}}"#));
    let check = |question: &str, expect: u64| {
        assert_eq!(found(&bodies, question), expect, "{question:.80}");
    };
    check(&long, 1);
    check(&format!("\"so {other} on\""), 1);
    check("www*", 2);
    check("*www", 2);
    check("/w{256}/", 2);
    check("/w{257,}/", 0);
    check("/.*[0-9a-f].*/", 0);
    check("so-*w-on", 2);
}

#[test]
fn long_numbers_are_compared_by_their_size_and_found_in_each_spelling() {
    let digits = |n: usize| "7".repeat(n);
    let bodies = [
        format!(r#"{{"n":{}}}"#, digits(3_000)),
        format!(r#"{{"n":{}}}"#, digits(2_000)),
        format!(r#"{{"n":"{}"}}"#, digits(2_000)),
        format!(r#"{{"n":0.{}}}"#, digits(3_000)),
        format!(r#"{{"n":-{}e5}}"#, digits(3_000)),
    ];
    let check = |question: &str, expect: u64| {
        assert_eq!(found(&bodies, question), expect, "{question:.80}");
    };
    check(&format!("n:{}", digits(3_000)), 1);
    check(&format!("n:{}", digits(2_000)), 2);
    check(&format!("n:{}.0e-1", digits(2_000) + "0"), 2);
    check(&format!("n:\\-{}00000", digits(3_000)), 1);
    check("n:>7e2999", 1);
    check("n:>8e2999", 0);
    check("n:[1e1999 TO 1e2000]", 2);
    check("n:{0 TO 1}", 1);
    check("n:<-7e3004", 1);
    check("n:<-8e3004", 0);
    check("n:[7 TO 8]", 0);
}

#[test]
fn parameters_of_a_part_find_long_numbers_in_each_spelling() {
    let digits = |n: usize| "9".repeat(n);
    let bodies = [
        format!(r#"{{"resource":{{"request":{{"v":{}}}}}}}"#, digits(3_000)),
        format!(
            r#"{{"resource":{{"request":{{"v":-{}e5}}}}}}"#,
            digits(3_000)
        ),
        format!(r#"{{"resource":{{"request":{{"v":{}}}}}}}"#, digits(2_000)),
    ];
    let check = |text: String, expect: u64| {
        let query = in_some_part(&format!("2{text}"));
        assert_eq!(found_by(&bodies, &query), expect, "resource={text:.80}");
    };
    check(digits(3_000), 1);
    check(format!("{}.0", digits(3_000)), 1);
    check(format!("-{}00000", digits(3_000)), 1);
    check(digits(3_001), 0);
    check(digits(2_000), 1);
    check(format!("{}0e-1", digits(2_000)), 1);
}

#[test]
fn the_long_s_is_a_letter_of_its_own_but_for_patterns() {
    let bodies = [r#"{"n":"ſecret"}"#.to_owned()];
    for (question, expect) in [
        ("secret", 0),
        ("n:secret", 0),
        ("ſecret", 1),
        ("n:ſecret", 1),
        ("n:secre*", 1),
        ("n:/secret/", 1),
    ] {
        assert_eq!(found(&bodies, question), expect, "{question}");
    }
}

#[test]
fn a_letter_is_found_by_its_lower_case_where_that_is_two_characters() {
    let small = "i\u{307}stanbul";
    let bodies = [
        r#"{"n":"İSTANBUL one","actor":{"token_name":"x İstanbul"}}"#.to_owned(),
        format!(r#"{{"n":"{small} one","actor":{{"token_name":"x {small}"}}}}"#),
    ];
    for question in [
        "İstanbul",
        small,
        "İst*",
        "i\u{307}st*",
        "/İstanbul/",
        "/i\u{307}stanbul/",
        "/[İŞ]stanbul/",
        "n:İstanbul*",
        "n:i\u{307}stanbul*",
        "n:/İstanbul.*/",
        "n:/i\u{307}stanbul.*/",
        r"n:İstanbul\ one",
        "actor.token_name:İstanbul",
        "actor.token_name:i\u{307}stanbul",
        "actor.token_name:İst*",
    ] {
        assert_eq!(found(&bodies, question), 2, "{question}");
    }
    assert_eq!(found(&bodies, &format!("\"x {small}\"")), 2);
    assert_eq!(found(&bodies, "stanbul"), 0);
}

#[test]
fn names_are_read_with_their_marks_and_in_any_letter_case() {
    let bodies = [r#"{"नमस्ते":"x","i̇d":"x","actor":{"token_id":"x"}}"#.to_owned()];
    for question in [
        "नमस्ते:x",
        "İD:x",
        "i̇d:x",
        "_exists_:नमस्ते",
        "actor.to\u{212a}en_id:x",
        "actor.to\u{212a}en_id:*",
    ] {
        assert_eq!(found(&bodies, question), 1, "{question}");
    }
}

#[test]
fn a_path_is_known_where_all_its_values_are_empty_or_null() {
    let bodies = [r#"{"comment":"","other":{"x":null},"y":{"z":""}}"#.to_owned()];
    let check =
        |question: &str, expect: u64| assert_eq!(found(&bodies, question), expect, "{question}");
    check("comment:\"\"", 1);
    check("comment:*", 0);
    check("other.x:*", 0);
    check("other:*", 0);
    check("-_exists_:y", 1);
    check("y.z:\"\"", 1);
    let entries = [Entry::new(1, &bodies[0])];
    let dir = tempfile::tempdir().unwrap();
    for (name, engine) in engines(dir.path(), &entries, &[]) {
        let asked = Asked::everything(engine.view());
        for known in ["comment", "other", "other.x", "y", "y.z"] {
            assert!(asked.knows_path(known), "{name}: {known}");
        }
        for unknown in ["commen", "comment.x", "othe", "y.z.a"] {
            assert!(!asked.knows_path(unknown), "{name}: {unknown}");
        }
    }
}

#[test]
fn what_orgtrail_says_of_an_event_is_found_by_value_range_and_pattern() {
    let entries: Vec<Entry> = (1..=20)
        .map(|seq| {
            let mut entry = Entry::new(seq, r#"{"seq":99,"received_at":"never"}"#);
            entry.event.revision = u32::from(seq > 15);
            entry.event.received_at = from_micros(1_785_744_000_000_000 + seq as i64 * 60_000_000);
            entry
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    for (name, engine) in engines(dir.path(), &entries, &[7]) {
        let count = |question: &str| {
            let query = parse(question, now()).unwrap();
            let asked = Asked::everything(engine.view());
            asked.count(&query, Range::default()).unwrap()
        };
        for (question, expect) in [
            ("seq:7", 1),
            ("seq:99", 0),
            ("seq:[5 TO 9]", 5),
            ("seq:{5 TO 9}", 3),
            ("seq:>18", 2),
            ("seq:[4.5 TO 6]", 2),
            ("NOT (seq:>4 seq:<12)", 13),
            ("seq:1*", 11),
            ("_exists_:seq", 20),
            ("revision:0", 15),
            ("revision:>=1", 5),
            ("received_at:>=2026-08-03T08:15:00Z", 6),
            ("received_at:2026-08-03", 20),
            ("received_at:\"2026-08-03T10:20:00+02:00\"", 1),
            ("received_at:<2026-08-03T08:05:00Z seq:>2", 2),
        ] {
            assert_eq!(count(question), expect, "{name}: {question}");
        }
        for wrong in ["seq:abc", "received_at:yesterday", "seq:[9 TO 5]"] {
            assert!(parse(wrong, now()).is_err(), "{wrong}");
        }
    }
}
