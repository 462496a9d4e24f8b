//! Who may ask, and what they may see.
//!
//! Pure values: the form of our tokens, the permissions of a principal, and which part of the log it may see. Where tokens
//! are stored is [`crate::store`]'s business; how a request proves who sends it is [`crate::http`]'s.

mod assertion;
mod cloudflare;
mod grant;
mod secret;
mod settings;

pub use self::assertion::{Assertion, AssertionKey, BadAssertion};
pub use self::cloudflare::{AccessGrant, AccessIdentity, CloudflareAccess};
pub use self::grant::{BadPermission, Grant, Permission, Permissions};
pub use self::secret::{ApiToken, BadApiToken, FeedKey, SecretHash, SessionKey};
pub use self::settings::{Auth, ForwardedHeader, PrincipalLimits};
