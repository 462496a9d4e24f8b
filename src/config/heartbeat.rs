//! Where the URL of the heartbeat is found. The URL is a secret: who knows it can feign a heartbeat.

use secrecy::SecretString;
use url::Url;

use super::local::is_this_machine;

/// The longest URL that is used.
const MAX_URL_BYTES: usize = 2 * 1024;

/// The environment variable that holds the URL of the heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatSource(String);

/// Why there is no URL. No message contains what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// The variable does not exist, or is empty.
    #[error("it is not set")]
    NotSet,
    /// It holds no URL that may be called.
    #[error("its value is not a URL that may be called: `https`, or `http` on this machine")]
    Unusable,
}

impl HeartbeatSource {
    pub(super) fn new(variable: &str) -> Self {
        Self(variable.to_owned())
    }

    /// The variable's name.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.0
    }

    /// Reads the URL.
    ///
    /// # Errors
    /// When the variable holds none that may be called.
    pub fn read(&self) -> Result<SecretString, HeartbeatError> {
        let value = std::env::var_os(&self.0).ok_or(HeartbeatError::NotSet)?;
        let text = value.into_string().map_err(|_| HeartbeatError::Unusable)?;
        usable(&text)
    }
}

fn usable(text: &str) -> Result<SecretString, HeartbeatError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(HeartbeatError::NotSet);
    }
    let url = Url::parse(text).ok().filter(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => is_this_machine(url),
        _ => false,
    });
    match url {
        Some(_) if text.len() <= MAX_URL_BYTES => Ok(text.into()),
        _ => Err(HeartbeatError::Unusable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_keep_the_secret_are_called() {
        for text in [
            "https://hc.example.com/ping/abc",
            " http://127.0.0.1:9/x\n",
            "http://localhost/",
            "http://[::1]:1/",
        ] {
            assert!(usable(text).is_ok(), "{text}");
        }
        for text in [
            "http://hc.example.com/ping",
            "ftp://127.0.0.1/",
            "https://",
            "file:///etc/passwd",
            "ping",
        ] {
            assert_eq!(usable(text).err(), Some(HeartbeatError::Unusable), "{text}");
        }
        let long = format!("https://hc.example.com/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(usable(&long).err(), Some(HeartbeatError::Unusable));
        assert_eq!(usable(" ").err(), Some(HeartbeatError::NotSet));
    }
}
