//! Files that are meant to hurt, or are broken.

use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use orgtrail::rules::Rules;
use proptest::prelude::*;

use super::{mistake, parse, rule_of};

/// Longer than any of these files takes on a slow machine, and far shorter than what they are meant to cost.
const QUICK: Duration = Duration::from_secs(20);

#[test]
fn a_broken_file_costs_its_own_rules_alone() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
    let good = rule_of("  s: {a: 1}\n  condition: s");
    write("good.yml", good.as_bytes());
    write(
        "more.yaml",
        good.replace("id: a-rule", "id: b-rule").as_bytes(),
    );
    write("other.txt", b"not a rule");
    write(
        "bad.yml",
        good.replace("id: a-rule", "id: c-rule\nlevel: huge")
            .as_bytes(),
    );
    write("broken.yml", b"title: x\n\tid: y\n");
    write("twice.yml", good.as_bytes());
    write("empty.yml", b"");
    write("binary.yml", b"title: \xff");
    write("huge.yml", &vec![b'#'; 300 * 1024]);
    fs::create_dir(dir.path().join("folder.yml")).unwrap();
    fs::create_dir_all(dir.path().join("deeper/down")).unwrap();
    write(
        "deeper/down/deep.yml",
        good.replace("id: a-rule", "id: d-rule").as_bytes(),
    );
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path(), dir.path().join("deeper/loop")).unwrap();

    let (rules, errors) = Rules::load(Some(dir.path()), &[]);
    for id in ["a-rule", "b-rule", "d-rule"] {
        let own = rules.iter().filter(|rule| rule.id.as_str() == id);
        assert_eq!(own.count(), 1, "{id}");
    }
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for start in [
        "bad.yml:3: `level` is",
        "broken.yml:1: ",
        "twice.yml:2: its id is also the id of good.yml:1",
        "empty.yml:1: there is no rule",
        "binary.yml:1: is not UTF-8",
        "huge.yml:1: is larger than 256 KiB",
    ] {
        assert!(
            said.iter().any(|error| error.starts_with(start)),
            "{start}: {said:#?}"
        );
    }
    assert!(errors.len() < 250, "{}", errors.len());
    let (missing, errors) = Rules::load(Some(&dir.path().join("nothing")), &[]);
    assert!(errors[0].to_string().contains("cannot be read"));
    assert_eq!(missing.iter().count(), Rules::built_in().iter().count());
}

#[test]
fn a_rule_that_is_turned_off_raises_nothing_and_still_serves_correlations() {
    let id = |name: &str| {
        let rules = Rules::built_in();
        let rule = rules.iter().find(|rule| rule.name.as_deref() == Some(name));
        rule.unwrap().id.clone()
    };
    let (created, failed) = (id("token_created"), id("sign_in_failed"));
    let disabled = [
        created.to_string(),
        failed.to_string(),
        "nothing".to_owned(),
    ];
    let (rules, errors) = Rules::load(None, &disabled);
    assert!(errors.is_empty());
    assert!(!rules.generates(&created) && Rules::built_in().generates(&created));
    assert!(rules.events().any(|(rule, _)| rule.id == created));
    let unknown: Vec<_> = rules.unknown_disabled().map(ToString::to_string).collect();
    assert_eq!(unknown, ["nothing"]);
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let started = Instant::now();
    let laughs: String = (1..30)
        .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1))
        .collect();
    let deep_condition = format!(
        "  s: {{a: 1}}\n  condition: {}s{}",
        "(".repeat(900),
        ")".repeat(900)
    );
    let long_condition = format!("  s: {{a: 1}}\n  condition: {}s", "s or ".repeat(40_000));
    let nots = format!("  s: {{a: 1}}\n  condition: {}s", "not ".repeat(400));
    let values = format!("  s: {{a: [{}]}}\n  condition: s", "1, ".repeat(9_000));
    let keys: String = (0..9_000).map(|n| format!("k{n}: 1\n")).collect();
    for (text, reason) in [
        (laughs, "not allowed"),
        ("a: &a [*a]".to_owned(), "not allowed"),
        ("[".repeat(200_000), "nested deeper"),
        ("{a: ".repeat(60_000), "nested deeper"),
        ("- ".repeat(100_000), "nested deeper"),
        (keys, "unknown key"),
        (rule_of(&deep_condition), "parentheses"),
        (rule_of(&nots), "parentheses"),
        (rule_of(&long_condition), "at most"),
        (rule_of(&values), "at most"),
        (
            rule_of("  s:\n    a|re: '((a{200}){200}){200}'\n  condition: s"),
            "too large",
        ),
        (
            rule_of("  s:\n    a|re: '(\\w{300}\\s{300}){30}'\n  condition: s"),
            "too large",
        ),
    ] {
        let (_, found) = mistake(&text);
        assert!(found.contains(reason), "{found}");
    }
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
}

#[test]
fn a_slow_expression_is_quick_on_a_large_entry() {
    let text = rule_of("  s:\n    a|re: '(x+x+)+y'\n  condition: s");
    let (rules, errors) = parse(&text);
    assert!(errors.is_empty());
    let entry = serde_json::json!({"a": "x".repeat(100_000)});
    let started = Instant::now();
    assert!(!rules.raises(rules.iter().next().unwrap(), &[entry]));
    assert!(started.elapsed() < QUICK);
}

/// A part of a rule, or something that YAML or Sigma could trip over.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "---\n",
        "...\n",
        "? ",
        ": ",
        "- ",
        "&a ",
        "*a ",
        "!!x ",
        "{",
        "}",
        "[",
        "]",
        "|\n",
        ">-\n",
        "'",
        "\"",
        "#",
        "%YAML 1.1\n",
        "\u{feff}",
        "\u{85}",
        "\0",
        "\t",
        "condition: ",
        "1 of ",
        "not (",
        "all of them",
        "a|re: ",
        "|cidr: ",
        "correlation:\n",
        "rules: [a]\n",
        "timespan: 9999999999w\n",
        "tests:\n  - ",
        "repeat: 9999\n",
        "\\",
        "*",
        "é",
    ];
    prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        ".{0,12}",
        "[ \n:a-z]{0,8}",
    ]
}

/// The texts of the built-in rules.
static TEXTS: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| {
    let rules = Rules::built_in();
    rules.iter().map(|rule| rule.text.clone()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_the_parser(text in prop::collection::vec(piece(), 0..30)) {
        let _ = parse(&text.concat());
    }

    #[test]
    fn no_change_of_a_rule_panics_the_parser(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        removed in 0_usize..40,
        added in piece(),
    ) {
        let text: Vec<char> = which.get(&TEXTS).chars().collect();
        let at = at.index(text.len());
        let changed: String = text[..at].iter().copied().chain(added.chars())
            .chain(text[(at + removed).min(text.len())..].iter().copied()).collect();
        let (rules, _) = parse(&changed);
        for rule in rules.iter() {
            drop(rules.failed_cases(rule));
        }
    }
}
