//! Bodies on disk: one zstd frame each, with a dictionary trained from this log's own entries.
//!
//! Audit log entries share their keys and most of their values, so a dictionary takes them to a quarter of what they are;
//! a frame of its own keeps any entry readable alone. It does not know of events, only of bytes and of which dictionary
//! they need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

use super::error::StoreError;
use crate::sync::lock;

/// Bodies are a twelfth smaller than at zstd's usual level 3, for some 4 µs each. Higher levels gain another twelfth for several times
/// the work.
const LEVEL: i32 = 5;

/// The size of a trained dictionary, in bytes. With the 112 KiB that zstd proposes, bodies are a twentieth larger, at the same speed.
const DICTIONARY_LEN: usize = 256 * 1024;

/// How much is sampled to train one, in bytes.
pub(super) const MAX_SAMPLE_BYTES: usize = 8 * 1024 * 1024;

/// The largest body that can be read back, in bytes: more than the largest page that is taken from upstream.
pub(super) const MAX_BODY_LEN: usize = 128 * 1024 * 1024;

/// The dictionary of bodies that have none.
pub(super) const NO_DICTIONARY: i64 = 0;

/// All dictionaries of one log, and which of them new bodies use.
pub(super) struct Bodies {
    state: Mutex<Dictionaries>,
    /// Held for reading from before bodies are compressed until their rows are written, and for writing while a dictionary is deleted.
    packing: RwLock<()>,
}

struct Dictionaries {
    decoders: Decoders,
    current: Option<Arc<Current>>,
    /// Since the current dictionary was taken into use, for [`Bodies::falls_short`].
    raw_bytes: u64,
    packed_bytes: u64,
}

