//! Sends a message as e-mail, by SMTP; the only user of lettre.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::attempt::{SendFailure, TIMEOUT};
use super::network::Network;

/// The port of a submission that begins in clear and goes on with STARTTLS.
const SUBMISSION_PORT: u16 = 587;

/// The port of a submission over TLS.
const SUBMISSIONS_PORT: u16 = 465;

/// The sender and the receivers.
pub(super) struct Mailboxes {
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mailboxes {
    /// Reads the addresses, each with or without a name.
    pub(super) fn parse(from: &str, to: &[String]) -> Result<Self, SendFailure> {
        let read = |text: &str| {
            text.parse::<Mailbox>()
                .map_err(|_| SendFailure::new(format!("`{text}` is not an e-mail address")))
        };
        Ok(Self {
            from: read(from)?,
            to: to.iter().map(|one| read(one)).collect::<Result<_, _>>()?,
        })
    }
}

/// A letter: its texts have no control characters.
pub(super) struct Letter {
    /// What every attempt has as its Message-ID.
    pub(super) id: String,
    /// What the letters of one alert refer to, so that they are shown together.
    pub(super) thread: String,
    pub(super) subject: String,
    pub(super) lines: Vec<String>,
}

/// Sends a letter to all receivers at once.
pub(super) async fn send(
    url: &SecretString,
    mailboxes: &Mailboxes,
    letter: &Letter,
    network: &Network,
    now: DateTime<Utc>,
) -> Result<(), SendFailure> {
    let server = SmtpServer::parse(url, network)?;
    let message = compose(mailboxes, letter, now)?;
    let addresses = network
        .addresses(&server.url)
        .await
        .map_err(|error| SendFailure::new(error.to_string()))?;
    let mut failure = SendFailure::new("the server has no address");
    for address in addresses {
        let transport = server.transport(address, mailboxes)?;
        match transport.send(message.clone()).await {
            Ok(_) => return Ok(()),
            // It was reached, and what it says does not depend on the address.
            Err(error) if error.status().is_some() => return Err(failed(&error)),
            Err(error) => failure = failed(&error),
        }
    }
    Err(failure)
}

/// A server for outgoing mail.
pub(super) struct SmtpServer {
    pub(super) url: Url,
    /// The name that its certificate must have.
    domain: String,
    is_tls: bool,
    /// Whether it may be spoken to in clear when it offers no TLS.
    may_be_clear: bool,
}

impl SmtpServer {
    /// Reads `smtps://USER:PASSWORD@HOST:PORT`, or `smtp://…` for STARTTLS.
    pub(super) fn parse(url: &SecretString, network: &Network) -> Result<Self, SendFailure> {
        let wrong = || {
            SendFailure::new(
                "its URL is not one of a mail server: `smtps://USER:PASSWORD@HOST`, or `smtp://…` for STARTTLS",
            )
        };
        let url = Url::parse(url.expose_secret()).map_err(|_| wrong())?;
        let is_tls = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(wrong()),
        };
        let domain = match url.host().ok_or_else(wrong)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self {
            domain,
            is_tls,
            // A password is never sent in clear.
            may_be_clear: network.allows_private() && url.password().is_none(),
            url,
        })
    }

    /// A connection to one of its addresses. The certificate is checked against the name all the same.
    fn transport(
        &self,
        address: IpAddr,
        mailboxes: &Mailboxes,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendFailure> {
        let unusable = |_| SendFailure::new("its URL has a user or password that cannot be used");
        // User and password are read from the URL by the library.
        let mut url = self.url.clone();
        let host = SocketHost(address).to_string();
        url.set_host(Some(&host))
            .map_err(|_| SendFailure::new("its URL has no usable host"))?;
        url.set_path("");
        url.set_query(None);
        let default = if self.is_tls {
            SUBMISSIONS_PORT
        } else {
            SUBMISSION_PORT
        };
        let parameters = TlsParameters::new(self.domain.clone())
            .map_err(|_| SendFailure::new("TLS cannot be used with the server's name"))?;
        let tls = match (self.is_tls, self.may_be_clear) {
            (true, _) => Tls::Wrapper(parameters),
            (false, true) => Tls::Opportunistic(parameters),
            (false, false) => Tls::Required(parameters),
        };
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str()).map_err(unusable)?;
        Ok(builder
            .port(self.url.port().unwrap_or(default))
            .tls(tls)
            .hello_name(ClientId::Domain(mailboxes.from.email.domain().to_owned()))
            .timeout(Some(TIMEOUT))
            .build())
    }
}

/// An address as a URL has it.
struct SocketHost(IpAddr);

impl std::fmt::Display for SocketHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "[{address}]"),
        }
    }
}

fn compose(
    mailboxes: &Mailboxes,
    letter: &Letter,
    now: DateTime<Utc>,
) -> Result<Message, SendFailure> {
    let domain = mailboxes.from.email.domain();
    let mut builder = Message::builder()
        .from(mailboxes.from.clone())
        .date(now.into())
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        .references(format!("<{}@{domain}>", letter.thread))
        .subject(letter.subject.clone())
        .header(ContentType::TEXT_PLAIN)
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for one in &mailboxes.to {
        builder = builder.to(one.clone());
    }
    builder
        .body(letter.lines.join("\r\n"))
        .map_err(|_| SendFailure::new("the message cannot be written as e-mail"))
}

/// The error in our own words: the server's may repeat what it was sent.
fn failed(error: &lettre::transport::smtp::Error) -> SendFailure {
    SendFailure::new(match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => "no response within 15 seconds".to_owned(),
        None if error.is_tls() => "the mail server's TLS could not be used".to_owned(),
        None if error.is_client() => {
            "the mail server offers no TLS, or no way to sign in that is known".to_owned()
        }
        None => "could not connect to the mail server".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_alert_becomes_a_header() {
        let to = ["Ops <ops@example.com>".to_owned()];
        let mailboxes = Mailboxes::parse("orgtrail@example.com", &to).unwrap();
        let letter = Letter {
            id: "msg_1".to_owned(),
            thread: "alert".to_owned(),
            subject: "x\r\nBcc: evil@example.com\r\n\r\nbody é".to_owned(),
            lines: vec![".".to_owned(), "Bcc: evil@example.com".to_owned()],
        };
        let now = DateTime::from_timestamp(0, 0).unwrap();
        let text = compose(&mailboxes, &letter, now).unwrap().formatted();
        let text = String::from_utf8(text).unwrap();
        let (headers, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            !headers.lines().any(|line| line.starts_with("Bcc")),
            "{headers}"
        );
        assert!(headers.contains("To: Ops <ops@example.com>"), "{headers}");
        for wrong in ["a@b\r\nBcc: c@d", "a", "", "a@b, c@d"] {
            assert!(Mailboxes::parse(wrong, &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_never_sent_in_clear() {
        let server =
            |url: &str, allow| SmtpServer::parse(&url.to_owned().into(), &Network::new(allow));
        assert!(server("smtp://127.0.0.1:25", true).unwrap().may_be_clear);
        assert!(!server("smtp://127.0.0.1:25", false).unwrap().may_be_clear);
        assert!(
            !server("smtp://u:p@127.0.0.1:25", true)
                .unwrap()
                .may_be_clear
        );
        for wrong in [
            "https://a.example",
            "smtp:",
            "mail.example.com",
            "smtps:///x",
        ] {
            assert!(server(wrong, true).is_err(), "{wrong}");
        }
    }
}
