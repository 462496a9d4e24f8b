//! Asks witnesses to sign checkpoints (tlog-witness). The follower never waits for them.
//!
//! In a round, each witness is asked once for the newest checkpoint, all of them at the same time. A witness that fails is left out
//! for a while. When the quorum has signed, the checkpoint is saved with the signatures, and proofs lead to it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::{StatusCode, redirect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::error::AttestError;
use super::published::{PublishedLog, ShownCheckpoint};
use super::settings::{EvidenceConfig, WitnessConfig};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::evidence::proof::Prover;
use crate::evidence::witness_request::{self, MAX_ANSWER_BYTES};
use crate::evidence::{EvidenceError, NoteSignature};
use crate::store::Store;
use crate::task;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a witness is asked for one checkpoint: it may know another one than we think.
const MAX_TRIES: usize = 3;

/// How long a witness that failed is left out. It doubles with each failure that follows at once.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(5);
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(10);

/// Why a witness has not signed.
#[derive(Debug, thiserror::Error)]
enum WitnessError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answered {0}{1}")]
    Refused(StatusCode, String),
    #[error(
        "it has signed a tree of {known} leaves of this log, which has {ours}: an older copy of the log may have taken its place"
    )]
    IsAhead { known: u64, ours: u64 },
    #[error("it says again and again that it knows another tree")]
    Undecided,
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    Files(#[from] AttestError),
}

/// A witness, and what is known of it.
struct WitnessState {
    config: WitnessConfig,
    /// How many leaves its last checkpoint of this log has, as far as that is known.
    known: u64,
    backoff: Backoff,
    /// Until when it is left out, by the steady clock.
    left_out_until: Option<DateTime<Utc>>,
}

/// The witnesses of one transparency log.
pub struct Witnesses {
    log: PublishedLog,
    store: Store,
    http: reqwest::Client,
    witnesses: Vec<WitnessState>,
    quorum: usize,
    clock: Clock,
}

