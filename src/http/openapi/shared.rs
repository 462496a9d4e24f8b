//! The parts of the page that routes have in common: parameters, refusals, headers and schemas.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::html::{Escaped, Prose};
use super::members;
use super::read::{members_of, text};

/// What routes have in common: parameters, refusals, headers and schemas.
pub(super) fn section(page: &mut String, document: &Value) -> fmt::Result {
    let components = &document["components"];
    page.push_str(
        "<h2 id=\"parameters\">Shared parameters</h2><table><thead><tr><th>parameter</th><th>type</th>\
         <th>meaning</th></tr></thead><tbody>",
    );
    for (name, parameter) in members_of(&components["parameters"]) {
        row(page, parameter, Some(&format!("parameter-{name}")))?;
    }
    page.push_str("</tbody></table>\n<h2 id=\"answers\">Refusals</h2>");
    for (name, answer) in members_of(&components["responses"]) {
        write!(
            page,
            "<section id=\"answer-{0}\"><h3>{0}</h3><p>{1}</p>",
            Escaped(name),
            Prose(text(answer, "description"))
        )?;
        for (content_type, form) in members_of(&answer["content"]) {
            let schema = members::type_of(&form["schema"]);
            write!(
                page,
                "<p>{schema} (<code>{}</code>)</p>",
                Escaped(content_type)
            )?;
        }
        page.push_str("</section>");
    }
    page.push_str("\n<h2 id=\"headers\">Headers</h2><table><thead><tr><th>header</th><th>meaning</th><th>example</th></tr></thead><tbody>");
    for (name, header) in members_of(&components["headers"]) {
        let example = match &header["example"] {
            Value::String(example) => example.clone(),
            other => other.to_string(),
        };
        write!(
            page,
            "<tr id=\"header-{0}\"><td><code>{0}</code></td><td>{1}</td><td><code>{2}</code></td></tr>",
            Escaped(name),
            Prose(text(header, "description")),
            Escaped(&example)
        )?;
    }
    page.push_str("</tbody></table>\n<h2 id=\"schemas\">Schemas</h2>\n");
    for (name, schema) in members_of(&components["schemas"]) {
        members::section(page, name, schema)?;
    }
    Ok(())
}

/// A row of a table of parameters. Links lead to it, if it has an id.
pub(super) fn row(page: &mut String, parameter: &Value, id: Option<&str>) -> fmt::Result {
    let id = id.map_or(String::new(), |id| format!(" id=\"{}\"", Escaped(id)));
    let place = match text(parameter, "in") {
        "query" => "",
        "path" => ", in the path",
        _ => ", header",
    };
    let required = if parameter["required"] == true {
        ", required"
    } else {
        ""
    };
    let default = match &parameter["schema"]["default"] {
        Value::Null => String::new(),
        Value::String(word) => format!(" Default <code>{}</code>.", Escaped(word)),
        other => format!(" Default <code>{other}</code>."),
    };
    write!(
        page,
        "<tr{id}><td><code>{0}</code></td><td>{1}{place}{required}</td><td>{2}{3}</td></tr>",
        Escaped(text(parameter, "name")),
        members::type_of(&parameter["schema"]),
        Prose(text(parameter, "description")),
        default,
    )
}
