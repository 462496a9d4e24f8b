//! Who and what there is: the organization, its accounts with their zones, and the people who work in them.
//!
//! All of it follows from the seed and never changes. What these people do is told by the history; members that
//! come and go during a run are kept elsewhere.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use crate::position::Source;

use super::chance::{Seed, hex, pick, skewed};
use super::people::Person;

/// The most accounts an organization holds upstream.
pub(crate) const MAX_ACCOUNTS: u32 = 500;
/// The fewest and the most people there are.
const PEOPLE: std::ops::RangeInclusive<u32> = 36..=2_000;
/// People for each account, between those ends.
const PEOPLE_PER_ACCOUNT: u32 = 8;
/// How many of them work in one account; teams overlap.
const TEAM_LEN: u32 = 24;
/// The most zones of an account.
const MAX_ZONES: u32 = 40;
/// The organization's own log holds one in so many entries.
const ENTRIES_PER_ORGANIZATION_ENTRY: f64 = 100.0;

/// Everything that stands still.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) organization: Organization,
    pub(crate) accounts: Vec<Account>,
    pub(crate) people: Vec<Person>,
    /// The organization's log first, then the accounts' in their order.
    pub(crate) sources: Vec<Source>,
    places: HashMap<Source, usize>,
    seed: Seed,
}

/// The organization.
#[derive(Debug)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) created: DateTime<Utc>,
}

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) created: DateTime<Utc>,
    /// 1 for the busiest account, and so on.
    rank: u32,
    zones: u32,
    /// The first person of its team.
    team: u32,
}

/// A DNS zone of an account.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl World {
    /// The world of this seed, all of it older than `begin`.
    pub(crate) fn new(seed: Seed, accounts: u32, begin: DateTime<Utc>) -> Self {
        let accounts = accounts.min(MAX_ACCOUNTS);
        let n_people = (accounts * PEOPLE_PER_ACCOUNT).clamp(*PEOPLE.start(), *PEOPLE.end());
        let mut ranks: Vec<u32> = (1..=accounts).collect();
        seed.named("ranks").rng().shuffle(&mut ranks);

        let mut rng = seed.named("accounts").rng();
        let accounts: Vec<Account> = (0..accounts)
            .zip(ranks)
            .map(|(number, rank)| Account::new(&mut rng, number, rank, n_people, begin))
            .collect();
        let organization = Organization {
            id: hex(&mut seed.named("organization").rng(), 32),
            name: "Example Holdings",
            created: begin - TimeDelta::days(3),
        };
        let sources: Vec<Source> = Source::organization(&organization.id)
            .into_iter()
            .chain(
                accounts
                    .iter()
                    .flat_map(|account| Source::account(&account.id)),
            )
            .collect();
        Self {
            places: sources.iter().cloned().zip(0..).collect(),
            people: (0..n_people)
                .map(|number| Person::new(seed.named("people").child(number.into()), number))
                .collect(),
            organization,
            accounts,
            sources,
            seed,
        }
    }

    /// Where a source stands among [`World::sources`].
    pub(crate) fn place(&self, source: &Source) -> Option<usize> {
        self.places.get(source).copied()
    }

    /// The account whose log stands at `place`; the organization's log, at 0, is no account's.
    pub(crate) fn account(&self, place: usize) -> Option<&Account> {
        self.accounts.get(place.checked_sub(1)?)
    }

    /// What share of all entries falls into each source's log, in the order of [`World::sources`]; together 1.
    ///
    /// The accounts follow Zipf's law: a few busy ones, and many that are almost silent.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let organization = if self.accounts.is_empty() {
            1.0
        } else {
            1.0 / ENTRIES_PER_ORGANIZATION_ENTRY
        };
        let weights = self
            .accounts
            .iter()
            .map(|account| 1.0 / f64::from(account.rank));
        let total: f64 = weights.clone().sum();
        std::iter::once(organization)
            .chain(weights.map(|weight| (1.0 - organization) * weight / total))
            .collect()
    }

    /// One of an account's zones, its busy ones more often than others.
    pub(crate) fn draw_zone(&self, rng: &mut Rng, account: &Account) -> Zone {
        let number = skewed(rng, account.zones);
        let mut own = self
            .seed
            .named("zone")
            .named(&account.id)
            .child(number.into())
            .rng();
        let (first, second) = (pick(&mut own, WORDS), pick(&mut own, WORDS));
        let ending = pick(
            &mut own,
            &["example.com", "example.net", "example.org", "example"],
        );
        Zone {
            id: hex(&mut own, 32),
            name: format!("{first}-{second}.{ending}"),
        }
    }

    /// Someone at work in an account's log, or in the organization's: those of the team, the busy ones most.
    pub(crate) fn draw_person(&self, rng: &mut Rng, place: usize) -> &Person {
        let team = self.account(place).map_or(0, |account| account.team);
        let is_guest = rng.u8(..100) < 4;
        let number = if is_guest {
            rng.u32(..)
        } else {
            team.saturating_add(skewed(rng, TEAM_LEN))
        };
        &self.people[number as usize % self.people.len()]
    }
}

