//! `orgtrail verify`: proofs and checkpoints, without a server, a configuration or a log.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chrono::DateTime;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::evidence::policy::{MAX_POLICY_BYTES, Witnessed};
use crate::evidence::tlog_proof::{FIRST_LINE, MAX_PROOF_BYTES, ProvenRecord};
use crate::evidence::{
    EventLeaf, EvidenceError, SignedNote, StatementLeaf, TlogProof, WitnessPolicy,
};
use crate::position::rfc3339;
use crate::terminal::{harmless, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail verify 812.tlog-proof --policy policy.txt
  orgtrail verify *.tlog-proof checkpoint --policy policy.txt --json";

/// Which files.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Proofs (`tlog-proof`) and checkpoints. They are recognized by their content.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Which logs and witnesses are trusted: a file with a C2SP tlog-policy.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// What a file proves.
enum VerifiedFile {
    Checkpoint(Witnessed),
    Record(ProvenRecord),
}

pub(super) fn run(args: &Args) -> Result<()> {
    let policy = read(&args.policy, MAX_POLICY_BYTES)?;
    let policy = WitnessPolicy::parse(&policy)
        .with_context(|| format!("`{}` cannot be used", args.policy.display()))?;
    let mut failed = 0;
    let mut results = Vec::new();
    for path in &args.files {
        let proven = verify(path, &policy);
        failed += u64::from(proven.is_err());
        if args.json {
            results.push(as_json(path, &proven));
        } else {
            say(as_line(path, &proven))?;
        }
    }
    if args.json {
        say(json!({"files": results}))?;
    }
    match failed {
        0 => Ok(()),
        1 => bail!("1 file does not hold"),
        failed => bail!("{failed} files do not hold"),
    }
}

fn verify(path: &Path, policy: &WitnessPolicy) -> Result<VerifiedFile> {
    let bytes = read(path, MAX_PROOF_BYTES)?;
    if !bytes.starts_with(FIRST_LINE.as_bytes()) {
        let note = SignedNote::parse(&bytes).context("it is neither a proof nor a checkpoint")?;
        return Ok(VerifiedFile::Checkpoint(policy.verify(&note)?));
    }
    let record = TlogProof::parse(&bytes)?.verify(policy)?;
    // The places of events are their order: a record of another place is not the one that it says.
    if let Ok(event) = EventLeaf::parse(&record.record)
        && event.seq.checked_sub(1) != Some(record.index)
    {
        let message = format!(
            "the record says event {}, and is at index {}",
            event.seq, record.index
        );
        return Err(EvidenceError::Unproven(message).into());
    }
    Ok(VerifiedFile::Record(record))
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("could not open `{}`", path.display()))?;
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("could not read `{}`", path.display()))?;
    if bytes.len() > most {
        bail!("`{}` has more than {most} bytes", path.display());
    }
    Ok(bytes)
}

fn as_line(path: &Path, proven: &Result<VerifiedFile>) -> String {
    let path = harmless(&path.display().to_string());
    match proven {
        Err(error) => format!("FAILED  {path}: {}", harmless(&format!("{error:#}"))),
        Ok(VerifiedFile::Checkpoint(checkpoint)) => {
            format!(
                "ok      {path}: the checkpoint of {}",
                of_checkpoint(checkpoint)
            )
        }
        Ok(VerifiedFile::Record(record)) => format!(
            "ok      {path}: {} is record {} of {}",
            harmless(&what(&record.record)),
            record.index,
            of_checkpoint(&record.checkpoint)
        ),
    }
}

/// A record in words.
fn what(record: &[u8]) -> String {
    let unknown = || "unknown".to_owned();
    if let Ok(event) = EventLeaf::parse(record) {
        return format!(
            "event {} of {}, received at {}, whose entry has the SHA-256 {},",
            event.seq,
            event.source.unwrap_or_else(unknown),
            event.received_at.unwrap_or_else(unknown),
            event.sha256.unwrap_or_else(unknown)
        );
    }
    match StatementLeaf::parse(record) {
        Ok(statement) => format!(
            "the statement that {} from {} to {} is {} with {} entries",
            statement.source, statement.since, statement.before, statement.state, statement.entries
        ),
        Err(_) => "a record of another form".to_owned(),
    }
}

fn of_checkpoint(checkpoint: &Witnessed) -> String {
    let head = &checkpoint.head;
    let witnesses = checkpoint.cosigned.iter();
    let witnesses: Vec<_> = witnesses
        .map(|(name, at)| format!("{name} at {}", time(*at)))
        .collect();
    let signed = if witnesses.is_empty() {
        "signed by no witness".to_owned()
    } else {
        format!("signed by {}", witnesses.join(", "))
    };
    harmless(&format!(
        "{} with {} leaves, {signed}",
        head.origin, head.size
    ))
}

/// A time in seconds since 1970, as people write it.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|s| DateTime::from_timestamp(s, 0));
    time.map_or_else(|| seconds.to_string(), rfc3339)
}

fn as_json(path: &Path, proven: &Result<VerifiedFile>) -> Value {
    let (kind, checkpoint, record) = match proven {
        Err(error) => {
            return json!({"file": path, "ok": false, "error": format!("{error:#}")});
        }
        Ok(VerifiedFile::Checkpoint(checkpoint)) => ("checkpoint", checkpoint, None),
        Ok(VerifiedFile::Record(record)) => ("proof", &record.checkpoint, Some(record)),
    };
    let cosigned = checkpoint.cosigned.iter();
    let cosigned: Vec<_> = cosigned
        .map(|(name, at)| json!({"name": name, "time": time(*at)}))
        .collect();
    json!({
        "file": path,
        "ok": true,
        "kind": kind,
        "origin": checkpoint.head.origin,
        "size": checkpoint.head.size,
        "root": checkpoint.head.root.to_string(),
        "cosigned": cosigned,
        "index": record.map(|record| record.index),
        "record": record.and_then(|record| serde_json::from_slice::<Value>(&record.record).ok()),
    })
}
