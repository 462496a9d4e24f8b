//! The schemas of answers, made from the types that are serialized.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;

/// The schemas that a document has, by their names.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Adds the schema of a type that is answered, and those that it refers to; gives a reference to it.
    pub(super) fn of<T: ToSchema>(&mut self) -> Value {
        let mut schema = serde_json::to_value(T::schema()).unwrap_or_default();
        require_nullable(&mut schema);
        self.add::<T>(schema)
    }

    /// As [`Schemas::of`], of the body of a request: a member that may be `null` may be missing, too.
    pub(super) fn of_body<T: ToSchema>(&mut self) -> Value {
        let schema = serde_json::to_value(T::schema()).unwrap_or_default();
        self.add::<T>(schema)
    }

    fn add<T: ToSchema>(&mut self, schema: Value) -> Value {
        let mut found = Vec::new();
        T::schemas(&mut found);
        let others = found.into_iter().map(|(name, schema)| {
            let mut schema = serde_json::to_value(schema).unwrap_or_default();
            require_nullable(&mut schema);
            (name, schema)
        });
        for (name, schema) in others.chain([(T::name().into_owned(), schema)]) {
            let known = self.0.entry(name.clone());
            let known = known.or_insert_with(|| schema.clone());
            debug_assert_eq!(*known, schema, "two schemas have the name {name}");
        }
        reference(&T::name())
    }

    pub(super) fn into_value(self) -> Value {
        self.0.into_iter().collect::<serde_json::Map<_, _>>().into()
    }
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Says that members which may be `null` are always there: answers have `null` rather than a missing member. A member that
/// may be missing is never `null`.
fn require_nullable(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(require_nullable),
        Value::Object(parts) => {
            parts.values_mut().for_each(require_nullable);
            let Some(Value::Object(members)) = parts.get("properties") else {
                return;
            };
            let nullable = members.iter().filter(|(_, member)| is_nullable(member));
            let nullable: Vec<Value> = nullable.map(|(name, _)| name.as_str().into()).collect();
            let required = parts.entry("required").or_insert_with(|| json!([]));
            if let Value::Array(required) = required {
                required.extend(nullable);
                required.sort_by_key(ToString::to_string);
                required.dedup();
            }
            if parts["required"] == json!([]) {
                parts.remove("required");
            }
        }
        _ => {}
    }
}

fn is_nullable(schema: &Value) -> bool {
    let types = schema["type"].as_array().into_iter().flatten();
    let mut choices = schema["oneOf"].as_array().into_iter().flatten();
    types.into_iter().any(|one| one == "null") || choices.any(|choice| choice["type"] == "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "only described")]
    struct Example {
        always: u32,
        or_null: Option<String>,
        #[schema(value_type = String, required = false)]
        or_missing: Option<String>,
    }

    #[test]
    fn a_member_that_may_be_null_is_always_there() {
        let mut schemas = Schemas::default();
        let reference = schemas.of::<Example>();
        assert_eq!(reference["$ref"], "#/components/schemas/Example");
        let schemas = schemas.into_value();
        assert_eq!(schemas["Example"]["required"], json!(["always", "or_null"]));
    }
}
