//! The built-in rules: their own tests, what each of them says, and that another implementation of Sigma reads them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use orgtrail::alert::Level;
use orgtrail::rules::{LogService, NAMES, RuleKind, RuleStatus, Rules, layer};

use crate::skip_slow_tests;

#[test]
fn every_built_in_rule_passes_its_own_tests() {
    let (rules, errors) = Rules::load(None, &[]);
    assert!(errors.is_empty(), "{errors:#?}");
    let failed: Vec<_> = rules
        .iter()
        .flat_map(|rule| rules.failed_cases(rule))
        .map(|failed| failed.to_string())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_built_in_rule_says_what_a_person_needs() {
    let rules = Rules::built_in();
    assert!(rules.iter().count() >= 40);
    let mut titles = BTreeSet::new();
    for rule in rules.iter() {
        let name = &rule.file;
        assert!(
            uuid::Uuid::parse_str(rule.id.as_str()).is_ok(),
            "{name}: id"
        );
        assert!(
            titles.insert(&rule.title),
            "{name}: its title is used twice"
        );
        assert!(
            rule.description.contains("\nNext: "),
            "{name}: what to do next"
        );
        assert!(!rule.falsepositives.is_empty(), "{name}: false positives");
        let is_technique = |tag: &String| tag.starts_with("attack.");
        assert!(
            !rule.tags.is_empty() && rule.tags.iter().all(is_technique),
            "{name}: tags"
        );
        let of_kind = |must_match| rule.cases.iter().any(|case| case.must_match == must_match);
        assert!(
            of_kind(true) && of_kind(false),
            "{name}: tests of both kinds"
        );
        let is_experimental = rule.status == RuleStatus::Experimental;
        let says_why = rule.description.contains("\nWaits for ");
        assert_eq!(is_experimental, says_why, "{name}: what it waits for");
        if let RuleKind::Event(detection) = &rule.kind {
            let is_of_service = detection.service() == LogService::Orgtrail;
            let says_who = rule.description.contains("\nRaised by ");
            assert!(says_who || !is_of_service, "{name}: what raises it");
        }
        // A rule that only serves correlations would be noise by itself.
        let is_part = !rules.generates(&rule.id);
        assert!(
            !is_part || rule.level == Level::Informational || rule.name.is_some(),
            "{name}"
        );
    }
}

#[test]
fn the_guide_lists_every_rule_and_every_name() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/rules.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rules = Rules::built_in();
    let listed = rules.list(&[]);
    let expect: Vec<String> = listed
        .rules
        .iter()
        .map(|rule| {
            let raises = if rule.raises {
                rule.status.as_str()
            } else {
                "part"
            };
            format!(
                "| {} | {} | {raises} | `{}` |",
                rule.title, rule.level, rule.file
            )
        })
        .collect();
    let rows = |start: &str| -> Vec<String> {
        let table = page.lines().skip_while(|line| *line != start).skip(2);
        table
            .take_while(|line| line.starts_with('|'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        rows("| rule | level | status | file |"),
        expect,
        "\n{}",
        expect.join("\n")
    );
    let expect: Vec<String> = NAMES
        .iter()
        .map(|(ours, theirs)| {
            let theirs: Vec<_> = theirs.iter().map(|their| format!("`{their}`")).collect();
            format!("| `{ours}` | {} |", theirs.join(", "))
        })
        .collect();
    assert_eq!(
        rows("| field | other names |"),
        expect,
        "\n{}",
        expect.join("\n")
    );
}

#[test]
fn the_layer_counts_the_rules_of_each_technique() {
    let rules = Rules::built_in();
    let layer = layer(rules.iter());
    let techniques = layer["techniques"].as_array().unwrap();
    let account = techniques
        .iter()
        .find(|one| one["techniqueID"] == "T1098.001")
        .unwrap();
    let tagged = rules
        .iter()
        .filter(|rule| rule.tags.iter().any(|tag| tag == "attack.t1098.001"));
    assert_eq!(account["score"], tagged.count());
    assert_eq!(layer["domain"], "enterprise-attack");
    assert!(techniques.len() >= 20);
}

/// Reads the files that it is given, together, and says how many rules and correlations they have.
const READ: &str = "
import sys
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
text = '\\n---\\n'.join(open(name).read() for name in sys.argv[1:])
rules = SigmaCollection.from_yaml(text)
rules.resolve_rule_references()
assert not rules.errors, rules.errors
print(len(rules.rules), sum(isinstance(rule, SigmaCorrelationRule) for rule in rules.rules))
";

#[test]
fn pysigma_reads_the_built_in_rules() {
    if skip_slow_tests() {
        return;
    }
    let Some(python) = std::env::var_os("ORGTRAIL_PYTHON") else {
        panic!(
            "ORGTRAIL_PYTHON names an interpreter that has what tests/rules/requirements.txt lists"
        );
    };
    let rules = Rules::built_in();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let files: BTreeSet<_> = rules.iter().map(|rule| folder.join(&rule.file)).collect();
    let output = Command::new(python)
        .arg("-c")
        .arg(READ)
        .args(&files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let expect = format!("{} {}", rules.iter().count(), rules.correlations().count());
    assert_eq!(said.trim(), expect, "{errors}");
}
