//! The configuration: one TOML file, with environment variables over it, as values that cannot be wrong.
//!
//! All mistakes are reported together, each with its file, line and column or its variable. Secrets are not part of it:
//! it says where one is, and [`CredentialSource::read`] fetches it. What the values do is known by those who get them.
//!
//! Inside, `keys` asks for each key, `reader` finds it and notices what nobody asked for, `value` and `kinds` turn what
//! was given into what is meant, `stranger` guesses what was meant instead, and `error` is the report.
//!
//! `ORGTRAIL__HTTP__LISTEN=0.0.0.0:7070` stands for `listen` in `[http]`, and wins over the file. It is taken as it is
//! where text is wanted, and as TOML elsewhere: `ORGTRAIL__POLL__SWEEPS='["1h"]'`.

mod access;
pub mod changes;
mod credential;
mod error;
mod heartbeat;
mod keys;
mod kinds;
mod local;
mod reader;
mod stranger;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, TimeDelta};
use ipnet::IpNet;
use toml::de::DeTable;
use url::Url;

pub use self::credential::{BadToken, CredentialError, CredentialSource};
pub use self::error::{ConfigError, Mistake};
pub use self::heartbeat::{HeartbeatError, HeartbeatSource};
use self::reader::Reader;
use crate::access::{Auth, CloudflareAccess, ForwardedHeader, PrincipalLimits};
use crate::position::Source;

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Everything that an operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the store and the index are, absolute or from the working directory.
    pub data_dir: PathBuf,
    /// The face towards the people who search.
    pub http: HttpConfig,
    /// The face towards Cloudflare.
    pub upstream: UpstreamConfig,
    /// When what is asked for.
    pub poll: PollConfig,
    /// The organizations whose logs are kept, each with the accounts in it.
    pub organizations: Vec<OrganizationConfig>,
    /// The accounts that are kept by themselves. No source occurs twice, here and above together.
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
    /// Which of their headers are.
    pub forwarded_header: ForwardedHeader,
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

impl Config {
    /// Reads the file at `path`, with `environment` over it. See [`environment`].
    ///
    /// # Errors
    /// All mistakes at once; or that the file cannot be read.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file_name = path.display().to_string();
        let text = read_file(path).map_err(|cause| {
            let hint = match cause.kind() {
                io::ErrorKind::NotFound => "; `orgtrail config` prints an example to start from",
                _ => "",
            };
            let message = format!("could not read the configuration: {cause}{hint}");
            ConfigError::unreadable(&file_name, message)
        })?;
        Self::parse(&text, &file_name, environment)
    }

    /// Reads a configuration from its text; `file_name` is what the mistakes in it are reported under.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(
        text: &str,
        file_name: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (file, syntax_errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(text, environment);
        let config = keys::read(&mut reader, file.get_ref());
        let findings = reader.finish(&syntax_errors);
        match config {
            Some(config) if findings.is_empty() => Ok(config),
            _ => Err(ConfigError::new(file_name, text, findings)),
        }
    }

    /// The commented example: every key, with its default and its unit.
    #[must_use]
    pub fn example() -> &'static str {
        include_str!("../config.example.toml")
    }
}

/// The process's own environment, as [`Config::load`] takes it. What is not text in a value is replaced by `U+FFFD`.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

/// What is to be said of variables that begin like ours and stand for no key: they have no effect. Those that begin as keys do
/// are mistakes already, see [`Config::load`]; those that the configuration names for a token are used.
#[must_use]
pub fn unknown_variables(
    config: &Config,
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<String> {
    let nothing = DeTable::new();
    let mut reader = Reader::new("", std::iter::empty());
    // To read is to know the keys, whatever the values are.
    drop(keys::read(&mut reader, &nothing));
    let used = |name: &str| {
        let heartbeat = config.poll.heartbeat.as_ref();
        if heartbeat.is_some_and(|heartbeat| heartbeat.variable() == name) {
            return true;
        }
        let own = config.organizations.iter().map(|one| &one.credential);
        let own = own.chain(config.accounts.iter().map(|one| &one.credential));
        let mut all = own.chain([&config.upstream.credential]);
        all.any(|credential| *credential == CredentialSource::Env(name.to_owned()))
    };
    let mut names: Vec<String> = environment.map(|(name, _)| name).collect();
    names.retain(|name| !used(name));
    names.sort_unstable();
    let messages = names.iter().filter_map(|name| reader.unused_variable(name));
    messages.collect()
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        let message = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
