//! Finds the addresses of a host, and leaves out those that no message may be sent to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::refusal;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Asks for the addresses of a name.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Which addresses may be reached, and how names are resolved. A clone does the same.
#[derive(Clone)]
pub(super) struct Network {
    allow_private: bool,
    lookup: Lookup,
}

/// Why a host cannot be reached. The messages name no host: it may be part of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreachable {
    /// The name has no address, or asking failed.
    #[error("the name of the host could not be resolved")]
    Unresolved,
    /// No address may be used.
    #[error("the address of the host is refused ({0}); `allow_private_networks` allows it")]
    Refused(&'static str),
    /// There is no host.
    #[error("the URL has no host")]
    NoHost,
}

impl Network {
    /// The machine's network, with its own resolver.
    pub(super) fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            lookup: Arc::new(|host| {
                Box::pin(async move {
                    let found = tokio::net::lookup_host((host, 0)).await?;
                    Ok(found.map(|address| address.ip()).collect())
                })
            }),
        }
    }

    /// The same with another resolver.
    #[cfg(test)]
    fn with_answers(allow_private: bool, answers: Vec<IpAddr>) -> Self {
        Self {
            allow_private,
            lookup: Arc::new(move |_| {
                let answers = answers.clone();
                Box::pin(async move { Ok(answers) })
            }),
        }
    }

    /// Whether private networks, and connections in clear, are allowed.
    pub(super) fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// The addresses of a URL's host that may be used; at least one.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub(super) async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, Unreachable> {
        let literal = match url.host() {
            // The host of a scheme that this parser does not know stays a name.
            Some(Host::Domain(name)) => name.parse().ok(),
            Some(Host::Ipv4(address)) => Some(IpAddr::from(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::from(address)),
            None => return Err(Unreachable::NoHost),
        };
        match literal {
            Some(address) => self.usable(vec![address]),
            None => self.resolve(url.host_str().unwrap_or_default()).await,
        }
    }

    /// The addresses of a name that may be used; at least one.
    ///
    /// # Errors
    /// [`Unreachable`].
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Unreachable> {
        let found = (self.lookup)(name.to_owned()).await;
        self.usable(found.map_err(|_| Unreachable::Unresolved)?)
    }

    fn usable(&self, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Unreachable> {
        let refused = addresses.iter().find_map(|address| refusal(*address));
        if !self.allow_private {
            addresses.retain(|address| refusal(*address).is_none());
        }
        addresses.truncate(MAX_ADDRESSES);
        match refused {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(why) => Err(Unreachable::Refused(why)),
            None => Err(Unreachable::Unresolved),
        }
    }
}

/// The client connects to the addresses that were checked, and asks for no others.
impl Resolve for Network {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.clone();
        Box::pin(async move {
            let addresses = Self::resolve(&network, name.as_str()).await?;
            let found = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn answers_of_the_resolver_are_checked_before_they_are_used() {
        let url = Url::parse("https://hooks.example.com/x").unwrap();
        for (answers, allow, expect) in [
            (
                ips(&["10.0.0.1"]),
                false,
                Err(Unreachable::Refused("private")),
            ),
            (ips(&["10.0.0.1"]), true, Ok(ips(&["10.0.0.1"]))),
            (
                ips(&["169.254.169.254"]),
                false,
                Err(Unreachable::Refused("link-local")),
            ),
            (
                ips(&["::ffff:127.0.0.1"]),
                false,
                Err(Unreachable::Refused("loopback")),
            ),
            (ips(&["8.8.8.8", "127.0.0.1"]), false, Ok(ips(&["8.8.8.8"]))),
            (vec![], false, Err(Unreachable::Unresolved)),
        ] {
            let network = Network::with_answers(allow, answers.clone());
            assert_eq!(network.addresses(&url).await, expect, "{answers:?}");
            let name = "hooks.example.com".parse().unwrap();
            let resolved = Resolve::resolve(&network, name).await;
            let resolved = resolved.map(|all| all.map(|one| one.ip()).collect::<Vec<_>>());
            assert_eq!(resolved.ok(), expect.ok(), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn an_address_in_the_url_is_checked_in_every_spelling() {
        let network = Network::new(false);
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/",
            "smtps://10.0.0.1:465",
            "smtp://[fd00::1]",
        ] {
            let found = network.addresses(&Url::parse(url).unwrap()).await;
            assert!(
                matches!(found, Err(Unreachable::Refused(_))),
                "{url}: {found:?}"
            );
        }
        let public = network
            .addresses(&Url::parse("https://1.1.1.1/").unwrap())
            .await;
        assert_eq!(public, Ok(ips(&["1.1.1.1"])));
    }
}
