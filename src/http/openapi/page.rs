//! The page of the API document: plain HTML with its own style sheet, and no script.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::form::{BY_FORM, FORM};
use super::html::{Escaped, Prose};
use super::members;
use super::read::{list, members_of, text};
use super::shared;
use crate::event::sha256;

const STYLE: &str = include_str!("docs.css");

/// What the page may load: nothing but the style sheet in it, known by its hash.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The methods of an operation, in the order in which they are shown.
const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];

/// A route of the document.
struct Described<'a> {
    method: &'static str,
    path: &'a str,
    value: &'a Value,
}

/// The page of a document.
///
/// # Errors
/// When it cannot be written, which does not happen.
pub(crate) fn render(document: &Value) -> Result<String, fmt::Error> {
    let mut page = String::with_capacity(400_000);
    let info = &document["info"];
    let title = text(info, "title");
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{0} API</title><style>{STYLE}</style></head>\n\
         <body><header><h1>{0} API <small>{1}</small></h1><p>{2}</p>",
        Escaped(title),
        Escaped(text(info, "version")),
        Prose(text(info, "description"))
    )?;
    introduction(&mut page, document)?;
    page.push_str("</header>\n");
    contents(&mut page, document)?;
    page.push_str("<main>\n");
    for tag in list(document, "tags") {
        let name = text(tag, "name");
        writeln!(
            page,
            "<h2 id=\"{}\">{}</h2><p>{}</p>",
            anchor(name),
            Escaped(name),
            Prose(text(tag, "description"))
        )?;
        for operation in operations(document, name) {
            section(&mut page, document, &operation)?;
        }
    }
    shared::section(&mut page, document)?;
    page.push_str("</main></body></html>\n");
    Ok(page)
}

/// How to send a request, and who may.
fn introduction(page: &mut String, document: &Value) -> fmt::Result {
    page.push_str(
        "<p>The same as data: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>\
         <p>The examples are for a shell in which <code>ORGTRAIL</code> is the address of the service, such as \
         <code>http://127.0.0.1:7070</code>, and <code>TOKEN</code> is a token.</p>\
         <table><thead><tr><th>credential</th><th>meaning</th></tr></thead><tbody>",
    );
    for (name, scheme) in members_of(&document["components"]["securitySchemes"]) {
        write!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            Escaped(name),
            Prose(text(scheme, "description"))
        )?;
    }
    page.push_str("</tbody></table>");
    Ok(())
}

/// Links to all routes.
fn contents(page: &mut String, document: &Value) -> fmt::Result {
    page.push_str("<nav aria-label=\"Routes\"><ul>\n");
    for tag in list(document, "tags") {
        let name = text(tag, "name");
        write!(
            page,
            "<li><a href=\"#{}\">{}</a><ul>",
            anchor(name),
            Escaped(name)
        )?;
        for operation in operations(document, name) {
            write!(
                page,
                "<li><a href=\"#{}\"><code>{} {}</code></a></li>",
                operation.id(),
                operation.method.to_uppercase(),
                Escaped(operation.path)
            )?;
        }
        page.push_str("</ul></li>\n");
    }
    page.push_str(
        "<li><a href=\"#parameters\">Shared parameters</a></li><li><a href=\"#answers\">Refusals</a></li>\
         <li><a href=\"#headers\">Headers</a></li><li><a href=\"#schemas\">Schemas</a></li></ul></nav>\n",
    );
    Ok(())
}

fn section(page: &mut String, document: &Value, operation: &Described<'_>) -> fmt::Result {
    let value = operation.value;
    write!(
        page,
        "<section id=\"{0}\"><h3><a href=\"#{0}\"><code>{1} {2}</code></a></h3><p>{3}.",
        operation.id(),
        operation.method.to_uppercase(),
        Escaped(operation.path),
        Prose(text(value, "summary"))
    )?;
    if let Some(about) = value["description"].as_str() {
        write!(page, " {}", Prose(about))?;
    }
    match value["security"][0]["token"][0].as_str() {
        Some(scope) => write!(page, "</p><p>Scope: <code>{}</code></p>", Escaped(scope))?,
        None => page.push_str("</p><p>No credential is needed.</p>"),
    }
    parameters(page, value)?;
    if let Some(question) = operation.question(document) {
        // Its parameters and answers are there.
        write!(
            page,
            "<p>Body, a form (<code>{FORM}</code>): see <a href=\"#{0}\">{0}</a></p>",
            Escaped(question)
        )?;
    } else {
        let schema = &value["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_object() {
            write!(page, "<p>Body, JSON: {}</p>", members::type_of(schema))?;
        }
        answers(page, document, &value["responses"])?;
    }
    examples(page, value)?;
    page.push_str("</section>\n");
    Ok(())
}