impl Witnesses {
    /// Has the checkpoints of `log` signed. `None` when there are no witnesses, or no HTTP client can be made.
    #[must_use]
    pub fn new(
        config: &EvidenceConfig,
        log: PublishedLog,
        store: Store,
        clock: Clock,
    ) -> Option<Self> {
        if config.witnesses.is_empty() {
            return None;
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("orgtrail/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .ok()?;
        let witnesses = config.witnesses.iter().map(|config| WitnessState {
            config: config.clone(),
            known: 0,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            left_out_until: None,
        });
        Some(Self {
            log,
            store,
            http,
            witnesses: witnesses.collect(),
            quorum: config.quorum,
            clock,
        })
    }

    /// Has each new checkpoint signed until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sizes = self.log.sizes();
        loop {
            sizes.mark_unchanged();
            let round = self.round();
            let next_in = tokio::select! {
                () = stop.cancelled() => return,
                next_in = round => next_in,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed(&mut sizes) => {}
                () = tokio::time::sleep(next_in) => {}
            }
        }
    }

    /// Asks each witness that is not left out for the newest checkpoint. Says when to come again although there is no other one.
    async fn round(&mut self) -> Duration {
        let Some(checkpoint) = self.log.newest() else {
            return TIMEOUT;
        };
        let now = self.clock.steady();
        let (log, http) = (&self.log, &self.http);
        let asked = self.witnesses.iter_mut().map(|witness| {
            let has_signed = witness.has_signed(&checkpoint);
            let is_left_out = witness.left_out_until.is_some_and(|until| now < until);
            let checkpoint = &checkpoint;
            async move {
                if has_signed || is_left_out {
                    return None;
                }
                let answer = witness.ask(http, log, checkpoint).await;
                witness.note(&log.origin, answer, now)
            }
        });
        let new: Vec<NoteSignature> = join_all(asked)
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        let is_new = !new.is_empty();
        let signed = self.log.add_cosignatures(&checkpoint, new);
        let count = self
            .witnesses
            .iter()
            .filter(|witness| witness.has_signed(&signed))
            .count();
        let is_witnessed = self.quorum > 0 && count >= self.quorum;
        self.log.note_signed(&signed, count);
        if is_new && is_witnessed {
            self.save(&signed).await;
        }
        let waits = self
            .witnesses
            .iter()
            .filter(|witness| !witness.has_signed(&signed));
        let wait = waits.map(|witness| witness.backoff.wait()).min();
        wait.and_then(|wait| wait.to_std().ok()).unwrap_or(TIMEOUT)
    }

    async fn save(&self, signed: &ShownCheckpoint) {
        let (store, origin) = (self.store.clone(), self.log.origin.to_string());
        let note = signed.note.to_string();
        let saved = task::caught(move || store.save_cosigned(&origin, &note)).await;
        if let Ok(Err(error)) = saved {
            warn!(error = %error, "A checkpoint that witnesses have signed could not be saved; the next one will be.");
        }
    }
}

async fn changed(sizes: &mut watch::Receiver<u64>) {
    if sizes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl WitnessState {
    fn has_signed(&self, checkpoint: &ShownCheckpoint) -> bool {
        matches!(self.config.key.verify(&checkpoint.note), Ok(Some(_)))
    }

    /// Notes how it went. A failure is logged when it begins, and so is its end.
    fn note(
        &mut self,
        origin: &str,
        answer: Result<Vec<NoteSignature>, WitnessError>,
        now: DateTime<Utc>,
    ) -> Option<Vec<NoteSignature>> {
        let name = &self.config.key.name;
        match answer {
            Ok(signatures) => {
                if self.backoff.failures() > 0 {
                    info!(
                        witness = name,
                        evidence.origin = origin,
                        "The witness signs checkpoints again."
                    );
                }
                self.backoff.reset();
                self.left_out_until = None;
                Some(signatures)
            }
            Err(error) => {
                if self.backoff.failures() == 0 {
                    warn!(witness = name, evidence.origin = origin, error = %error, "The witness has not signed a checkpoint; retrying.");
                }
                self.left_out_until = Some(now + self.backoff.fail());
                None
            }
        }
    }

    /// Asks it to sign a checkpoint. Gives its signatures, which are valid.
    async fn ask(
        &mut self,
        http: &reqwest::Client,
        log: &PublishedLog,
        checkpoint: &ShownCheckpoint,
    ) -> Result<Vec<NoteSignature>, WitnessError> {
        let ours = checkpoint.head.size;
        for _ in 0..MAX_TRIES {
            let old = self.known.min(ours);
            let proof = consistency(log.clone(), old, ours).await?;
            let body = witness_request::add_checkpoint(old, &proof, &checkpoint.note)?;
            let (status, answer) = post(http, add_checkpoint_url(&self.config.url), body).await?;
            match status {
                StatusCode::OK => {
                    let key = &self.config.key;
                    let signatures = witness_request::cosignatures(&answer, &checkpoint.note, key)?;
                    self.known = ours;
                    return Ok(signatures);
                }
                StatusCode::CONFLICT => {
                    let known = witness_request::known_size(&answer);
                    let known = known.ok_or_else(|| refused(status, &answer))?;
                    if known > ours {
                        return Err(WitnessError::IsAhead { known, ours });
                    }
                    if known == old {
                        return Err(refused(status, &answer));
                    }
                    self.known = known;
                }
                status => return Err(refused(status, &answer)),
            }
        }
        Err(WitnessError::Undecided)
    }
}

/// Where a witness takes checkpoints.
fn add_checkpoint_url(prefix: &Url) -> String {
    format!("{}/add-checkpoint", prefix.as_str().trim_end_matches('/'))
}

fn refused(status: StatusCode, answer: &[u8]) -> WitnessError {
    let text = String::from_utf8_lossy(answer);
    let line: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    let line = line.replace(char::is_control, " ");
    let said = if line.is_empty() {
        String::new()
    } else {
        format!(": {line}")
    };
    WitnessError::Refused(status, said)
}

async fn consistency(
    log: PublishedLog,
    old: u64,
    size: u64,
) -> Result<Vec<crate::evidence::MerkleHash>, AttestError> {
    task::caught(move || {
        let mut prover = Prover::new(size, |tile| log.files.hashes(tile));
        prover.consistency(old)
    })
    .await?
}

/// Sends a request. Its answer is read as far as it may be long.
async fn post(
    http: &reqwest::Client,
    url: String,
    body: String,
) -> Result<(StatusCode, Vec<u8>), WitnessError> {
    // Without its URL, which may have a secret in its path.
    let unreachable =
        |error: reqwest::Error| WitnessError::Unreachable(error.without_url().to_string());
    let mut answer = http
        .post(url)
        .body(body)
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        bytes.extend(chunk);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(EvidenceError::Malformed("its answer is too long".to_owned()).into());
        }
    }
    Ok((status, bytes))
}
