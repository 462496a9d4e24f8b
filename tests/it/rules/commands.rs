//! `orgtrail rules`, and the rules in `orgtrail check`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::rule_of;

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORGTRAIL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn rules_are_listed_with_what_is_wrong_with_others() {
    let dir = tempfile::tempdir().unwrap();
    let listed = run(dir.path(), &["rules", "list", "--json"]);
    assert!(listed.status.success(), "{}", text(&listed));
    let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let rules = list["rules"].as_array().unwrap();
    assert!(rules.len() >= 40 && list["errors"] == serde_json::json!([]));
    for key in ["id", "title", "level", "status", "tags"] {
        assert!(rules.iter().all(|rule| !rule[key].is_null()), "{key}");
    }

    fs::create_dir(dir.path().join("own")).unwrap();
    let broken = rule_of("  s: {a: 1}\n  condition: t");
    fs::write(dir.path().join("own/broken.yml"), broken).unwrap();
    let listed = run(
        dir.path(),
        &["rules", "list", "--json", "--rules-dir", "own"],
    );
    assert_eq!(listed.status.code(), Some(1));
    let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(list["errors"][0]["file"], "broken.yml");
    assert_eq!(list["errors"][0]["line"], 8);
    let listed = text(&run(dir.path(), &["rules", "list", "--rules-dir", "own"]));
    assert!(
        listed.contains("API token created") && listed.contains("broken.yml:8: "),
        "{listed}"
    );
}

#[test]
fn a_test_that_fails_is_named_and_fails_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let all = run(dir.path(), &["rules", "test"]);
    assert!(all.status.success(), "{}", text(&all));
    let one = run(dir.path(), &["rules", "test", "token_created"]);
    assert!(
        one.status.success() && text(&one).contains("1 rules, 4 tests"),
        "{}",
        text(&one)
    );

    let rule = rule_of("  s: {a: 1}\n  condition: s")
        + "tests:\n  - {name: it is one, match: {a: 1}}\n  - {name: it is two, match: {a: 2}}\n";
    fs::write(dir.path().join("own.yml"), &rule).unwrap();
    let failed = run(dir.path(), &["rules", "test", "own.yml"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed);
    assert!(
        said.contains("own.yml:11: rule a-rule (A rule), test \"it is two\""),
        "{said}"
    );
    assert!(!said.contains("it is one"), "{said}");
    fs::write(
        dir.path().join("own.yml"),
        rule.replace("{a: 2}", "{a: [2, 1]}"),
    )
    .unwrap();
    assert!(
        run(dir.path(), &["rules", "test", "own.yml"])
            .status
            .success()
    );
    let unknown = run(dir.path(), &["rules", "test", "no-such-rule"]);
    assert_eq!(unknown.status.code(), Some(1));
    let missing = run(dir.path(), &["rules", "test", "missing.yml"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn the_layer_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let printed = run(dir.path(), &["rules", "layer"]);
    let layer: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(layer["versions"]["layer"], "4.5");
}

#[test]
fn check_names_the_file_and_the_line_of_a_broken_rule() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("own")).unwrap();
    let good = rule_of("  s: {a: 1}\n  condition: s");
    fs::write(dir.path().join("own/good.yml"), &good).unwrap();
    fs::write(
        dir.path().join("own/broken.yml"),
        good.replace("condition: s", "condition: t"),
    )
    .unwrap();
    let config = "[alerts]\nrules_dir = \"own\"\ndisabled = [\"a-rule\", \"unknown\"]\n[upstream]\nbase_url = \"http://127.0.0.1:9/client/v4\"\n[[accounts]]\nid = \"0123456789abcdef0123456789abcdef\"\n";
    fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
    let checked = run(dir.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(1));
    let said = text(&checked);
    assert!(
        said.contains("PROBLEM") && said.contains("broken.yml:8: "),
        "{said}"
    );
    assert!(
        said.contains("`disabled` in `[alerts]` names `unknown`"),
        "{said}"
    );
    assert!(!said.contains("good.yml"), "{said}");
}
