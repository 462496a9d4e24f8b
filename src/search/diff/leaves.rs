//! What stands at each path of a state, in one order, so that two states are compared and merged in one pass.

use std::cmp::Ordering;
use std::sync::Arc;

use super::form::{Diff, Difference, MAX_DIFF_BYTES, MAX_DIFFERENCES, Shown};
use crate::search::error::SearchError;
use orgtrail_cloudflare::json::{self, JsonToken, Tokens};

/// The most bytes of paths and values that a state may have: names that stand above many values are repeated for each. A
/// larger state counts as unknown, be it of one body or merged of several.
pub(super) const MAX_STATE_BYTES: usize = 8 * 1024 * 1024;

/// The most objects and arrays in one another, and the most dots in a path. The state that a deeper body tells of counts
/// as unknown, and so does one with a path over [`json::MAX_PATH_LEN`].
pub(super) const MAX_DEPTH: usize = 64;

/// How many steps are taken between two looks at the clock.
const STEPS_BETWEEN_LOOKS: usize = 256;

/// How many bytes of two paths are compared at once.
const CHUNK_LEN: usize = 64;

/// What a value takes in memory beside its bytes and those of its path.
const VALUE_OVERHEAD: usize = 48;

/// Looks at the clock: fails when the question's time is up.
pub(in crate::search) type TimeCheck<'a> = &'a dyn Fn() -> Result<(), SearchError>;

/// Counts the steps of a loop, and looks at the clock now and then.
struct Steps<'a> {
    clock: TimeCheck<'a>,
    taken: usize,
}

impl<'a> Steps<'a> {
    fn new(clock: TimeCheck<'a>) -> Self {
        Self { clock, taken: 0 }
    }

    fn step(&mut self) -> Result<(), SearchError> {
        self.taken += 1;
        if self.taken.is_multiple_of(STEPS_BETWEEN_LOOKS) {
            (self.clock)()
        } else {
            Ok(())
        }
    }
}

/// The values at one path, as JSON texts in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    path: Arc<str>,
    values: Arc<Vec<String>>,
}

impl Leaf {
    fn bytes(&self) -> usize {
        bytes_of(&self.path, &self.values)
    }
}

/// What values take in memory, each with its path.
fn bytes_of(path: &str, values: &[String]) -> usize {
    let values = values.iter();
    values
        .map(|value| path.len() + value.len() + VALUE_OVERHEAD)
        .sum()
}

/// What stands at each path. Paths are in the order of [`compare`]. The leaves of several states are shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Leaves {
    leaves: Vec<Leaf>,
    n_bytes: usize,
}

/// The order of paths: by their bytes, but `.` is before any other. So what is below a path follows it directly.
fn compare(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| match byte {
        b'.' => 0,
        other => u16::from(other) + 1,
    };
    // Long paths mostly begin alike.
    let chunks = |path| str::as_bytes(path).chunks(CHUNK_LEN);
    let mut differing = chunks(a).zip(chunks(b)).skip_while(|(a, b)| a == b);
    let differing = differing.next().and_then(|(a, b)| {
        let mut bytes = a.iter().zip(b);
        bytes.find(|(a, b)| a != b)
    });
    match differing {
        Some((a, b)) => rank(*a).cmp(&rank(*b)),
        None => a.len().cmp(&b.len()),
    }
}

fn is_above(above: &str, path: &str) -> bool {
    path.len() > above.len() && path.starts_with(above) && path.as_bytes()[above.len()] == b'.'
}

impl Leaves {
    /// What stands at each path of a body; `None` when that is too much.
    pub(super) fn read(text: &str, clock: TimeCheck<'_>) -> Result<Option<Self>, SearchError> {
        let mut steps = Steps::new(clock);
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        let mut n_bytes = 0;
        let mut path = String::new();
        // For each open object or array: how long the path was outside it, and whether it has anything in it.
        let mut open: Vec<(usize, bool)> = Vec::new();
        for token in Tokens::new(text) {
            steps.step()?;
            let is_end = matches!(token, JsonToken::EndObject | JsonToken::EndArray);
            if !is_end && let Some((_, has_any)) = open.last_mut() {
                *has_any = true;
            }
            let shown = match token {
                JsonToken::BeginObject | JsonToken::BeginArray => {
                    open.push((path.len(), false));
                    if open.len() > MAX_DEPTH {
                        return Ok(None);
                    }
                    continue;
                }
                JsonToken::Key(key) => {
                    let outer = open.last().map_or(0, |(outer, _)| *outer);
                    path.truncate(outer);
                    if outer > 0 {
                        path.push('.');
                    }
                    path.push_str(&json::meaning(key));
                    if is_too_long(&path) {
                        return Ok(None);
                    }
                    continue;
                }
                JsonToken::EndObject | JsonToken::EndArray => {
                    let (outer, has_any) = open.pop().unwrap_or_default();
                    path.truncate(outer);
                    // What is all there is of the body says nothing when it is empty.
                    if has_any || open.is_empty() {
                        continue;
                    }
                    match token {
                        JsonToken::EndObject => "{}".to_owned(),
                        _ => "[]".to_owned(),
                    }
                }
                JsonToken::Text(raw) => {
                    serde_json::Value::from(json::meaning(raw).as_ref()).to_string()
                }
                JsonToken::Number(number) => number.to_owned(),
                JsonToken::Bool(value) => value.to_string(),
                JsonToken::Null => "null".to_owned(),
            };
            n_bytes += path.len() + shown.len() + VALUE_OVERHEAD;
            if n_bytes > MAX_STATE_BYTES {
                return Ok(None);
            }
            match found.last_mut() {
                Some((last, values)) if *last == path => values.push(shown),
                _ => found.push((path.clone(), vec![shown])),
            }
        }
        clock()?;
        Ok(Some(Self::sorted(found, n_bytes)))
    }

