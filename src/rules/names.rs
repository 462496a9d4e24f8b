//! Names that rules written for other sources use, and the fields of an audit log entry that they mean.

use crate::field;

/// Each of our fields, with the names that Sigma rules, Logpush, Cloudflare's filters and the Elastic Common Schema have for it. Names
/// are compared without case. The guide prints this table.
pub const NAMES: &[(&str, &[&str])] = &[
    (
        "actor.ip_address",
        &[
            "src_ip",
            "source_ip",
            "SourceIp",
            "sourceIPAddress",
            "client_ip",
            "c-ip",
            "source.ip",
            "ActorIPAddress",
            "actor_ip_address",
        ],
    ),
    (
        "actor.email",
        &[
            "user",
            "username",
            "user_name",
            "user.email",
            "user.name",
            "ActorEmail",
            "actor_email",
        ],
    ),
    ("actor.id", &["user_id", "user.id", "ActorID", "actor_id"]),
    ("actor.type", &["user_type", "ActorType", "actor_type"]),
    ("actor.context", &["ActorContext", "actor_context"]),
    ("actor.token_id", &["token_id", "actor_token_id"]),
    ("actor.token_name", &["token_name", "actor_token_name"]),
    (
        "action.description",
        &[
            "eventName",
            "event_name",
            "event.action",
            "operationName",
            "ActionDescription",
        ],
    ),
    (
        "action.type",
        &[
            "eventType",
            "event_type",
            "event.type",
            "ActionType",
            "action_type",
        ],
    ),
    (
        "action.result",
        &[
            "result",
            "outcome",
            "event.outcome",
            "ActionResult",
            "action_result",
        ],
    ),
    (
        "action.time",
        &["timestamp", "@timestamp", "eventTime", "ActionTimestamp"],
    ),
    (
        "raw.user_agent",
        &[
            "userAgent",
            "user_agent",
            "c-useragent",
            "cs-user-agent",
            "user_agent.original",
        ],
    ),
    (
        "raw.method",
        &[
            "cs-method",
            "http_method",
            "requestMethod",
            "http.request.method",
            "raw_method",
        ],
    ),
    (
        "raw.uri",
        &[
            "uri",
            "c-uri",
            "c-uri-stem",
            "cs-uri",
            "cs-uri-stem",
            "requestUri",
            "url.path",
            "raw_uri",
        ],
    ),
    (
        "raw.status_code",
        &[
            "sc-status",
            "status_code",
            "http.response.status_code",
            "raw_status_code",
        ],
    ),
    ("raw.cf_ray_id", &["ray_id", "raw_cf_ray_id"]),
    ("resource.id", &["resource_id", "ResourceID", "target.id"]),
    ("resource.product", &["resource_product", "ResourceProduct"]),
    ("resource.type", &["resource_type", "ResourceType"]),
    ("resource.scope", &["resource_scope", "ResourceScope"]),
    (
        "resource.request",
        &["requestParameters", "ResourceRequest"],
    ),
    (
        "resource.response",
        &["responseElements", "ResourceResponse"],
    ),
    ("resource.value", &["ResourceValue"]),
    (
        "account.id",
        &["account_id", "AccountID", "cloud.account.id"],
    ),
    (
        "account.name",
        &["account_name", "AccountName", "cloud.account.name"],
    ),
    ("zone.id", &["zone_id", "ZoneID"]),
    ("zone.name", &["zone_name", "ZoneName"]),
    ("organization.id", &["organization_id"]),
];

/// The field that a name in a rule means: one of our names, or the name itself. What follows another name for a field that has members
/// is kept: `ResourceRequest.name` is `resource.request.name`.
pub(super) fn our_name(name: &str) -> String {
    if let Some(field) = field::by_name(name) {
        return field.name.to_owned();
    }
    for (ours, theirs) in NAMES {
        for their in *theirs {
            let Some((start, rest)) = name.split_at_checked(their.len()) else {
                continue;
            };
            let is_whole = rest.is_empty() || rest.starts_with('.') && field::is_body(ours);
            if is_whole && start.eq_ignore_ascii_case(their) {
                return [*ours, rest].concat();
            }
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_mean_our_fields() {
        for (name, ours) in [
            ("src_ip", "actor.ip_address"),
            ("SRC_IP", "actor.ip_address"),
            ("userAgent", "raw.user_agent"),
            ("eventName", "action.description"),
            ("ResourceRequest.name", "resource.request.name"),
            ("actor.email", "actor.email"),
            ("Actor.Email", "actor.email"),
            ("username.x", "username.x"),
            ("Something", "Something"),
            ("ü", "ü"),
        ] {
            assert_eq!(our_name(name), ours, "{name}");
        }
    }

    #[test]
    fn a_name_means_one_field_and_our_own_names_mean_themselves() {
        let mut seen = std::collections::HashSet::new();
        for (ours, theirs) in NAMES {
            assert_eq!(our_name(ours), *ours);
            for their in *theirs {
                assert!(seen.insert(their.to_ascii_lowercase()), "{their}");
                let field = crate::field::by_name(their);
                assert!(field.is_none(), "{their} is a field of ours");
            }
        }
    }
}
