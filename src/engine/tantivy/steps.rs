//! The durable steps of the index.

use crate::durable;

durable::steps! {
    /// Documents and progress are committed.
    COMMIT = "index.commit";
    /// A rebuilt index takes the place of the one before it.
    SWAP = "index.swap";
}
