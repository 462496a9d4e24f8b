//! The body of a question that is sent with POST: a form whose fields are the parameters of the question.

use serde_json::{Map, Value, json};

use super::parameter;

/// The type of the body.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// How the id of a question that is sent as a form ends.
pub(super) const BY_FORM: &str = "_by_form";

/// Splits the parameters of a route: those that become fields of the form, as they are described, and the others.
pub(super) fn split(parameters: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    let shared = parameter::shared();
    let described = parameters.into_iter().map(|one| match name_of(&one) {
        Some(name) => shared[name].clone(),
        None => one,
    });
    described.partition(|one| one["in"] == "query")
}

/// The name of a parameter that routes have in common.
fn name_of(parameter: &Value) -> Option<&str> {
    parameter["$ref"].as_str()?.rsplit('/').next()
}

/// The body with these parameters. A repeated parameter is a repeated field.
pub(super) fn body(parameters: &[Value]) -> Value {
    let (mut properties, mut required, mut example) = (Map::new(), Vec::new(), Map::new());
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if parameter["required"] == true {
            required.push(name.clone());
            example.insert(name.clone(), parameter["example"].clone());
        }
        properties.insert(name, parameter["schema"].clone());
    }
    let is_required = !required.is_empty();
    let mut schema =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    let mut form = json!({});
    if is_required {
        schema["required"] = required.into();
        form["example"] = example.into();
    }
    form["schema"] = schema;
    json!({"required": is_required, "content": {FORM: form}})
}
