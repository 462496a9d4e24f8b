//! Which organizations there are, below which others, with which profile and members: all that calls can change.
//!
//! Organizations are numbered for ever, in the order in which they came to be. Requests, answers and logs are not known
//! here, except for how a refusal looks.

mod members;

use std::collections::BTreeMap;
use std::ops::Range;

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chance::{Seed, hex};
use super::refusal::Refusal;
use super::world::World;

pub(crate) use members::{MAX_MEMBERS, MemberList, NewMember, SimMember};

/// The most organizations there can be at a time.
const MAX_ORGANIZATIONS: usize = 1_000;
/// The most that calls can make while the simulator runs: the logs of those that went are kept.
const MAX_MADE: u64 = 10_000;
/// The deepest nesting of organizations.
const MAX_DEPTH: usize = 8;
/// The longest name and the longest text of a profile, in characters.
const MAX_TEXT_LEN: usize = 1_024;

/// All organizations.
#[derive(Debug)]
pub(crate) struct Directory {
    organizations: BTreeMap<u64, OrganizationState>,
    n_made: u64,
    seed: Seed,
}

/// One organization.
#[derive(Debug)]
pub(crate) struct OrganizationState {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The number of the one above.
    parent: Option<u64>,
    pub(crate) profile: Option<OrganizationProfile>,
    created: DateTime<Utc>,
    /// The numbers of its accounts in the world.
    pub(crate) accounts: Range<usize>,
    pub(crate) members: MemberList,
}

/// What an organization says of itself. All of it is required, though any of it may be empty.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct OrganizationProfile {
    business_address: String,
    business_email: String,
    business_name: String,
    business_phone: String,
    external_metadata: String,
}

/// What makes an organization, or changes one.
#[derive(Debug, Deserialize)]
pub(crate) struct OrganizationInput {
    name: String,
    parent: Option<WantedParent>,
    profile: Option<OrganizationProfile>,
}

#[derive(Debug, Deserialize)]
struct WantedParent {
    id: String,
}

impl Directory {
    /// The organizations of a world, whose members are the first of its people.
    pub(crate) fn new(seed: Seed, world: &World) -> Self {
        let organizations: BTreeMap<u64, OrganizationState> = (0..)
            .zip(&world.organizations)
            .map(|(number, organization)| {
                let people = world.people.iter().cycle().skip(organization.team as usize);
                let members =
                    MemberList::new(member_seed(seed, number), people, organization.created);
                let organization = OrganizationState {
                    id: organization.id.clone(),
                    name: organization.name.clone(),
                    parent: None,
                    profile: Some(OrganizationProfile::of(&organization.name)),
                    created: organization.created,
                    accounts: organization.accounts.clone(),
                    members,
                };
                (number, organization)
            })
            .collect();
        Self {
            n_made: organizations.len() as u64,
            organizations,
            seed,
        }
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &OrganizationState)> {
        self.organizations
            .iter()
            .map(|(number, organization)| (*number, organization))
    }

    /// The number of an organization.
    ///
    /// # Errors
    /// When there is none of that id, or not any more.
    pub(crate) fn number(&self, id: &str) -> Result<u64, Refusal> {
        self.iter()
            .find(|(_, organization)| organization.id == id)
            .map(|(number, _)| number)
            .ok_or_else(Refusal::no_route)
    }

    /// The organization of that id.
    ///
    /// # Errors
    /// As [`Directory::number`].
    pub(crate) fn find(&self, id: &str) -> Result<&OrganizationState, Refusal> {
        let number = self.number(id)?;
        self.organizations
            .get(&number)
            .ok_or_else(Refusal::no_route)
    }

    /// The organization of that id, to be changed.
    ///
    /// # Errors
    /// As [`Directory::number`].
    pub(crate) fn find_mut(&mut self, id: &str) -> Result<&mut OrganizationState, Refusal> {
        let number = self.number(id)?;
        self.organizations
            .get_mut(&number)
            .ok_or_else(Refusal::no_route)
    }

    /// Makes an organization, and gives its number and its id.
    ///
    /// # Errors
    /// When a name, a parent or a profile is none.
    pub(crate) fn create(
        &mut self,
        wanted: OrganizationInput,
        now: DateTime<Utc>,
    ) -> Result<(u64, String), Refusal> {
        check(&wanted)?;
        let parent = self.parent_of(&wanted)?;
        if parent.is_some_and(|parent| self.lineage(parent).len() >= MAX_DEPTH) {
            return Err(too_deep());
        }
        if self.organizations.len() >= MAX_ORGANIZATIONS || self.n_made >= MAX_MADE {
            return Err(Refusal::invalid("there are too many organizations already"));
        }
        let number = self.n_made;
        self.n_made += 1;
        let seed = self.seed.named("organization").child(number);
        let id = hex(&mut seed.rng(), 32);
        let organization = OrganizationState {
            id: id.clone(),
            name: wanted.name,
            parent,
            profile: wanted.profile,
            created: now,
            accounts: 0..0,
            members: MemberList::new(member_seed(self.seed, number), std::iter::empty(), now),
        };
        self.organizations.insert(number, organization);
        Ok((number, id))
    }

