//! What is done in the demo's first half minute, so that rules raise alerts.

use std::convert::Infallible;
use std::time::Duration;

use orgtrail_simulator::Simulator;
use reqwest::Method;
use serde_json::{Value, json};
use tracing::debug;

/// How long after the start the first act comes, and how long apart they are.
const PAUSE: Duration = Duration::from_secs(6);

/// A call of the simulated API.
pub(super) struct Act {
    method: Method,
    url: String,
    body: Value,
}

/// The acts in one account, and in one zone.
pub(super) fn of(simulator: &Simulator, base_url: &str) -> Vec<Act> {
    let sources = simulator.sources().into_iter();
    let account = sources
        .map(|source| source.to_string())
        .find(|name| name.starts_with("accounts/"));
    let zone = simulator.zones().into_iter().next();
    let role = json!({"name": "Super Administrator - All Privileges"});
    let in_account = account.into_iter().flat_map(|account| {
        [
            Act {
                method: Method::POST,
                url: format!("{base_url}/{account}/members"),
                body: json!({"email": "second.administrator@example.com", "roles": [role]}),
            },
            Act {
                method: Method::PUT,
                url: format!("{base_url}/{account}/logpush/jobs/1"),
                body: json!({"enabled": false}),
            },
        ]
    });
    let in_zone = zone.map(|(id, _)| Act {
        method: Method::DELETE,
        url: format!("{base_url}/zones/{id}"),
        body: json!({}),
    });
    in_account.chain(in_zone).collect()
}

/// Makes them, one after the other, and does nothing more.
pub(super) async fn make(acts: Vec<Act>) -> Infallible {
    let client = reqwest::Client::new();
    for act in acts {
        tokio::time::sleep(PAUSE).await;
        let call = client.request(act.method, act.url);
        let call = call.bearer_auth("demo-token").json(&act.body);
        if let Err(error) = call.send().await {
            debug!(error = %error, "An act of the demo failed.");
        }
    }
    std::future::pending().await
}
