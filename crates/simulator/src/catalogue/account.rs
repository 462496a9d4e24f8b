//! What is changed in an account: its members and tokens, and who may reach what through Zero Trust.

use super::super::json_writer::{Body, body};
use super::product::{
    COME_AND_GO, CREATED, PATCHED, Product, REPLACED, ResourceIdentity, SET, Subject, USUAL,
};

pub(super) const PRODUCTS: &[Product] = &[
    Product {
        name: "members",
        kind: "member",
        scope: "accounts",
        noun: "account member",
        path: "/accounts/{account}/members",
        weight: 26,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: member,
    },
    Product {
        name: "user_tokens",
        kind: "token",
        scope: "user",
        noun: "API token",
        path: "/user/tokens",
        weight: 18,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: token,
    },
    Product {
        name: "account_tokens",
        kind: "token",
        scope: "accounts",
        noun: "account API token",
        path: "/accounts/{account}/tokens",
        weight: 10,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: token,
    },
    Product {
        name: "accounts",
        kind: "account",
        scope: "accounts",
        noun: "account settings",
        path: "/accounts",
        weight: 4,
        calls: PATCHED,
        identity: ResourceIdentity::Place,
        body: account,
    },
    Product {
        name: "zones",
        kind: "zone",
        scope: "accounts",
        noun: "zone",
        path: "/zones",
        weight: 8,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Hex,
        body: zone,
    },
    Product {
        name: "logpush",
        kind: "job",
        scope: "accounts",
        noun: "Logpush job",
        path: "/accounts/{account}/logpush/jobs",
        weight: 7,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: logpush_job,
    },
    Product {
        name: "alerting",
        kind: "policy",
        scope: "accounts",
        noun: "notification policy",
        path: "/accounts/{account}/alerting/v3/policies",
        weight: 9,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: alert_policy,
    },
    Product {
        name: "access",
        kind: "application",
        scope: "accounts",
        noun: "Access application",
        path: "/accounts/{account}/access/apps",
        weight: 34,
        calls: REPLACED,
        identity: ResourceIdentity::Uuid,
        body: access_application,
    },
    Product {
        name: "access",
        kind: "policy",
        scope: "accounts",
        noun: "Access policy",
        path: "/accounts/{account}/access/policies",
        weight: 26,
        calls: REPLACED,
        identity: ResourceIdentity::Uuid,
        body: access_policy,
    },
    Product {
        name: "access",
        kind: "service_token",
        scope: "accounts",
        noun: "Access service token",
        path: "/accounts/{account}/access/service_tokens",
        weight: 8,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Uuid,
        body: service_token,
    },
    Product {
        name: "gateway",
        kind: "rule",
        scope: "accounts",
        noun: "Gateway rule",
        path: "/accounts/{account}/gateway/rules",
        weight: 24,
        calls: REPLACED,
        identity: ResourceIdentity::Uuid,
        body: gateway_rule,
    },
    Product {
        name: "gateway",
        kind: "list",
        scope: "accounts",
        noun: "Gateway list",
        path: "/accounts/{account}/gateway/lists",
        weight: 12,
        calls: USUAL,
        identity: ResourceIdentity::Uuid,
        body: gateway_list,
    },
    Product {
        name: "tunnels",
        kind: "tunnel",
        scope: "accounts",
        noun: "tunnel",
        path: "/accounts/{account}/cfd_tunnel",
        weight: 20,
        calls: USUAL,
        identity: ResourceIdentity::Uuid,
        body: tunnel,
    },
    Product {
        name: "devices",
        kind: "policy",
        scope: "accounts",
        noun: "device policy",
        path: "/accounts/{account}/devices/policy",
        weight: 6,
        calls: SET,
        identity: ResourceIdentity::Uuid,
        body: device_policy,
    },
    Product {
        name: "audit",
        kind: "export",
        scope: "accounts",
        noun: "audit export",
        path: "/accounts/{account}/audit_exports",
        weight: 2,
        calls: CREATED,
        identity: ResourceIdentity::Uuid,
        body: audit_export,
    },
];

fn member(subject: &mut Subject<'_>, body: &mut Body) {
    let role = subject.other_id();
    body!(body, {
        "email": subject.person.email,
        "roles": [{
            "id": role,
            "name": subject.varying(&["Administrator", "Super Administrator - All Privileges", "DNS", "Analytics", "Billing"]),
        }],
        "status": subject.varying(&["accepted", "pending"]),
        "user": { "id": subject.person.id, "email": subject.person.email, "two_factor_authentication_enabled": subject.rng.bool() },
    });
}

fn token(subject: &mut Subject<'_>, body: &mut Body) {
    let group = subject.other_id();
    let resource = format!("com.cloudflare.api.account.{}", subject.account_id);
    let address = subject.address();
    body!(body, {
        "name": subject.name,
        "policies": [{
            "effect": "allow",
            "permission_groups": [{ "id": group, "name": subject.fixed(&["DNS Write", "Workers Scripts Write", "Account Settings Read", "Zone Read"]) }],
            "resources": { [resource]: "*" },
        }],
        "condition": { "request.ip": { "in": [format!("{address}/32")] } },
        "status": subject.varying(&["active", "active", "disabled"]),
    });
}

