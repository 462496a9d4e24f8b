//! The texts that everything has in it that a regular expression matches.

use regex_syntax::hir::{Hir, HirKind};

use super::super::needed::{LiteralTest, longest};

/// Shorter texts are in most entries.
const MIN_LEN: usize = 2;

/// The most alternatives that are tested.
const MAX_ALTERNATIVES: usize = 32;

/// What a text needs for an expression to match it: all of these, of each one of these.
pub(super) fn literals_of(pattern: &str) -> Vec<Vec<LiteralTest>> {
    regex_syntax::parse(pattern).map_or_else(|_| Vec::new(), |hir| of(&hir))
}

fn of(hir: &Hir) -> Vec<Vec<LiteralTest>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok();
            let test = text.filter(|text| text.len() >= MIN_LEN);
            let test = test.and_then(|text| LiteralTest::of(text, false));
            test.map(|test| vec![vec![test]]).unwrap_or_default()
        }
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(of).collect(),
        HirKind::Alternation(parts) => {
            let each = parts.iter().map(|part| longest(of(part)));
            let any = each
                .collect::<Option<Vec<_>>>()
                .unwrap_or_default()
                .concat();
            let is_tested = (1..=MAX_ALTERNATIVES).contains(&any.len());
            is_tested.then_some(vec![any]).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &[&[&str]]) {
        let found = literals_of(pattern);
        let found: Vec<Vec<&str>> = found
            .iter()
            .map(|any| any.iter().map(|test| test.text.as_str()).collect())
            .collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn an_expression_needs_the_texts_that_all_its_matches_have() {
        check(r"^/zones/[^/]+/dnssec$", &[&["/zones/"], &["/dnssec"]]);
        check(
            "(user|Account)s?/tokens",
            &[&["user", "account"], &["/tokens"]],
        );
        check("(ab)+(cd)*(ef)?", &[&["ab"]]);
        check("a|bcd", &[]);
        check("(?i)abc", &[]);
        check("für", &[]);
        check("[ab]x.", &[]);
        check("(", &[]);
    }
}
