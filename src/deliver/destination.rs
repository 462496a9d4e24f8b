//! One destination: how a message is sent to it, and what is wrong with it before anything is sent.

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::attempt::{SendFailure, TIMEOUT};
use super::email::{self, Letter, Mailboxes, SmtpServer};
use super::file;
use super::form;
use super::network::Network;
use super::plain;
use super::secret::{MAX_KEYS, SecretSource, SigningKey};
use super::settings::{DestinationTarget, Sender};
use super::signature::sign;
use super::web::{Web, json_headers, usable_url};
use crate::position::rfc3339;
use crate::store::{Content, Outgoing};

/// Where PagerDuty takes events.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The type of a body that is a CloudEvent.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// The type of other bodies.
const JSON: &str = "application/json";

/// A destination that is ready to send.
pub(super) struct Destination {
    target: DestinationTarget,
    sender: Sender,
    network: Network,
    web: Web,
}

impl Destination {
    pub(super) fn new(
        target: DestinationTarget,
        sender: Sender,
        network: Network,
    ) -> Result<Self, SendFailure> {
        let web = Web::new(network.clone())?;
        Ok(Self {
            target,
            sender,
            network,
            web,
        })
    }

    /// Sends a message. What takes longer than 15 seconds has failed.
    pub(super) async fn send(
        &self,
        message: &Outgoing,
        now: DateTime<Utc>,
    ) -> Result<(), SendFailure> {
        let parcel = Parcel::of(message, &self.target, &self.sender);
        self.send_parcel(parcel, now).await
    }

    /// Sends a message that says that it is a test.
    pub(super) async fn send_test(&self, id: &str, now: DateTime<Utc>) -> Result<(), SendFailure> {
        let parcel = Parcel::test(id, &self.target, &self.sender, now);
        self.send_parcel(parcel, now).await
    }

    async fn send_parcel(&self, parcel: Parcel, now: DateTime<Utc>) -> Result<(), SendFailure> {
        let sent = self.send_without_limit(parcel, now);
        let in_time = tokio::time::timeout(TIMEOUT, sent).await;
        in_time.unwrap_or_else(|_| Err(SendFailure::new("no response within 15 seconds")))
    }

    async fn send_without_limit(
        &self,
        parcel: Parcel,
        now: DateTime<Utc>,
    ) -> Result<(), SendFailure> {
        match &self.target {
            DestinationTarget::Webhook { url, keys } => {
                let body = parcel.json.to_string().into_bytes();
                let signature = sign(&read_keys(keys)?, &parcel.id, now, &body);
                let mut headers = json_headers(CLOUD_EVENT);
                header(&mut headers, "webhook-id", &parcel.id)?;
                header(&mut headers, "webhook-timestamp", &signature.timestamp)?;
                header(&mut headers, "webhook-signature", &signature.signatures)?;
                self.web.post(&read(url)?, headers, body, now).await
            }
            DestinationTarget::Slack { url } => {
                let body = parcel.json.to_string().into_bytes();
                self.web
                    .post(&read(url)?, json_headers(JSON), body, now)
                    .await
            }
            DestinationTarget::PagerDuty { url, key } => {
                let url = pagerduty_url(url.as_ref())?;
                let mut event = parcel.json;
                event["routing_key"] = json!(read(key)?.expose_secret());
                let body = event.to_string().into_bytes();
                self.web.post(&url, json_headers(JSON), body, now).await
            }
            DestinationTarget::Email { url, from, to } => {
                let mailboxes = Mailboxes::parse(from, to)?;
                email::send(&read(url)?, &mailboxes, &parcel.letter, &self.network, now).await
            }
            DestinationTarget::File { path } => file::append(path, parcel.json.to_string()).await,
        }
    }

