//! One route, as it is described beside its handler.

use std::borrow::Cow;

use orgtrail_cloudflare::envelope::Envelope;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::form::BY_FORM;
use super::parameter::{self, Parameter};
use super::sample::Sample;
use super::schemas::Schemas;
use crate::position::SourceKind;

/// Adds the schema of a body, and gives it or a reference to it.
pub(super) type MakeSchema = fn(&mut Schemas) -> Value;

/// The description of a route.
#[derive(Clone)]
pub(crate) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: Cow<'static, str>,
    pub(super) summary: &'static str,
    pub(super) about: Cow<'static, str>,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<MakeSchema>,
    /// Whether its parameters are sent as a form.
    pub(super) is_form: bool,
    pub(super) answer: Reply,
    pub(super) refusals: Vec<u16>,
    /// Whether a client may keep the answer.
    pub(super) is_kept: bool,
    pub(super) is_of_cloudflare: bool,
    /// Whether its requests count against no limit.
    pub(super) is_uncounted: bool,
    pub(super) examples: Vec<Sample>,
}

/// The answer to a request that is right.
#[derive(Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) about: &'static str,
    /// By their types.
    pub(super) contents: Vec<(&'static str, MakeSchema)>,
    pub(super) headers: Vec<&'static str>,
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
            is_uncounted: false,
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
        let body: Option<MakeSchema> = Some(|schemas| schemas.of_body::<T>());
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
        self.answers_object_as("application/json", about)
    }

    /// The same, under that type.
    pub(crate) fn answers_object_as(self, content_type: &'static str, about: &'static str) -> Self {
        self.answers_with(content_type, about, |_| json!({"type": "object"}))
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

    /// With requests that count against no limit.
    pub(crate) fn uncounted(self) -> Self {
        Self {
            is_uncounted: true,
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
