//! The document as a test reads it: operations, schemas, and whether an answer is as they say.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture_log::Desk;

/// The type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The document of a service.
pub(super) struct Document {
    pub(super) value: Value,
}

/// A route of it.
pub(super) struct Operation {
    pub(super) path: String,
    pub(super) method: String,
    pub(super) id: String,
    value: Value,
}

impl Document {
    pub(super) async fn read(desk: &Desk) -> Self {
        let (status, text) = desk.ask("/openapi.json").await;
        assert_eq!(status, StatusCode::OK);
        Self {
            value: serde_json::from_str(&text).unwrap(),
        }
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = Operation> {
        let paths = self.value["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(|(method, value)| Operation {
                    path: path.clone(),
                    method: method.clone(),
                    id: value["operationId"].as_str().unwrap().to_owned(),
                    value: value.clone(),
                })
        })
    }

    /// All references in it.
    pub(super) fn references(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        collect_references(&self.value, &mut found);
        found
    }

    /// What a reference leads to, or the value itself.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self
                .value
                .pointer(reference.trim_start_matches('#'))
                .unwrap(),
            None => value,
        }
    }

    /// What is wrong with an answer, by the document.
    pub(super) fn faults(
        &self,
        operation: &Operation,
        status: StatusCode,
        content_type: &str,
        body: &str,
    ) -> Vec<String> {
        let answer = &operation.value["responses"][status.as_str()];
        if answer.is_null() {
            return vec![format!("the status {status} is not documented")];
        }
        let content = &self.resolve(answer)["content"];
        if content.is_null() && body.is_empty() {
            return Vec::new();
        }
        let schema = &content[content_type]["schema"];
        if schema.is_null() {
            return vec![format!(
                "the type {content_type} is not documented for {status}"
            )];
        }
        if !content_type.contains("json") || content_type.contains("ndjson") {
            return Vec::new();
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let mut faults = self.violations(schema, &body);
        self.unauthenticated(schema, &body, "", &mut faults);
        faults
    }

    /// Where a value is not as a schema says.
    fn violations(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut whole = schema.clone();
        whole["components"] = self.value["components"].clone();
        let mut options = jsonschema::options();
        options = options.should_validate_formats(true);
        let validator = options.build(&whole).unwrap();
        let errors = validator.iter_errors(value);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }

    /// Members of a value that its schema does not have.
    fn unauthenticated(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let parts = self.parts(schema);
        match value {
            Value::Array(values) => {
                for value in values {
                    for part in parts.iter().filter(|part| part["items"].is_object()) {
                        self.unauthenticated(&part["items"], value, &format!("{place}/*"), found);
                    }
                }
            }
            Value::Object(members) => {
                let is_open = !parts.iter().any(|part| part["properties"].is_object());
                for (name, member) in members {
                    let place = format!("{place}/{name}");
                    let known = parts.iter().find_map(|part| part["properties"].get(name));
                    let other = || {
                        parts
                            .iter()
                            .find_map(|part| part.get("additionalProperties"))
                    };
                    match known.or_else(other) {
                        Some(schema) => self.unauthenticated(schema, member, &place, found),
                        None if is_open => {}
                        None => found.push(format!("{place} is not documented")),
                    }
                }
            }
            _ => {}
        }
    }

    /// The schemas that hold together or as alternatives for one value.
    fn parts<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let inner = ["allOf", "oneOf", "anyOf"]
            .into_iter()
            .filter_map(|name| schema[name].as_array());
        let inner = inner.flatten().flat_map(|part| self.parts(part));
        std::iter::once(schema).chain(inner).collect()
    }
}

impl Operation {
    pub(super) fn verb(&self) -> Method {
        Method::from_bytes(self.method.to_uppercase().as_bytes()).unwrap()
    }

    /// The question that is the same with GET, if its parameters are sent as a form.
    pub(super) fn question(&self) -> Option<&str> {
        self.id.strip_suffix("_by_form")
    }

    pub(super) fn is_form(&self) -> bool {
        self.question().is_some()
    }

    /// The fields of its form.
    fn form_fields(&self) -> impl Iterator<Item = String> {
        let schema = &self.value["requestBody"]["content"][FORM]["schema"];
        let fields = schema["properties"].as_object().into_iter().flatten();
        fields.map(|(name, _)| name.clone())
    }

    /// Its path with the examples of its parameters. Those of a form are there too, after the `?`.
    pub(super) fn example_path(&self) -> String {
        let parameters = self.value["parameters"].as_array().into_iter().flatten();
        let mut path = self.path.clone();
        let mut query = Vec::new();
        let form = &self.value["requestBody"]["content"][FORM]["example"];
        for (name, value) in form.as_object().into_iter().flatten() {
            let value = value.get(0).unwrap_or(value).as_str().unwrap();
            query.push(format!("{name}={value}"));
        }
        for parameter in parameters {
            let example = match &parameter["example"] {
                Value::Array(values) => values[0].clone(),
                other => other.clone(),
            };
            let text = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            let name = parameter["name"].as_str().unwrap_or_default();
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &text),
                Some("query") if parameter["required"] == json!(true) => {
                    query.push(format!("{name}={text}"));
                }
                _ => {}
            }
        }
        let sign = if query.is_empty() { "" } else { "?" };
        assert!(
            !path.contains('{'),
            "{path} has a parameter without an example"
        );
        format!("{path}{sign}{}", query.join("&"))
    }

    /// Whether it refuses parameters that it does not know.
    pub(super) fn is_strict(&self) -> bool {
        self.path.starts_with("/v1/") && self.path != "/v1/session"
    }

    /// The names of its parameters after the `?`, or in its form.
    pub(super) fn query_parameters(&self, document: &Document) -> BTreeSet<String> {
        let parameters = self.value["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| document.resolve(parameter));
        let parameters = parameters.filter(|parameter| parameter["in"] == "query");
        let names = parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned());
        names.chain(self.form_fields()).collect()
    }

    /// The scope that a principal needs; `None` where no credential is needed.
    pub(super) fn scope(&self) -> Option<&str> {
        self.value["security"][0]["token"][0].as_str()
    }

    /// The headers of its answer with that status.
    pub(super) fn headers(&self, status: StatusCode) -> Vec<String> {
        let headers = self.value["responses"][status.as_str()]["headers"].as_object();
        headers
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Its examples, as lines for the shell.
    pub(super) fn samples(&self) -> impl Iterator<Item = &str> {
        let samples = self.value["x-codeSamples"].as_array().into_iter().flatten();
        samples.map(|sample| sample["source"].as_str().unwrap())
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_references(value, found)),
        Value::Object(members) => {
            found.extend(
                members
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(ToOwned::to_owned),
            );
            members
                .values()
                .for_each(|value| collect_references(value, found));
        }
        _ => {}
    }
}
