//! A hold as answers and commands show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::position::rfc3339;
use crate::store::Hold;

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct ShownHold {
    /// Its name. Of the holds in force, only one has it.
    pub name: String,
    /// The entries that it covers, as a question; `null`: all.
    pub query: Option<String>,
    /// Their sources; all if none is named.
    pub sources: Vec<String>,
    /// Their earliest time; `null`: any.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// The first time after them; `null`: none.
    #[schema(format = DateTime)]
    pub before: Option<String>,
    /// Why it is needed.
    pub reason: String,
    /// The principal that created it.
    pub created_by: String,
    /// When. In its question, this is `now`.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was released; `null` while it is in force.
    #[schema(format = DateTime)]
    pub released_at: Option<String>,
}

/// All holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Holds)]
pub struct ShownHolds {
    /// In the order in which they were created, the released ones included.
    pub holds: Vec<ShownHold>,
}

impl From<Hold> for ShownHold {
    fn from(hold: Hold) -> Self {
        let says = hold.says;
        Self {
            name: says.name,
            query: says.query,
            sources: says.sources.iter().map(ToString::to_string).collect(),
            since: says.since.map(rfc3339),
            before: says.before.map(rfc3339),
            reason: says.reason,
            created_by: hold.created_by,
            created_at: rfc3339(hold.created_at),
            released_at: hold.released_at.map(rfc3339),
        }
    }
}

impl From<Vec<Hold>> for ShownHolds {
    fn from(holds: Vec<Hold>) -> Self {
        Self {
            holds: holds.into_iter().map(ShownHold::from).collect(),
        }
    }
}
