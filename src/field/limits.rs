//! The limits of a value.

/// The longest value that is compared as a whole, in bytes. Of a longer one, patterns, expressions and ranges see only so many
/// bytes; an exact search still compares all of it, by its hash.
pub const MAX_VALUE_LEN: usize = 2_048;
