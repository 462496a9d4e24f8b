//! Changes of the organization itself. They are only in the organization's own log.

use super::super::chance::pick;
use super::super::json_writer::{Body, body};
use super::product::{COME_AND_GO, CREATED, PATCHED, Product, ResourceIdentity, SET, Subject};

/// The products of the organization's log.
pub(crate) const ORGANIZATION_PRODUCTS: &[Product] = &[
    Product {
        name: "organizations",
        kind: "members",
        scope: "organizations",
        noun: "Member",
        path: "/organizations/{organization}/members",
        weight: 40,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Hex,
        body: member,
    },
    Product {
        name: "organizations",
        kind: "account",
        scope: "organizations",
        noun: "account",
        path: "/accounts",
        weight: 14,
        calls: CREATED,
        identity: ResourceIdentity::Hex,
        body: account,
    },
    Product {
        name: "organizations",
        kind: "organization",
        scope: "organizations",
        noun: "tenant flags",
        path: "/organizations",
        weight: 8,
        calls: PATCHED,
        identity: ResourceIdentity::Place,
        body: tenant_flags,
    },
    Product {
        name: "organizations",
        kind: "profile",
        scope: "organizations",
        noun: "organization profile",
        path: "/organizations/{organization}/profile",
        weight: 12,
        calls: SET,
        identity: ResourceIdentity::Place,
        body: profile,
    },
    Product {
        name: "user_tokens",
        kind: "token",
        scope: "user",
        noun: "Token",
        path: "/user/tokens",
        weight: 12,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Hex,
        body: token,
    },
    Product {
        name: "accounts",
        kind: "account",
        scope: "organizations",
        noun: "account move",
        path: "/accounts/move",
        weight: 4,
        calls: CREATED,
        identity: ResourceIdentity::Hex,
        body: account_move,
    },
];

fn member(subject: &mut Subject<'_>, body: &mut Body) {
    let email = &subject.person.email;
    body!(body, { "member": {
        "user": { "id": subject.person.id, "email": email, "name": subject.person.name, "two_factor_authentication_enabled": subject.rng.bool() },
        "status": pick(subject.rng, &["active", "pending"]),
    } });
}

fn account(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "type": subject.fixed(&["standard", "enterprise"]),
        "unit": { "id": subject.organization_id },
    });
}

fn tenant_flags(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, { "meta": { "tenant_flags": {
        "account_creation": subject.varying(&["enabled", "disabled"]),
        "sub_org_creation": subject.varying(&["enabled", "disabled"]),
    } } });
}

fn profile(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "business_name": subject.varying(&["Example Holdings", "Bücher & Söhne GmbH — 株式会社サンプル 🏢"]),
        "business_address": "Zürichstraße 5, 8001 Zürich",
        "business_email": "ops@example.org",
        "business_phone": "+41 44 000 00 00",
        "external_metadata": subject.remark(),
    });
}

fn token(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "policies": [{ "effect": "allow", "resources": { "com.cloudflare.api.account.*": "*" } }],
        "status": "active",
    });
}

fn account_move(subject: &mut Subject<'_>, body: &mut Body) {
    let account = subject.other_id();
    body!(body, { "account_ids": [account], "destination_organization_id": subject.organization_id });
}
