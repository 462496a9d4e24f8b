//! What the syntax of a detection means.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{mistake, parse, rule_of};

/// Whether a detection, indented by two, matches an entry.
fn matches(detection: &str, entry: &Value) -> bool {
    let (rules, errors) = parse(&rule_of(detection));
    assert!(errors.is_empty(), "{detection}: {errors:?}");
    let rule = rules.iter().next().unwrap();
    rules.raises(rule, std::slice::from_ref(entry))
}

/// A selection on one line, with the entries that it matches and those that it does not.
type Row = (&'static str, Vec<Value>, Vec<Value>);

fn rows() -> Vec<Row> {
    let name = |text: &str| json!({"actor": {"token_name": text}});
    let status = |value: Value| json!({"raw": {"status_code": value}});
    let ip = |text: &str| json!({"actor": {"ip_address": text}});
    let body = |value: Value| json!({"resource": {"request": value}});
    vec![
        (
            "actor.token_name: Deploy",
            vec![name("deploy"), name("DEPLOY")],
            vec![name("deploys"), json!({})],
        ),
        (
            "actor.token_name: größe",
            vec![name("GRÖßE")],
            vec![name("grosse")],
        ),
        (
            "actor.token_name|cased: Deploy",
            vec![name("Deploy")],
            vec![name("deploy")],
        ),
        (
            "actor.token_name|contains: ploy",
            vec![name("Deployment")],
            vec![name("plo")],
        ),
        (
            "actor.token_name|startswith: de",
            vec![name("Deploy")],
            vec![name("my deploy")],
        ),
        (
            "actor.token_name|endswith: bot",
            vec![name("deploy-BOT")],
            vec![name("bots")],
        ),
        (
            "actor.token_name|contains|all: [a, b]",
            vec![name("xbay")],
            vec![name("xa")],
        ),
        (
            "actor.token_name: 'de*'",
            vec![name("deploy"), name("de\nploy")],
            vec![name("xde")],
        ),
        (
            "actor.token_name: 'd?ploy'",
            vec![name("deploy"), name("d\nploy")],
            vec![name("dploy")],
        ),
        (
            "actor.token_name: 'a\\*b'",
            vec![name("a*b")],
            vec![name("axb")],
        ),
        (
            "actor.token_name|contains: 'a*b'",
            vec![name("xx A1B xx")],
            vec![name("b a")],
        ),
        (
            "actor.token_name|re: '^de.+y$'",
            vec![name("deploy")],
            vec![name("DEPLOY"), name("dey")],
        ),
        (
            "actor.token_name|re|i: '^de.+y$'",
            vec![name("DEPLOY")],
            vec![name("x")],
        ),
        (
            "actor.token_name: [a, b]",
            vec![name("a"), name("B")],
            vec![name("c")],
        ),
        (
            "actor.token_name: ''",
            vec![name("")],
            vec![name("x"), json!({})],
        ),
        (
            "actor.token_name: null",
            vec![json!({}), json!({"actor": {"token_name": null}})],
            vec![name("x")],
        ),
        (
            "actor.token_name: [null, '', 'a*']",
            vec![json!({}), name(""), name("abc")],
            vec![name("x")],
        ),
        (
            "actor.token_name|exists: true",
            vec![name(""), name("x")],
            vec![json!({}), json!({"actor": {}})],
        ),
        (
            "actor.token_name|exists: false",
            vec![json!({}), json!({"actor": {}})],
            vec![name("x")],
        ),
        (
            "raw.status_code: 403",
            vec![status(json!(403)), status(json!("403"))],
            vec![status(json!(404))],
        ),
        (
            "raw.status_code|gte: 500",
            vec![status(json!(500)), status(json!(503))],
            vec![status(json!(499)), json!({})],
        ),
        (
            "raw.status_code|lt: 300",
            vec![status(json!(200))],
            vec![status(json!(300))],
        ),
        (
            "actor.ip_address|cidr: 203.0.113.0/24",
            vec![ip("203.0.113.9")],
            vec![ip("203.0.114.9"), ip("x")],
        ),
        (
            "actor.ip_address|cidr: ['2001:db8::/32', '10.0.0.0/8']",
            vec![ip("2001:db8::1"), ip("10.1.2.3")],
            vec![ip("2001:db9::1")],
        ),
        (
            "resource.request.name|fieldref: zone.name",
            vec![json!({"resource": {"request": {"name": "A"}}, "zone": {"name": "a"}})],
            vec![
                json!({"resource": {"request": {"name": "a"}}, "zone": {"name": "b"}}),
                body(json!({"name": "a"})),
            ],
        ),
        (
            "resource.request.enabled: false",
            vec![body(json!({"enabled": false}))],
            vec![body(json!({"enabled": true})), body(json!({}))],
        ),
        (
            "resource.request.roles.name: DNS",
            vec![body(json!({"roles": [{"name": "x"}, {"name": "dns"}]}))],
            vec![body(json!({"roles": [{"name": "x"}]}))],
        ),
        (
            "resource.request.tags: a",
            vec![body(json!({"tags": ["b", "a"]}))],
            vec![body(json!({"tags": ["b"]}))],
        ),
        (
            "resource.request.everyone|exists: true",
            vec![body(json!([{"everyone": {}}]))],
            vec![body(json!([{}]))],
        ),
        (
            "resource.request|exists: true",
            vec![body(json!({"a": {"b": 1}}))],
            vec![json!({"resource": {"requested": 1}})],
        ),
        (
            "resource.request.com.cloudflare.api.account.*: '*'",
            vec![body(json!({"com.cloudflare.api.account.*": "anything"}))],
            vec![body(json!({"com.cloudflare.api.account.x": "*"}))],
        ),
        (
            "src_ip: 203.0.113.9",
            vec![ip("203.0.113.9")],
            vec![json!({"src_ip": "203.0.113.9"})],
        ),
        (
            "userAgent|contains: curl",
            vec![json!({"raw": {"user_agent": "curl/8"}})],
            vec![json!({})],
        ),
        (
            "'|contains': needle",
            vec![body(json!({"deep": [{"er": "a needle"}]}))],
            vec![body(json!({"needle": "hay"}))],
        ),
        (
            "'|contains|all': [one, two]",
            vec![body(json!({"a": "one", "b": ["x two"]}))],
            vec![body(json!({"a": "one"}))],
        ),
        (
            "actor.ip_address|cidr: 192.168.0.0/16",
            vec![ip("::ffff:192.168.7.7")],
            vec![ip("::ffff:10.0.0.1")],
        ),
        (
            "first_seen: account.id",
            vec![json!({"first_seen": ["actor.id", "account.id"]})],
            vec![json!({"first_seen": ["actor.id"]}), json!({})],
        ),
    ]
}

#[test]
fn each_modifier_means_what_sigma_says() {
    for (selection, hits, misses) in rows() {
        let detection = format!("  s:\n    {selection}\n  condition: s");
        for entry in &hits {
            assert!(
                matches(&detection, entry),
                "{selection} should match {entry}"
            );
        }
        for entry in &misses {
            assert!(
                !matches(&detection, entry),
                "{selection} should not match {entry}"
            );
        }
    }
}

#[test]
fn conditions_combine_selections() {
    let selections = "  sel_a: {a: 1}\n  sel_b: {b: 1}\n  filter_x: {x: 1}\n  list:\n    - {l: 1}\n    - {m: 1}\n  words: [needle, straw]\n";
    for (condition, hit, miss) in [
        ("sel_a and sel_b", json!({"a": 1, "b": 1}), json!({"a": 1})),
        ("sel_a or sel_b", json!({"b": 1}), json!({"x": 1})),
        (
            "sel_a and not filter_x",
            json!({"a": 1}),
            json!({"a": 1, "x": 1}),
        ),
        ("1 of sel_*", json!({"b": 1}), json!({"x": 1})),
        ("any of sel_*", json!({"b": 1}), json!({"x": 1})),
        ("all of sel_*", json!({"a": 1, "b": 1}), json!({"a": 1})),
        ("2 of them", json!({"a": 1, "x": 1}), json!({"a": 1})),
        (
            "sel_a and not 1 of filter_*",
            json!({"a": 1}),
            json!({"a": 1, "x": 1}),
        ),
        (
            "(sel_a or sel_b) and filter_x",
            json!({"b": 1, "x": 1}),
            json!({"b": 1}),
        ),
        ("list", json!({"m": 1}), json!({"a": 1})),
        (
            "words",
            json!({"q": {"w": "a STRAW hat"}}),
            json!({"straw": "x"}),
        ),
        ("[sel_a, filter_x]", json!({"x": 1}), json!({"b": 1})),
    ] {
        let detection = format!("{selections}  condition: {condition}");
        assert!(matches(&detection, &hit), "{condition} should match {hit}");
        assert!(
            !matches(&detection, &miss),
            "{condition} should not match {miss}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let wrong = |detection: &str| mistake(&rule_of(detection));
    for (detection, line, reason) in [
        ("  s: {a: 1}", 7, "`condition` is missing"),
        ("  s: {a: 1}\n  condition: t", 8, "names `t`"),
        (
            "  s: {a: 1}\n  condition: 1 of t_*",
            8,
            "nothing in the detection is named `t_*`",
        ),
        ("  s: {a: 1}\n  condition: s and (", 8, "cannot be read"),
        (
            "  s: {a: 1}\n  condition: s | count() > 5",
            8,
            "aggregations",
        ),
        ("  s:\n    a|nonsense: 1\n  condition: s", 8, "nonsense"),
        ("  s:\n    a|not: 1\n  condition: s", 8, "not"),
        ("  s:\n    a|expand: '%x%'\n  condition: s", 8, "expand"),
        (
            "  s:\n    a|re: '('\n  condition: s",
            8,
            "regular expression",
        ),
        (
            "  s:\n    a|cidr: x\n  condition: s",
            7,
            "detection is wrong",
        ),
        (
            "  s:\n    a|exists: maybe\n  condition: s",
            8,
            "true or false",
        ),
        ("  s:\n    a: {b: 1}\n  condition: s", 8, "must be a text"),
        ("  s: {}\n  condition: s", 7, "empty selection"),
        ("  s: []\n  condition: s", 7, "empty list"),
        ("  s: {a: []}\n  condition: s", 7, "empty list"),
        ("  s: {a: 1, a: 2}\n  condition: s", 7, "occurs twice"),
        (
            "  s: {a: 1}\n  timeframe: 5m\n  condition: s",
            8,
            "timeframe",
        ),
    ] {
        let (found, message) = wrong(detection);
        assert!(
            found == line && message.contains(reason),
            "{detection}: {found}: {message}"
        );
    }
    let good = rule_of("  s: {a: 1}\n  condition: s");
    for (from, to, line, reason) in [
        ("id: a-rule\n", "", 1, "`id` is missing"),
        ("title: A rule\n", "", 1, "`title` is missing"),
        (
            "title: A rule\n",
            "title: [x]\n",
            1,
            "`title` must be a text",
        ),
        (
            "title: A rule\n",
            "title: A rule\nlevel: huge\n",
            2,
            "`level` is",
        ),
        (
            "title: A rule\n",
            "title: A rule\nsuppress: 1h\n",
            2,
            "unknown key `suppress`",
        ),
        (
            "title: A rule\n",
            "title: A rule\nfilter: {}\n",
            2,
            "not supported",
        ),
        ("product: cloudflare", "product: windows", 4, "log source"),
        (
            "service: audit",
            "service: audit\n  category: x",
            6,
            "category",
        ),
        (
            "id: a-rule",
            "id: a-rule\ntests: [{match: {}}]",
            3,
            "a test has a `name`",
        ),
        (
            "id: a-rule",
            "id: a-rule\ntests: [{name: x}]",
            3,
            "either `match` or `no_match`",
        ),
    ] {
        let text = good.replace(from, to);
        let (found, message) = mistake(&text);
        assert!(
            found == line && message.contains(reason),
            "{text}: {found}: {message}"
        );
    }
}

#[test]
fn a_changed_title_is_the_same_rule_and_a_changed_value_another() {
    let hash = |text: &str| {
        let (rules, errors) = parse(text);
        assert!(errors.is_empty(), "{errors:?}");
        rules.iter().next().unwrap().hash
    };
    let first = rule_of("  s: {a: 1, b: 2}\n  condition: s");
    assert_eq!(
        hash(&first),
        hash(&first.replace("A rule", "Another title"))
    );
    assert_eq!(
        hash(&first),
        hash(&rule_of("  condition: s\n  s: {b: 2, a: 1}"))
    );
    assert_ne!(
        hash(&first),
        hash(&rule_of("  s: {a: 1, b: 3}\n  condition: s"))
    );
    assert_ne!(
        hash(&first),
        hash(&first.replace("service: audit", "service: orgtrail"))
    );
}

#[test]
fn a_correlation_depends_on_the_rules_that_it_names() {
    let base =
        rule_of("  s: {a: 1}\n  condition: s").replace("id: a-rule", "id: a-rule\nname: base");
    let correlation = "---\ntitle: Often\nid: often\ncorrelation:\n  type: event_count\n  rules: [base]\n  group-by: [src_ip]\n  timespan: 5m\n  condition: {gte: 3}\n";
    let (rules, errors) = parse(&(base.clone() + correlation));
    assert!(errors.is_empty(), "{errors:?}");
    let (often, named) = (
        rules.correlations().next().unwrap(),
        rules.events().next().unwrap(),
    );
    assert_eq!(often.1.group_by, ["actor.ip_address"]);
    assert_eq!(often.1.rules, std::slice::from_ref(&named.0.id));
    assert!(!rules.generates(&named.0.id) && rules.generates(&often.0.id));
    assert!(often.0.text.starts_with("title: Often") && !named.0.text.contains("Often"));
    let (changed, _) = parse(&(base.replace("a: 1", "a: 2") + correlation));
    assert_ne!(changed.correlations().next().unwrap().0.hash, often.0.hash);
    let (with, _) = parse(&(base.clone() + correlation + "generate: true\n"));
    assert!(with.generates(&named.0.id));
    for (from, to, line, reason) in [
        ("[base]", "[base, other]", 15, "`other` is not"),
        ("gte: 3", "about: 3", 18, "unknown key `about`"),
        ("gte: 3", "gte: -3", 18, "from 0 to"),
        ("5m", "5", 17, "`timespan` is"),
        ("5m", "32d", 17, "`timespan` is"),
        ("event_count", "value_sum", 14, "`type` is"),
        ("event_count", "value_count", 18, "`field` of the condition"),
        ("event_count", "temporal", 18, "no condition"),
        (
            "timespan: 5m",
            "timespan: 5m\n  window: tumbling",
            18,
            "unknown key `window`",
        ),
    ] {
        let (found, message) = mistake(&(base.clone() + &correlation.replace(from, to)));
        assert!(
            found == line && message.contains(reason),
            "{to}: {found}: {message}"
        );
    }
}

/// Rules and entries that another implementation's converted queries are tested with.
#[test]
fn the_collected_rules_hit_what_they_should() {
    #[derive(serde::Deserialize)]
    struct Entries {
        hits: Vec<Value>,
        misses: Vec<Value>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigma");
    let cases = fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: BTreeMap<String, Entries> = serde_json::from_str(&cases).unwrap();
    let mut wrong = Vec::new();
    for (name, entries) in &cases {
        let text = fs::read_to_string(folder.join(format!("rules/{name}.yml"))).unwrap();
        // Lucene's expressions match a whole value and ignore case; Sigma's do neither.
        if text.contains("|re:") {
            continue;
        }
        let (rules, errors) = parse(&text);
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let rule = rules.iter().next().unwrap();
        // An empty object or text exists for a rule, and has no value that could be searched for.
        let is_empty = |entry: &&Value| {
            let id = entry["id"].as_str().unwrap_or_default();
            ["sigma-6", "sigma-45", "sigma-86"].contains(&id)
        };
        let hits = entries.hits.iter().filter(|entry| !is_empty(entry));
        let hits = hits.map(|entry| (entry, true));
        let misses = entries.misses.iter().filter(|entry| !is_empty(entry));
        for (entry, expect) in hits.chain(misses.map(|entry| (entry, false))) {
            if rules.raises(rule, std::slice::from_ref(entry)) != expect {
                wrong.push(format!("{name}: {entry}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
