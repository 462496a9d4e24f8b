//! Who and what there is from the beginning: organizations, their accounts with their zones, and the people who work
//! in them.
//!
//! All of it follows from the seed and never changes. `history` says what these people do; what calls change
//! during a run, organizations and their members, is kept in the directory.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use orgtrail_cloudflare::source::Source;

use super::chance::{Seed, hex, pick, skewed};
use super::people::Person;

/// The most organizations there are in the beginning.
pub(crate) const MAX_ORGANIZATIONS: u32 = 100;
/// The most accounts an organization holds upstream.
pub(crate) const MAX_ACCOUNTS: u32 = 500;
/// The fewest and the most people there are, but for organizations that would share theirs.
const PEOPLE: std::ops::RangeInclusive<u32> = 36..=2_000;
/// People for each account, between those ends.
const PEOPLE_PER_ACCOUNT: u32 = 8;
/// How many of them work in one account; teams overlap.
const TEAM_LEN: u32 = 24;
/// The most zones of an account.
const MAX_ZONES: u32 = 40;
/// The organization's own log holds one in so many entries.
const ENTRIES_PER_ORGANIZATION_ENTRY: f64 = 100.0;

/// Everything that never changes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) organizations: Vec<OrganizationSpec>,
    /// Of all organizations, one after the other.
    pub(crate) accounts: Vec<Account>,
    pub(crate) people: Vec<Person>,
    seed: Seed,
}

/// Whose log one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOwner {
    /// An organization's, by its number among [`World::organizations`].
    Organization(usize),
    /// An account's, by its number among [`World::accounts`].
    Account(usize),
}

/// An organization.
#[derive(Debug)]
pub(crate) struct OrganizationSpec {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: DateTime<Utc>,
    /// Its accounts' numbers.
    pub(crate) accounts: Range<usize>,
    /// The first person of its team.
    pub(crate) team: u32,
}

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// What the account is for, as a tag says it.
    pub(crate) tag: &'static str,
    pub(crate) created: DateTime<Utc>,
    /// The number of the organization that it is in.
    organization: usize,
    /// 1 for the organization's busiest account, and so on.
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
    /// The world of this seed, all of it older than `begin`, with so many accounts in each organization.
    pub(crate) fn new(seed: Seed, organizations: u32, accounts: u32, begin: DateTime<Utc>) -> Self {
        let organizations = organizations.clamp(1, MAX_ORGANIZATIONS) as usize;
        let accounts = accounts.min(MAX_ACCOUNTS) as usize;
        let n_people = u32::try_from(organizations * accounts)
            .unwrap_or(u32::MAX)
            .saturating_mul(PEOPLE_PER_ACCOUNT)
            .clamp(*PEOPLE.start(), *PEOPLE.end())
            // Each organization has people of its own.
            .max(organizations as u32 * TEAM_LEN);
        Self {
            organizations: (0..organizations)
                .map(|number| OrganizationSpec::new(seed, number, accounts, begin))
                .collect(),
            accounts: (0..organizations)
                .flat_map(|number| accounts_of(seed, number, accounts, n_people, begin))
                .collect(),
            people: (0..n_people)
                .map(|number| Person::new(seed.named("people").child(number.into()), number))
                .collect(),
            seed,
        }
    }

    /// All logs: each organization's own, followed by its accounts'.
    pub(crate) fn places(&self) -> impl Iterator<Item = LogOwner> + '_ {
        (0..)
            .zip(&self.organizations)
            .flat_map(|(number, organization)| {
                let accounts = organization.accounts.clone().map(LogOwner::Account);
                std::iter::once(LogOwner::Organization(number)).chain(accounts)
            })
    }

    /// The name of a log, unless its id cannot be part of one: the world's own ids always can.
    pub(crate) fn source(&self, place: LogOwner) -> Option<Source> {
        match place {
            LogOwner::Organization(number) => Source::organization(&self.organizations[number].id),
            LogOwner::Account(number) => Source::account(&self.accounts[number].id),
        }
        .ok()
    }

    /// The account whose log it is, if it is one's.
    pub(crate) fn account(&self, place: LogOwner) -> Option<&Account> {
        match place {
            LogOwner::Organization(_) => None,
            LogOwner::Account(number) => Some(&self.accounts[number]),
        }
    }

    /// The organization whose log it is, or the one that the account is in.
    pub(crate) fn organization_of(&self, place: LogOwner) -> &OrganizationSpec {
        match place {
            LogOwner::Organization(number) => &self.organizations[number],
            LogOwner::Account(number) => &self.organizations[self.accounts[number].organization],
        }
    }

    /// What share of all entries falls into each log, in the order of [`World::places`]; together 1.
    ///
    /// Organizations are alike. Their accounts follow Zipf's law: a few busy ones, and many that are almost silent.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let each = 1.0 / self.organizations.len() as f64;
        let of_organization = |organization: &OrganizationSpec| {
            let accounts = &self.accounts[organization.accounts.clone()];
            let own = if accounts.is_empty() {
                1.0
            } else {
                1.0 / ENTRIES_PER_ORGANIZATION_ENTRY
            };
            let weights = accounts.iter().map(|account| 1.0 / f64::from(account.rank));
            let total: f64 = weights.clone().sum();
            std::iter::once(each * own)
                .chain(weights.map(move |weight| each * (1.0 - own) * weight / total))
                .collect::<Vec<f64>>()
        };
        self.organizations
            .iter()
            .flat_map(of_organization)
            .collect()
    }

    /// One of an account's zones, its busy ones more often than others.
    pub(crate) fn draw_zone(&self, rng: &mut Rng, account: &Account) -> Zone {
        self.zone(account, skewed(rng, account.zones))
    }

    /// The zone with an id, and its account.
    pub(crate) fn find_zone(&self, id: &str) -> Option<(&Account, Zone)> {
        self.accounts.iter().find_map(|account| {
            let mut zones = (0..account.zones).map(|number| self.zone(account, number));
            Some((account, zones.find(|zone| zone.id == id)?))
        })
    }

    /// A zone of each account that has one.
    pub(crate) fn first_zones(&self) -> impl Iterator<Item = Zone> + '_ {
        let accounts = self.accounts.iter().filter(|account| account.zones > 0);
        accounts.map(|account| self.zone(account, 0))
    }

    fn zone(&self, account: &Account, number: u32) -> Zone {
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
    pub(crate) fn draw_person(&self, rng: &mut Rng, place: LogOwner) -> &Person {
        let team = match place {
            LogOwner::Organization(number) => self.organizations[number].team,
            LogOwner::Account(number) => self.accounts[number].team,
        };
        let is_guest = rng.u8(..100) < 4;
        let number = if is_guest {
            rng.u32(..)
        } else {
            team.saturating_add(skewed(rng, TEAM_LEN))
        };
        &self.people[number as usize % self.people.len()]
    }
}