/// Every dictionary, for reading. A clone costs a reference count.
#[derive(Clone, Default)]
pub(super) struct Decoders(Arc<HashMap<i64, Arc<DecoderDictionary<'static>>>>);

struct Current {
    id: i64,
    sample_ratio: f64,
    encoder: EncoderDictionary<'static>,
}

/// A body as it is written to disk.
#[derive(Clone)]
pub(super) struct Packed {
    pub(super) dictionary: i64,
    pub(super) frame: Vec<u8>,
}

/// How many bytes must have gone through a dictionary before it is judged.
const JUDGED_BYTES: u64 = 64 * 1024 * 1024;

/// How much worse than over its samples a dictionary may do before another is trained.
const WORSE: f64 = 1.3;

impl Bodies {
    pub(super) fn new() -> Self {
        let state = Dictionaries {
            decoders: Decoders::default(),
            current: None,
            raw_bytes: 0,
            packed_bytes: 0,
        };
        Self {
            state: Mutex::new(state),
            packing: RwLock::new(()),
        }
    }

    /// Takes a dictionary into use for reading, and, as the latest, for writing.
    ///
    /// A damaged one is used for reading as far as zstd can load it: bodies are compared with their hashes anyway. New bodies
    /// are then written without a dictionary, until another one is trained.
    pub(super) fn learn(&self, id: i64, sample_ratio: f64, content: &[u8], is_whole: bool) {
        let decoder = DecoderDictionary::try_copy(content).map(Arc::new);
        let encoder = EncoderDictionary::try_copy(content, LEVEL);
        let mut state = self.lock();
        let (Ok(decoder), Ok(encoder)) = (decoder, encoder) else {
            state.current = None;
            return;
        };
        Arc::make_mut(&mut state.decoders.0).insert(id, decoder);
        state.current = is_whole.then(|| {
            Arc::new(Current {
                id,
                sample_ratio,
                encoder,
            })
        });
        state.raw_bytes = 0;
        state.packed_bytes = 0;
    }

    /// Held from before bodies are compressed until their rows are written: no dictionary that they need is deleted meanwhile.
    pub(super) fn packing(&self) -> RwLockReadGuard<'_, ()> {
        self.packing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a dictionary is deleted: no body is being compressed then.
    pub(super) fn no_packing(&self) -> RwLockWriteGuard<'_, ()> {
        self.packing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compresses nothing with these dictionaries any more. Bodies that need them can still be read.
    pub(super) fn retire(&self, dictionaries: &[i64]) {
        let mut state = self.lock();
        state
            .current
            .take_if(|current| dictionaries.contains(&current.id));
    }

    /// Whether bodies are compressed with a dictionary now.
    pub(super) fn has_current(&self) -> bool {
        self.lock().current.is_some()
    }

    /// Whether bodies with this dictionary can be read, as far as it is known here.
    pub(super) fn knows(&self, dictionary: i64) -> bool {
        dictionary == NO_DICTIONARY || self.lock().decoders.0.contains_key(&dictionary)
    }

    /// Compresses bodies, in order, with the dictionary now in use, and counts how well it does.
    pub(super) fn pack<'a>(
        &self,
        bodies: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Packed>, StoreError> {
        let mut raw_bytes = 0;
        let bodies = bodies.inspect(|body| raw_bytes += body.len() as u64);
        let packed = self.pack_again(bodies)?;
        let packed_bytes: u64 = packed.iter().map(|one| one.frame.len() as u64).sum();
        let mut state = self.lock();
        state.raw_bytes += raw_bytes;
        state.packed_bytes += packed_bytes;
        Ok(packed)
    }

    /// As [`Bodies::pack`], of bodies that were counted before.
    pub(super) fn pack_again<'a>(
        &self,
        bodies: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Packed>, StoreError> {
        let current = self.lock().current.clone();
        let (dictionary, mut compressor) = match current.as_deref() {
            Some(current) => (
                current.id,
                Compressor::with_prepared_dictionary(&current.encoder)?,
            ),
            None => (NO_DICTIONARY, Compressor::new(LEVEL)?),
        };
        // The row names the dictionary: the frame need not.
        compressor.set_parameter(CParameter::DictIdFlag(false))?;
        let mut packed = Vec::new();
        for body in bodies {
            let frame = compressor.compress(body.as_bytes())?;
            packed.push(Packed { dictionary, frame });
        }
        Ok(packed)
    }

    /// Whether the dictionary in use does markedly worse than it did over its samples, or there is none yet.
    pub(super) fn falls_short(&self) -> bool {
        let state = self.lock();
        let bearable = match &state.current {
            Some(current) => current.sample_ratio * WORSE,
            None => 0.0,
        };
        let ratio = state.packed_bytes as f64 / state.raw_bytes.max(1) as f64;
        state.raw_bytes >= JUDGED_BYTES && ratio > bearable
    }

    /// Judges the dictionary in use, or that there is none, by what comes from now on.
    pub(super) fn judge_anew(&self) {
        let mut state = self.lock();
        state.raw_bytes = 0;
        state.packed_bytes = 0;
    }

    /// What is needed to read bodies: for an [`Unpacker`], which reads many of them.
    pub(super) fn decoders(&self) -> Decoders {
        self.lock().decoders.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Dictionaries> {
        lock(&self.state)
    }
}

/// Reads bodies. Making one for each body would cost several times what reading it does.
pub(super) struct Unpacker<'a> {
    decoders: &'a Decoders,
    /// Those in use so far; a log has a handful.
    open: Vec<(i64, Decompressor<'a>)>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(decoders: &'a Decoders) -> Self {
        Self {
            decoders,
            open: Vec::new(),
        }
    }

    /// Whether the dictionary of a body is there.
    pub(super) fn knows(&self, dictionary: i64) -> bool {
        dictionary == NO_DICTIONARY || self.decoders.0.contains_key(&dictionary)
    }

    /// The bytes that were packed.
    pub(super) fn unpack(&mut self, dictionary: i64, frame: &[u8]) -> Result<Vec<u8>, StoreError> {
        let len = Decompressor::upper_bound(frame).unwrap_or(MAX_BODY_LEN);
        if len > MAX_BODY_LEN {
            return Err(StoreError::Damaged(format!(
                "a body claims to be {len} bytes long"
            )));
        }
        self.decompressor(dictionary)?
            .decompress(frame, len)
            .map_err(|error| StoreError::Damaged(format!("a body cannot be read: {error}")))
    }

    fn decompressor(&mut self, dictionary: i64) -> Result<&mut Decompressor<'a>, StoreError> {
        let opened = self.open.iter().position(|(id, _)| *id == dictionary);
        let at = match opened {
            Some(at) => at,
            None => {
                let decompressor = match self.decoders.0.get(&dictionary) {
                    Some(decoder) => Decompressor::with_prepared_dictionary(decoder)?,
                    None if dictionary == NO_DICTIONARY => Decompressor::new()?,
                    None => {
                        return Err(StoreError::Damaged(format!(
                            "dictionary {dictionary} is missing"
                        )));
                    }
                };
                self.open.push((dictionary, decompressor));
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at].1)
    }
}

