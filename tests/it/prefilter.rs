//! Which rules match an entry does not depend on the cheap tests that come before their evaluation: over entries of the simulator, of the
//! rules' own tests, and over both with values that were changed.

use chrono::{DateTime, Utc};
use fastrand::Rng;
use orgtrail::clock::Clock;
use orgtrail::event::AuditEvent;
use orgtrail::position::{Seq, Source};
use orgtrail::rules::{EntryFacts, RuleId, RuleKind, RuleMatcher, Rules};
use orgtrail_simulator::{SimConfig, Simulator};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Rules with what the built-in ones do not have.
const OTHER_RULES: &[&str] = &[
    "{s: {raw.method: [get, PoSt, null]}, condition: s}",
    "{s: {raw.method: ['delete', 5]}, condition: s}",
    "{s: {raw.uri|contains: [ZONES, tokens]}, condition: s}",
    "{s: {raw.uri|contains|all: [zones, dns]}, condition: s}",
    "{s: {raw.uri|startswith: /acc}, condition: s}",
    "{s: {raw.uri|endswith|cased: rules}, condition: s}",
    "{s: {raw.uri: '/zones/*/dns*'}, condition: s}",
    "{s: {raw.uri|re: '(?i)/ZONES/.+(dns|rule)'}, condition: s}",
    "{s: {raw.uri|re|i: '(tok|kens)+/?'}, condition: s}",
    "{s: {raw.uri|re|all: ['zones', 'dns|rule(s|sets)']}, condition: s}",
    "{s: {raw.uri|neq: /user}, condition: s}",
    "{s: {raw.uri|base64: '/zones'}, condition: s}",
    "{s: {actor.email|contains: k}, condition: s}",
    "{s: {actor.email|contains: 'ü'}, condition: s}",
    "{s: {actor.email: \"\u{212a}@example.com\"}, condition: s}",
    "{s: {actor.type: ''}, condition: s}",
    "{s: {resource.product|exists: true}, t: {resource.type|exists: false}, condition: s or t}",
    "{s: {action.result: success}, t: {raw.method: GET}, condition: s and not t}",
    "{s: {action.result: success}, t: {raw.method: GET}, condition: not s or t}",
    "{s_a: {raw.method: POST}, s_b: {action.result: failure}, condition: 1 of s_*}",
    "{s_a: {raw.method: POST}, s_b: {action.result: success}, _c: {raw.method: PUT}, condition: all of them}",
    "{s_a: {raw.method: POST}, s_b: {action.type: create}, s_c: {actor.context: api_token}, condition: 2 of s_*}",
    "{s: [{raw.method: DELETE}, {action.type: [create, login]}], condition: s}",
    "{s: {raw.method|fieldref: action.type}, condition: s}",
    "{s: [zone, 'acc?unt'], condition: s}",
    "{s: {'|all': [zone, dns]}, condition: s}",
    "{s: {'|re': ['cf(ut|k)_', '[a-z]+@example']}, condition: s}",
    "{s: {raw.status_code: 200}, t: {raw.status_code|contains: '40'}, condition: s or t}",
    "{s: {resource.request.enabled: 'false'}, condition: s}",
    "{s: {raw: x}, condition: s}",
];

fn other_rules() -> Rules {
    let documents = OTHER_RULES.iter().zip(0..).map(|(detection, n)| {
        format!(
            "title: Rule {n}\nid: rule-{n}\nlogsource: {{product: cloudflare, service: audit}}\ndetection: {detection}\n"
        )
    });
    let text = documents.collect::<Vec<_>>().join("---\n");
    let (rules, errors) = Rules::parse("other.yml", &text);
    assert!(errors.is_empty(), "{errors:?}");
    rules
}

fn now() -> DateTime<Utc> {
    "2026-08-03T08:00:00Z".parse().unwrap()
}

/// Entries of the simulator and of the tests of the built-in rules.
fn entries(built_in: &Rules) -> Vec<Value> {
    let config = SimConfig {
        seed: 3,
        events: 3_000,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, Clock::manual(now()).reader());
    let of_sources = simulator.sources().into_iter().flat_map(|source| {
        let entries: Vec<String> = simulator.walk(&source, now()).collect();
        entries
    });
    let mut entries: Vec<Value> = of_sources
        .map(|entry| serde_json::from_str(&entry).unwrap())
        .collect();
    let cases = built_in.iter().flat_map(|rule| &rule.cases);
    entries.extend(cases.flat_map(|case| case.entries.iter().take(5).cloned()));
    entries
}

