//! What an operator should look at although questions are answered.

use serde::Serialize;
use utoipa::ToSchema;

/// A problem that does not keep questions from being answered. It has no ids: the route needs no credential.
#[derive(Serialize, ToSchema)]
pub(super) struct Trouble {
    pub(super) problem: &'static str,
    /// `upstream`, `index`, `log`, `evidence` or `certificate`.
    pub(super) part: &'static str,
    pub(super) why: &'static str,
}
