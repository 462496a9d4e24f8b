//! Finds out what an entry needs for a detection to match it. Where the library's answer could differ, nothing is needed.

use std::collections::HashMap;

use rsigma_parser::value::StringPart;
use rsigma_parser::{
    ConditionExpr, Detection as Selection, DetectionItem, Modifier, Quantifier, SigmaString,
    SigmaValue,
};

use super::super::needed::{LiteralTest, Needed, NeededText, longest};
use super::literals::literals_of;

/// What one of some conditions over named selections needs.
pub(super) fn by_conditions(
    conditions: &[ConditionExpr],
    selections: &HashMap<String, Selection>,
) -> Needed<NeededText> {
    Needed::any(conditions.iter().map(|one| by_condition(one, selections)))
}

fn by_condition(
    condition: &ConditionExpr,
    selections: &HashMap<String, Selection>,
) -> Needed<NeededText> {
    let of = |is_meant: &dyn Fn(&str) -> bool| {
        let meant = selections.iter().filter(|(name, _)| is_meant(name));
        meant
            .map(|(_, selection)| by_selection(selection))
            .collect::<Vec<_>>()
    };
    match condition {
        ConditionExpr::And(parts) => {
            Needed::all(parts.iter().map(|part| by_condition(part, selections)))
        }
        ConditionExpr::Or(parts) => {
            Needed::any(parts.iter().map(|part| by_condition(part, selections)))
        }
        ConditionExpr::Not(_) => Needed::nothing(),
        ConditionExpr::Identifier(name) => Needed::all(of(&|other| other == name)),
        ConditionExpr::Selector {
            quantifier,
            pattern,
        } => {
            let meant = of(&|name| pattern.matches_detection_name(name));
            match quantifier {
                Quantifier::All => Needed::all(meant),
                Quantifier::Any => Needed::any(meant),
                Quantifier::Count(0) => Needed::nothing(),
                Quantifier::Count(_) => Needed::any(meant),
            }
        }
    }
}

fn by_selection(selection: &Selection) -> Needed<NeededText> {
    match selection {
        Selection::AllOf(items) => {
            let mut items: Vec<_> = items.iter().map(by_item).collect();
            // The cheapest first.
            items.sort_by_key(|item| !is_whole(item));
            Needed::all(items)
        }
        Selection::AnyOf(parts) => Needed::any(parts.iter().map(by_selection)),
        Selection::And(parts) => Needed::all(parts.iter().map(by_selection)),
        _ => Needed::nothing(),
    }
}

fn is_whole(needed: &Needed<NeededText>) -> bool {
    matches!(needed, Needed::One(one) if one.texts.iter().all(|test| test.is_whole))
}

fn by_item(item: &DetectionItem) -> Needed<NeededText> {
    use Modifier as M;

    let is_known = |modifier: &Modifier| {
        let known = [
            M::All,
            M::Cased,
            M::Contains,
            M::StartsWith,
            M::EndsWith,
            M::Re,
            M::IgnoreCase,
            M::Multiline,
            M::DotAll,
        ];
        known.contains(modifier)
    };
    let name = item.field.name.as_deref();
    // A name with brackets means the items of a list.
    let is_plain = !name.is_some_and(|name| name.contains('['));
    if !is_plain || !item.field.modifiers.iter().all(is_known) {
        return Needed::nothing();
    }
    let texts = |tests: Vec<LiteralTest>| {
        Needed::One(NeededText {
            field: name.map(ToOwned::to_owned),
            texts: tests,
        })
    };
    let values: Vec<Vec<Vec<LiteralTest>>> = item
        .values
        .iter()
        .map(|value| by_value(value, item))
        .collect();
    if item.field.has_modifier(M::All) {
        return Needed::all(values.into_iter().flatten().map(texts));
    }
    match <[_; 1]>::try_from(values) {
        Ok([of_one]) => Needed::all(of_one.into_iter().map(texts)),
        Err(values) => {
            // One test for all alternatives, each by its longest text.
            let each = values.into_iter().map(longest).collect::<Option<Vec<_>>>();
            each.map_or_else(Needed::nothing, |each| texts(each.concat()))
        }
    }
}

/// What a value needs: all of these, of each one of these.
fn by_value(value: &SigmaValue, item: &DetectionItem) -> Vec<Vec<LiteralTest>> {
    let SigmaValue::String(text) = value else {
        return Vec::new();
    };
    if item.field.has_modifier(Modifier::Re) {
        return literals_of(&text.original);
    }
    let is_part = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith]
        .iter()
        .any(|modifier| item.field.has_modifier(*modifier));
    // Without a field, a text may be a part of any value.
    let is_whole = !is_part && item.field.name.is_some();
    let test = plain(text).and_then(|text| LiteralTest::of(&text, is_whole));
    test.map(|test| vec![vec![test]]).unwrap_or_default()
}

/// A text without wildcards.
fn plain(text: &SigmaString) -> Option<String> {
    let parts = text.parts.iter().map(|part| match part {
        StringPart::Plain(text) => Some(text.as_str()),
        StringPart::Special(_) => None,
    });
    parts.collect()
}
