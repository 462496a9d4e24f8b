//! Who may ask, and how much one principal may take.

use std::num::NonZeroU32;

use chrono::TimeDelta;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Clients that send a valid token.
    Tokens,
    /// Every client on this machine.
    None,
}

/// The headers in which reverse proxies say who their client is. Only one family is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What one principal may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrincipalLimits {
    /// Requests a minute.
    pub requests_per_minute: NonZeroU32,
    /// Questions at once; at least 1.
    pub questions: u32,
    /// Exports and tails at once; at least 1.
    pub streams: u32,
    /// How long one question may take; at least a second.
    pub question_time: TimeDelta,
}

impl Default for PrincipalLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: const { NonZeroU32::new(1_200).unwrap() },
            questions: 8,
            streams: 16,
            question_time: TimeDelta::seconds(30),
        }
    }
}
