//! What is changed in a zone: its records, settings, certificates, rules and balancers.

use super::super::chance::pick;
use super::super::json_writer::{Body, body};
use super::product::{
    COME_AND_GO, CREATED, PATCHED, Product, REPLACED, ResourceIdentity, SET, Subject, USUAL,
};

pub(super) const PRODUCTS: &[Product] = &[
    Product {
        name: "dns",
        kind: "record",
        scope: "zones",
        noun: "DNS record",
        path: "/zones/{zone}/dns_records",
        weight: 240,
        calls: USUAL,
        identity: ResourceIdentity::Hex,
        body: dns_record,
    },
    Product {
        name: "dnssec",
        kind: "dnssec",
        scope: "zones",
        noun: "DNSSEC",
        path: "/zones/{zone}/dnssec",
        weight: 4,
        calls: SET,
        identity: ResourceIdentity::OneOf(&["dnssec"]),
        body: dnssec,
    },
    Product {
        name: "zone_settings",
        kind: "setting",
        scope: "zones",
        noun: "setting",
        path: "/zones/{zone}/settings",
        weight: 70,
        calls: PATCHED,
        identity: ResourceIdentity::OneOf(&[
            "ssl",
            "min_tls_version",
            "always_use_https",
            "brotli",
            "security_level",
            "http3",
        ]),
        body: zone_setting,
    },
    Product {
        name: "cache",
        kind: "purge",
        scope: "zones",
        noun: "cache purge",
        path: "/zones/{zone}/purge_cache",
        weight: 60,
        calls: CREATED,
        identity: ResourceIdentity::Hex,
        body: cache_purge,
    },
    Product {
        name: "ssl",
        kind: "certificate_pack",
        scope: "zones",
        noun: "certificate pack",
        path: "/zones/{zone}/ssl/certificate_packs",
        weight: 18,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Uuid,
        body: certificate_pack,
    },
    Product {
        name: "custom_certificates",
        kind: "certificate",
        scope: "zones",
        noun: "custom certificate",
        path: "/zones/{zone}/custom_certificates",
        weight: 6,
        calls: USUAL,
        identity: ResourceIdentity::Hex,
        body: custom_certificate,
    },
    Product {
        name: "rulesets",
        kind: "rule",
        scope: "zones",
        noun: "WAF custom rule",
        path: "/zones/{zone}/rulesets/phases/http_request_firewall_custom/rules",
        weight: 60,
        calls: USUAL,
        identity: ResourceIdentity::Hex,
        body: waf_rule,
    },
    Product {
        name: "firewall",
        kind: "access_rule",
        scope: "zones",
        noun: "IP access rule",
        path: "/zones/{zone}/firewall/access_rules/rules",
        weight: 30,
        calls: USUAL,
        identity: ResourceIdentity::Hex,
        body: access_rule,
    },
    Product {
        name: "rate_limits",
        kind: "rate_limit",
        scope: "zones",
        noun: "rate limiting rule",
        path: "/zones/{zone}/rate_limits",
        weight: 14,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: rate_limit,
    },
    Product {
        name: "load_balancers",
        kind: "load_balancer",
        scope: "zones",
        noun: "load balancer",
        path: "/zones/{zone}/load_balancers",
        weight: 22,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: load_balancer,
    },
    Product {
        name: "page_rules",
        kind: "page_rule",
        scope: "zones",
        noun: "page rule",
        path: "/zones/{zone}/pagerules",
        weight: 12,
        calls: USUAL,
        identity: ResourceIdentity::Hex,
        body: page_rule,
    },
    Product {
        name: "healthchecks",
        kind: "healthcheck",
        scope: "zones",
        noun: "health check",
        path: "/zones/{zone}/healthchecks",
        weight: 8,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: health_check,
    },
];

fn dns_record(subject: &mut Subject<'_>, body: &mut Body) {
    let kind = subject.fixed(&["A", "A", "A", "AAAA", "CNAME", "CNAME", "TXT", "MX"]);
    let content = match kind {
        "A" => subject.address(),
        "AAAA" => format!(
            "2001:db8:{:x}::{:x}",
            subject.rng.u16(..),
            subject.rng.u16(1..)
        ),
        "TXT" => "\"v=spf1 include:_spf.example.net ~all\"".to_owned(),
        "MX" => "mx1.mail.example.net".to_owned(),
        _ => format!("{}.pages.example.net", subject.name),
    };
    body!(body, {
        "type": kind,
        "name": subject.host(),
        "content": content,
        "proxied": matches!(kind, "A" | "AAAA" | "CNAME") && subject.rng.bool(),
        "ttl": pick(subject.rng, &[1, 60, 300, 3600]),
        "comment": subject.remark(),
        "tags": [format!("team:{}", subject.fixed(&["edge", "shop", "data", "ops"]))],
    });
}

fn dnssec(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, { "status": subject.varying(&["active", "disabled"]), "dnssec_multi_signer": false });
}

