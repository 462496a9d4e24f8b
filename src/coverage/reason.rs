//! Why nothing is proven of a stretch, and how much that matters to a reader.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::GapCause;

/// Why nothing is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It will be scanned.
    NotYet,
    /// It is older than the configuration asks for.
    NotAskedFor,
    /// The source fails.
    Failing,
    /// The credential was refused.
    CredentialRefused,
    /// This machine's clock and upstream's differ, or a clock is behind what was read before.
    Clock,
    /// An entry in it is too large to take.
    EntryTooLarge,
    /// An answer about it is not JSON, or there is no way to read all of it.
    Unreadable,
    /// Upstream shows entries of another log there, and none of this one.
    ForeignEntries,
    /// Upstream keeps entries for 18 months, and this is older.
    OlderThanUpstreamKeeps,
    /// Upstream did not keep such logs then.
    BeforeUpstreamKept,
    /// Upstream says that the account was made later.
    BeforeTheAccountExisted,
    /// The account had left its organization.
    Left,
    /// No such source is followed.
    NotFollowed,
    /// The organization's list of accounts was not read completely within the last day: it may have accounts that are not
    /// followed.
    AccountsUnknown,
    /// Bodies of events were erased by retention.
    Erased,
    /// It is held, and not in this answer: the index is behind, or it arrived after the answer's first page.
    NotSearchableYet,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NotYet,
        Self::NotAskedFor,
        Self::Failing,
        Self::CredentialRefused,
        Self::Clock,
        Self::EntryTooLarge,
        Self::Unreadable,
        Self::ForeignEntries,
        Self::OlderThanUpstreamKeeps,
        Self::BeforeUpstreamKept,
        Self::BeforeTheAccountExisted,
        Self::Left,
        Self::NotFollowed,
        Self::AccountsUnknown,
        Self::Erased,
        Self::NotSearchableYet,
    ];

    /// Its name in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotYet => "not_yet",
            Self::NotAskedFor => "not_asked_for",
            Self::Failing => "failing",
            Self::CredentialRefused => "credential_refused",
            Self::Clock => "clock",
            Self::EntryTooLarge => "entry_too_large",
            Self::Unreadable => "unreadable",
            Self::ForeignEntries => "foreign_entries",
            Self::OlderThanUpstreamKeeps => "older_than_upstream_keeps",
            Self::BeforeUpstreamKept => "before_upstream_kept",
            Self::BeforeTheAccountExisted => "before_the_account_existed",
            Self::Left => "left",
            Self::NotFollowed => "not_followed",
            Self::AccountsUnknown => "accounts_unknown",
            Self::Erased => "erased",
            Self::NotSearchableYet => "not_searchable_yet",
        }
    }
}

impl From<GapCause> for Reason {
    fn from(cause: GapCause) -> Self {
        match cause {
            GapCause::TooLarge => Self::EntryTooLarge,
            GapCause::Unreadable => Self::Unreadable,
            GapCause::Foreign => Self::ForeignEntries,
            // It is asked for again at the ages of sweeps.
            GapCause::Unproven => Self::NotYet,
        }
    }
}

/// How much a gap matters to a reader of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It is about to be read; only an old one is a loss.
    OnItsWay,
    /// It is held, and about to be searchable.
    Held,
    /// Nothing is missing that was asked for and could be there.
    ByDesign,
    /// Something may be missing.
    Loss,
}

impl Reason {
    /// How much a gap with this reason matters.
    #[must_use]
    pub fn weight(self) -> Weight {
        match self {
            Self::NotYet => Weight::OnItsWay,
            Self::NotSearchableYet => Weight::Held,
            Self::NotAskedFor
            | Self::OlderThanUpstreamKeeps
            | Self::BeforeUpstreamKept
            | Self::BeforeTheAccountExisted
            | Self::Left
            | Self::Erased => Weight::ByDesign,
            Self::Failing
            | Self::CredentialRefused
            | Self::Clock
            | Self::EntryTooLarge
            | Self::Unreadable
            | Self::ForeignEntries
            | Self::NotFollowed
            | Self::AccountsUnknown => Weight::Loss,
        }
    }

    /// The reason in a few words, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotYet => "not scanned yet",
            Self::NotAskedFor => "not asked for",
            Self::Failing => "failing",
            Self::CredentialRefused => "credential refused",
            Self::Clock => "clock",
            Self::EntryTooLarge => "entry too large",
            Self::Unreadable => "unreadable",
            Self::ForeignEntries => "foreign entries",
            Self::OlderThanUpstreamKeeps => "older than upstream keeps",
            Self::BeforeUpstreamKept => "before upstream kept",
            Self::BeforeTheAccountExisted => "before the account existed",
            Self::Left => "left",
            Self::NotFollowed => "not followed",
            Self::AccountsUnknown => "accounts unknown",
            Self::Erased => "erased",
            Self::NotSearchableYet => "not searchable yet",
        }
    }
}