/// A dictionary for such bodies, and how well it does over them; `None` when they are too few or too plain for one.
pub(super) fn train(samples: &[&str]) -> Option<(Vec<u8>, f64)> {
    let content = zstd::dict::from_samples(samples, DICTIONARY_LEN).ok()?;
    let trial = Bodies::new();
    trial.learn(1, 0.0, &content, true);
    let packed = trial.pack(samples.iter().copied()).ok()?;
    let packed_bytes: usize = packed.iter().map(|packed| packed.frame.len()).sum();
    let raw_bytes: usize = samples.iter().map(|sample| sample.len()).sum();
    Some((content, packed_bytes as f64 / raw_bytes.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(i: usize) -> String {
        let (email, id) = (i % 50, i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        format!(
            r#"{{"id":"{id:032x}","action":{{"type":"create","result":"success"}},"actor":{{"email":"user{email}@example.com"}},"resource":{{"product":"dns","type":"record"}}}}"#
        )
    }

    #[test]
    fn bodies_survive_every_dictionary() {
        let bodies = Bodies::new();
        let samples: Vec<String> = (0..2_000).map(sample).collect();
        let plain = bodies.pack(samples.iter().map(String::as_str)).unwrap();
        let (content, ratio) =
            train(&samples.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        bodies.learn(1, ratio, &content, true);
        let trained = bodies.pack(samples.iter().map(String::as_str)).unwrap();
        let decoders = bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        for ((sample, plain), trained) in samples.iter().zip(&plain).zip(&trained) {
            assert_eq!((plain.dictionary, trained.dictionary), (0, 1));
            assert_eq!(unpacker.unpack(0, &plain.frame).unwrap(), sample.as_bytes());
            assert_eq!(
                unpacker.unpack(1, &trained.frame).unwrap(),
                sample.as_bytes()
            );
            assert!(trained.frame.len() < plain.frame.len());
        }
        assert!(!bodies.falls_short());
    }

    #[test]
    fn a_log_without_a_dictionary_gets_one_in_time_or_is_asked_again_much_later() {
        let bodies = Bodies::new();
        let body = "x".repeat(1024 * 1024);
        let pack = |times| {
            bodies
                .pack(std::iter::repeat_n(body.as_str(), times))
                .unwrap();
            bodies.falls_short()
        };
        assert_eq!([pack(63), pack(1)], [false, true]);
        bodies.judge_anew();
        assert!(!bodies.falls_short());
    }

    #[test]
    fn a_dictionary_that_cannot_be_loaded_stops_nothing() {
        let bodies = Bodies::new();
        // It begins as a dictionary does, and goes on as none does.
        let broken = [0x37, 0xa4, 0x30, 0xec, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        bodies.learn(1, 0.5, &broken, false);
        let packed = bodies.pack(["some text"].into_iter()).unwrap();
        assert_eq!(packed[0].dictionary, NO_DICTIONARY);
        assert!(!bodies.knows(1));
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        let bodies = Bodies::new();
        let packed = bodies.pack(["some text"].into_iter()).unwrap();
        let decoders = bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        assert!(matches!(
            unpacker.unpack(7, &packed[0].frame),
            Err(StoreError::Damaged(_))
        ));
        assert!(matches!(
            unpacker.unpack(0, b"not zstd"),
            Err(StoreError::Damaged(_))
        ));
    }
}
