//! Lets a request pass, or refuses it, and records it in the access log before it is answered.
//!
//! In this order: which client sends it, whether it asked for a host that is ours, whether a page of another site sends it,
//! who sends it, whether they are within their limits, and whether they may do this. A refusal is recorded too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use tracing::{error, info};
use url::Url;

use super::AppState;
use super::connection;
use super::limit::{PrincipalLimits, RateState, Usage};
use super::principal::{Auth, Principal, identify};
use super::problem::Problem;
use super::proxy::Client;
use crate::access::Permission;
use crate::mask::Mask;
use crate::store::{AccessEntry, AccessStore};
use crate::task;

/// Where browsers say from whose page a request comes.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// How the service is reached, and by whom.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Who may ask.
    pub auth: Auth,
    /// The address that people use, if it is not the one that is listened on.
    pub public_url: Option<Url>,
    /// Other origins whose pages may ask.
    pub cors_origins: Vec<String>,
    /// The networks of proxies whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What one principal may take.
    pub limits: PrincipalLimits,
}

/// How many things an answer has, for the access log. Handlers add it to their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Results(pub(super) u64);

/// A layer for routes that need `permission`: lets a request pass with its [`Principal`] and its [`Client`] among the
/// extensions, or refuses it; and records it before the answer is sent.
pub(super) async fn check(
    State((app, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = (app.clock.now(), Instant::now());
    let client = client_of(&app, &request);
    let asked = Asked::of(&request);
    let admitted = admit(&app, permission, &client, &request).await;
    let (principal, mut response) = match admitted {
        Ok((principal, rate)) => {
            request.extensions_mut().insert(principal.clone());
            request.extensions_mut().insert(client.clone());
            let mut response = next.run(request).await;
            if let Some(rate) = rate {
                rate.add_to(response.headers_mut());
            }
            (principal.name().to_owned(), response)
        }
        Err(refusal) => (refusal.principal, refusal.response),
    };
    let entry = asked.entry(began, principal, &client, &response);
    log_request(&entry);
    if let Err(problem) = app.record(entry).await {
        response = problem.into_response();
    }
    response
}