/// Its own parameters as a table, and links to those that routes have in common.
fn parameters(page: &mut String, operation: &Value) -> fmt::Result {
    let all = list(operation, "parameters");
    let (shared, own): (Vec<_>, Vec<_>) = all.iter().partition(|one| one["$ref"].is_string());
    if !own.is_empty() {
        page.push_str(
            "<table><thead><tr><th>parameter</th><th>type</th><th>meaning</th></tr></thead><tbody>",
        );
        for parameter in own {
            shared::row(page, parameter, None)?;
        }
        page.push_str("</tbody></table>");
    }
    if !shared.is_empty() {
        page.push_str("<p>Shared parameters: ");
        for (number, parameter) in shared.iter().enumerate() {
            let name = text(parameter, "$ref")
                .rsplit('/')
                .next()
                .unwrap_or_default();
            let comma = if number > 0 { ", " } else { "" };
            write!(
                page,
                "{comma}<a href=\"#parameter-{0}\"><code>{0}</code></a>",
                Escaped(name)
            )?;
        }
        page.push_str("</p>");
    }
    Ok(())
}

/// What is answered, by status.
fn answers(page: &mut String, document: &Value, responses: &Value) -> fmt::Result {
    page.push_str(
        "<table><thead><tr><th>status</th><th>answer</th><th>type</th></tr></thead><tbody>",
    );
    for (status, answer) in members_of(responses) {
        let status = Escaped(status);
        if let Some(name) = answer["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next())
        {
            let refusal = &document["components"]["responses"][name];
            let about = text(refusal, "description");
            let first = about.split_inclusive(['.', ':']).next().unwrap_or_default();
            write!(
                page,
                "<tr><td>{status}</td><td colspan=\"2\"><a href=\"#answer-{}\">{}</a></td></tr>",
                Escaped(name),
                Prose(first.trim_end_matches(['.', ':']))
            )?;
            continue;
        }
        let types = members_of(&answer["content"]).map(|(content_type, form)| {
            let schema = members::type_of(&form["schema"]);
            format!("{schema} (<code>{}</code>)", Escaped(content_type))
        });
        let types: Vec<String> = types.collect();
        let headers = members_of(&answer["headers"]).map(|(name, _)| {
            format!(
                "<a href=\"#header-{0}\"><code>{0}</code></a>",
                Escaped(name)
            )
        });
        let headers: Vec<String> = headers.collect();
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!(" Headers: {}", headers.join(", "))
        };
        write!(
            page,
            "<tr><td>{status}</td><td>{}{headers}</td><td>{}</td></tr>",
            Prose(text(answer, "description")),
            types.join("<br>")
        )?;
    }
    page.push_str("</tbody></table>");
    Ok(())
}

/// Its requests as lines for the shell, each with its answer.
fn examples(page: &mut String, operation: &Value) -> fmt::Result {
    let recorded = members_of(&operation["responses"])
        .flat_map(|(_, answer)| members_of(&answer["content"]))
        .flat_map(|(_, form)| members_of(&form["examples"]));
    let recorded: Vec<&Value> = recorded.map(|(_, example)| &example["value"]).collect();
    for (number, sample) in list(operation, "x-codeSamples").iter().enumerate() {
        write!(
            page,
            "<h4>{}</h4><pre>{}</pre>",
            Prose(text(sample, "label")),
            Escaped(text(sample, "source"))
        )?;
        match recorded.get(number) {
            None => {}
            Some(Value::String(answer)) => write!(page, "<pre>{}</pre>", Escaped(answer))?,
            Some(answer) => write!(page, "<pre>{}</pre>", Escaped(&format!("{answer:#}")))?,
        }
    }
    Ok(())
}

impl Described<'_> {
    /// Where the page has it.
    fn id(&self) -> Escaped<'_> {
        Escaped(text(self.value, "operationId"))
    }

    /// The id of the same question with GET, if this one is sent as a form.
    fn question<'a>(&self, document: &'a Value) -> Option<&'a str> {
        let id = text(self.value, "operationId").strip_suffix(BY_FORM)?;
        let question = &document["paths"][self.path]["get"]["operationId"];
        question.as_str().filter(|question| *question == id)
    }
}

/// The routes with that tag, by path.
fn operations<'a>(document: &'a Value, tag: &str) -> Vec<Described<'a>> {
    let all = members_of(&document["paths"]).flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            let value = item.get(method)?;
            Some(Described {
                method,
                path,
                value,
            })
        })
    });
    all.filter(|operation| operation.value["tags"][0] == tag)
        .collect()
}

/// The id of a heading.
fn anchor(name: &str) -> String {
    let words = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
