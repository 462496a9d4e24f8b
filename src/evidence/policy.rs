//! A policy (tlog-policy): which logs and witnesses are trusted, and how many of the witnesses must have signed a checkpoint.
//!
//! A witness whose kind of key is not known here is accepted, and never counts as one that has signed.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::TreeHead;
use super::error::EvidenceError;
use super::hash::decimal;
use super::note::SignedNote;
use super::vkey::VerifierKey;

/// The largest policy that is read.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;

/// The most logs, and the most witnesses and groups together.
const MAX_NAMED: usize = 1_000;

/// The name of the quorum that needs no witness.
const NONE: &[u8] = b"none";

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<VerifierKey>,
    /// Witnesses and groups; a group refers to earlier ones only.
    members: Vec<QuorumMember>,
    /// The member whose signature is needed; `None` when none is.
    quorum: Option<usize>,
}

/// Who can sign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum QuorumMember {
    Witness(VerifierKey),
    /// At least so many of these.
    Group(usize, Vec<usize>),
}

/// A checkpoint that has the signatures that a policy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// What it says.
    pub head: TreeHead,
    /// The witnesses of the policy that signed it, with when they did, in seconds since 1970.
    pub cosigned: Vec<(String, u64)>,
}

impl WitnessPolicy {
    /// A policy of one log, of which `quorum` of the witnesses must have signed.
    ///
    /// # Errors
    /// When a key is there twice, or there are fewer witnesses than that.
    pub fn of(
        log: VerifierKey,
        witnesses: &[VerifierKey],
        quorum: usize,
    ) -> Result<Self, EvidenceError> {
        Self::parse(text(&[log], witnesses, quorum).as_bytes())
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_POLICY_BYTES {
            let message = format!("the policy has more than {MAX_POLICY_BYTES} bytes");
            return Err(EvidenceError::malformed(message));
        }
        let mut reader = PolicyReader::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let read = reader.line(line);
            read.map_err(|what| {
                EvidenceError::malformed(format!("the policy, line {}: {what}", at + 1))
            })?;
        }
        let quorum = reader.quorum;
        let quorum =
            quorum.ok_or_else(|| EvidenceError::malformed("the policy has no line `quorum`"))?;
        Ok(Self {
            logs: reader.logs,
            members: reader.members,
            quorum,
        })
    }

    /// Checks that a checkpoint is of one of the logs and that the quorum has signed it.
    ///
    /// # Errors
    /// What is missing, or which signature of a key of the policy is not valid.
    pub fn verify(&self, note: &SignedNote) -> Result<Witnessed, EvidenceError> {
        let head = TreeHead::parse(&note.text)?;
        self.verify_log(note, &head)?;
        let mut cosigned = Vec::new();
        let mut holds: Vec<bool> = Vec::new();
        for member in &self.members {
            holds.push(match member {
                QuorumMember::Witness(key) => {
                    let at = key.verify(note)?.and_then(|signed| signed.at);
                    cosigned.extend(at.map(|at| (key.name.clone(), at)));
                    at.is_some()
                }
                QuorumMember::Group(least, members) => {
                    let is_held = |member: &&usize| holds.get(**member) == Some(&true);
                    members.iter().filter(is_held).count() >= *least
                }
            });
        }
        if self
            .quorum
            .is_some_and(|quorum| holds.get(quorum) != Some(&true))
        {
            let message = format!(
                "the witnesses that the policy asks for have not signed the checkpoint: {} of {} did",
                cosigned.len(),
                self.witnesses().count()
            );
            return Err(EvidenceError::unproven(message));
        }
        Ok(Witnessed { head, cosigned })
    }

    fn verify_log(&self, note: &SignedNote, head: &TreeHead) -> Result<(), EvidenceError> {
        let mut of_origin = self
            .logs
            .iter()
            .filter(|log| log.name == head.origin)
            .peekable();
        if of_origin.peek().is_none() {
            let message = format!("the policy has no log `{}`", head.origin);
            return Err(EvidenceError::unproven(message));
        }
        for log in of_origin {
            if log.verify(note)?.is_some() {
                return Ok(());
            }
        }
        let message = format!(
            "the log `{}` has not signed the checkpoint with a key of the policy",
            head.origin
        );
        Err(EvidenceError::unproven(message))
    }

    /// Its witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.members.iter().filter_map(|member| match member {
            QuorumMember::Witness(key) => Some(key),
            QuorumMember::Group(..) => None,
        })
    }
}