fn facts(entry: &Value) -> EntryFacts {
    let event = AuditEvent {
        seq: Seq(1),
        source: Source::account("a").unwrap(),
        id: None,
        revision: entry["revision"]
            .as_u64()
            .map_or(0, |revision| revision as u32),
        time: None,
        received_at: now(),
        problem: entry["problem"].as_str().map(ToOwned::to_owned),
        entry: RawValue::from_string(entry.to_string()).unwrap(),
        sha256: None,
    };
    let first = entry["first_seen"].as_array().cloned().unwrap_or_default();
    let first: Vec<&str> = first.iter().filter_map(Value::as_str).collect();
    EntryFacts::of(&event).with_first_seen(first)
}

/// The rules that match, with the cheap tests and without.
fn both<'a>(
    rules: &'a Rules,
    matcher: &'a RuleMatcher,
    facts: &'a EntryFacts,
) -> (Vec<&'a RuleId>, Vec<&'a RuleId>) {
    let evaluated = rules.iter().filter(|rule| match &rule.kind {
        RuleKind::Event(detection) => detection.matches(facts),
        RuleKind::Correlation(_) => false,
    });
    (
        matcher.matches(facts).collect(),
        evaluated.map(|rule| &rule.id).collect(),
    )
}

/// Some texts of entries, and some that are compared in unusual ways.
fn texts(entries: &[Value]) -> Vec<Value> {
    let fields = [
        "/raw/uri",
        "/raw/method",
        "/action/type",
        "/action/result",
        "/actor/email",
        "/actor/context",
    ];
    let values = entries
        .iter()
        .flat_map(|entry| fields.iter().filter_map(|field| entry.pointer(field)));
    let unusual = [
        json!("\u{212a}@EXAMPLE.com"),
        json!("/ZONES/x/DN\u{17f}/to\u{212a}ens"),
        json!("cfut_x"),
        json!("GET\nPOST"),
        json!(""),
        json!(null),
        json!(5),
        json!(1.5),
        json!(true),
        json!({}),
        json!([]),
        json!({"x": "zone"}),
    ];
    values.cloned().chain(unusual).collect()
}

/// Changes some value somewhere.
fn change(entry: &mut Value, texts: &[Value], rng: &mut Rng) {
    match entry {
        Value::Object(members) if !members.is_empty() && rng.u8(0..8) > 0 => {
            let chosen = rng.usize(0..members.len());
            let value = members.values_mut().nth(chosen);
            value
                .into_iter()
                .for_each(|value| change(value, texts, rng));
        }
        Value::Array(items) if !items.is_empty() && rng.u8(0..8) > 0 => {
            let chosen = rng.usize(0..items.len());
            change(&mut items[chosen], texts, rng);
        }
        value => {
            let other = texts[rng.usize(0..texts.len())].clone();
            *value = match (rng.u8(0..6), value.as_str()) {
                (0, Some(text)) => json!(text.to_uppercase()),
                (1, Some(text)) => json!(text.replace('k', "\u{212a}")),
                (2, Some(text)) => json!(format!("{text}{}", other.as_str().unwrap_or("é"))),
                (3, Some(text)) => json!([other, text]),
                (4, Some(text)) => json!(text.chars().skip(1).collect::<String>()),
                _ => other,
            };
        }
    }
}

#[test]
fn the_same_rules_match_with_and_without_the_tests_that_come_before() {
    let (built_in, other) = (Rules::built_in(), other_rules());
    let matchers = [&built_in, &other].map(|rules| (rules, RuleMatcher::new(rules)));
    let entries = entries(&built_in);
    let texts = texts(&entries);
    let seed = std::env::var("ORGTRAIL_PREFILTER_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Rng::new().u64(..1 << 32));
    let mut rng = Rng::with_seed(seed);
    let mut matched = [
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    ];
    for mut entry in entries {
        for changes in 0..4 {
            let facts = facts(&entry);
            for ((rules, matcher), matched) in matchers.iter().zip(&mut matched) {
                let (found, expected) = both(rules, matcher, &facts);
                assert_eq!(
                    found, expected,
                    "{entry}\nafter {changes} changes; repeat it with ORGTRAIL_PREFILTER_SEED={seed}"
                );
                matched.extend(expected.into_iter().cloned());
            }
            change(&mut entry, &texts, &mut rng);
        }
    }
    assert!(matched[0].len() > 55, "{}", matched[0].len());
    let never: Vec<String> = (0..OTHER_RULES.len())
        .map(|n| RuleId(format!("rule-{n}")))
        .filter(|id| !matched[1].contains(id))
        .map(|id| id.0)
        .collect();
    assert!(never.len() < 8, "{never:?}");
}
