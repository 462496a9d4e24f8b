//! What `/readyz` says of the certificate.

use serde::Serialize;
use utoipa::ToSchema;

use super::trouble::Trouble;
use crate::position::rfc3339;
use crate::tls::{TlsStatus, Validity};

/// The certificate in use.
#[derive(Serialize, ToSchema)]
pub(super) struct CertificateState {
    names: Vec<String>,
    #[schema(format = DateTime)]
    not_before: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Since when its files cannot be used; `null` if they can. The reason is in the service's log only: it names files.
    #[schema(format = DateTime)]
    renewal_refused_since: Option<String>,
}

impl From<TlsStatus> for CertificateState {
    fn from(status: TlsStatus) -> Self {
        Self {
            names: status.certificate.names,
            not_before: rfc3339(status.certificate.not_before),
            expires_at: rfc3339(status.certificate.not_after),
            renewal_refused_since: status.refused_since.map(rfc3339),
        }
    }
}

/// What an operator should look at.
pub(super) fn troubles(status: &TlsStatus) -> impl Iterator<Item = Trouble> + use<> {
    let validity = match status.validity {
        Validity::Valid => None,
        Validity::ExpiresSoon => Some((
            "certificate expires soon",
            "the certificate expires in 14 days or less",
        )),
        Validity::Expired => Some((
            "certificate expired",
            "the certificate has expired, so that clients refuse it",
        )),
        Validity::NotYetValid => Some((
            "certificate not valid yet",
            "the certificate is not valid yet, so that clients refuse it",
        )),
    };
    let refused = status.refused_since.map(|_| {
        (
            "certificate renewal refused",
            "the certificate's files have changed and cannot be used; the one of before is in use, and the service's log has the error",
        )
    });
    let troubles = validity.into_iter().chain(refused);
    troubles.map(|(problem, why)| Trouble {
        problem: problem.into(),
        part: "certificate",
        why,
    })
}
