//! A route as an operation of the document.

use serde_json::{Map, Value, json};

use super::form;
use super::refusals::{RATE, header_references, refusal};
use super::route::Route;
use super::schemas::Schemas;
use crate::access::Permission;

/// What every route may answer that needs a principal.
const REFUSED: [u16; 8] = [400, 401, 403, 408, 413, 429, 500, 503];

/// What every route may answer that needs none.
const REFUSED_WITHOUT: [u16; 2] = [403, 500];

impl Route {
    /// The operation in the document. `answers` has the recorded answers.
    pub(super) fn describe(
        self,
        tag: &str,
        needs: Option<Permission>,
        answers: &Value,
        schemas: &mut Schemas,
    ) -> Value {
        let mut operation = Map::new();
        let mut set = |name: &str, value: Value| operation.insert(name.to_owned(), value);
        let samples = self.examples.iter().map(|example| {
            let source = example.curl(self.method, needs.is_some());
            json!({"lang": "Shell", "label": example.title, "source": source})
        });
        let samples: Value = samples.collect();
        set("tags", json!([tag]));
        set("operationId", self.id.as_ref().into());
        set("summary", self.summary.into());
        if !self.about.is_empty() {
            set("description", self.about.as_ref().into());
        }
        set("security", security(needs));
        set(
            "responses",
            self.responses(needs, &answers[&*self.id], schemas),
        );
        if let Some(schema) = self.body {
            let content = json!({"application/json": {"schema": schema(schemas)}});
            set("requestBody", json!({"required": true, "content": content}));
        }
        let (in_the_form, parameters) = match self.is_form {
            true => form::split(self.parameters),
            false => (Vec::new(), self.parameters),
        };
        if !in_the_form.is_empty() {
            set("requestBody", form::body(&in_the_form));
        }
        if !parameters.is_empty() {
            set("parameters", parameters.into());
        }
        set("x-codeSamples", samples);
        operation.into()
    }

    /// The answers by status.
    fn responses(
        &self,
        needs: Option<Permission>,
        recorded: &Value,
        schemas: &mut Schemas,
    ) -> Value {
        let mut responses = Map::new();
        let always: &[u16] = if needs.is_some() {
            &REFUSED
        } else {
            &REFUSED_WITHOUT
        };
        for status in always.iter().chain(&self.refusals) {
            responses.insert(status.to_string(), refusal(*status, self.is_of_cloudflare));
        }
        let mut headers = self.answer.headers.clone();
        if needs.is_some() && !self.is_uncounted {
            headers.extend(RATE);
        }
        let mut answer = json!({"description": self.answer.about});
        if !headers.is_empty() {
            answer["headers"] = header_references(&headers);
        }
        let mut content = Map::new();
        for (number, (content_type, schema)) in self.answer.contents.iter().enumerate() {
            let mut form = json!({"schema": schema(schemas)});
            let examples = self.recorded(recorded);
            // The examples are of the first type.
            if number == 0 && !examples.is_empty() {
                form["examples"] = examples.into();
            }
            content.insert((*content_type).to_owned(), form);
        }
        if !content.is_empty() {
            answer["content"] = content.into();
        }
        responses.insert(self.answer.status.to_string(), answer);
        if self.is_kept {
            let about = "The client has the answer: `If-None-Match` names its `ETag`.";
            let answer = json!({"description": about, "headers": header_references(&["ETag"])});
            responses.insert("304".to_owned(), answer);
        }
        responses.into()
    }

    /// The recorded answers to its examples.
    fn recorded(&self, recorded: &Value) -> Map<String, Value> {
        let examples = self.examples.iter().enumerate();
        let found = examples.filter_map(|(number, example)| {
            let value = recorded.get(number)?;
            let answer = json!({"summary": example.title, "value": value});
            Some((format!("example{}", number + 1), answer))
        });
        found.collect()
    }
}

/// Who may send a request: one of the credentials, with that scope.
fn security(needs: Option<Permission>) -> Value {
    let Some(permission) = needs else {
        return json!([]);
    };
    let schemes = ["token", "session", "access"];
    schemes
        .map(|scheme| json!({scheme: [permission.as_str()]}))
        .into_iter()
        .collect()
}
