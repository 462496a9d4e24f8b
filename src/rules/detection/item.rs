//! One line of a selection: a field with its modifiers, and the values it may have.

use rsigma_parser::value::{SpecialChar, StringPart};
use rsigma_parser::{
    Detection as Selection, DetectionItem, FieldSpec, Modifier, SigmaString, SigmaValue,
    parse_field_spec,
};
use serde_json::Value;

use super::super::names::our_name;
use super::super::yaml::{Fault, YamlMember, YamlNode, cut};
use super::regexes;

/// Reads `FIELD|MODIFIER…: VALUES`.
pub(super) fn read(member: &YamlMember) -> Result<DetectionItem, Fault> {
    let mut field = parse_field_spec(&member.key)
        .map_err(|error| Fault::new(member.line, error.to_string()))?;
    field.name = field.name.as_deref().map(our_name);
    if field.name.is_none() && !has_operator(&field) {
        field.modifiers.push(Modifier::Contains);
    }
    if field.has_modifier(Modifier::Expand) {
        let reason = "`expand` is not supported: there are no lists of placeholders";
        return Err(Fault::new(member.line, reason));
    }
    let nodes = match member.value.as_list() {
        Some([]) => return Err(Fault::new(member.line, "an empty list matches nothing")),
        Some(list) => list,
        None => std::slice::from_ref(&member.value),
    };
    let values = nodes.iter().map(|node| value(node, &field));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let item = DetectionItem { field, values };
    Ok(wildcards_as_regex(item))
}

/// Texts of which one is anywhere in an event, also as a part of a longer text.
pub(super) fn keywords(nodes: &[YamlNode]) -> Result<DetectionItem, Fault> {
    let field = FieldSpec::new(None, vec![Modifier::Contains]);
    let values = nodes.iter().map(|node| value(node, &field));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    Ok(wildcards_as_regex(DetectionItem { field, values }))
}

/// Whether modifiers say how a value is compared.
fn has_operator(field: &FieldSpec) -> bool {
    let is_operator = |modifier: &Modifier| !matches!(modifier, Modifier::All | Modifier::Cased);
    field.modifiers.iter().any(is_operator)
}

/// Keywords that must all occur, each by itself: they may be in different texts of an entry.
pub(super) fn split_keywords(item: &DetectionItem) -> Option<Vec<DetectionItem>> {
    if item.field.name.is_some() || !item.field.has_modifier(Modifier::All) {
        return None;
    }
    let others = item.field.modifiers.iter().copied();
    let modifiers: Vec<Modifier> = others.filter(|one| *one != Modifier::All).collect();
    let each = item.values.iter().map(|value| DetectionItem {
        field: FieldSpec::new(None, modifiers.clone()),
        values: vec![value.clone()],
    });
    Some(each.collect())
}

/// Null among other values as an alternative of its own: in a list, the library takes it for a value that is there.
pub(super) fn split_null(item: &DetectionItem) -> Option<[Selection; 2]> {
    let (nulls, others): (Vec<_>, Vec<_>) = item
        .values
        .iter()
        .cloned()
        .partition(|value| matches!(value, SigmaValue::Null));
    let is_split = !nulls.is_empty() && !others.is_empty();
    let is_plain = [Modifier::All, Modifier::Neq]
        .iter()
        .all(|modifier| !item.field.has_modifier(*modifier));
    (is_split && is_plain).then(|| {
        let with = |field: &FieldSpec, values| {
            let field = field.clone();
            Selection::AllOf(vec![wildcards_as_regex(DetectionItem { field, values })])
        };
        let bare = FieldSpec::new(item.field.name.clone(), Vec::new());
        [
            with(&bare, vec![SigmaValue::Null]),
            with(&item.field, others),
        ]
    })
}

/// The fields whose values an item compares with.
pub(super) fn fields_referred_to(item: &DetectionItem) -> Vec<String> {
    if !item.field.has_modifier(Modifier::FieldRef) {
        return Vec::new();
    }
    let texts = item.values.iter();
    texts.map(SigmaValue::to_string).collect()
}