fn account(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "settings": {
            "enforce_twofactor": subject.rng.bool(),
            "abuse_contact_email": "abuse@example.com",
            "api_access_enabled": true,
        },
        "name": subject.name,
    });
}

fn zone(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": format!("{}.example", subject.name),
        "type": subject.fixed(&["full", "partial", "secondary"]),
        "account": { "id": subject.account_id },
        "jump_start": false,
        "status": "pending",
        "name_servers": ["ada.ns.example.net", "bob.ns.example.net"],
    });
}

fn logpush_job(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "dataset": subject.fixed(&["http_requests", "audit_logs_v2", "gateway_dns", "firewall_events"]),
        "destination_conf": format!("s3://{}-logs/{{DATE}}?region=eu-central-1", subject.name),
        "enabled": subject.rng.bool(),
        "frequency": "high",
        "output_options": { "field_names": ["ClientIP", "ClientRequestHost", "EdgeResponseStatus", "RayID"], "timestamp_format": "rfc3339" },
    });
}

fn alert_policy(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "description": subject.remark(),
        "alert_type": subject.fixed(&["dos_attack_l7", "health_check_status_notification", "universal_ssl_event_type"]),
        "enabled": subject.rng.bool(),
        "mechanisms": { "email": [{ "id": "ops@example.org" }] },
    });
}

fn access_application(subject: &mut Subject<'_>, body: &mut Body) {
    let provider = subject.other_id();
    body!(body, {
        "name": subject.name,
        "domain": subject.host(),
        "type": subject.fixed(&["self_hosted", "saas", "ssh", "bookmark"]),
        "session_duration": subject.varying(&["30m", "6h", "24h", "730h"]),
        "allowed_idps": [provider],
        "auto_redirect_to_identity": subject.rng.bool(),
        "app_launcher_visible": true,
        "http_only_cookie_attribute": true,
        "tags": [subject.fixed(&["engineers", "経理", "support"])],
    });
}

fn access_policy(subject: &mut Subject<'_>, body: &mut Body) {
    let group = subject.other_id();
    body!(body, {
        "name": subject.name,
        "decision": subject.varying(&["allow", "deny", "bypass", "non_identity"]),
        "include": [
            { "email_domain": { "domain": "example.com" } },
            { "email": { "email": subject.person.email } },
        ],
        "exclude": [{ "geo": { "country_code": "XX" } }],
        "require": [{ "group": { "id": group } }],
        "purpose_justification_required": subject.rng.bool(),
        "session_duration": "24h",
    });
}

fn service_token(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "duration": "8760h",
        "client_id": format!("{}.access.example.com", subject.name),
        "client_secret": "[redacted]",
    });
}

fn gateway_rule(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "description": subject.remark(),
        "action": subject.varying(&["block", "allow", "isolate", "safesearch"]),
        "enabled": subject.rng.u8(..8) > 0,
        "filters": [subject.fixed(&["dns", "http", "l4"])],
        "precedence": subject.rng.u16(..20_000),
        "traffic": format!("any(dns.content_category[*] in {{{} {}}})", subject.rng.u8(..), subject.rng.u8(..)),
        "rule_settings": { "block_page_enabled": true, "block_reason": "Nicht erlaubt / 許可されていません" },
    });
}

fn gateway_list(subject: &mut Subject<'_>, body: &mut Body) {
    #[derive(serde::Serialize)]
    struct Item {
        value: String,
        description: &'static str,
    }
    let items: Vec<Item> = (0..subject.rng.u8(2..9))
        .map(|number| Item {
            value: format!("bad-{number}.{}", subject.host()),
            description: subject.remark(),
        })
        .collect();
    body!(body, { "name": subject.name, "type": "DOMAIN", "items": items });
}

fn tunnel(subject: &mut Subject<'_>, body: &mut Body) {
    let origin = subject.address();
    body!(body, {
        "name": subject.name,
        "config_src": subject.fixed(&["cloudflare", "local"]),
        "status": subject.varying(&["inactive", "healthy", "degraded", "down"]),
        "connections": [{ "colo_name": subject.varying(&["fra08", "ams02", "nrt12"]), "origin_ip": origin, "client_version": "2026.7.1" }],
    });
}

fn device_policy(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "allow_mode_switch": subject.rng.bool(),
        "auto_connect": subject.rng.u16(..600),
        "captive_portal": 180,
        "exclude": [{ "address": "192.0.2.0/24", "description": subject.remark() }],
        "switch_locked": subject.rng.bool(),
    });
}

fn audit_export(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, { "name": subject.name, "requested_by": subject.person.name, "format": "csv" });
}