    fn sorted(mut found: Vec<(String, Vec<String>)>, n_bytes: usize) -> Self {
        // Values of one path stay in their order.
        found.sort_by(|(a, _), (b, _)| compare(a, b));
        found.dedup_by(|(path, later), (kept, values)| {
            let is_same = path == kept;
            if is_same {
                values.append(later);
            }
            is_same
        });
        let leaves = found.into_iter().map(|(path, values)| Leaf {
            path: path.into(),
            values: Arc::new(values),
        });
        Self {
            leaves: leaves.collect(),
            n_bytes,
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.leaves.iter().map(|leaf| &*leaf.path)
    }

    /// How many bytes of paths and values it has, with what they take beside.
    pub(super) fn bytes(&self) -> usize {
        self.n_bytes
    }

    /// What was known, with what is told now in its place. A path that is told anew replaces what was above and below it.
    /// `None` when that is more than [`MAX_STATE_BYTES`].
    pub(super) fn merged(
        &self,
        told: &Self,
        clock: TimeCheck<'_>,
    ) -> Result<Option<Self>, SearchError> {
        let mut steps = Steps::new(clock);
        let mut merged = Self::default();
        let mut rest = told.leaves.iter().peekable();
        // The last told path that is below no other told path: whatever is below it follows it directly.
        let mut top: Option<&str> = None;
        for leaf in &self.leaves {
            while let Some(next) =
                rest.next_if(|next| compare(&next.path, &leaf.path) != Ordering::Greater)
            {
                steps.step()?;
                if top.is_none_or(|top| !is_above(top, &next.path)) {
                    top = Some(&next.path);
                }
                merged.push(next);
            }
            steps.step()?;
            let is_told = merged.leaves.last().is_some_and(|it| it.path == leaf.path);
            let is_below = top.is_some_and(|top| is_above(top, &leaf.path));
            let has_told_below = rest
                .peek()
                .is_some_and(|next| is_above(&leaf.path, &next.path));
            if !is_told && !is_below && !has_told_below {
                merged.push(leaf);
            }
            if merged.n_bytes > MAX_STATE_BYTES {
                return Ok(None);
            }
        }
        for next in rest {
            steps.step()?;
            merged.push(next);
        }
        Ok(Some(merged).filter(|merged| merged.n_bytes <= MAX_STATE_BYTES))
    }

    fn push(&mut self, leaf: &Leaf) {
        self.n_bytes += leaf.bytes();
        self.leaves.push(leaf.clone());
    }
}

/// Whether a path is longer or deeper than the paths that are compared.
fn is_too_long(path: &str) -> bool {
    let n_dots = || path.bytes().filter(|byte| *byte == b'.').count();
    path.len() > json::MAX_PATH_LEN || n_dots() > MAX_DEPTH
}

impl Diff {
    /// With the differences of two states, at most [`MAX_DIFFERENCES`] and about [`MAX_DIFF_BYTES`].
    pub(super) fn with(
        mut self,
        before: &Leaves,
        after: &Leaves,
        clock: TimeCheck<'_>,
    ) -> Result<Self, SearchError> {
        let mut steps = Steps::new(clock);
        let mut before = before.leaves.iter().peekable();
        let mut after = after.leaves.iter().peekable();
        let nothing = Arc::new(Vec::new());
        let (mut n_found, mut n_bytes) = (0, 0);
        loop {
            steps.step()?;
            let order = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(is)) => compare(&was.path, &is.path),
            };
            let was = before.next_if(|_| order != Ordering::Greater);
            let is = after.next_if(|_| order != Ordering::Less);
            let Some(path) = was.or(is).map(|leaf| &leaf.path) else {
                break;
            };
            let (change, list) = match (was, is) {
                (Some(was), Some(is)) if was.values == is.values => continue,
                (Some(_), Some(_)) => ("changed", &mut self.changed),
                (Some(_), None) => ("removed", &mut self.removed),
                (None, _) => ("added", &mut self.added),
            };
            n_found += 1;
            n_bytes += was.map_or(0, Leaf::bytes) + is.map_or(0, Leaf::bytes);
            if n_found > MAX_DIFFERENCES || n_bytes > MAX_DIFF_BYTES {
                self.more = true;
                break;
            }
            let shown =
                |leaf: Option<&Leaf>| Shown(leaf.map_or(&nothing, |leaf| &leaf.values).clone());
            list.push(Difference {
                path: path.to_string(),
                change,
                before: shown(was),
                after: shown(is),
            });
        }
        for list in [&mut self.added, &mut self.removed, &mut self.changed] {
            list.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(self)
    }

    /// About how many bytes its differences take, in memory and in an answer.
    pub(in crate::search) fn bytes(&self) -> usize {
        let lists = [&self.added, &self.removed, &self.changed];
        let sizes = lists.into_iter().flatten().map(|at| {
            bytes_of(&at.path, &at.before.0) + bytes_of(&at.path, &at.after.0) + at.path.len()
        });
        sizes.sum()
    }
}
