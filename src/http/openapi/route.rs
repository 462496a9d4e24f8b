//! One route, as it is described beside its handler.

use std::borrow::Cow;

use orgtrail_cloudflare::envelope::Envelope;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::form::{self, BY_FORM};
use super::parameter::{self, Parameter};
use super::refusals::{RATE, header_references, refusal};
use super::sample::Sample;
use super::schemas::Schemas;
use crate::access::Permission;
use crate::position::SourceKind;

/// What every route may answer that needs a principal.
const REFUSED: [u16; 8] = [400, 401, 403, 408, 413, 429, 500, 503];

/// What every route may answer that needs none.
const REFUSED_WITHOUT: [u16; 2] = [403, 500];

/// Adds the schema of a body, and gives it or a reference to it.
type MakeSchema = fn(&mut Schemas) -> Value;

/// The description of a route.
#[derive(Clone)]
pub(crate) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: Cow<'static, str>,
    summary: &'static str,
    about: Cow<'static, str>,
    parameters: Vec<Value>,
    body: Option<MakeSchema>,
    /// Whether its parameters are sent as a form.
    is_form: bool,
    answer: Reply,
    refusals: Vec<u16>,
    /// Whether a client may keep the answer.
    is_kept: bool,
    is_of_cloudflare: bool,
    examples: Vec<Sample>,
}

/// The answer to a request that is right.
#[derive(Clone)]
struct Reply {
    status: u16,
    about: &'static str,
    /// By their types.
    contents: Vec<(&'static str, MakeSchema)>,
    headers: Vec<&'static str>,
}

impl Route {
    /// A route that is read. `id` names it for generated clients, and in links.
    pub(crate) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("get", path, id, summary)
    }

    /// A route of another method, in lower case.
    pub(crate) fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id: id.into(),
            summary,
            about: "".into(),
            parameters: Vec::new(),
            body: None,
            is_form: false,
            answer: Reply {
                status: 200,
                about: "",
                contents: Vec::new(),
                headers: Vec::new(),
            },
            refusals: Vec::new(),
            is_kept: false,
            is_of_cloudflare: false,
            examples: Vec::new(),
        }
    }

    /// With more about it than its summary.
    pub(crate) fn about(self, about: &'static str) -> Self {
        let about = about.into();
        Self { about, ..self }
    }

    /// The same question with its parameters as a form.
    fn as_form(&self) -> Self {
        let route = Self {
            method: "post",
            id: format!("{}{BY_FORM}", self.id).into(),
            about: format!(
                "The same as `{}`, with the parameters in the body.",
                self.id
            )
            .into(),
            is_form: true,
            is_kept: false,
            ..self.clone()
        };
        route.refuses(&[415])
    }

    /// With parameters that other routes have too, by their names.
    pub(crate) fn takes(mut self, names: &[&str]) -> Self {
        self.parameters
            .extend(names.iter().map(|name| parameter::reference(name)));
        self
    }

    /// With the filters: `ours`, and all of upstream's.
    pub(crate) fn filtered(self, ours: &[&str]) -> Self {
        let upstream: Vec<_> = parameter::upstream_names(|_| true).collect();
        let upstream: Vec<&str> = upstream.iter().map(|name| &**name).collect();
        self.takes(ours).takes(&upstream)
    }

    /// With the filters that upstream has for that kind of log.
    pub(crate) fn filtered_in(self, kind: SourceKind) -> Self {
        let names: Vec<_> = parameter::upstream_names(|filter| filter.is_in(kind)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        self.takes(&names)
    }

    /// With a parameter of its own.
    pub(crate) fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter.into_value());
        self
    }

    /// With a body in JSON.
    pub(crate) fn body<T: ToSchema>(self) -> Self {
        let body: Option<MakeSchema> = Some(|schemas| schemas.of::<T>());
        Self { body, ..self }
    }

    /// With its answer in JSON.
    pub(crate) fn answers<T: ToSchema>(self, about: &'static str) -> Self {
        self.answers_with("application/json", about, |schemas| schemas.of::<T>())
    }

    /// With its answer in Cloudflare's envelope, whose result is of that type.
    pub(crate) fn answers_one<T: ToSchema>(self, about: &'static str) -> Self {
        self.answers_with("application/json", about, |schemas| {
            let result = schemas.of::<T>();
            enveloped(schemas, result)
        })
    }

    /// The same, with a list of that type.
    pub(crate) fn answers_list<T: ToSchema>(self, about: &'static str) -> Self {
        self.answers_with("application/json", about, |schemas| {
            let items = schemas.of::<T>();
            enveloped(schemas, json!({"type": "array", "items": items}))
        })
    }

    /// With its answer as a text of that type.
    pub(crate) fn answers_text(self, content_type: &'static str, about: &'static str) -> Self {
        self.answers_with(content_type, about, |_| json!({"type": "string"}))
    }

    /// With its answer as any JSON object.
    pub(crate) fn answers_object(self, about: &'static str) -> Self {
        self.answers_with("application/json", about, |_| json!({"type": "object"}))
    }

    fn answers_with(
        mut self,
        content_type: &'static str,
        about: &'static str,
        schema: MakeSchema,
    ) -> Self {
        self.answer.about = about;
        self.answer.contents.push((content_type, schema));
        self
    }

    /// With another status than 200.
    pub(crate) fn status(mut self, status: u16, about: &'static str) -> Self {
        self.answer.status = status;
        self.answer.about = about;
        self
    }

    /// With a header of its answer.
    pub(crate) fn header(mut self, name: &'static str) -> Self {
        self.answer.headers.push(name);
        self
    }

    /// With refusals of its own.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// With an answer that a client may keep, and that is not sent again to a client that has it.
    pub(crate) fn not_modified(self) -> Self {
        Self {
            is_kept: true,
            ..self
        }
    }

    /// With errors in Cloudflare's envelope.
    pub(crate) fn of_cloudflare(self) -> Self {
        Self {
            is_of_cloudflare: true,
            ..self
        }
    }

    /// With a request that a test sends.
    pub(crate) fn example(
        mut self,
        title: &'static str,
        path: &'static str,
        parameters: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.examples.push(Sample {
            title,
            path,
            parameters,
            body: None,
        });
        self
    }

    /// The same, with a body in JSON. It may name `$TOKEN`.
    pub(crate) fn example_with(
        mut self,
        title: &'static str,
        path: &'static str,
        body: &'static str,
    ) -> Self {
        self.examples.push(Sample {
            title,
            path,
            parameters: &[],
            body: Some(body),
        });
        self
    }

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
        if needs.is_some() {
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

/// Questions, which can be asked with both methods.
pub(crate) fn by_get_or_post(routes: Vec<Route>) -> Vec<Route> {
    let both = routes.into_iter().map(|route| {
        let form = route.as_form();
        [route, form]
    });
    both.flatten().collect()
}

/// Cloudflare's envelope around a result.
fn enveloped(schemas: &mut Schemas, result: Value) -> Value {
    let envelope = schemas.of::<Envelope<Value>>();
    let members =
        json!({"type": "object", "required": ["result"], "properties": {"result": result}});
    json!({"allOf": [envelope, members]})
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
