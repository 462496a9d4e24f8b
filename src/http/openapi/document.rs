//! The document: all routes in their groups, and what they have in common.

use serde_json::{Map, Value, json};

use super::group::RouteGroup;
use super::route::Route;
use super::schemas::Schemas;
use super::{parameter, refusals};

/// The answers of the examples, as a test recorded them: by operation and number.
const ANSWERS: &str = include_str!("answers.json");

const ABOUT: &str = "The log of a Cloudflare organization's audit events: who did what, to which resource, when. \
Times are RFC 3339 in UTC. A member that has no value is `null`. Members may be added to answers. \
A parameter that a route of `/v1` does not know is an error; under `/client/v4` it is ignored, as Cloudflare does.";

/// The OpenAPI document of all groups.
pub(super) fn document(groups: Vec<(RouteGroup, Vec<Route>)>) -> Value {
    let answers: Value = serde_json::from_str(ANSWERS).unwrap_or_default();
    let mut schemas = Schemas::default();
    refusals::add_schemas(&mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    let mut tags = Vec::new();
    for (group, routes) in groups {
        tags.push(json!({"name": group.name, "description": group.about}));
        for route in routes {
            let (path, method) = (route.path, route.method);
            let operation = route.describe(group.name, group.needs, &answers, &mut schemas);
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[method] = operation;
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "orgtrail",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/", "description": "This service"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "parameters": parameter::shared(),
            "responses": refusals::responses(),
            "headers": refusals::headers(),
            "securitySchemes": security_schemes(),
        },
    })
}

/// The ways in which a request says who sends it. The roles in `security` are the scopes of the principal.
fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http", "scheme": "bearer", "bearerFormat": "otr_…",
            "description": "A token of `orgtrail token create`.",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": "orgtrail_session",
            "description": "The cookie of `POST /v1/session`. Over HTTPS its name is `__Host-orgtrail_session`.",
        },
        "access": {
            "type": "apiKey", "in": "header", "name": "Cf-Access-Jwt-Assertion",
            "description": "The assertion of Cloudflare Access, where it is configured.",
        },
    })
}