fn value(node: &YamlNode, field: &FieldSpec) -> Result<SigmaValue, Fault> {
    let scalar = node.as_scalar().ok_or_else(|| {
        let reason = "a value must be a text, a number, true, false or null";
        Fault::new(node.line, reason)
    })?;
    if field.has_modifier(Modifier::Exists) && !scalar.is_boolean() {
        return Err(Fault::new(node.line, "`exists` is true or false"));
    }
    match scalar {
        Value::String(text) if field.has_modifier(Modifier::Re) => {
            regexes::check(text).map_err(|reason| Fault::new(node.line, reason))?;
            Ok(SigmaValue::from_raw_string(text))
        }
        Value::String(text) if field.has_modifier(Modifier::FieldRef) => {
            Ok(SigmaValue::from_raw_string(&our_name(text)))
        }
        Value::String(text) => {
            let text = SigmaString::new(text);
            if text.contains_wildcards() && text.original.len() > regexes::MAX_LEN {
                let reason = format!(
                    "`{}` is longer than {} bytes",
                    cut(&text.original),
                    regexes::MAX_LEN
                );
                return Err(Fault::new(node.line, reason));
            }
            Ok(SigmaValue::String(text))
        }
        Value::Number(number) => Ok(number.as_i64().map_or_else(
            || SigmaValue::Float(number.as_f64().unwrap_or_default()),
            SigmaValue::Integer,
        )),
        Value::Bool(value) => Ok(SigmaValue::Bool(*value)),
        _ => Ok(SigmaValue::Null),
    }
}

/// An item whose wildcards also match line breaks. The library's own wildcards do not, so a line break in a text that the caller of the
/// API chose would hide it from the rule.
fn wildcards_as_regex(item: DetectionItem) -> DetectionItem {
    const PLACES: [Modifier; 3] = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith];
    let is_plain = |modifier: &Modifier| {
        PLACES.contains(modifier) || matches!(modifier, Modifier::All | Modifier::Cased)
    };
    let texts: Option<Vec<&SigmaString>> = item.values.iter().map(as_text).collect();
    let Some(texts) = texts else {
        return item;
    };
    let has_wildcards = texts.iter().any(|text| text.contains_wildcards());
    if !has_wildcards || !item.field.modifiers.iter().all(is_plain) {
        return item;
    }
    let values = texts
        .iter()
        .map(|text| SigmaValue::from_raw_string(&regex_of(text, &item.field)))
        .collect();
    let mut modifiers = vec![Modifier::Re, Modifier::DotAll];
    if !item.field.has_modifier(Modifier::Cased) {
        modifiers.push(Modifier::IgnoreCase);
    }
    if item.field.has_modifier(Modifier::All) {
        modifiers.push(Modifier::All);
    }
    DetectionItem {
        field: FieldSpec::new(item.field.name, modifiers),
        values,
    }
}

fn as_text(value: &SigmaValue) -> Option<&SigmaString> {
    match value {
        SigmaValue::String(text) => Some(text),
        _ => None,
    }
}

fn regex_of(text: &SigmaString, field: &FieldSpec) -> String {
    let is_inside = field.has_modifier(Modifier::Contains);
    let mut pattern = String::new();
    if !is_inside && !field.has_modifier(Modifier::EndsWith) {
        pattern.push_str(r"\A");
    }
    for part in &text.parts {
        match part {
            StringPart::Plain(text) => pattern.push_str(&regex_syntax::escape(text)),
            StringPart::Special(SpecialChar::WildcardMulti) => pattern.push_str(".*"),
            StringPart::Special(SpecialChar::WildcardSingle) => pattern.push('.'),
        }
    }
    if !is_inside && !field.has_modifier(Modifier::StartsWith) {
        pattern.push_str(r"\z");
    }
    pattern
}
