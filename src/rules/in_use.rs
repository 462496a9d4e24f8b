//! The rules that a service uses, shared by its parts.

use std::sync::{Arc, Mutex};

use super::rule::RuleError;
use super::set::Rules;
use crate::sync::lock;

/// Rules, and what is wrong with those that cannot be used.
#[derive(Debug, Clone, Default)]
pub struct LoadedRules {
    /// The rules.
    pub rules: Rules,
    /// What is wrong with the others.
    pub errors: Vec<RuleError>,
}

/// The rules in use. A clone is another handle to the same ones.
#[derive(Debug, Clone, Default)]
pub struct RulesInUse(Arc<Mutex<Arc<LoadedRules>>>);

impl RulesInUse {
    /// Uses these first.
    #[must_use]
    pub fn new(loaded: LoadedRules) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(loaded))))
    }

    /// Those in use now.
    #[must_use]
    pub fn get(&self) -> Arc<LoadedRules> {
        Arc::clone(&lock(&self.0))
    }

    /// From now on uses these.
    pub fn replace(&self, loaded: LoadedRules) {
        *lock(&self.0) = Arc::new(loaded);
    }
}
