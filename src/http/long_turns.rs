//! The turns of questions that take long: few, and shared fairly among principals.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock::Cancel;
use crate::sync::lock;

/// The turns. A clone has the same ones.
#[derive(Clone)]
pub(super) struct LongTurns(Arc<Inner>);

struct Inner {
    most: usize,
    questions: Mutex<LongQuestions>,
}

#[derive(Default)]
struct LongQuestions {
    next: u64,
    /// In the order in which they began.
    running: Vec<LongQuestion>,
}

struct LongQuestion {
    id: u64,
    principal: Arc<str>,
    cancel: Cancel,
    is_displaced: Arc<AtomicBool>,
}

/// The turn of one long question, given back when it is dropped.
pub(super) struct LongTurn {
    turns: LongTurns,
    id: u64,
}

/// Whether a question was cancelled for one of another principal.
pub(super) struct Displaced(Arc<AtomicBool>);

impl Displaced {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl LongTurns {
    /// So many turns.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            questions: Mutex::default(),
        }))
    }

    /// A turn for a question that `cancel` cancels; `None` when all are taken.
    pub(super) fn begin(
        &self,
        principal: &Arc<str>,
        cancel: &Cancel,
    ) -> Option<(LongTurn, Displaced)> {
        let mut questions = lock(&self.0.questions);
        if questions.running.len() >= self.0.most {
            return None;
        }
        let id = questions.next;
        questions.next += 1;
        let is_displaced = Arc::new(AtomicBool::new(false));
        questions.running.push(LongQuestion {
            id,
            principal: Arc::clone(principal),
            cancel: cancel.clone(),
            is_displaced: Arc::clone(&is_displaced),
        });
        let turns = self.clone();
        Some((LongTurn { turns, id }, Displaced(is_displaced)))
    }

    /// Cancels the newest question of the principal that has most, if that has at least two more than this one. Says whether a turn
    /// becomes free.
    pub(super) fn make_room(&self, principal: &Arc<str>) -> bool {
        let questions = lock(&self.0.questions);
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        let is_running = |question: &&LongQuestion| !question.is_displaced.load(Ordering::Acquire);
        let running = || questions.running.iter().filter(is_running);
        if running().count() < questions.running.len() {
            // One is ending already.
            return true;
        }
        for question in running() {
            *counts.entry(&question.principal).or_default() += 1;
        }
        let own = counts.get(principal).copied().unwrap_or(0);
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((greediest, _)) = most.filter(|(_, count)| *count >= own + 2) else {
            return false;
        };
        let newest = running().rfind(|question| question.principal == *greediest);
        if let Some(question) = newest {
            question.is_displaced.store(true, Ordering::Release);
            question.cancel.cancel();
        }
        newest.is_some()
    }
}

impl Drop for LongTurn {
    fn drop(&mut self) {
        let mut questions = lock(&self.turns.0.questions);
        questions.running.retain(|question| question.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_s_long_questions_make_room_for_another_s() {
        let turns = LongTurns::new(3);
        let [greedy, other, third] = ["a", "b", "c"].map(Arc::<str>::from);
        let cancels: Vec<Cancel> = (0..3).map(|_| Cancel::default()).collect();
        let mut held: Vec<_> = cancels
            .iter()
            .map(|cancel| turns.begin(&greedy, cancel).unwrap())
            .collect();
        assert!(turns.begin(&other, &Cancel::default()).is_none());
        assert!(!turns.make_room(&greedy), "these are its own");
        assert!(turns.make_room(&other));
        let displaced: Vec<bool> = held.iter().map(|(_, one)| one.is_so()).collect();
        assert_eq!(displaced, [false, false, true]);
        assert!(turns.make_room(&other), "it is ending");
        held.pop();
        let _of_other = turns.begin(&other, &Cancel::default()).unwrap();
        assert!(!turns.make_room(&other), "that would be no fairer");
        assert!(turns.make_room(&third));
    }
}