    /// Changes an organization. What is not said stays as it is.
    ///
    /// # Errors
    /// When a name, a parent or a profile is invalid, or the parent is below the organization.
    pub(crate) fn modify(&mut self, number: u64, wanted: OrganizationInput) -> Result<(), Refusal> {
        check(&wanted)?;
        let parent = self.parent_of(&wanted)?;
        if let Some(parent) = parent {
            let above = self.lineage(parent);
            if above.contains(&number) {
                let message = "parent.id must not be the organization itself, nor one below it";
                return Err(Refusal::invalid(message));
            }
            if above.len() + self.height(number) > MAX_DEPTH {
                return Err(too_deep());
            }
        }
        let organization = self
            .organizations
            .get_mut(&number)
            .ok_or_else(Refusal::no_route)?;
        organization.name = wanted.name;
        organization.parent = parent.or(organization.parent);
        organization.profile = wanted.profile.or_else(|| organization.profile.take());
        Ok(())
    }

    /// Takes an organization away.
    ///
    /// # Errors
    /// When it is not empty: organizations below it, accounts and members must go first.
    pub(crate) fn remove(&mut self, number: u64) -> Result<(), Refusal> {
        let organization = self
            .organizations
            .get(&number)
            .ok_or_else(Refusal::no_route)?;
        let counts = [
            (self.below(number).count(), "organizations"),
            (organization.accounts.len(), "accounts"),
            (organization.members.len(), "members"),
        ];
        let held: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !held.is_empty() {
            let message = format!("organization is not empty: it has {}", held.join(", "));
            return Err(Refusal::coded(StatusCode::BAD_REQUEST, 1005, message));
        }
        self.organizations.remove(&number);
        Ok(())
    }

    /// The numbers from the highest organization above one down to itself.
    pub(crate) fn lineage(&self, number: u64) -> Vec<u64> {
        let mut line = vec![number];
        while let Some(parent) = line
            .last()
            .and_then(|last| self.organizations.get(last))
            .and_then(|organization| organization.parent)
        {
            line.push(parent);
        }
        line.reverse();
        line
    }

    /// An organization as upstream answers it.
    pub(crate) fn describe(&self, number: u64) -> Value {
        let Some(organization) = self.organizations.get(&number) else {
            return Value::Null;
        };
        let line = self.lineage(number);
        let tags: Vec<&str> = line
            .iter()
            .filter_map(|number| self.organizations.get(number))
            .map(|organization| organization.id.as_str())
            .collect();
        let mut described = json!({
            "id": organization.id,
            "create_time": written(organization.created),
            "meta": {
                "hierarchy_tags": tags,
                "managed_by": "customer",
                "tenant_flags": {
                    "account_creation": "enabled",
                    "account_creation_applies_tenant_defaults": "disabled",
                    "account_deletion": "disabled",
                    "account_migration": "disabled",
                    "account_mobility": "enabled",
                    "enterprise_capability": "enabled",
                    "member_management": "enabled",
                    "sub_org_creation": "enabled",
                },
            },
            "name": organization.name,
        });
        if let Some(parent) = organization
            .parent
            .and_then(|parent| self.organizations.get(&parent))
        {
            described["parent"] = json!({ "id": parent.id, "name": parent.name });
        }
        if let Some(profile) = &organization.profile {
            described["profile"] = json!(profile);
        }
        described
    }

    fn parent_of(&self, wanted: &OrganizationInput) -> Result<Option<u64>, Refusal> {
        let Some(parent) = &wanted.parent else {
            return Ok(None);
        };
        match self.number(&parent.id) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refusal::invalid("parent.id is not an organization")),
        }
    }

    fn below(&self, number: u64) -> impl Iterator<Item = u64> + '_ {
        self.iter()
            .filter(move |(_, organization)| organization.parent == Some(number))
            .map(|(below, _)| below)
    }

    /// The number of organizations on the longest path from this one down, itself included.
    fn height(&self, number: u64) -> usize {
        let lines = self.organizations.keys().map(|&other| self.lineage(other));
        lines
            .filter_map(|line| Some(line.len() - line.iter().position(|&one| one == number)?))
            .max()
            .unwrap_or(1)
    }
}

impl OrganizationState {
    /// The number of the one above.
    pub(crate) fn parent(&self) -> Option<u64> {
        self.parent
    }
}

impl OrganizationProfile {
    fn of(name: &str) -> Self {
        Self {
            business_address: String::new(),
            business_email: "ops@example.org".to_owned(),
            business_name: name.to_owned(),
            business_phone: String::new(),
            external_metadata: String::new(),
        }
    }

    /// # Errors
    /// When one of its texts is too long.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let texts = [
            ("business_address", &self.business_address),
            ("business_email", &self.business_email),
            ("business_name", &self.business_name),
            ("business_phone", &self.business_phone),
            ("external_metadata", &self.external_metadata),
        ];
        match texts.iter().find(|(_, text)| is_too_long(text)) {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::invalid(format!(
                "{name} must have at most {MAX_TEXT_LEN} characters"
            ))),
        }
    }
}

/// A time as these endpoints write it, with microseconds.
pub(crate) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn check(wanted: &OrganizationInput) -> Result<(), Refusal> {
    if wanted.name.trim().is_empty() || is_too_long(&wanted.name) {
        let message = format!("name must have from 1 to {MAX_TEXT_LEN} characters");
        return Err(Refusal::invalid(message));
    }
    wanted
        .profile
        .as_ref()
        .map_or(Ok(()), OrganizationProfile::check)
}

fn is_too_long(text: &str) -> bool {
    text.chars().count() > MAX_TEXT_LEN
}

fn too_deep() -> Refusal {
    Refusal::invalid(format!(
        "organizations can stand {MAX_DEPTH} deep, and this one would be deeper"
    ))
}

/// The first organization's members are drawn from the seed itself, those of further ones below it.
fn member_seed(seed: Seed, number: u64) -> Seed {
    match number {
        0 => seed,
        _ => seed.child(number),
    }
}
