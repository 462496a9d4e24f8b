//! What `orgtrail status` says of the certificate of the service that it asks.

use anyhow::Result;
use serde::Deserialize;

use crate::command::reach::{Server, get};
use crate::terminal::{harmless, note};

/// How the problems of a certificate begin.
const OF_CERTIFICATE: &str = "certificate";

/// The part of `/readyz` that is about it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ready {
    problems: Vec<String>,
    certificate: Option<Certificate>,
}

#[derive(Deserialize)]
struct Certificate {
    names: Vec<String>,
    expires_at: String,
    renewal_refused_since: Option<String>,
}

/// Notes when it expires, and what is wrong with it. A service that cannot say so now has no certificate for us.
pub(super) fn tell(server: &Server) -> Result<()> {
    let ready = get(server, "/readyz", &[]).unwrap_or_default();
    let ready: Ready = serde_json::from_str(&ready).unwrap_or_default();
    if let Some(certificate) = &ready.certificate {
        note(format!(
            "The certificate is for {} and expires at {}.",
            harmless(&certificate.names.join(", ")),
            harmless(&certificate.expires_at)
        ))?;
        if let Some(since) = &certificate.renewal_refused_since {
            note(format!(
                "The renewed certificate cannot be used since {}: the log of the service says why.",
                harmless(since)
            ))?;
        }
    }
    let problems = ready.problems.iter();
    for problem in problems.filter(|problem| problem.starts_with(OF_CERTIFICATE)) {
        note(format!("Problem: {}.", harmless(problem)))?;
    }
    Ok(())
}
