//! The durable steps of the index.

use crate::durable;

durable::steps! {
    /// Documents and progress are committed.
    COMMIT = "index.commit";
    /// An empty index is made.
    MAKE_EMPTY = "index.make_empty";
    /// A rebuilt index takes the place of the one before it.
    SWAP = "index.swap";
}
