//! The configuration: one TOML file, with environment variables over it, as values that cannot be wrong.
//!
//! All mistakes are reported together, each with its file, line and column or its variable. Secrets are not part of it:
//! it says where one is, and [`CredentialSource::read`] fetches it.
//!
//! Inside, `keys` asks for each key, `reader` finds it and reports unknown ones, `value` and `kinds` parse values,
//! `unknown_key` suggests the key that was meant, `values` are the result, and `error` is the report.
//!
//! `ORGTRAIL__HTTP__LISTEN=0.0.0.0:7070` sets `listen` in `[http]`, and wins over the file. Its value is the text itself
//! where the key is a text, and TOML elsewhere: `ORGTRAIL__POLL__SWEEPS='["1h"]'`.

mod access;
mod alerts;
pub mod changes;
mod credential;
mod error;
mod header;
mod heartbeat;
mod keys;
mod kinds;
mod local;
mod reader;
mod retention;
mod rules;
#[cfg(test)]
mod tests;
mod unknown_key;
mod value;
mod values;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::de::DeTable;

pub use self::credential::{BadToken, CredentialError, CredentialSource};
pub use self::error::{ConfigError, Mistake};
pub use self::heartbeat::{HeartbeatError, HeartbeatSource};
use self::reader::Reader;
pub use self::values::{
    AccountConfig, AccountsChoice, BackfillSince, Config, HttpConfig, OrganizationConfig, Overlap,
    PollConfig, RulesConfig, UpstreamConfig,
};

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

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

/// The process's own environment, as [`Config::load`] takes it. Bytes that are not UTF-8 become `U+FFFD`.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

/// Warnings about variables that begin with `ORGTRAIL_` and set no key: they have no effect. An unknown variable that begins
/// with `ORGTRAIL__` is a mistake already, see [`Config::load`]. Variables that hold a configured token are used.
#[must_use]
pub fn unknown_variables(
    config: &Config,
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<String> {
    let nothing = DeTable::new();
    let mut reader = Reader::new("", std::iter::empty());
    // Reading declares the keys; the values do not matter.
    drop(keys::read(&mut reader, &nothing));
    let used = |name: &str| {
        let heartbeat = config.poll.heartbeat.as_ref();
        if heartbeat.is_some_and(|heartbeat| heartbeat.variable() == name) {
            return true;
        }
        if alerts::variables(&config.alerts).any(|variable| variable == name) {
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
