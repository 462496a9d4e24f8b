//! What a message says to people: a title, a few lines, a link.

use super::settings::Sender;
use crate::alert::Alert;
use crate::position::rfc3339;
use crate::store::{Content, MessageKind, Outgoing};
use crate::terminal::harmless;

/// The most alerts of a digest that are named.
const MAX_NAMED: usize = 20;

/// The longest line, in characters. More is cut off.
const MAX_LINE: usize = 500;

/// One line: what happened.
pub(super) fn title(message: &Outgoing) -> String {
    let title = match &message.content {
        Content::Digest {
            level,
            rule,
            alerts,
        } => {
            let alerts = alerts.len();
            format!("[{level}] digest: {alerts} alerts of the rule {rule} within a minute")
        }
        Content::Alert { change, alert } => {
            let change = match change {
                MessageKind::Updated => "updated: ",
                MessageKind::Retracted => "retracted: ",
                MessageKind::Raised | MessageKind::Digest => "",
            };
            format!("[{}] {change}{}", alert.rule.level, alert.rule.title)
        }
    };
    line(&title)
}

/// Everything, line by line. The first is the title.
pub(super) fn lines(message: &Outgoing, sender: &Sender) -> Vec<String> {
    let mut lines = vec![title(message)];
    match &message.content {
        Content::Digest { rule, alerts, .. } => {
            lines.push(line(&format!("Rule: {rule}")));
            let shown = alerts.iter().take(MAX_NAMED).map(String::as_str);
            let shown: Vec<&str> = shown.collect();
            let more = if alerts.len() > shown.len() {
                " …"
            } else {
                ""
            };
            lines.push(line(&format!("Alerts: {}{more}", shown.join(" "))));
        }
        Content::Alert { change, alert } => {
            lines.push(line(&alert.summary));
            if *change == MessageKind::Retracted {
                lines.push(
                    "Entries that came late disprove it, or its rule was changed.".to_owned(),
                );
            }
            for (field, value) in &alert.group {
                let value = value.as_deref().unwrap_or("(none)");
                lines.push(line(&format!("{field}: {value}")));
            }
            lines.extend(when(alert));
            lines.push(line(&format!(
                "State: {}. Rule: {}. Alert: {}",
                alert.state.as_str(),
                alert.rule.id,
                alert.id
            )));
        }
    }
    lines.extend(page(message, sender));
    lines.extend(link(message, sender));
    lines
}

/// The alert in the search page; `None` without a public URL, or for a digest.
pub(super) fn page(message: &Outgoing, sender: &Sender) -> Option<String> {
    let Content::Alert { alert, .. } = &message.content else {
        return None;
    };
    Some(alert.page(sender.public_url.as_ref()?).into())
}

/// When it happened, and how many events it has; of what the service noticed, when that was.
fn when(alert: &Alert) -> Vec<String> {
    let (first, last) = (rfc3339(alert.first_time), rfc3339(alert.last_time));
    if alert.events_total == 0 {
        return vec![format!("Noticed: {first}")];
    }
    let (events, late) = (alert.events_total, alert.late_by_seconds);
    vec![
        format!("Time: {first} to {last}"),
        format!("Events: {events}, received up to {late} s late"),
    ]
}

/// The search page at the alert's events; `None` without a public URL, or for a digest.
pub(super) fn link(message: &Outgoing, sender: &Sender) -> Option<String> {
    let Content::Alert { alert, .. } = &message.content else {
        return None;
    };
    Some(alert.link(sender.public_url.as_ref()?)?.into())
}

/// A text as one line of bounded length: control characters, line breaks among them, are escaped.
fn line(text: &str) -> String {
    let cut: String = text.chars().take(MAX_LINE).collect();
    harmless(&cut).to_string()
}
