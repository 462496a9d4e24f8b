//! What a message says, in the form of its destination. Credentials in it are hidden first.

use serde_json::{Value, json};

use super::plain;
use super::settings::Sender;
use crate::alert::{Alert, AlertState, Level};
use crate::mask::Mask;
use crate::position::rfc3339;
use crate::store::{Content, MessageKind, Outgoing};

/// The longest `summary` that PagerDuty takes, in characters.
const MAX_SUMMARY: usize = 1_024;

/// A message with everything hidden in it that looks like a credential.
pub(super) fn masked(message: &Outgoing) -> Outgoing {
    let mut message = message.clone();
    if let Content::Alert { alert, .. } = &mut message.content {
        mask(alert);
    }
    message
}

fn mask(alert: &mut Alert) {
    let mask = Mask::default();
    let hide = |text: &mut String| *text = mask.hide(text);
    hide(&mut alert.summary);
    hide(&mut alert.rule.title);
    alert.group.values_mut().flatten().for_each(hide);
    alert.assignee.iter_mut().for_each(hide);
    for change in &mut alert.history {
        change.reason.iter_mut().for_each(hide);
        change.who.iter_mut().for_each(hide);
        change.assignee.iter_mut().for_each(hide);
    }
}

/// The event's type, of CloudEvents.
fn event_type(content: &Content) -> &'static str {
    match content {
        Content::Digest { .. } => "orgtrail.alert.digest",
        Content::Alert { change, .. } => match change {
            MessageKind::Raised => "orgtrail.alert.raised",
            MessageKind::Updated => "orgtrail.alert.updated",
            MessageKind::Retracted => "orgtrail.alert.retracted",
            MessageKind::Digest => "orgtrail.alert.digest",
        },
    }
}

/// CloudEvents 1.0, structured JSON. It is the same for each attempt.
pub(super) fn cloud_event(message: &Outgoing, sender: &Sender) -> Value {
    let (subject, data) = match &message.content {
        Content::Alert { alert, .. } => (alert.id.to_string(), json!(alert)),
        Content::Digest { rule, alerts } => (rule.clone(), json!({"rule": rule, "alerts": alerts})),
    };
    envelope(
        &message.webhook_id,
        event_type(&message.content),
        &rfc3339(message.at),
        &subject,
        data,
        sender,
    )
}

/// The envelope of CloudEvents.
pub(super) fn envelope(
    id: &str,
    event_type: &str,
    time: &str,
    subject: &str,
    data: Value,
    sender: &Sender,
) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": source(sender),
        "type": event_type,
        "time": time,
        "subject": subject,
        "datacontenttype": "application/json",
        "data": data,
    })
}

fn source(sender: &Sender) -> String {
    format!("urn:uuid:{}", sender.log_id)
}

/// A message of Slack: its signs `&`, `<` and `>` are escaped, so that no value makes a link or calls a channel.
pub(super) fn slack(message: &Outgoing, sender: &Sender) -> Value {
    let text = plain::lines(message, sender).join("\n");
    slack_text(&text)
}

/// A text as a message of Slack.
pub(super) fn slack_text(text: &str) -> Value {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({"text": text})
}

/// An event of PagerDuty's Events API v2, without the routing key. One alert is one incident.
pub(super) fn pagerduty(message: &Outgoing, sender: &Sender) -> Value {
    let (action, key, severity, class) = match &message.content {
        Content::Alert { change, alert } => {
            let action = action(*change, alert.state);
            let severity = severity(alert.rule.level);
            (
                action,
                alert.id.to_string(),
                severity,
                alert.rule.id.as_str(),
            )
        }
        // A digest has no level here; `warning` is enough for someone to look.
        Content::Digest { rule, .. } => (
            "trigger",
            message.webhook_id.clone(),
            "warning",
            rule.as_str(),
        ),
    };
    let mut event = json!({"event_action": action, "dedup_key": key});
    if action == "trigger" {
        let summary: String = plain::title(message).chars().take(MAX_SUMMARY).collect();
        event["payload"] = json!({
            "summary": summary,
            "source": source(sender),
            "severity": severity,
            "timestamp": rfc3339(message.at),
            "component": "cloudflare",
            "class": class,
            "custom_details": cloud_event(message, sender)["data"],
        });
        event["client"] = json!("orgtrail");
        if let Some(link) = plain::link(message, sender) {
            event["links"] = json!([{"href": link, "text": "Events"}]);
        }
    }
    event
}

fn action(change: MessageKind, state: AlertState) -> &'static str {
    match (change, state) {
        (MessageKind::Retracted, _) | (_, AlertState::Closed | AlertState::Retracted) => "resolve",
        (_, AlertState::Acknowledged) => "acknowledge",
        (_, AlertState::Open) => "trigger",
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::High => "error",
        Level::Medium => "warning",
        Level::Low | Level::Informational => "info",
    }
}
