//! Rules: their syntax, the built-in ones, hostile files, the commands, and what the simulated upstream emits.

mod commands;
mod emitted;
mod hostile;
mod pack;
mod syntax;

use orgtrail::rules::{RuleError, Rules};

/// A rule of a test: its detection, indented by two.
fn rule_of(detection: &str) -> String {
    format!(
        "title: A rule\nid: a-rule\nlogsource:\n  product: cloudflare\n  service: audit\ndetection:\n{detection}\n"
    )
}

fn parse(text: &str) -> (Rules, Vec<RuleError>) {
    Rules::parse("rule.yml", text)
}

/// The one mistake in a text: its line and its reason.
fn mistake(text: &str) -> (usize, String) {
    let (_, errors) = parse(text);
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    (errors[0].line, errors[0].reason.clone())
}
