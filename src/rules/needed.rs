//! What an entry needs for a detection to match it, as far as that is cheap to find out: texts that are in its values. An entry without them
//! cannot match; an entry with them may.

/// What must be true of an entry, in terms of `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needed<T> {
    /// This.
    One(T),
    /// All of these; without any, nothing is needed.
    All(Vec<Needed<T>>),
    /// One of these at least.
    Any(Vec<Needed<T>>),
}

/// A value of a field has one of some texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NeededText {
    /// The field; `None`: any.
    pub(super) field: Option<String>,
    pub(super) texts: Vec<LiteralTest>,
}

/// What a text must be, or have in it. Case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LiteralTest {
    /// ASCII, in small letters.
    pub(super) text: String,
    pub(super) is_whole: bool,
}

impl LiteralTest {
    /// Texts that are not ASCII are not tested: what counts as the same letter is the library's to say.
    pub(super) fn of(text: &str, is_whole: bool) -> Option<Self> {
        let is_tested = text.is_ascii() && !text.is_empty();
        is_tested.then(|| Self {
            text: text.to_ascii_lowercase(),
            is_whole,
        })
    }
}

impl<T> Needed<T> {
    pub(super) fn nothing() -> Self {
        Self::All(Vec::new())
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::All(parts) => all.extend(parts),
                part => all.push(part),
            }
        }
        match all.len() {
            1 => all.remove(0),
            _ => Self::All(all),
        }
    }

    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = parts.into_iter().collect();
        if any.iter().any(Self::is_nothing) {
            return Self::nothing();
        }
        match any.len() {
            1 => any.remove(0),
            _ => Self::Any(any),
        }
    }

    /// The same in other terms.
    pub(super) fn map<U>(&self, to: &mut impl FnMut(&T) -> U) -> Needed<U> {
        match self {
            Self::One(one) => Needed::One(to(one)),
            Self::All(parts) => Needed::All(parts.iter().map(|part| part.map(to)).collect()),
            Self::Any(parts) => Needed::Any(parts.iter().map(|part| part.map(to)).collect()),
        }
    }

    /// Whether it is true.
    pub(super) fn is_met(&self, by: &mut impl FnMut(&T) -> bool) -> bool {
        match self {
            Self::One(one) => by(one),
            Self::All(parts) => parts.iter().all(|part| part.is_met(by)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(by)),
        }
    }
}

/// The alternatives whose shortest text is the longest.
pub(super) fn longest(all: Vec<Vec<LiteralTest>>) -> Option<Vec<LiteralTest>> {
    let shortest = |any: &Vec<LiteralTest>| any.iter().map(|test| test.text.len()).min();
    all.into_iter().max_by_key(shortest)
}
