//! Followers of the log: each reads it in order and keeps something that is made from it.

pub mod index;