impl Account {
    fn new(rng: &mut Rng, number: u32, rank: u32, n_people: u32, begin: DateTime<Utc>) -> Self {
        let company = COMPANIES[number as usize % COMPANIES.len()];
        let purpose = PURPOSES[(number as usize / COMPANIES.len()) % PURPOSES.len()];
        let round = number as usize / (COMPANIES.len() * PURPOSES.len());
        let suffix = if round == 0 {
            String::new()
        } else {
            format!(" {}", round + 1)
        };
        Self {
            id: hex(rng, 32),
            name: format!("{company} - {purpose}{suffix}"),
            kind: if rng.u8(..4) == 0 {
                "standard"
            } else {
                "enterprise"
            },
            created: begin - TimeDelta::seconds(rng.i64(86_400..3 * 365 * 86_400)),
            rank,
            zones: (MAX_ZONES / rank.min(MAX_ZONES)).max(2),
            team: rng.u32(..n_people),
        }
    }
}

const COMPANIES: &[&str] = &[
    "Example",
    "Bücher & Söhne GmbH",
    "株式会社サンプル",
    "Specimen Trading",
    "شركة المثال",
    "Café Émile",
    "Sample Robotics",
    "Пример и Ко",
    "Fjällräv Øst AS",
    "Sample Toys 🧸",
    "예시 주식회사",
    "Example Media",
    "Żółw i Syn",
    "Example Labs",
    "Παράδειγμα ΑΕ",
    "Placeholder Logistics",
];

const PURPOSES: &[&str] = &[
    "Production",
    "Staging",
    "Shop",
    "Marketing",
    "Internal Tools",
    "Data Platform",
    "Mobile",
    "Sandbox",
];

/// The words that zones and resources are named with.
pub(crate) const WORDS: &[&str] = &[
    "harbor", "maple", "falcon", "atlas", "ember", "quartz", "willow", "comet", "delta", "orchid",
    "pixel", "raven", "saffron", "tundra", "velvet", "zephyr", "beacon", "cobalt", "dune",
    "fathom", "glacier", "indigo", "juniper", "lagoon", "meadow", "nimbus", "opal", "prairie",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn world(accounts: u32) -> World {
        World::new(Seed(5), accounts, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn names_and_ids_are_told_apart() {
        let world = world(500);
        let mut names: Vec<_> = world.accounts.iter().map(|account| &account.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 500);
        assert_eq!(world.places.len(), 501);
        assert_eq!(world.sources[0].id(), world.organization.id);
    }

    #[test]
    fn shares_add_up_and_fall_off() {
        for accounts in [0, 1, 500] {
            let shares = world(accounts).shares();
            let total: f64 = shares.iter().sum();
            assert!((total - 1.0).abs() < 1e-9, "{total}");
            assert_eq!(shares.len(), accounts as usize + 1);
        }
        let mut shares = world(500).shares();
        shares.sort_by(|a, b| b.total_cmp(a));
        assert!(shares[0] > 20.0 * shares[100], "{shares:?}");
    }
}
