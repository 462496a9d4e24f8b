//! The language, as a table of questions with their trees or errors, and as properties of any text.

use std::fmt::Write as _;

use proptest::prelude::*;

use chrono::{DateTime, Utc};

use super::*;
use crate::clock::from_micros;
use crate::field::instant_us;

/// Every question is asked on a Thursday.
fn now() -> DateTime<Utc> {
    from_micros(instant_us("2026-08-06T15:30:45.5Z").unwrap())
}

fn read(text: &str) -> Result<Query, QueryError> {
    parse(text, now())
}

/// The tree with all places set to 0, since a text printed from it has others.
fn without_places(query: Query) -> Query {
    let all = |parts: Vec<Query>| parts.into_iter().map(without_places).collect();
    match query {
        Query::And(parts) => Query::And(all(parts)),
        Query::Or(parts) => Query::Or(all(parts)),
        Query::Not(inner) => Query::Not(Box::new(without_places(*inner))),
        Query::WordsLike { pattern, .. } => Query::WordsLike { pattern, at: 0 },
        Query::WordMatches { regex, .. } => Query::WordMatches { regex, at: 0 },
        Query::Equals { path, value, .. } => Query::Equals { path, value, at: 0 },
        Query::Contains { path, text, .. } => Query::Contains { path, text, at: 0 },
        Query::Like { path, pattern, .. } => Query::Like {
            path,
            pattern,
            at: 0,
        },
        Query::Matches { path, regex, .. } => Query::Matches { path, regex, at: 0 },
        Query::Within { path, interval, .. } => Query::Within {
            path,
            interval,
            at: 0,
        },
        Query::Exists { path, .. } => Query::Exists { path, at: 0 },
        query @ (Query::All
        | Query::Latest
        | Query::At(_)
        | Query::OneOf { .. }
        | Query::Words { .. }) => query,
    }
}

#[test]
fn questions_and_their_trees() {
    let mut table = String::new();
    for question in include_str!("questions.txt").lines() {
        if question.starts_with('#') || question.is_empty() {
            writeln!(table, "{question}").unwrap();
            continue;
        }
        match read(question) {
            Ok(tree) => writeln!(table, "{question}\n    {tree:?}").unwrap(),
            Err(error) => writeln!(table, "{question}\n    at {}: {error}", error.at).unwrap(),
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_is_too_much_is_refused() {
    let check = |text: String, expect: bool| {
        let shown: String = text.chars().take(30).collect();
        assert_eq!(read(&text).is_ok(), expect, "{shown}");
    };
    check("a ".repeat(MAX_TERMS), true);
    check("a ".repeat(MAX_TERMS + 1), false);
    check("a* ".repeat(MAX_PATTERNS), true);
    check("a* ".repeat(MAX_PATTERNS + 1), false);
    check("a".repeat(MAX_QUERY_LEN + 1), false);
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    check(nested(MAX_DEPTH), true);
    check(nested(MAX_DEPTH + 1), false);
    check("(".repeat(MAX_QUERY_LEN), false);
    check(format!("{}a", "-".repeat(MAX_QUERY_LEN - 1)), true);
    check(format!("{}a", "NOT ".repeat(2_000)), true);
    check(format!("/{}/", "(".repeat(MAX_QUERY_LEN - 2)), false);
    check(format!("/{}a{}/", "(".repeat(60), ")".repeat(60)), false);
    check(format!("/{}/", "a".repeat(1_024)), true);
    check(format!("/{}/", "a".repeat(1_025)), false);
    check("f:[".repeat(2_000), false);
}

/// A text that is likely a question.
fn likely() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-zé]{1,4}",
        "[a-z]{0,2}[*?][a-z]{0,2}",
        r#""[a-z \\:*(]{0,5}[a-z]""#,
        "/[a-z.]{1,4}/",
        r"(\\[-*(:/ ~]){1,2}[a-z]",
        "(zones/[*a-z]{1,3}|2001:db8::[0-9]{1,2}|10\\.0\\.0\\.0/8|now-[0-9]d|2026-0[1-9]-01)",
        "[0-9]{1,3}(\\.[0-9])?",
    ];
    let name = prop_oneof![
        "(actor\\.email|action\\.description|actor\\.ip_address|action\\.time|raw\\.status_code|resource\\.request\\.a|a\\\\ b|_exists_)",
    ];
    let value = prop_oneof![
        4 => word.clone(),
        1 => (prop_oneof!["\\[", "\\{"], word.clone(), word.clone(), prop_oneof!["\\]", "\\}"])
            .prop_map(|(open, a, b, close)| format!("{open}{a} TO {b}{close}")),
        1 => ("[<>]=?", word.clone()).prop_map(|(sign, a)| sign + &a),
        1 => Just("*".to_owned()),
    ];
    let term = prop_oneof![
        2 => word,
        3 => (name, value).prop_map(|(name, value)| format!("{name}:{value}")),
    ];
    // One wrong term makes the whole wrong: large questions would hardly ever be right.
    let term = term.prop_filter("no question", |text| read(text).is_ok());
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" OR ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" AND ")),
            inner.clone().prop_map(|part| format!("({part})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b}) OR {a}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b}) AND {a}")),
            inner.clone().prop_map(|part| format!("NOT ({part})")),
            inner.clone().prop_map(|part| format!("-{part}")),
            inner.prop_map(|part| format!("resource.type:({part})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_a_tree_or_an_error_within_it(text in r#"[a-zANDORT:."\\/*?()\[\]{}<>=~^&|!+ \-🏢é0-9]{0,60}"#) {
        if let Err(error) = read(&text) {
            prop_assert!(error.at <= text.chars().count(), "{error:?}");
        }
    }

    #[test]
    fn a_printed_tree_is_read_as_the_same_tree(
        text in prop_oneof![likely(), r#"[a-zANDORT:."\\/*?()\[\]{}<>= \-é0-9]{0,40}"#],
    ) {
        if let Ok(tree) = read(&text) {
            let printed = tree.to_string();
            let again = read(&printed).map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
            prop_assert_eq!(without_places(again), without_places(tree), "{}", printed);
        }
    }

    #[test]
    fn likely_questions_are_mostly_read(texts in prop::collection::vec(likely(), 40)) {
        let read = texts.iter().filter(|text| read(text).is_ok()).count();
        prop_assert!(read >= 30, "the generator makes too few questions: {:?}", texts);
    }

    #[test]
    fn quoted_text_is_found_as_it_is(text in "[a-z]\\PC{0,20}") {
        let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
        prop_assert_eq!(read(&quoted), Ok(Query::Words { part: None, text }));
    }
}
