//! An organization's members.
//!
//! A member has a number that is given once and in the order of joining. That calls change members, and that each
//! change leaves an entry, is known to the routes.

use std::collections::{BTreeMap, HashSet};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use orgtrail_cloudflare::account::time_text;
use orgtrail_cloudflare::member::{Empty, MemberForm, UserForm};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::chance::{Seed, hex};
use super::super::people::Person;
use super::super::refusal::Refusal;

/// The members there are in the beginning.
const FIRST_MEMBERS: usize = 14;
/// The most members there can be.
pub(crate) const MAX_MEMBERS: usize = 10_000;
/// The longest e-mail address, in bytes: what mail itself allows.
const MAX_EMAIL_LEN: usize = 254;
const STATUSES: &[&str] = &["active", "canceled", "pending", "rejected"];

/// Who belongs to an organization.
#[derive(Debug)]
pub(crate) struct MemberList {
    members: BTreeMap<u64, SimMember>,
    n_joined: u64,
    seed: Seed,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct SimMember {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) email: String,
    name: String,
    pub(crate) status: String,
    created: DateTime<Utc>,
}

/// Who is to join.
#[derive(Debug, Deserialize)]
pub(crate) struct NewMember {
    user: NewUser,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NewUser {
    email: String,
}

impl MemberList {
    /// The members in the beginning: the first of `people`.
    pub(crate) fn new<'a>(
        seed: Seed,
        people: impl Iterator<Item = &'a Person>,
        created: DateTime<Utc>,
    ) -> Self {
        let members: BTreeMap<u64, SimMember> = (0..)
            .zip(people.take(FIRST_MEMBERS))
            .map(|(number, person)| {
                let member = SimMember {
                    id: hex(&mut seed.child(number).rng(), 32),
                    user_id: person.id.clone(),
                    email: person.email.clone(),
                    name: person.name.clone(),
                    status: "active".to_owned(),
                    created,
                };
                (number, member)
            })
            .collect();
        Self {
            n_joined: members.len() as u64,
            members,
            seed,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &SimMember)> {
        self.members
            .iter()
            .map(|(number, member)| (*number, member))
    }

    /// The member of that id.
    ///
    /// # Errors
    /// When there is none, or not any more.
    pub(crate) fn find(&self, id: &str) -> Result<(u64, &SimMember), Refusal> {
        self.iter()
            .find(|(_, member)| member.id == id)
            .ok_or_else(|| Refusal::coded(StatusCode::NOT_FOUND, 1003, "member not found"))
    }

    /// Takes a member away.
    pub(crate) fn remove(&mut self, number: u64) {
        self.members.remove(&number);
    }

    /// Lets all of these join, or none.
    ///
    /// # Errors
    /// When one of them has no address, or another's, or there would be too many.
    pub(crate) fn join(
        &mut self,
        wanted: Vec<NewMember>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SimMember>, Refusal> {
        let mut taken: HashSet<String> = self
            .members
            .values()
            .map(|member| member.email.to_lowercase())
            .collect();
        for one in &wanted {
            one.check()?;
            if !taken.insert(one.user.email.to_lowercase()) {
                let message = format!("{} is a member already", one.user.email);
                return Err(Refusal::coded(StatusCode::CONFLICT, 1004, message));
            }
        }
        if self.members.len() + wanted.len() > MAX_MEMBERS {
            let message = format!("an organization has at most {MAX_MEMBERS} members");
            return Err(Refusal::coded(StatusCode::CONFLICT, 1004, message));
        }
        let joined = wanted.into_iter().map(|one| self.add(one, now));
        Ok(joined.collect())
    }

    fn add(&mut self, wanted: NewMember, now: DateTime<Utc>) -> SimMember {
        let number = self.n_joined;
        self.n_joined += 1;
        let mut rng = self.seed.child(number).rng();
        let member = SimMember {
            id: hex(&mut rng, 32),
            user_id: hex(&mut rng, 32),
            email: wanted.user.email,
            name: String::new(),
            status: wanted.status.unwrap_or_else(|| "pending".to_owned()),
            created: now,
        };
        self.members.insert(number, member.clone());
        member
    }
}

impl NewMember {
    fn check(&self) -> Result<(), Refusal> {
        let email = &self.user.email;
        if !email.contains('@') || email.len() > MAX_EMAIL_LEN {
            let message = "member.user.email must be an e-mail address";
            return Err(Refusal::invalid(message));
        }
        match &self.status {
            Some(status) if !STATUSES.contains(&status.as_str()) => {
                let statuses = STATUSES.join(", ");
                let message = format!("member.status must be one of: {statuses}");
                Err(Refusal::invalid(message))
            }
            _ => Ok(()),
        }
    }
}

impl SimMember {
    /// A member as upstream writes one.
    pub(crate) fn describe(&self) -> Value {
        let created = time_text(self.created);
        json!(MemberForm {
            create_time: Some(created.as_str().into()),
            id: &self.id,
            meta: Empty {},
            status: Some(&self.status),
            update_time: Some(created.as_str().into()),
            user: UserForm {
                email: Some(&self.email),
                id: Some(&self.user_id),
                name: &self.name,
                two_factor_authentication_enabled: Some(!self.name.is_empty()),
            },
        })
    }
}
