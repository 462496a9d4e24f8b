//! The durable steps of the transparency log, beside those of the log of events.

use crate::durable;

durable::steps! {
    /// A tile or an entry bundle is written.
    WRITE_TILE = "evidence.write_tile";
    /// The tiles that were written outlive a crash from here on.
    SYNC_TILES = "evidence.sync_tiles";
    /// The checkpoint that is shown is copied beside the tiles.
    COPY_CHECKPOINT = "evidence.copy_checkpoint";
    /// Partial tiles are removed whose full ones are shown.
    REMOVE_PARTIAL = "evidence.remove_partial";
}