impl OrganizationSpec {
    fn new(seed: Seed, number: usize, n_accounts: usize, begin: DateTime<Utc>) -> Self {
        let own = one_of_several(seed.named("organization"), number);
        let (name, round) = (NAMES[number % NAMES.len()], number / NAMES.len());
        Self {
            id: hex(&mut own.rng(), 32),
            name: match round {
                0 => name.to_owned(),
                _ => format!("{name} {}", round + 1),
            },
            created: begin - TimeDelta::days(3),
            accounts: number * n_accounts..(number + 1) * n_accounts,
            team: number as u32 * TEAM_LEN,
        }
    }
}

/// The accounts of one organization.
fn accounts_of(
    seed: Seed,
    organization: usize,
    count: usize,
    n_people: u32,
    begin: DateTime<Utc>,
) -> Vec<Account> {
    let mut ranks: Vec<u32> = (1..).take(count).collect();
    one_of_several(seed.named("ranks"), organization)
        .rng()
        .shuffle(&mut ranks);
    let mut rng = one_of_several(seed.named("accounts"), organization).rng();
    (organization * count..)
        .zip(ranks)
        .map(|(number, rank)| Account {
            organization,
            ..Account::new(&mut rng, number, rank, n_people, begin)
        })
        .collect()
}

/// What a world has once, it has once more for each further organization, without a change to the first.
fn one_of_several(seed: Seed, number: usize) -> Seed {
    match number {
        0 => seed,
        _ => seed.child(number as u64),
    }
}

impl Account {
    fn new(rng: &mut Rng, number: usize, rank: u32, n_people: u32, begin: DateTime<Utc>) -> Self {
        let company = COMPANIES[number % COMPANIES.len()];
        let purpose = PURPOSES[(number / COMPANIES.len()) % PURPOSES.len()];
        let round = number / (COMPANIES.len() * PURPOSES.len());
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
            tag: match purpose {
                "Production" | "Shop" | "Mobile" => "production",
                "Staging" => "staging",
                _ => "other",
            },
            created: begin - TimeDelta::seconds(rng.i64(86_400..3 * 365 * 86_400)),
            organization: 0,
            rank,
            zones: (MAX_ZONES / rank.min(MAX_ZONES)).max(2),
            team: rng.u32(..n_people),
        }
    }
}

const NAMES: &[&str] = &[
    "Example Holdings",
    "Bücher Group",
    "サンプル・グループ",
    "Specimen & Partners",
    "Placeholder United",
];

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

    fn world(organizations: u32, accounts: u32) -> World {
        let begin = "2026-01-01T00:00:00Z".parse().unwrap();
        World::new(Seed(5), organizations, accounts, begin)
    }

    #[test]
    fn names_and_ids_are_told_apart() {
        let world = world(4, 500);
        let mut names: Vec<_> = world.accounts.iter().map(|account| &account.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2_000);
        let mut sources: Vec<_> = world
            .places()
            .flat_map(|place| world.source(place))
            .collect();
        assert_eq!(sources[501].id(), world.organizations[1].id);
        assert_eq!(sources[502].id(), world.accounts[500].id);
        sources.sort();
        sources.dedup();
        assert_eq!(sources.len(), 4 * 501);
    }

    #[test]
    fn further_organizations_leave_the_first_as_it_was() {
        let (one, three) = (world(1, 7), world(3, 7));
        assert_eq!(one.organizations[0].id, three.organizations[0].id);
        let ids = |world: &World| -> Vec<String> {
            let accounts = world.accounts.iter().take(7);
            accounts.map(|account| account.id.clone()).collect()
        };
        assert_eq!(ids(&one), ids(&three));
        for number in 0..21 {
            let organization = three.organization_of(LogOwner::Account(number));
            assert!(organization.accounts.contains(&number));
        }
    }

    #[test]
    fn shares_add_up_and_fall_off() {
        for (organizations, accounts) in [(1, 0), (1, 1), (1, 500), (3, 20)] {
            let shares = world(organizations, accounts).shares();
            let total: f64 = shares.iter().sum();
            assert!((total - 1.0).abs() < 1e-9, "{total}");
            assert_eq!(shares.len() as u32, organizations * (accounts + 1));
        }
        let mut shares = world(1, 500).shares();
        shares.sort_by(|a, b| b.total_cmp(a));
        assert!(shares[0] > 20.0 * shares[100], "{shares:?}");
    }
}
