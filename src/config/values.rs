//! The values of a configuration, after all its keys were read.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::{NaiveDate, TimeDelta};
use ipnet::IpNet;
use url::Url;

use super::credential::CredentialSource;
use super::heartbeat::HeartbeatSource;
use crate::access::{Auth, CloudflareAccess, ForwardedHeader, PrincipalLimits};
use crate::attest::EvidenceConfig;
use crate::deliver::DeliverySettings;
use crate::position::Source;
use crate::retention::RetentionPolicies;
use crate::tls::TlsFiles;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory of the log and the index, absolute or relative to the working directory.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub http: HttpConfig,
    /// Cloudflare's API.
    pub upstream: UpstreamConfig,
    /// When sources are polled.
    pub poll: PollConfig,
    /// Which rules raise alerts.
    pub rules: RulesConfig,
    /// Where alerts are sent.
    pub alerts: DeliverySettings,
    /// The transparency log of the events; `None`: nothing is signed.
    pub evidence: Option<EvidenceConfig>,
    /// How long the bodies of events are kept.
    pub retention: RetentionPolicies,
    /// The organizations whose logs are collected, with their accounts.
    pub organizations: Vec<OrganizationConfig>,
    /// Single accounts. No source occurs twice, here and above together.
    pub accounts: Vec<AccountConfig>,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Who may read. [`Auth::None`] only together with a loopback address.
    pub auth: Auth,
    /// The most connections at once; at least 1. Fewer are served where few files may be open.
    pub max_connections: u32,
    /// The address that people use, without the slash at its end: its host is answered; `None` if it is `listen`.
    pub public_url: Option<Url>,
    /// Other origins whose pages may ask, such as `https://search.example.com`.
    pub cors_origins: Vec<String>,
    /// The networks of proxies whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which of their headers are believed.
    pub forwarded_header: ForwardedHeader,
    /// The certificate by which clients reach the service over TLS; without one, it speaks HTTP in clear.
    pub tls: Option<TlsFiles>,
    /// How long the access log is kept; at least a day.
    pub access_log: TimeDelta,
    /// `[http.limits]`: what one principal may take.
    pub limits: PrincipalLimits,
    /// `[http.access]`: Cloudflare Access in front; only together with [`Auth::Tokens`].
    pub access: Option<CloudflareAccess>,
}

/// `[upstream]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where the API is: `https`, or `http` on this machine. Its path does not end in a slash, unless that is all of it.
    pub base_url: Url,
    /// The credential of every source that has none of its own.
    pub credential: CredentialSource,
    /// The most requests in 5 minutes with one credential; at least 1.
    pub max_requests: u32,
    /// The most entries that one page is asked to have, 1 to 1,000.
    pub page_size: u32,
}

/// `[poll]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollConfig {
    /// The time between two live windows of a source; at least a second.
    pub interval: TimeDelta,
    /// What that grows to while a source is quiet; at least `interval`.
    pub max_interval: TimeDelta,
    /// How far a live window reaches back over the one before it.
    pub overlap: Overlap,
    /// How long after its first seal a stretch is scanned again: each longer than the one before; may be empty.
    pub sweeps: Vec<TimeDelta>,
    /// Where the backfill ends.
    pub backfill_since: BackfillSince,
    /// Where the URL is that is called after each complete cycle; `None`: none is.
    pub heartbeat: Option<HeartbeatSource>,
}

/// How far a live window reaches back over the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// As far as each source's lateness asks for.
    Auto,
    /// Always as far as this; may be zero.
    Span(TimeDelta),
}

/// How far back history is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackfillSince {
    /// So long before the first live window's start.
    Span(TimeDelta),
    /// The midnight, UTC, with which this day begins.
    Date(NaiveDate),
}

/// One of `[[organizations]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationConfig {
    /// The organization's own log.
    pub source: Source,
    /// Which of its accounts are kept as well.
    pub accounts: AccountsChoice,
    /// The credential for it and for those accounts.
    pub credential: CredentialSource,
}

/// Which accounts of an organization are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsChoice {
    /// Those that upstream lists, as they come and go.
    All,
    /// None but the organization's own log.
    None,
    /// These; at least one.
    Only(Vec<Source>),
}

/// One of `[[accounts]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// The account's log.
    pub source: Source,
    /// The credential for it.
    pub credential: CredentialSource,
}

/// The keys of `[alerts]` that say which rules are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesConfig {
    /// The directory of the rules beside the built-in ones.
    pub dir: Option<PathBuf>,
    /// The ids of rules that raise nothing.
    pub disabled: Vec<String>,
}
