//! What an operator should look at although questions are answered.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

/// A problem that does not keep questions from being answered. It has no ids: the route needs no credential.
#[derive(Serialize, ToSchema)]
pub(super) struct Trouble {
    pub(super) problem: Cow<'static, str>,
    /// `upstream`, `log`, `access log`, `certificate`, or the name of a follower, such as `index`.
    pub(super) part: &'static str,
    pub(super) why: &'static str,
}