    /// Everything that is wrong with it, as far as it can be known without sending.
    pub(super) async fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut note = |checked: Result<(), SendFailure>| {
            if let Err(failure) = checked {
                wrong.push(failure.error);
            }
        };
        match &self.target {
            DestinationTarget::Webhook { url, keys } => {
                note(read_keys(keys).map(|_| ()));
                note(self.check_web(read(url)).await);
            }
            DestinationTarget::Slack { url } => note(self.check_web(read(url)).await),
            DestinationTarget::PagerDuty { url, key } => {
                note(read(key).map(|_| ()));
                note(self.check_web(pagerduty_url(url.as_ref())).await);
            }
            DestinationTarget::Email { url, from, to } => {
                note(Mailboxes::parse(from, to).map(|_| ()));
                note(self.check_mail(read(url)).await);
            }
            DestinationTarget::File { path } => {
                let error = |error| SendFailure::new(format!("`{}`: {error}", path.display()));
                note(file::refuse_special(path).map_err(error));
                let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
                if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
                    note(Err(SendFailure::new(format!(
                        "there is no folder `{}`",
                        dir.display()
                    ))));
                }
            }
        }
        wrong
    }

    async fn check_web(&self, url: Result<SecretString, SendFailure>) -> Result<(), SendFailure> {
        let url = usable_url(&url?, &self.network)?;
        let resolved = self.network.addresses(&url).await;
        resolved
            .map(|_| ())
            .map_err(|error| SendFailure::new(error.to_string()))
    }

    async fn check_mail(&self, url: Result<SecretString, SendFailure>) -> Result<(), SendFailure> {
        let server = SmtpServer::parse(&url?, &self.network)?;
        let resolved = self.network.addresses(&server.url).await;
        resolved
            .map(|_| ())
            .map_err(|error| SendFailure::new(error.to_string()))
    }
}

fn read(source: &SecretSource) -> Result<SecretString, SendFailure> {
    source
        .read()
        .map_err(|error| SendFailure::new(error.to_string()))
}

/// The keys of all sources, which are at most two together.
fn read_keys(sources: &[SecretSource]) -> Result<Vec<SigningKey>, SendFailure> {
    let mut keys = Vec::new();
    for source in sources {
        keys.extend(
            source
                .read_keys()
                .map_err(|error| SendFailure::new(error.to_string()))?,
        );
    }
    if keys.len() > MAX_KEYS {
        return Err(SendFailure::new(format!(
            "there are more than {MAX_KEYS} keys"
        )));
    }
    Ok(keys)
}

fn pagerduty_url(url: Option<&SecretSource>) -> Result<SecretString, SendFailure> {
    url.map_or_else(|| Ok(PAGERDUTY_URL.into()), read)
}

fn header(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), SendFailure> {
    let value = HeaderValue::from_str(value);
    let value = value.map_err(|_| SendFailure::new(format!("`{name}` cannot be sent")))?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// A message in the form of its destination.
struct Parcel {
    id: String,
    json: Value,
    letter: Letter,
}

impl Parcel {
    fn of(message: &Outgoing, target: &DestinationTarget, sender: &Sender) -> Self {
        let message = form::masked(message);
        let json = match target {
            DestinationTarget::Webhook { .. } | DestinationTarget::File { .. } => {
                form::cloud_event(&message, sender)
            }
            DestinationTarget::Slack { .. } => form::slack(&message, sender),
            DestinationTarget::PagerDuty { .. } => form::pagerduty(&message, sender),
            DestinationTarget::Email { .. } => Value::Null,
        };
        let thread = match &message.content {
            Content::Alert { alert, .. } => alert.id.to_string(),
            Content::Digest { .. } => message.webhook_id.clone(),
        };
        let letter = Letter {
            id: message.webhook_id.clone(),
            thread,
            subject: format!("[orgtrail] {}", plain::title(&message)),
            lines: plain::lines(&message, sender),
        };
        Self {
            id: message.webhook_id,
            json,
            letter,
        }
    }

    fn test(id: &str, target: &DestinationTarget, sender: &Sender, now: DateTime<Utc>) -> Self {
        const TEXT: &str = "This is a test message of orgtrail. No alert was raised.";
        let time = rfc3339(now);
        let json = match target {
            DestinationTarget::Webhook { .. } | DestinationTarget::File { .. } => form::envelope(
                id,
                "orgtrail.alert.test",
                &time,
                "test",
                json!({"summary": TEXT}),
                sender,
            ),
            DestinationTarget::Slack { .. } => form::slack_text(TEXT),
            // PagerDuty accepts the resolution of an unknown incident and notifies no one.
            DestinationTarget::PagerDuty { .. } => {
                json!({"event_action": "resolve", "dedup_key": id})
            }
            DestinationTarget::Email { .. } => Value::Null,
        };
        Self {
            id: id.to_owned(),
            json,
            letter: Letter {
                id: id.to_owned(),
                thread: id.to_owned(),
                subject: "[orgtrail] test".to_owned(),
                lines: vec![TEXT.to_owned()],
            },
        }
    }
}
