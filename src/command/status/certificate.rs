//! What `orgtrail status` says of the certificate of the service that it asks.

use serde::Deserialize;

use crate::terminal::harmless;

/// How the problems of a certificate begin.
const OF_CERTIFICATE: &str = "certificate";

/// The part of `/readyz` that is about it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CertificateReport {
    problems: Vec<String>,
    certificate: Option<CertificateAnswer>,
}

#[derive(Deserialize)]
struct CertificateAnswer {
    names: Vec<String>,
    expires_at: String,
    renewal_refused_since: Option<String>,
}

/// Lines of what `/readyz` says of the certificate: when it expires, and what is wrong with it. None where nothing is said.
pub(super) fn lines(ready: &str) -> Vec<String> {
    let ready: CertificateReport = serde_json::from_str(ready).unwrap_or_default();
    let mut lines = Vec::new();
    if let Some(certificate) = &ready.certificate {
        lines.push(format!(
            "The certificate is for {} and expires at {}.",
            harmless(&certificate.names.join(", ")),
            harmless(&certificate.expires_at)
        ));
        if let Some(since) = &certificate.renewal_refused_since {
            lines.push(format!(
                "The renewed certificate cannot be used since {}: the log of the service says why.",
                harmless(since)
            ));
        }
    }
    let problems = ready.problems.iter();
    let problems = problems.filter(|problem| problem.starts_with(OF_CERTIFICATE));
    lines.extend(problems.map(|problem| format!("Problem: {}.", harmless(problem))));
    lines
}
