//! What developers change: code that runs at the edge, and where it keeps its data.

use super::super::chance::hex;
use super::super::json_writer::{Body, body};
use super::product::{
    COME_AND_GO, CREATED, Product, REPLACED, ResourceIdentity, Subject, UPLOADED, USUAL,
};

pub(super) const PRODUCTS: &[Product] = &[
    Product {
        name: "workers",
        kind: "script",
        scope: "accounts",
        noun: "Worker script",
        path: "/accounts/{account}/workers/scripts",
        weight: 110,
        calls: UPLOADED,
        identity: ResourceIdentity::Name,
        body: worker_script,
    },
    Product {
        name: "workers",
        kind: "route",
        scope: "zones",
        noun: "Worker route",
        path: "/zones/{zone}/workers/routes",
        weight: 14,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: worker_route,
    },
    Product {
        name: "workers_kv",
        kind: "namespace",
        scope: "accounts",
        noun: "KV namespace",
        path: "/accounts/{account}/storage/kv/namespaces",
        weight: 12,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: titled,
    },
    Product {
        name: "r2",
        kind: "bucket",
        scope: "accounts",
        noun: "R2 bucket",
        path: "/accounts/{account}/r2/buckets",
        weight: 22,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Name,
        body: bucket,
    },
    Product {
        name: "d1",
        kind: "database",
        scope: "accounts",
        noun: "D1 database",
        path: "/accounts/{account}/d1/database",
        weight: 10,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Uuid,
        body: database,
    },
    Product {
        name: "queues",
        kind: "queue",
        scope: "accounts",
        noun: "queue",
        path: "/accounts/{account}/queues",
        weight: 9,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: queue,
    },
    Product {
        name: "pages",
        kind: "deployment",
        scope: "accounts",
        noun: "Pages deployment",
        path: "/accounts/{account}/pages/projects/site/deployments",
        weight: 48,
        calls: CREATED,
        identity: ResourceIdentity::Uuid,
        body: deployment,
    },
    Product {
        name: "stream",
        kind: "video",
        scope: "accounts",
        noun: "Stream video",
        path: "/accounts/{account}/stream",
        weight: 14,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Hex,
        body: video,
    },
    Product {
        name: "images",
        kind: "variant",
        scope: "accounts",
        noun: "image variant",
        path: "/accounts/{account}/images/v1/variants",
        weight: 7,
        calls: USUAL,
        identity: ResourceIdentity::Name,
        body: variant,
    },
    Product {
        name: "turnstile",
        kind: "widget",
        scope: "accounts",
        noun: "Turnstile widget",
        path: "/accounts/{account}/challenges/widgets",
        weight: 6,
        calls: REPLACED,
        identity: ResourceIdentity::Hex,
        body: widget,
    },
    Product {
        name: "vectorize",
        kind: "index",
        scope: "accounts",
        noun: "Vectorize index",
        path: "/accounts/{account}/vectorize/v2/indexes",
        weight: 4,
        calls: COME_AND_GO,
        identity: ResourceIdentity::Name,
        body: vector_index,
    },
];

fn worker_script(subject: &mut Subject<'_>, body: &mut Body) {
    let (namespace, etag) = (subject.other_id(), hex(subject.rng, 32));
    body!(body, {
        "main_module": "index.js",
        "compatibility_date": "2026-06-01",
        "compatibility_flags": ["nodejs_compat"],
        "bindings": [
            { "type": "kv_namespace", "name": "CACHE", "namespace_id": namespace },
            { "type": "secret_text", "name": "API_KEY" },
            { "type": "plain_text", "name": "GREETING", "text": subject.fixed(&["hello", "Grüß Gott", "こんにちは", "👋"]) },
        ],
        "etag": etag,
        "usage_model": "standard",
        "logpush": subject.rng.bool(),
    });
}

fn worker_route(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, { "pattern": format!("{}/*", subject.host()), "script": subject.name });
}

fn titled(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, { "title": subject.name, "supports_url_encoding": true });
}

fn bucket(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "locationHint": subject.fixed(&["weur", "eeur", "enam", "apac"]),
        "storageClass": subject.fixed(&["Standard", "InfrequentAccess"]),
        "jurisdiction": subject.fixed(&["default", "eu"]),
        "creation_date": subject.now,
    });
}

fn database(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "primary_location_hint": subject.fixed(&["weur", "enam"]),
        "version": "production",
        "num_tables": subject.rng.u8(..30),
        "file_size": subject.rng.u32(8_192..90_000_000),
    });
}

fn queue(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "queue_name": subject.name,
        "settings": { "delivery_delay": subject.rng.u8(..60), "message_retention_period": 345_600 },
        "consumers": [{ "script": subject.name, "type": "worker", "settings": { "batch_size": 50, "max_retries": 3 } }],
    });
}

fn deployment(subject: &mut Subject<'_>, body: &mut Body) {
    let commit = hex(subject.rng, 40);
    body!(body, {
        "branch": subject.varying(&["main", "main", "staging", "feature/größe"]),
        "environment": subject.varying(&["production", "preview"]),
        "deployment_trigger": {
            "type": "github:push",
            "metadata": { "commit_hash": commit, "commit_message": subject.remark(), "commit_dirty": false },
        },
        "build_config": { "build_command": "npm run build", "destination_dir": "dist" },
        "latest_stage": { "name": "deploy", "status": subject.varying(&["success", "success", "failure", "active"]) },
        "url": format!("https://{}.{}.pages.example.net", &commit[..8], subject.name),
    });
}

fn video(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "meta": { "name": format!("{} 🎬.mp4", subject.name) },
        "requireSignedURLs": subject.rng.bool(),
        "maxDurationSeconds": subject.rng.u16(30..3_600),
        "creator": subject.person.id,
        "status": { "state": subject.varying(&["queued", "inprogress", "ready"]) },
    });
}

fn variant(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "options": { "fit": subject.varying(&["cover", "contain", "crop"]), "width": subject.rng.u16(64..2_048), "height": 768, "metadata": "none" },
        "neverRequireSignedURLs": true,
    });
}

fn widget(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "domains": [subject.host()],
        "mode": subject.varying(&["managed", "invisible", "non-interactive"]),
        "secret": "[redacted]",
    });
}

fn vector_index(subject: &mut Subject<'_>, body: &mut Body) {
    body!(body, {
        "name": subject.name,
        "config": { "dimensions": 768, "metric": subject.fixed(&["cosine", "euclidean"]) },
        "description": subject.remark(),
    });
}
