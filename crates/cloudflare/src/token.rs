//! What the API says of the token of a request.

use serde::Serialize;
use utoipa::ToSchema;

/// A token as the API writes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CloudflareToken)]
pub struct TokenForm {
    /// Its id, or the name of a principal that has no token.
    pub id: String,
    /// Always `active`: another token is refused.
    pub status: &'static str,
}
