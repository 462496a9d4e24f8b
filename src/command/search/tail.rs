//! Following: each event that becomes searchable, without a gap, whatever becomes of the connection.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::found::{FoundEvent, look_into, told};
use super::lines::Lines;
use crate::command::reach::{Server, open};
use crate::engine::Scope;
use crate::position::Seq;
use crate::search::{Question, Tail};

/// How often a data directory is looked into, and how soon a server is asked again after a break.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a server is asked again when it cannot be reached, before that is given up.
const MAX_TRIES: u32 = 60;

/// Follows a server's stream from the event after `after` on; goes on after a break where it was.
pub(super) async fn of_server(
    server: &Server,
    filters: &[(&'static str, String)],
    mut after: Seq,
    mut take: impl FnMut(Vec<FoundEvent>) -> Result<()>,
) -> Result<()> {
    let mut tries = 0;
    loop {
        let last = after.to_string();
        let mut parameters: Vec<(&str, &str)> = filters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        parameters.push(("last_event_id", &last));
        match open(server, "/v1/events/stream", &parameters).await {
            Ok(answer) => {
                tries = 0;
                let mut lines = Lines::new(answer);
                let mut told = after;
                // A break is not told: nothing is lost by it.
                while let Ok(Some(line)) = lines.next().await {
                    if let Some(data) = line.strip_prefix("data: ") {
                        let found = FoundEvent::read(data)?;
                        after = found.event.seq;
                        take(vec![found])?;
                    } else if let Some(seq) = line.strip_prefix("id: ") {
                        told = seq.parse().map_or(after, Seq);
                    } else if line.is_empty() {
                        // Only now is the message whole; one without data is a heartbeat, which says how far it looked.
                        after = after.max(told);
                    }
                }
            }
            Err(error) if tries == 0 || tries >= MAX_TRIES => return Err(error),
            Err(_) => {}
        }
        tries += 1;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks into a data directory again and again, from the event after `after` on.
pub(super) fn of_dir(
    dir: &Path,
    question: &Question,
    mut after: Seq,
    mut take: impl FnMut(Vec<FoundEvent>) -> Result<()>,
) -> Result<()> {
    loop {
        let (store, view) = look_into(dir)?;
        let caller = view.caller(Scope::everything(), None);
        let mut tail = Tail::new(store.clone(), question.clone(), after);
        loop {
            let events = tail.next_events(&view, &caller).map_err(told)?;
            if events.is_empty() {
                break;
            }
            take(FoundEvent::from_store(&store, events)?)?;
        }
        after = tail.at();
        std::thread::sleep(LOOK_EVERY);
    }
}
