//! What a certificate says: for which names it is, and how long.

use chrono::{DateTime, TimeDelta, Utc};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

/// How long before its end a certificate is reported. Those who renew by themselves do so 30 days before.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(14);

/// The most names that are reported.
const MAX_NAMES: usize = 20;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The names and addresses of the servers that it is for; at most 20 of them.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: DateTime<Utc>,
    /// When it expires.
    pub not_after: DateTime<Utc>,
    der: CertificateDer<'static>,
}

/// Whether a certificate is valid at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It is, for more than 14 days.
    Valid,
    /// It is, for 14 days at most.
    ExpiresSoon,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
}

impl Certificate {
    /// Reads the first certificate of a chain. The error ends the sentence "this certificate …".
    pub(super) fn read(der: CertificateDer<'static>) -> Result<Self, String> {
        let parsed = parse(&der)?;
        let is_for_servers = match parsed.extended_key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
            Err(_) => false,
        };
        if !is_for_servers {
            return Err("is not for servers (its extended key usage lacks `serverAuth`): ask for one of a server".to_owned());
        }
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let names = alternatives
            .iter()
            .flat_map(|names| &names.value.general_names);
        let names = names.filter_map(name).take(MAX_NAMES).collect();
        let (not_before, not_after) = (parsed.validity.not_before, parsed.validity.not_after);
        Ok(Self {
            names,
            not_before: time(not_before),
            not_after: time(not_after),
            der,
        })
    }

    /// Whether it is valid at `now`.
    #[must_use]
    pub fn validity(&self, now: DateTime<Utc>) -> Validity {
        match () {
            () if now < self.not_before => Validity::NotYetValid,
            () if now > self.not_after => Validity::Expired,
            () if now > self.not_after - EXPIRES_SOON => Validity::ExpiresSoon,
            () => Validity::Valid,
        }
    }

    /// Whether clients that ask for this host take it, as far as the name goes.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(name) = ServerName::try_from(host) else {
            return false;
        };
        ParsedCertificate::try_from(&self.der)
            .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

impl Validity {
    /// Whether clients take a certificate that is in this state.
    #[must_use]
    pub fn is_valid(self) -> bool {
        matches!(self, Self::Valid | Self::ExpiresSoon)
    }
}

/// Who issued a certificate, and to whom: as they are compared in a chain.
pub(super) struct ChainLink {
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
}

/// Reads that of one certificate of a chain. The error ends the sentence "this certificate …".
pub(super) fn link(der: &[u8]) -> Result<ChainLink, String> {
    let parsed = parse(der)?;
    Ok(ChainLink {
        subject: parsed.subject().as_raw().to_vec(),
        issuer: parsed.issuer().as_raw().to_vec(),
    })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err("cannot be read as X.509: copy the file again".to_owned()),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// A time of X.509. One that is too far away for us is as far as we go.
fn time(time: ASN1Time) -> DateTime<Utc> {
    let fallback = if time.timestamp() < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(fallback)
}