fn zone_setting(subject: &mut Subject<'_>, body: &mut Body) {
    let value = match subject.id.as_str() {
        "ssl" => subject.varying(&["flexible", "full", "strict"]),
        "min_tls_version" => subject.varying(&["1.0", "1.2", "1.3"]),
        "security_level" => subject.varying(&["low", "medium", "high", "under_attack"]),
        _ => subject.varying(&["on", "off"]),
    };
    body!(body, { "value": value });
}

fn cache_purge(subject: &mut Subject<'_>, body: &mut Body) {
    if subject.rng.u8(..3) == 0 {
        body!(body, { "purge_everything": true });
        return;
    }
    let host = subject.host();
    let files: Vec<String> = (0..subject.rng.u8(1..6))
        .map(|number| format!("https://{host}/assets/app.{number}.js"))
        .collect();
    body!(body, { "files": files });
}

fn certificate_pack(subject: &mut Subject<'_>, body: &mut Body) {
    let host = subject.host();
    body!(body, {
        "type": "advanced",
        "hosts": [host, format!("*.{host}")],
        "validation_method": subject.fixed(&["txt", "http", "email"]),
        "validity_days": pick(subject.rng, &[14, 30, 90, 365]),
        "certificate_authority": subject.fixed(&["google", "lets_encrypt", "ssl_com"]),
        "status": subject.varying(&["initializing", "pending_validation", "active"]),
    });
}

fn custom_certificate(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "hosts": [subject.host()],
        "issuer": "Example Trust Services",
        "bundle_method": subject.fixed(&["ubiquitous", "optimal", "force"]),
        "private_key": "[redacted]",
        "priority": subject.rng.u8(..20),
    });
}

fn waf_rule(subject: &mut Subject<'_>, body: &mut Body) {
    let path = subject.fixed(&[
        "/wp-login.php",
        "/admin",
        "/api/v2/checkout",
        "/.env",
        "/größe",
    ]);
    let country = subject.fixed(&["T1", "XX", "DE"]);
    body!(body, {
        "action": subject.varying(&["block", "managed_challenge", "js_challenge", "log", "skip"]),
        "description": subject.remark(),
        "enabled": subject.rng.u8(..10) > 0,
        "expression": format!("(http.request.uri.path contains \"{path}\" and ip.geoip.country eq \"{country}\") or (cf.threat_score gt {})", subject.rng.u8(5..60)),
        "ref": subject.other_id(),
        "version": subject.rng.u8(1..40).to_string(),
    });
}

fn access_rule(subject: &mut Subject<'_>, body: &mut Body) {
    let value = subject.address();
    body!(body, {
        "mode": subject.varying(&["block", "challenge", "whitelist", "managed_challenge"]),
        "configuration": { "target": "ip", "value": value },
        "notes": subject.remark(),
    });
}

fn rate_limit(subject: &mut Subject<'_>, body: &mut Body) {
    let url = format!("{}/login*", subject.host());
    body!(body, {
        "threshold": subject.rng.u16(10..600),
        "period": pick(subject.rng, &[10, 60, 600]),
        "action": { "mode": subject.varying(&["simulate", "ban", "challenge"]), "timeout": 600 },
        "match": {
            "request": { "methods": ["POST"], "schemes": ["_ALL_"], "url": url },
            "response": { "status": [401, 403], "origin_traffic": true },
        },
        "disabled": false,
        "description": subject.remark(),
    });
}

fn load_balancer(subject: &mut Subject<'_>, body: &mut Body) {
    let (first, second, fallback) = (subject.other_id(), subject.other_id(), subject.other_id());
    body!(body, {
        "name": subject.host(),
        "default_pools": [first, second],
        "fallback_pool": fallback,
        "proxied": true,
        "steering_policy": subject.varying(&["random", "geo", "dynamic_latency", "least_connections"]),
        "session_affinity": subject.fixed(&["none", "cookie", "ip_cookie"]),
        "session_affinity_ttl": 1800,
        "description": subject.remark(),
    });
}

fn page_rule(subject: &mut Subject<'_>, body: &mut Body) {
    let (value, target) = (
        format!("{}/*", subject.host()),
        format!("https://{}/$1", subject.host()),
    );
    body!(body, {
        "targets": [{ "target": "url", "constraint": { "operator": "matches", "value": value } }],
        "actions": [{ "id": "forwarding_url", "value": { "url": target, "status_code": 301 } }],
        "priority": subject.rng.u8(1..9),
        "status": subject.varying(&["active", "disabled"]),
    });
}

fn health_check(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "address": subject.host(),
        "type": "HTTPS",
        "interval": 60,
        "retries": 2,
        "timeout": subject.rng.u8(3..15),
        "check_regions": ["WEU", "ENAM"],
        "http_config": { "method": "GET", "path": "/healthz", "expected_codes": ["200"], "follow_redirects": false },
        "suspended": subject.rng.bool(),
    });
}
