//! Steps whose effect outlives a crash, each with a name, so that a test can break them.
//!
//! It does not know which steps there are: the module that does a step names it.
//!
//! Every such step runs through [`Failpoints::run`]. In service no step is made to fail; a step then costs one null check. A
//! test makes a step fail, or fail after it took effect: the two things a crash, a full disk or a lost answer can look like
//! from outside.

use std::fmt;
use std::sync::Arc;

/// A step whose effect outlives a crash. The module that does it names it, in its `steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step(&'static str);

impl Step {
    /// A step with this name, which no other step has: `store.append_page`. The macro `steps!` declares them.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// Declares the steps of a module as constants, and `ALL` of them, so that a test can walk over them.
macro_rules! steps {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)+) => {
        $(
            $(#[$doc])*
            pub const $constant: $crate::durable::Step = $crate::durable::Step::named($name);
        )+

        /// All steps of this module.
        pub const ALL: &[$crate::durable::Step] = &[$($constant),+];
    };
}

pub(crate) use steps;

/// How a step breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepFailure {
    /// It fails, and nothing has happened.
    Before,
    /// It takes effect, and fails all the same.
    After,
}

/// Decides which steps break. Its clone decides the same way.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Arc<dyn Fn(Step) -> Option<StepFailure> + Send + Sync>>);

/// A step was broken on purpose.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the step `{}` was broken on purpose", .0.name())]
pub struct InjectedFailure(pub Step);

impl Failpoints {
    /// Failpoints that ask `decide` at each step.
    pub fn new(decide: impl Fn(Step) -> Option<StepFailure> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    /// Runs `effect` as `step`.
    ///
    /// # Errors
    /// Those of `effect`, and [`InjectedFailure`] where the failpoints say so.
    pub fn run<T, E: From<InjectedFailure>>(
        &self,
        step: Step,
        effect: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.0.as_ref().and_then(|decide| decide(step)) {
            None => effect(),
            Some(StepFailure::Before) => Err(InjectedFailure(step).into()),
            Some(StepFailure::After) => {
                effect()?;
                Err(InjectedFailure(step).into())
            }
        }
    }
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Failpoints(set)"
        } else {
            "Failpoints(none)"
        })
    }
}
