//! Schemas in words: the type of a value with links, and the members of an object as a table.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{Escaped, Prose};

/// Schemas in one another that are written out; deeper ones are named `object`.
const MAX_DEPTH: usize = 8;

/// What a value is, as HTML: `text or null`, `list of Event`.
pub(super) fn type_of(schema: &Value) -> String {
    type_within(schema, MAX_DEPTH)
}

fn type_within(schema: &Value, depth: usize) -> String {
    if depth == 0 {
        return "object".to_owned();
    }
    if let Some(name) = referred(schema) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", Escaped(name));
    }
    for (choice, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if let Some(choices) = schema[choice].as_array() {
            let choices: Vec<_> = choices
                .iter()
                .map(|one| type_within(one, depth - 1))
                .collect();
            return choices.join(between);
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().map(|word| {
            format!(
                "<code>{}</code>",
                Escaped(word.as_str().unwrap_or_default())
            )
        });
        return words.collect::<Vec<_>>().join(" | ");
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return "anything".to_owned(),
    };
    let names = names.into_iter().map(|name| one_type(name, schema, depth));
    names.collect::<Vec<_>>().join(" or ")
}

fn one_type(name: &str, schema: &Value, depth: usize) -> String {
    match name {
        "array" => format!("list of {}", type_within(&schema["items"], depth - 1)),
        "object" if schema["additionalProperties"].is_object() => {
            format!(
                "object of {}",
                type_within(&schema["additionalProperties"], depth - 1)
            )
        }
        "string" => match schema["format"].as_str() {
            Some("date-time") => "time".to_owned(),
            Some(format) => Escaped(format).to_string(),
            None => "text".to_owned(),
        },
        "integer" => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("integer from {least} to {most}"),
            _ => "integer".to_owned(),
        },
        other => Escaped(other).to_string(),
    }
}

/// The name of the schema that is referred to.
fn referred(schema: &Value) -> Option<&str> {
    let reference = schema["$ref"].as_str()?;
    reference.rsplit('/').next()
}

/// A section for a schema: what it is, and its members.
pub(super) fn section(page: &mut String, name: &str, schema: &Value) -> std::fmt::Result {
    write!(
        page,
        "<section id=\"schema-{0}\"><h3>{0}</h3>",
        Escaped(name)
    )?;
    if let Some(about) = schema["description"].as_str() {
        write!(page, "<p>{}</p>", Prose(about))?;
    }
    let mut rows = String::new();
    let is_composed = schema["allOf"].is_array();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Some(name) = referred(part) {
            let all = format!("<a href=\"#schema-{0}\">{0}</a>", Escaped(name));
            write!(rows, "<tr><td colspan=\"3\">all members of {all}</td></tr>")?;
        }
        members(&mut rows, part)?;
    }
    members(&mut rows, schema)?;
    if rows.is_empty() {
        if !is_composed {
            write!(page, "<p>{}</p>", type_of(schema))?;
        }
    } else {
        page.push_str(
            "<table><thead><tr><th>member</th><th>type</th><th>meaning</th></tr></thead><tbody>",
        );
        page.push_str(&rows);
        page.push_str("</tbody></table>");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// A row for each member of an object.
fn members(rows: &mut String, schema: &Value) -> std::fmt::Result {
    let required: Vec<&str> = match schema["required"].as_array() {
        Some(names) => names.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let maybe = if required.contains(&&**name) {
            ""
        } else {
            ", may be missing"
        };
        let about = member["description"].as_str().unwrap_or_default();
        write!(
            rows,
            "<tr><td><code>{}</code></td><td>{}{maybe}</td><td>{}</td></tr>",
            Escaped(name),
            type_of(member),
            Prose(about)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_told_in_words() {
        let told = |schema| type_of(&schema);
        assert_eq!(told(json!({"type": ["string", "null"]})), "text or null");
        assert_eq!(
            told(json!({"type": "array", "items": {"$ref": "#/components/schemas/Event"}})),
            "list of <a href=\"#schema-Event\">Event</a>"
        );
        assert_eq!(told(json!({})), "anything");
    }
}