/// The text of a policy of some logs, of which `quorum` of the witnesses must have signed.
#[must_use]
pub fn text(logs: &[VerifierKey], witnesses: &[VerifierKey], quorum: usize) -> String {
    let mut text = String::new();
    for log in logs {
        text.push_str(&format!("log {log}\n"));
    }
    let mut names = String::new();
    for (at, witness) in witnesses.iter().enumerate() {
        text.push_str(&format!("witness w{at} {witness}\n"));
        names.push_str(&format!(" w{at}"));
    }
    if quorum == 0 {
        return text + "quorum none\n";
    }
    text.push_str(&format!(
        "group witnesses {quorum}{names}\nquorum witnesses\n"
    ));
    text
}

/// What of a policy has been read.
#[derive(Default)]
struct PolicyReader {
    logs: Vec<VerifierKey>,
    members: Vec<QuorumMember>,
    names: BTreeMap<Vec<u8>, usize>,
    /// The members that are in a group.
    grouped: BTreeSet<usize>,
    quorum: Option<Option<usize>>,
}

impl PolicyReader {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            return Err("it has a control character".to_owned());
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => self.log(key),
            [b"witness", name, key] | [b"witness", name, key, _] => self.witness(name, key),
            [b"group", name, least, members @ ..] if !members.is_empty() => {
                self.group(name, least, members)
            }
            [b"quorum", name] => self.take_quorum(name),
            _ => Err("it is not a line of a policy".to_owned()),
        }
    }

    fn log(&mut self, key: &[u8]) -> Result<(), String> {
        let key = parse_key(key)?;
        if !key.is_supported() {
            return Err("the signatures of this kind of key are not known here".to_owned());
        }
        if self
            .logs
            .iter()
            .any(|log| log.material() == key.material() && log.name == key.name)
        {
            return Err("this log is there already".to_owned());
        }
        if self.logs.len() == MAX_NAMED {
            return Err(format!("there are more than {MAX_NAMED} logs"));
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8]) -> Result<(), String> {
        let key = parse_key(key)?;
        if key.is_supported() && !key.is_of_witness() {
            return Err("the key of a witness has the type 4".to_owned());
        }
        let is_known = self.members.iter().any(|member| match member {
            QuorumMember::Witness(known) => known.material() == key.material(),
            QuorumMember::Group(..) => false,
        });
        if is_known {
            return Err("a witness has this key already".to_owned());
        }
        self.define(name, QuorumMember::Witness(key))
    }

    fn group(&mut self, name: &[u8], least: &[u8], names: &[&[u8]]) -> Result<(), String> {
        let mut members = Vec::new();
        for name in names {
            let member = self.member(name)?;
            if !self.grouped.insert(member) {
                return Err("a member is in a group already".to_owned());
            }
            members.push(member);
        }
        let number = || {
            let number = std::str::from_utf8(least).ok().and_then(decimal);
            number.and_then(|number| usize::try_from(number).ok())
        };
        let least = match least {
            b"any" => 1,
            b"all" => members.len(),
            _ => number()
                .filter(|least| (1..=members.len()).contains(least))
                .ok_or(
                    "a group needs `all`, `any`, or a number between 1 and that of its members",
                )?,
        };
        self.define(name, QuorumMember::Group(least, members))
    }

    fn take_quorum(&mut self, name: &[u8]) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("there is a quorum already".to_owned());
        }
        let member = if name == NONE {
            None
        } else {
            Some(self.member(name)?)
        };
        self.quorum = Some(member);
        Ok(())
    }

    fn member(&self, name: &[u8]) -> Result<usize, String> {
        let known = self.names.get(name).copied();
        known.ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            format!("no witness or group before it has the name `{name}`")
        })
    }

    fn define(&mut self, name: &[u8], member: QuorumMember) -> Result<(), String> {
        if name == NONE {
            return Err("`none` cannot be the name of a witness or a group".to_owned());
        }
        if self.members.len() == MAX_NAMED {
            return Err(format!(
                "there are more than {MAX_NAMED} witnesses and groups"
            ));
        }
        if self
            .names
            .insert(name.to_vec(), self.members.len())
            .is_some()
        {
            let name = String::from_utf8_lossy(name);
            return Err(format!("the name `{name}` is there already"));
        }
        self.members.push(member);
        Ok(())
    }
}

fn parse_key(key: &[u8]) -> Result<VerifierKey, String> {
    let key = std::str::from_utf8(key).map_err(|_| "the key is not UTF-8".to_owned())?;
    VerifierKey::parse(key).map_err(|error| error.to_string())
}
